// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "noc/fabric.h"
#include "tessera/ids.h"
#include "tessera/tick.h"
#include "tessera/trace.h"

#include <cstdint>
#include <vector>

namespace tessera::chip
{

/// What an operation in flight does next, when it falls due.
enum class Step : std::uint8_t
{
    idle,      ///< somebody else will say
    read_done, ///< the operands have left the buffer
    compute_done,
    write_done, ///< the result is in the buffer
    send,       ///< bytes go to the interconnect
};

/// A stretch of an operation's time.
struct Segment
{
    Stage stage;
    Tick begin;
    Tick end;
    Tick period = 0;
    std::uint32_t count = 1;
};

/// An operation between the grant of its space and the record of its end. Reused: its vectors keep
/// their capacity.
struct Flight
{
    trace::Operation op;
    UnitId unit;
    std::uint32_t tag = 0; ///< position in the pool
    // How it came to start.
    Tick dependencies_met = 0; ///< unit free, operands and `after` there
    Tick ready = 0;            ///< and released
    Tick asked = 0;            ///< at the next edge of its unit's clock
    Tick start = 0;
    bool padding = false; ///< see OpRecord::padding
    OpId because;
    Cause cause = Cause::none;
    // How it goes on.
    Step step = Step::idle;
    Tick due = kNever;
    Tick begun = 0; ///< of the current stretch
    Tick end = 0;
    Tick wait = 0;          ///< lost to contention so far
    Tick waiting_until = 0; ///< `wait` goes up to there, which may be to come
    Tick unloaded = 0;      ///< what the current stretch would have taken alone
    bool slot_held = false; ///< the unit may not start its next operation
    Tick slot_free_at = kNever;
    bool booked = false;  ///< its stretches are part of its unit's times
    bool fetched = false; ///< a load's bytes have left the external memory
    std::uint32_t arrivals_left = 0;
    noc::Transfer transfer;
    std::vector<Segment>
        work; ///< exclusive, contiguous stretches of the unit's time in the operation
    std::vector<Segment> stalls;   ///< what kept the unit idle before it
    std::vector<Segment> pipeline; ///< the stages of a macro, overlapping: for the record only

    /// The next stretch: from the end of the last one (or the start) to `until`.
    void spend(Stage stage, Tick until)
    {
        const Tick from = work.empty() ? start : work.back().end;
        if (until > from)
        {
            work.push_back({stage, from, until});
        }
    }
};

/// Operations of this kind take macros.
[[nodiscard]] inline bool on_macro(trace::OpKind kind)
{
    return kind == trace::OpKind::mvm || kind == trace::OpKind::program;
}

/// Requests of one round are served in this order.
[[nodiscard]] inline bool unit_order(const Flight& a, const Flight& b)
{
    return a.unit == b.unit ? a.op.id < b.op.id : a.unit < b.unit;
}

} // namespace tessera::chip
