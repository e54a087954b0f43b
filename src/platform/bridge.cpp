// SPDX-License-Identifier: Apache-2.0
#include "platform/bridge.h"

#include "platform/process.h"
#include "platform/time.h"

#include <algorithm>
#include <utility>

namespace tessera::platform
{

WheelBridge::WheelBridge(const sc_core::sc_module_name& name) : sc_module(name)
{
    require_picoseconds();
    TESSERA_HAS_PROCESS(WheelBridge);
    SC_METHOD(step);
}

void WheelBridge::drive(chip::Chip& chip, chip::Monitor monitor, Tick origin)
{
    chip_ = &chip;
    monitor_ = std::move(monitor);
    origin_ = origin;
    stopped_ = false;
    failure_ = nullptr;
}

void WheelBridge::step()
{
    hear_reset();
    if (sc_core::sc_pending_activity_at_current_time() && patience_ < kPatience)
    {
        ++patience_;
        next_trigger(sc_core::SC_ZERO_TIME);
        return;
    }
    patience_ = 0;
    const Tick now = tick_of(sc_core::sc_time_stamp());
    for (Turn turn = Turn::again; turn == Turn::again;)
    {
        try
        {
            turn = drive_until(now);
        }
        catch (...)
        {
            failure_ = std::current_exception();
        }
        if (turn == Turn::over && hear_calls(now))
        {
            turn = Turn::again;
        }
        if (chip_ != nullptr && at_end() && origin_ + chip_->wheel().now() <= now)
        {
            ended(*std::exchange(chip_, nullptr));
        }
    }
    const Tick next = std::min(next_event(), next_call());
    if (next == kNever)
    {
        next_trigger(wake_);
    }
    else if (next > now)
    {
        next_trigger(time_of(next) - sc_core::sc_time_stamp(), wake_);
    }
    else
    {
        next_trigger(sc_core::SC_ZERO_TIME); // others come first
    }
}

WheelBridge::Turn WheelBridge::drive_until(Tick now)
{
    if (chip_ != nullptr && origin_ <= now && !at_end())
    {
        hear_answers();
        if (ask_all(now))
        {
            return sc_core::sc_pending_activity_at_current_time() ? Turn::others_first
                                                                  : Turn::again;
        }
        stopped_ = !chip_->advance(horizon(now) - origin_, monitor_);
        if (stopped_ || chip_->outbox().next() <= now - origin_)
        {
            return Turn::again;
        }
    }
    return Turn::over;
}

bool WheelBridge::ask_all(Tick now)
{
    chip::Outbox& outbox = chip_->outbox();
    const bool any = outbox.next() <= now - origin_;
    while (outbox.next() <= now - origin_)
    {
        ask(outbox.take());
    }
    return any;
}

/// How far the wheel may run: `now`, or to just before anybody else can act.
Tick WheelBridge::horizon(Tick now) const
{
    if (sc_core::sc_pending_activity_at_current_time())
    {
        return now;
    }
    Tick until = kNever - 1;
    if (sc_core::sc_pending_activity_at_future_time())
    {
        const sc_core::sc_time others =
            sc_core::sc_time_stamp() + sc_core::sc_time_to_pending_activity();
        until = tick_of(others) - 1;
    }
    if (chip_->outbox().next() != kNever)
    {
        until = std::min(until, origin_ + chip_->outbox().next() - 1);
    }
    if (next_call() != kNever)
    {
        until = std::min(until, next_call() - 1);
    }
    return std::max(until, now);
}

/// When the chip wants to go on by itself.
Tick WheelBridge::next_event() const
{
    if (chip_ == nullptr)
    {
        return kNever;
    }
    const Tick next =
        at_end() ? chip_->wheel().now() : std::min(chip_->wheel().next(), chip_->outbox().next());
    return next == kNever ? kNever : origin_ + next;
}

bool WheelBridge::at_end() const
{
    if (failure_ != nullptr || stopped_)
    {
        return true;
    }
    const chip::Outbox& outbox = chip_->outbox();
    return chip_->wheel().idle() && outbox.asked() == outbox.answered();
}

} // namespace tessera::platform
