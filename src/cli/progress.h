// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/progress.h"

#include <chrono>
#include <iosfwd>

namespace tessera::cli
{

/// One line that is rewritten while a run goes on: simulated time, events per second, percent of
/// the operations, time left. Silent unless `active`.
class ProgressLine
{
public:
    ProgressLine(std::ostream& err, bool active) : err_(err), active_(active) {}
    ~ProgressLine(); ///< erases the line
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    void show(const Progress& progress);

private:
    using Clock = std::chrono::steady_clock;
    std::ostream& err_;
    bool active_;
    bool shown_ = false;
    Clock::time_point begin_ = Clock::now();
    Clock::time_point last_ = begin_;
};

/// "158.29 ms": three to five digits with a fitting unit.
[[nodiscard]] std::string human_time(Tick ticks);

} // namespace tessera::cli
