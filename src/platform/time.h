// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/error.h"
#include "tessera/tick.h"

#include <systemc>

namespace tessera::platform
{

/// The kernel's time units in a picosecond.
[[nodiscard]] inline sc_dt::uint64 units_per_tick()
{
    return sc_core::sc_time(1, sc_core::SC_PS).value();
}

/// First tick that is not before `time`.
[[nodiscard]] inline Tick tick_of(const sc_core::sc_time& time)
{
    const sc_dt::uint64 units = units_per_tick();
    return time.value() / units + (time.value() % units != 0 ? 1 : 0);
}

[[nodiscard]] inline sc_core::sc_time time_of(Tick ticks)
{
    return sc_core::sc_time::from_value(ticks * units_per_tick());
}

/// Throws SimulationError when the kernel counts time in steps that are no ticks.
inline void require_picoseconds()
{
    if (sc_core::sc_get_time_resolution().to_seconds() > 1.5e-12)
    {
        throw SimulationError("the SystemC time resolution must be 1 ps or finer, it is " +
                              sc_core::sc_get_time_resolution().to_string() +
                              "; leave sc_set_time_resolution() out");
    }
}

} // namespace tessera::platform
