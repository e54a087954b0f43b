// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/timetable.h"

#include <cstdint>
#include <vector>

namespace tessera::compiler
{

/// Data of one layer that wait for one that reads them, in the whole chip.
struct LiveData
{
    LayerId from;
    LayerId to;
    std::uint64_t all = 0; ///< bytes that are read at all
    /// Most bytes alive at once if producers make nothing before it is needed: what a set of `to`
    /// needs, directly or not, has been made when it runs, and what a later set reads stays. Skip
    /// connections and concats wait for the longer way.
    std::uint64_t least = 0;
    /// The same as planned (Timetable): producers run ahead.
    std::uint64_t planned = 0;
};

/// All pairs of layers that are computed and read one another, by `from`, then `to`.
[[nodiscard]] std::vector<LiveData> live_data(const Plan& plan, const Timetable& timetable);

} // namespace tessera::compiler
