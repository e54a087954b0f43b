// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/touch_list.h"
#include "base/wheel.h"
#include "chip/buffer.h"
#include "chip/data_table.h"
#include "chip/flight.h"
#include "chip/ports.h"
#include "chip/sequencer.h"
#include "tessera/summary.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tessera::chip
{

/// Where a unit stands in the chip.
struct UnitPlace
{
    UnitId id;
    trace::UnitKind kind = trace::UnitKind::macro;
    NodeId node;
    std::string name;      ///< as traces call it
    bool crossbar = false; ///< a macro that holds weights, other than a digital one
};

/// Names and values, in the units that configs use.
using Parameters = std::vector<std::pair<std::string, std::string>>;

/// What all units have in common: operations strictly in trace order; each waits for its operands,
/// its release and its space, in that order; then the derived class says what it does.
class IssueUnit : public Wakeable, public OperandListener, public SpaceClient
{
public:
    IssueUnit(UnitPlace place, const Clock& clock, Wheel& wheel, Sequencer& sequencer);

    [[nodiscard]] const UnitPlace& place() const { return place_; }
    [[nodiscard]] const Clock& clock() const { return clock_; }
    /// What it was built with, for those who look at the hierarchy.
    [[nodiscard]] virtual Parameters parameters() const = 0;
    /// Waiting for its turn to start; nullptr: none.
    [[nodiscard]] const trace::Operation* head() const { return has_head_ ? &head_ : nullptr; }
    [[nodiscard]] bool head_asked() const { return stage_of_head_ == Head::asked; }
    [[nodiscard]] const std::vector<Flight*>& flights() const { return flights_; }
    /// What the unit did up to tick `at`, before which nothing more happens.
    [[nodiscard]] UnitSummary summary(Tick at) const;
    using Times = std::array<Tick, kStages>;
    /// How its time was spent up to tick `at`, as far as it can be told now; the stages sum to
    /// `at`. Stretches of operations in flight that it has not booked are also handed to `visit`:
    /// (flight, stage, length).
    template <class Visit> [[nodiscard]] Times times(Tick at, const Visit& visit) const;
    [[nodiscard]] std::uint64_t operations() const { return operations_; } ///< ended
    [[nodiscard]] std::uint64_t vectors() const { return vectors_; }       ///< of ended MVMs
    /// The one stage in which its time will be spent until it is touched; nothing: it changes.
    [[nodiscard]] std::optional<Stage> steady() const;
    /// Touches its index in `list` whenever it ceases to be steady.
    void tell(TouchList& list) { touched_ = &list; }
    /// The run is cut at tick `at`, before which nothing more happens: books what is in flight as
    /// far as it has come, and the wait for what would have come next. Call once.
    void cut(Tick at);
    /// After cut(): what kept the unit idle before the operation that has not started.
    [[nodiscard]] const std::vector<Segment>& last_stalls() const { return last_stalls_; }

    void wake(Phase phase) override;
    void arrived(std::uint32_t slot) override;
    void describe(SpaceRequest& request) override;
    void granted(OpId because) override;

    // From the interconnect, through the sequencer; phase arrive.
    virtual void sent(Flight& flight);
    virtual void delivered(Flight& flight, std::size_t destination);

    /// What the flight had to ask for is done at `end`, not before now; `waited` of its time was
    /// lost to contention.
    virtual void answered(Flight& flight, Tick waited, Tick end);
    /// From outside the chip: the unit may start its next operation at `tick`, not before now.
    virtual void accepted(Flight& flight, Tick tick);

protected:
    /// Phase traverse: the flight has its space and starts.
    virtual void begin(Flight& flight) = 0;
    /// Phase arrive: the flight's step is due.
    virtual void arrive(Flight& flight);
    /// Phase traverse: the flight's step (Step::send) is due.
    virtual void traverse(Flight& flight);
    /// Phase allocate, for units that arbitrate.
    virtual void allocate() {}

    void schedule(Flight& flight, Step step, Tick due);
    /// The stretch that a flight is in and whose end is not known yet, such as a wait: `stage`,
    /// from `until` on `after`.
    struct Present
    {
        Stage stage;
        Tick until;
        Stage after;
    };
    [[nodiscard]] virtual Present present(const Flight& flight) const = 0;
    /// What it has lost to contention up to tick `at`, beside Flight::wait.
    [[nodiscard]] virtual Tick waiting(const Flight& flight, Tick at) const = 0;
    /// Wakes this unit when the flight's slot_free_at has come.
    void hold_slot_until(Flight& flight, Tick tick);
    /// The next operation's turn comes at tick `turn`, or now if that is over. Lets go of the
    /// flight.
    void free_slot(Flight& flight, Tick turn = 0);
    void finish(Flight& flight);
    /// Throws InputError for an operation that would take `ticks` from now and end beyond the end
    /// of simulated time, 2^63 ps.
    void check_end(const trace::Operation& op, double ticks) const;
    /// Books the flight's stretches and the idle time before it as this unit's time.
    void account(Flight& flight);

    [[nodiscard]] Wheel& wheel() { return wheel_; }
    [[nodiscard]] Sequencer& sequencer() { return sequencer_; }
    [[nodiscard]] const Sequencer& sequencer() const { return sequencer_; }

private:
    enum class Head : std::uint8_t
    {
        none,
        waiting, ///< for operands or `after`
        armed,   ///< will ask at ask_at_
        asked    ///< for space
    };
    static constexpr std::uint32_t kAfter = 1U
                                            << 31U; ///< slots of `after` come behind those of `in`

    /// Calls visit(stretch, idle) for what lies between `known`, which follows, and tick `at`: the
    /// idle time before the flight (or the head), then its own exclusive time.
    template <class Visit>
    static void share(const Flight& flight, Tick at, Tick& known, const Visit& visit);
    template <class Visit>
    void share_present(const Flight& flight, Tick at, Tick& known, const Visit& visit) const;
    template <class Visit> void share_head(Tick at, Tick& known, const Visit& visit) const;
    void touch()
    {
        if (touched_ != nullptr)
        {
            touched_->touch(place_.id.index());
        }
    }
    void log_op(const trace::Operation& op, const char* what);
    void fetch(Tick turn);
    void arm();
    void ask();
    void arrive_all();
    [[noreturn]] void reject(const trace::Operation& op, const std::string& problem,
                             const std::string& remedy) const;

    UnitPlace place_;
    Clock clock_;
    Wheel& wheel_;
    Sequencer& sequencer_;

    trace::Operation head_;
    bool has_head_ = false;
    bool started_up_ = false;
    Head stage_of_head_ = Head::none;
    std::uint32_t missing_ = 0;
    Tick dependencies_met_ = 0;
    Tick ready_ = 0;
    Tick ask_at_ = kNever;
    Cause cause_ = Cause::none;
    OpId because_;
    std::uint32_t decisive_slot_ = 0;
    bool takes_over_ = false; ///< the head's result takes its operand's space

    Flight* starting_ = nullptr; ///< granted in this round
    std::vector<Flight*> flights_;
    Flight* slot_holder_ = nullptr;
    OpId previous_;
    bool busy_ = false;

    Tick accounted_ = 0;
    std::uint64_t operations_ = 0;
    std::uint64_t vectors_ = 0;
    std::array<Tick, kStages> time_{};
    std::vector<Segment> last_stalls_;
    TouchList* touched_ = nullptr; ///< nullptr: nobody asks
};

/// Calls `spend(stretch)` for what lies in `stage` between `known`, which follows, and `until`.
template <class Spend> void spend_until(Stage stage, Tick until, Tick& known, const Spend& spend)
{
    if (until > known)
    {
        spend(Segment{stage, known, until});
        known = until;
    }
}

template <class Visit>
void IssueUnit::share(const Flight& flight, Tick at, Tick& known, const Visit& visit)
{
    const auto idle = [&](const Segment& stretch) { visit(stretch, true); };
    const auto working = [&](const Segment& stretch) { visit(stretch, false); };
    const bool late = flight.ready > flight.dependencies_met;
    spend_until(Stage::wait_input, std::min(flight.dependencies_met, at), known, idle);
    spend_until(late ? Stage::wait_release : Stage::wait_input, std::min(flight.asked, at), known,
                idle);
    spend_until(Stage::wait_space, std::min(flight.start, at), known, idle);
    for (const Segment& stretch : flight.work)
    {
        spend_until(stretch.stage, std::min(stretch.end, at), known, working);
    }
}

template <class Visit>
void IssueUnit::share_present(const Flight& flight, Tick at, Tick& known, const Visit& visit) const
{
    const Present its = present(flight);
    const auto working = [&](const Segment& stretch) { visit(stretch, false); };
    spend_until(its.stage, std::min(its.until, at), known, working);
    spend_until(its.after, at, known, working);
}

template <class Visit> void IssueUnit::share_head(Tick at, Tick& known, const Visit& visit) const
{
    if (!has_head_)
    {
        return;
    }
    const bool waiting = stage_of_head_ == Head::waiting;
    spend_until(Stage::wait_input, waiting ? at : std::min(dependencies_met_, at), known, visit);
    const bool late = !waiting && ready_ > dependencies_met_;
    spend_until(late ? Stage::wait_release : Stage::wait_input, std::min(ask_at_, at), known,
                visit);
    spend_until(Stage::wait_space, at, known, visit);
}

template <class Visit> IssueUnit::Times IssueUnit::times(Tick at, const Visit& visit) const
{
    Times times = time_;
    Tick known = accounted_;
    for (const Flight* const flight : flights_)
    {
        if (flight->booked)
        {
            continue;
        }
        const auto spend = [&](const Segment& stretch, bool idle)
        {
            const Tick length = stretch.end - stretch.begin;
            times[static_cast<unsigned>(stretch.stage)] += length;
            if (!idle)
            {
                visit(*flight, stretch.stage, length);
            }
        };
        share(*flight, at, known, spend);
        share_present(*flight, at, known, spend);
    }
    const auto spend = [&](const Segment& stretch)
    { times[static_cast<unsigned>(stretch.stage)] += stretch.end - stretch.begin; };
    share_head(at, known, spend);
    spend_until(Stage::no_work, at, known, spend);
    return times;
}

} // namespace tessera::chip
