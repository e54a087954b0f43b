// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/tick.h"

#include <cstdint>

namespace tessera
{

/// How far a run has come.
struct Progress
{
    Tick now = 0;                 ///< simulated, ps
    std::uint64_t events = 0;     ///< wakes the wheel delivered
    std::uint64_t operations = 0; ///< ended
    std::uint64_t total = 0;      ///< operations of the program
};

} // namespace tessera
