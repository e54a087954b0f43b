// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/error.h"

#include <nlohmann/json.hpp>

namespace tessera::chip
{

class Chip;

/// Nothing can move any more, and operations are left.
class DeadlockError : public SimulationError
{
public:
    DeadlockError(const std::string& message, nlohmann::ordered_json report)
        : SimulationError(message), report_(std::move(report))
    {
    }
    /// {"time_ps", "cycle": [edges], "units": [heads and what each waits for],
    ///  "buffers": [capacity, used, data, queue]}
    [[nodiscard]] const nlohmann::ordered_json& report() const { return report_; }

private:
    nlohmann::ordered_json report_;
};

/// Operations are in flight, but none has ended for too long.
class WatchdogError : public SimulationError
{
public:
    WatchdogError(const std::string& message, nlohmann::ordered_json report)
        : SimulationError(message), report_(std::move(report))
    {
    }
    /// {"time_ps", "in_flight": [operations], "units": ..., "buffers": ...}, as of a deadlock
    [[nodiscard]] const nlohmann::ordered_json& report() const { return report_; }

private:
    nlohmann::ordered_json report_;
};

/// Throws WatchdogError with what is in flight and what everything else waits for. Contract: called
/// between two ticks.
[[noreturn]] void throw_watchdog(Chip& chip, double seconds);

/// Finds the cycle of waits and throws it. Reads the rest of the trace to tell who would have used
/// what. Contract: the wheel is idle and the chip is not done.
[[noreturn]] void throw_deadlock(Chip& chip);

} // namespace tessera::chip
