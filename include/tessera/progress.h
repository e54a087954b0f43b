// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/tick.h"

#include <cstdint>
#include <functional>
#include <string_view>

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

/// How far work that has phases has come: compiling, writing a trace, classifying images. Phases
/// follow each other; which of them are needed shows on the way.
struct PhaseProgress
{
    std::string_view phase;  ///< what is at work, in a few words
    std::uint64_t done = 0;  ///< of `total`
    std::uint64_t total = 0; ///< 0: not known
};
/// Told now and then, in the thread that asked for the work. What it throws ends that.
using PhaseMonitor = std::function<void(const PhaseProgress&)>;

} // namespace tessera
