// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/tick.h"

#include <array>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <unordered_map>
#include <vector>

namespace tessera
{

/// What a line of the log is about.
enum class Topic : std::uint8_t
{
    op,     ///< operations become ready, start, end
    noc,    ///< transfers enter the interconnect, have left, arrive
    flit,   ///< flits enter the mesh and pass routers
    buffer, ///< space is asked for, granted, waited for, given back
    port,   ///< buffer ports are taken
    memory, ///< accesses of the external memory
    wheel   ///< every wake of every unit
};
inline constexpr unsigned kTopics = 7;
[[nodiscard]] const char* name_of(Topic topic);
/// What may stand for a topic in a pattern: the topics, and "all".
[[nodiscard]] std::vector<std::string> topic_names();
/// Every topic with its explanation, one a line.
[[nodiscard]] std::string topic_list();

/// Writes what happens in a simulation as lines "tick unit topic message", of those topics and
/// units that were asked for.
class Log
{
public:
    /// `patterns`: as log_patterns() reads them, each of which may be about several topics and
    /// units. `out` must outlive the log. Throws UsageError.
    Log(const std::vector<std::string>& patterns, std::ostream& out);

    [[nodiscard]] bool wants(Topic topic) const
    {
        return !rules_[static_cast<unsigned>(topic)].globs.empty();
    }
    /// Throws IoError when the stream has failed.
    /// Cold, so that compilers keep what leads to it out of the way of simulations without a log.
    [[gnu::cold]] void write(Tick now, Topic topic, const std::string& unit,
                             const std::string& message);

private:
    struct Rule
    {
        std::vector<std::string> globs;
        std::unordered_map<std::string, bool> known; ///< units seen: whether a glob matches
    };
    void add(const std::string& pattern);

    std::array<Rule, kTopics> rules_;
    std::ostream& out_;
};

} // namespace tessera
