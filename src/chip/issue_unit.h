// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/wheel.h"
#include "chip/buffer.h"
#include "chip/data_table.h"
#include "chip/flight.h"
#include "chip/ports.h"
#include "chip/sequencer.h"
#include "tessera/summary.h"

#include <array>
#include <cstdint>
#include <functional>
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
    std::string name; ///< as traces call it
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
    /// What the unit did up to tick `at`, which is neither before the end of any operation that has
    /// ended nor after now, unless nothing happens until then.
    [[nodiscard]] UnitSummary summary(Tick at) const;

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
    /// Calls `spend(stage, end)` for the stretch up to tick `at` that the flight is in and whose
    /// end is not known yet, such as a wait: as it will be noted if it ends then.
    using Spend = std::function<void(Stage stage, Tick end)>;
    virtual void spend_present(const Flight& flight, Tick at, const Spend& spend) const = 0;
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

    using Times = std::array<Tick, kStages>;
    [[nodiscard]] Times times(Tick at) const;
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
};

} // namespace tessera::chip
