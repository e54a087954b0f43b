// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/log.h"

#include <array>
#include <string>
#include <vector>

namespace tessera
{

/// Topics, and whose they are asked for.
struct LogPattern
{
    std::string text; ///< as it was written
    std::vector<Topic> topics;
    std::string glob = "*"; ///< of units
    bool all = false;       ///< every topic, whether or not anything of a chip is about it
};
/// Reads "op", "op,buffer@t1", "all", "noc@t1,buffer@t2": topics separated by commas, each with the
/// glob of the next @ after it; without one, of all units. Throws UsageError.
[[nodiscard]] std::vector<LogPattern> log_patterns(const std::vector<std::string>& texts);
/// Whether a glob (as in a shell) names this unit, or what it is a part of: "t1" names t1, t1.m0
/// and t1.ports.
[[nodiscard]] bool names_unit(const std::string& glob, const std::string& unit);
/// Throws UsageError for a pattern that names none of the units that it could be about, by topic.
void check_units(const std::vector<LogPattern>& patterns,
                 const std::array<std::vector<std::string>, kTopics>& units);

} // namespace tessera
