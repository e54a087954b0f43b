// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "noc/fabric.h"

#include <cstdint>

namespace tessera::noc
{

/// How long the cycles of a clock are, which differ by a picosecond where its period is no whole
/// number of them.
class CycleLength
{
public:
    explicit CycleLength(const Clock& clock) : clock_(clock) {}
    [[nodiscard]] Tick of(std::uint64_t cycle)
    {
        if (clock_.denominator() == 1)
        {
            return clock_.numerator();
        }
        if (cycle != cycle_)
        {
            cycle_ = cycle;
            length_ = clock_.tick_of(cycle + 1) - clock_.tick_of(cycle);
        }
        return length_;
    }

private:
    Clock clock_;
    std::uint64_t cycle_ = ~std::uint64_t{0}; ///< the last one asked for
    Tick length_ = 0;
};

/// What one link of a mesh has done. A flit takes it for the cycle in which it is sent, and is
/// counted when that begins.
class LinkMeter
{
public:
    void carry(Tick begin, Tick length)
    {
        ++figures_.flits;
        figures_.busy += length;
        carried_until_ = begin + length;
    }
    void stall(Tick begin, Tick length)
    {
        figures_.stalled += length;
        stalled_until_ = begin + length;
    }
    /// Figures up to tick `at`, which is not before the beginning of what was told last.
    [[nodiscard]] Fabric::LinkFigures up_to(Tick at) const
    {
        Fabric::LinkFigures figures = figures_;
        figures.busy -= carried_until_ > at ? carried_until_ - at : 0;
        figures.stalled -= stalled_until_ > at ? stalled_until_ - at : 0;
        return figures;
    }
    [[nodiscard]] bool goes_on_after(Tick at) const
    {
        return carried_until_ > at || stalled_until_ > at;
    }

private:
    Fabric::LinkFigures figures_;
    Tick carried_until_ = 0; ///< end of the last cycle
    Tick stalled_until_ = 0;
};

} // namespace tessera::noc
