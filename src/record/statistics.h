// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/summary.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tessera::record
{

/// One figure of a run.
struct Statistic
{
    std::string name; ///< "chip.t5.m3.time.convert": parts joined by dots, without blanks
    std::variant<std::uint64_t, double> value;
    std::string_view unit; ///< "ps", "B", ...; empty for ratios; a literal, as the description is
    std::string_view description;
};

/// All figures of a run, in a fixed order. Stage times of zero are left out. Names are distinct:
/// dots and blanks within a layer's name become underscores, and a repeated name gets its number.
[[nodiscard]] std::vector<Statistic> statistics(const Summary& summary);

/// stats.txt: `name  value  # description (unit)`, in columns, as gem5 has it.
[[nodiscard]] std::string statistics_text(const std::vector<Statistic>& statistics);
/// stats.json: {"chip": {"makespan": {"value": 1, "unit": "ps", "description": "..."}, ...}}.
[[nodiscard]] std::string statistics_json(const std::vector<Statistic>& statistics);

} // namespace tessera::record
