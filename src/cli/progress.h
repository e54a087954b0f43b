// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/progress.h"

#include <chrono>
#include <iosfwd>
#include <string>
#include <string_view>

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
    /// The phase, percent of it, time left for it.
    void show(const PhaseProgress& progress);

private:
    [[nodiscard]] bool begin_phase(std::string_view phase);
    void print(const std::string& text);

    using Clock = std::chrono::steady_clock;
    std::ostream& err_;
    bool active_;
    bool shown_ = false;
    std::string phase_;                      ///< empty: the run itself
    Clock::time_point begin_ = Clock::now(); ///< of the phase
    Clock::time_point last_ = begin_;        ///< shown
};

/// True when the errors of a command go to a terminal, where a line can be rewritten.
[[nodiscard]] bool on_terminal(const std::ostream& err);

/// "158.29 ms": three to five digits with a fitting unit.
[[nodiscard]] std::string human_time(Tick ticks);

} // namespace tessera::cli
