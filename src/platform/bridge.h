// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chip/chip.h"

#include <systemc>

#include <exception>

namespace tessera::platform
{

/// The one process that drives the wheel of a chip in sc_time. While the kernel has nothing else to
/// do before a certain time, the wheel runs ahead to just before it.
///
/// At one sc_time, what foreign modules do comes first: as long as others are active, the bridge
/// lets delta cycles pass (a bounded number, so that two chips do not wait for each other for
/// ever). Then answers reach the units, the chip's requests leave it, the wheel delivers the tick,
/// and calls from hosts are heard. What comes later at the same time opens another round of the
/// tick.
class WheelBridge : public sc_core::sc_module
{
public:
    explicit WheelBridge(const sc_core::sc_module_name& name);

    /// From now on drives `chip`, whose tick 0 is the sc_time `origin` (in ticks, not before now).
    void drive(chip::Chip& chip, chip::Monitor monitor, Tick origin = 0);
    [[nodiscard]] bool driving() const { return chip_ != nullptr; }
    /// Stops driving, at the present time.
    void halt() { chip_ = nullptr; }
    /// Something has come from outside: the process runs in the next delta cycle.
    void wake() { wake_.notify(sc_core::SC_ZERO_TIME); }

    /// The monitor ended the run before its time.
    [[nodiscard]] bool stopped() const { return stopped_; }
    /// What the wheel threw: nothing may pass through the kernel.
    [[nodiscard]] const std::exception_ptr& failure() const { return failure_; }

protected:
    [[nodiscard]] chip::Chip* chip() { return chip_; }
    [[nodiscard]] Tick origin() const { return origin_; }

    // For chips with something outside; what hear_answers() and ask() throw ends the drive like an
    // error of the chip, what hosts throw when they are called back is theirs and ends the
    // simulation.
    /// Carries out a reset that has come; others may be active at the same time.
    virtual void hear_reset() {}
    /// Hands over, with Chip::answer() and accept(), what foreign modules answered since last time.
    virtual void hear_answers() {}
    /// The request's time has come.
    virtual void ask(const chip::ExternalRequest& /*request*/) {}
    /// Carries out host calls due at `now`; true: there was one.
    virtual bool hear_calls(Tick /*now*/) { return false; }
    /// When the next host call falls due; kNever: none is known.
    [[nodiscard]] virtual Tick next_call() const { return kNever; }
    /// sc_time has come to the last event of the chip, which is not driven any more: all is done,
    /// or nothing can move, or failure() or stopped() tell.
    virtual void ended(chip::Chip& /*chip*/) {}

private:
    void step();
    /// How a turn of a tick ended.
    enum class Turn
    {
        again,        ///< another one follows
        others_first, ///< whom the chip asked may want to answer at once
        over          ///< nothing more can happen, as far as the chip knows
    };
    [[nodiscard]] Turn drive_until(Tick now);
    [[nodiscard]] bool ask_all(Tick now);
    [[nodiscard]] Tick horizon(Tick now) const;
    [[nodiscard]] Tick next_event() const;
    [[nodiscard]] bool at_end() const;

    static constexpr unsigned kPatience = 16; ///< delta cycles left to others

    sc_core::sc_event wake_;
    chip::Chip* chip_ = nullptr;
    chip::Monitor monitor_;
    Tick origin_ = 0;
    unsigned patience_ = 0;
    bool stopped_ = false;
    std::exception_ptr failure_;
};

} // namespace tessera::platform
