// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "tessera/trace.h"

/// The names under which files and tables show what records hold as numbers.
namespace tessera::record
{

inline constexpr unsigned kCauses = static_cast<unsigned>(Cause::release) + 1;
inline constexpr unsigned kLevels = static_cast<unsigned>(ActivityLevel::flit) + 1;

[[nodiscard]] const char* name_of(Stage stage);          ///< "convert", "wait_space", ...
[[nodiscard]] const char* name_of(Cause cause);          ///< "none", "input", ...
[[nodiscard]] const char* name_of(ActivityLevel level);  ///< "off", "unit", ...
[[nodiscard]] const char* name_of(trace::UnitKind kind); ///< "macro", "vector_unit", ...

/// Whether `stage` is work; the others are waits and no_work.
[[nodiscard]] constexpr bool is_work(Stage stage)
{
    return stage < Stage::wait_input;
}

} // namespace tessera::record
