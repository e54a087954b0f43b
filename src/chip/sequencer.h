// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "base/wheel.h"
#include "chip/buffer.h"
#include "chip/data_table.h"
#include "chip/flight.h"
#include "chip/follower.h"
#include "chip/image_table.h"
#include "noc/fabric.h"
#include "tessera/summary.h"
#include "tessera/trace.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace tessera::chip
{

class IssueUnit;

/// Feeds the units with the operations of a trace, keeps track of their data, and commits what has
/// ended to the activity sink. One for the whole chip.
class Sequencer final : public Wakeable, public noc::FabricListener
{
public:
    Sequencer(Wheel& wheel, WakeIndex index, const Clock& reference, trace::OperationSource& source,
              ActivitySink& sink);

    /// Set-up, before the first event.
    void connect(std::vector<IssueUnit*> units, SpaceAllocator& space);
    /// `unit` issues the operations of `stream`, an index into the trace header's units.
    void assign(UnitId unit, UnitId stream);
    /// Tells `follower` about all data. Call before the first event.
    void follow(Follower& follower) { follower_ = &follower; }
    /// No operation of an image starts before its arrival. Call before the first event.
    void expect(Arrivals arrivals) { images_.expect(std::move(arrivals)); }

    // For the units.
    [[nodiscard]] bool next(UnitId unit, trace::Operation& operation);
    [[nodiscard]] DataTable& data() { return data_; }
    [[nodiscard]] const DataTable& data() const { return data_; }
    [[nodiscard]] SpaceAllocator& space() { return *space_; }
    [[nodiscard]] const trace::Header& header() const { return source_.header(); }
    [[nodiscard]] const ActivitySink& sink() const { return sink_; }
    [[nodiscard]] Flight& take_off(); ///< an empty flight
    [[nodiscard]] Flight& flight(std::uint32_t tag) { return *flights_[tag]; }
    /// All that the operation reads at `node` is padding, see OpRecord::padding. Contract: its
    /// operands are there.
    [[nodiscard]] bool reads_padding(const trace::Operation& op, NodeId node);
    /// The operation starts now (phase traverse).
    void start(const Flight& flight);
    /// The operation's result is there, its operands are used, and it will be recorded (phase
    /// arrive).
    void land(Flight& flight);
    /// Datum `operation` at `node` becomes available.
    void deliver(OpId operation, NodeId node);
    /// A unit of `kind` becomes busy (+1) or idle (-1).
    void busy(trace::UnitKind kind, int change);
    /// A crossbar computed for `length` ps on behalf of `op`.
    void computed(const trace::Operation& op, Tick length);
    /// External memory address of a load or store.
    [[nodiscard]] std::uint64_t address(const trace::Operation& op, std::uint64_t following) const;
    [[nodiscard]] std::uint32_t input_bits(const trace::Operation& op) const;

    [[noreturn]] void reject_over_read(const trace::Operation& op, OpId operand) const;

    void sent(std::uint32_t tag) override;
    void delivered(std::uint32_t tag, std::size_t index) override;
    void wake(Phase phase) override;

    [[nodiscard]] std::uint64_t ended() const { return ended_; }
    [[nodiscard]] std::uint64_t total() const { return header().operations; }
    [[nodiscard]] Tick makespan() const { return makespan_; }
    /// Without their crossbars, and with starts of operations that read more than padding.
    [[nodiscard]] const std::vector<LayerSummary>& layers() const { return layers_; }
    /// First start of an operation of a layer that reads only padding; kNever: none.
    [[nodiscard]] Tick padding_start(std::size_t layer) const { return padding_starts_[layer]; }
    /// Index of the layer that `op` works for; nothing: none that the trace names.
    [[nodiscard]] std::optional<std::size_t> layer_of(const trace::Operation& op) const;
    /// Which images have ended is known after close().
    [[nodiscard]] const ImageTable& images() const { return images_; }
    /// Weights were written after MVMs: segments of the network take turns.
    [[nodiscard]] bool in_turns() const { return in_turns_; }
    /// Commits what ended in a round that was broken off.
    void settle();
    /// Writes what is still held back. Call once, after the last event. `at`: when the run ended.
    /// `patient`: however long it takes, the rest of the trace is looked through to know which
    /// images have ended.
    void close(Tick at, bool patient);
    /// After close(), of a run that is cut at tick `at`: books and records what is in flight.
    void cut(Tick at);
    /// Operations that were in flight at the cut.
    [[nodiscard]] std::uint64_t unfinished() const { return unfinished_; }
    /// For diagnosis once nothing moves: what `unit` has not been given yet.
    [[nodiscard]] const trace::OperationSource& source() const { return source_; }
    [[nodiscard]] UnitId stream_of(UnitId unit) const { return streams_[unit.index()]; }

private:
    void commit(Flight& flight);
    void record(const Flight& flight, bool unfinished);
    void record_stalls(OpId operation, UnitId unit, const std::vector<Segment>& stalls);
    void count(const Flight& flight);
    /// The part of a layer's figures that an operation has from its start on.
    void count_time(const Flight& flight);
    void leave_images(bool patient);

    Wheel& wheel_;
    WakeIndex index_;
    Clock reference_;
    trace::OperationSource& source_;
    ActivitySink& sink_;
    SpaceAllocator* space_ = nullptr;
    Follower* follower_ = nullptr; ///< null: nobody
    std::vector<IssueUnit*> units_;
    std::vector<UnitId> streams_;
    DataTable data_;
    std::vector<std::unique_ptr<Flight>> flights_;
    std::vector<std::uint32_t> parked_;
    std::vector<Flight*> landed_; ///< of this round
    std::vector<LayerSummary> layers_;
    std::vector<Tick> padding_starts_; ///< by layer: first start of what reads only padding
    ImageTable images_;
    bool tells_inputs_ = false; ///< the trace says what operations read
    bool padding_seen_ = false; ///< an operation read nothing else
    bool computed_ = false;     ///< an MVM has ended
    bool in_turns_ = false;
    std::vector<std::uint64_t> tensor_bases_;
    std::array<std::int64_t, trace::kUnitKinds> busy_{};
    CycleRecord cycle_{};
    bool busy_changed_ = false;
    bool cycle_pending_ = false;
    std::uint64_t ended_ = 0;
    std::uint64_t unfinished_ = 0;
    Tick makespan_ = 0;
};

} // namespace tessera::chip
