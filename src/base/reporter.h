// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/progress.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace tessera
{

/// Counts what is done of a phase and tells a monitor now and then: about kTold times a phase, so
/// that telling takes no time worth mentioning.
class Reporter
{
public:
    static constexpr std::uint64_t kTold = 1000;

    Reporter() = default;
    Reporter(const Reporter&) = delete;
    Reporter& operator=(const Reporter&) = delete;
    ~Reporter() = default;
    explicit Reporter(PhaseMonitor monitor) : monitor_(std::move(monitor)) {}

    void begin(std::string_view phase, std::uint64_t total)
    {
        phase_ = phase;
        now_ = {phase_, 0, total};
        next_ = 0;
        tell();
    }
    /// More of the phase is done. More than its total is as much as that.
    void add(std::uint64_t more = 1)
    {
        now_.done = std::min(now_.done + more, now_.total);
        if (now_.done >= next_)
        {
            tell();
        }
    }

private:
    void tell()
    {
        next_ = now_.done + std::max<std::uint64_t>(now_.total / kTold, 1);
        if (monitor_)
        {
            monitor_(now_);
        }
    }

    PhaseMonitor monitor_;
    std::string phase_;
    PhaseProgress now_;
    std::uint64_t next_ = 0; ///< done when the monitor is told again
};

} // namespace tessera
