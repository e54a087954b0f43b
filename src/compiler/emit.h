// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/reporter.h"
#include "compiler/plan.h"
#include "compiler/refuges.h"
#include "compiler/timetable.h"
#include "trace/compact.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <unordered_map>
#include <vector>

namespace tessera::compiler
{

/// Which other tiles read each datum of a layer: what emission of the final operations must know in
/// advance, because a move names all its destinations.
struct Readers
{
    std::vector<std::vector<NodeId>> same_stage; ///< by datum, rising
    std::vector<std::vector<NodeId>> later; ///< by datum, rising; may hold the datum's own tile
};

/// Where the data of each layer spend the time between stages.
struct Deliveries
{
    std::vector<Readers> readers; ///< by layer
    std::vector<char> resident;   ///< by layer: 1 on the chip, 0 in external memory
};

/// What the compiler remembers of an operation besides what the trace says.
struct Note
{
    std::uint32_t stream = 0; ///< data of one stream take turns in the same space of a tile
    OpId release;             ///< ends no earlier than this operation; set for mvm only
};

/// A compiled trace is in memory: more than these do not fit into that of most machines.
inline constexpr std::size_t kMostOperations = std::size_t{1} << 25U;

/// Writes the operations of stages.
///
/// Two uses. Without deliveries, one stage is emitted as if it were alone: it loads what it reads
/// from other stages and stores what others read; this tells who reads what and how much space it
/// takes. With deliveries, all stages are emitted one after the other.
///
/// Unless the schedule says otherwise, tasks are emitted as soon as what they read is, those of the
/// last layer first: so the order of operations is roughly that of time, and few data are alive
/// between any two operations.
class Emitter
{
public:
    Emitter(const Plan& plan, const Deliveries* deliveries);
    /// For what is emitted from now on.
    void set_refuges(const Refuges& refuges) { refuges_ = refuges; }

    /// Counts the tasks that are emitted from now on.
    void report_to(Reporter& reporter) { reporter_ = &reporter; }

    /// Makes room for the operations of so many images of these stages, about: growing step by step
    /// takes longer than making them.
    void reserve(const std::vector<std::size_t>& stages, std::uint32_t images);
    /// As if nothing had been emitted; memory is kept.
    void restart();
    /// The next stages work on `image`, whose data are as earlier stages have left them.
    void work_on(std::uint32_t image);
    /// Loads the weights of a segment and writes them, all macros at once.
    void emit_weights(std::uint32_t segment);
    /// The stage, for the image worked on, depth first.
    void emit(std::size_t stage);
    /// The stage, for all images of the pipeline, as its timetable says.
    void emit(std::size_t stage, const Pipeline& pipeline);
    /// The same, but for the first image alone if the others do exactly the same after it. Returns
    /// for how many images it stands.
    [[nodiscard]] std::uint32_t emit_repeating(std::size_t stage, const Pipeline& pipeline);

    [[nodiscard]] const Plan& plan() const { return plan_; }
    [[nodiscard]] trace::CompactTrace& operations() { return operations_; }
    [[nodiscard]] const trace::CompactTrace& operations() const { return operations_; }
    [[nodiscard]] const Note& note(OpId id) const { return notes_[id.value()]; }
    /// Stream of the data of channel group `group` of a layer.
    [[nodiscard]] std::uint32_t stream(LayerId id, std::size_t group) const
    {
        return streams_[id.index()] + static_cast<std::uint32_t>(group);
    }
    /// Whose data these are; none(): partial sums.
    [[nodiscard]] LayerId layer_of(std::uint32_t stream) const;
    /// The layer's data are made on the chip.
    [[nodiscard]] bool computes(LayerId id) const { return plan_.graph().role(id) != Role::memory; }
    /// True for streams of partial sums.
    [[nodiscard]] bool partial(std::uint32_t stream) const { return stream >= streams_.back(); }

    /// Adds what the emitted stage has read to the readers of the layers that made it.
    void collect(std::size_t stage, std::vector<Readers>& readers) const;

    /// Issuing units of a tile: its macros, its vector unit, its network interface; memory ports
    /// last.
    [[nodiscard]] UnitId macro(const Slot& slot) const;
    [[nodiscard]] UnitId vector_unit(NodeId tile) const;
    [[nodiscard]] UnitId network_interface(NodeId tile) const;
    [[nodiscard]] UnitId memory_port(std::uint32_t port) const;
    [[nodiscard]] NodeId node_of(UnitId unit) const;
    [[nodiscard]] trace::TracedUnit traced(UnitId unit) const;
    [[nodiscard]] std::size_t unit_count() const;

private:
    static constexpr OpId kNoOperation = OpId::none();
    struct Datum
    {
        OpId producer;
        OpId move;
        OpId store;
        OpId load;          ///< or what brings it from its refuge
        LayerId loaded_for; ///< from a refuge: for this layer only
        std::uint32_t load_stage = 0;
        std::uint64_t mark = 0; ///< last operand list that names it
    };
    struct Cursor
    {
        LayerId layer;
        std::uint32_t next = 0;
        bool known = false;                                   ///< `waits` belongs to task `next`
        std::vector<std::pair<LayerId, std::uint32_t>> waits; ///< tasks of layers of this stage
    };
    using List = trace::CompactTrace::List;
    /// What a task read: the next one may read the same.
    struct Known
    {
        std::vector<Region> regions;
        List list;
    };
    /// A partial sum and how wide it is.
    struct Partial
    {
        OpId operation;
        std::uint8_t bits = 0;
    };

    [[nodiscard]] LayerId missing_input(Cursor& cursor);
    [[nodiscard]] bool reads_memory(LayerId id);
    void load_operands(LayerId id, std::uint32_t task);
    void emit_task(LayerId id, std::uint32_t task);
    void emit_portion(LayerId id, std::uint32_t portion);
    void emit_crossbar(LayerId id, std::uint32_t task);
    void emit_group(LayerId id, std::uint32_t task, std::size_t group);
    void emit_vector(LayerId id, std::uint32_t task);
    void deliver(LayerId id, std::size_t datum, OpId producer);
    [[nodiscard]] OpId fetch(LayerId id, std::size_t datum, NodeId tile);
    [[nodiscard]] OpId load(LayerId id, std::size_t datum, NodeId tile);
    [[nodiscard]] OpId send(LayerId id, std::size_t datum, NodeId from, NodeId tile);
    [[nodiscard]] OpId carried(LayerId id, std::size_t datum, NodeId tile);
    [[nodiscard]] bool waits_in_memory(LayerId id) const;
    [[nodiscard]] List read(NodeId tile);
    [[nodiscard]] List read_again(LayerId id, std::size_t operand, NodeId tile);
    [[nodiscard]] trace::CompactOperation operation(trace::OpKind kind, UnitId at,
                                                    LayerId layer) const;
    [[nodiscard]] trace::CompactOperation accumulation(LayerId id, const Volume& made, NodeId tile,
                                                       std::size_t parts) const;
    [[nodiscard]] List sum_of(const std::vector<Partial>& parts);
    OpId push(const trace::CompactOperation& operation, const List* lists, std::size_t count,
              std::uint32_t stream);
    OpId push(const trace::CompactOperation& operation, List list, std::uint32_t stream)
    {
        return push(operation, &list, 1, stream);
    }
    void enter(std::size_t stage);
    void emit(std::size_t stage, const Pipeline& pipeline, const Timetable& timetable,
              const std::vector<Task>& order);
    [[nodiscard]] std::vector<Datum>& data(LayerId id);
    [[nodiscard]] bool on_chip(LayerId id) const;
    [[nodiscard]] NodeId port_of(LayerId id, std::size_t datum) const;

    const Plan& plan_;
    const Deliveries* deliveries_;
    Reporter* reporter_ = nullptr;
    Refuges refuges_;
    std::vector<std::uint32_t> streams_; ///< by layer: its first; one more for partial sums
    trace::CompactTrace operations_;
    std::vector<Note> notes_;
    /// What is known of an image.
    struct Progress
    {
        std::vector<std::vector<Datum>> data; ///< by layer
        std::vector<std::uint32_t> done;      ///< by layer: tasks emitted, depth first
        /// By layer, operand and tile: what was read last.
        std::unordered_map<std::uint64_t, Known> known;
    };
    std::vector<Progress> images_;
    std::uint32_t image_ = 0;
    std::uint32_t stage_ = 0;
    LayerId consumer_; ///< layer whose task is being emitted: loads are made for it
    std::uint64_t marks_ = 0;
    std::vector<Region> regions_;              // scratch
    std::vector<std::size_t> overlaps_;        // scratch
    std::vector<OpId> in_;                     // scratch
    std::vector<List> lists_;                  // scratch
    std::vector<std::uint64_t> first_operand_; ///< by layer: how many those before it have
    /// By layer: of its operations that are not sums.
    std::vector<std::optional<std::uint32_t>> arguments_;
};

} // namespace tessera::compiler
