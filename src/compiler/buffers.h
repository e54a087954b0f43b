// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/emit.h"
#include "compiler/in_flight.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

namespace tessera::compiler
{

/// The data of one stream in one tile, in the order of operations. At most `slots` of them are
/// alive at once when datum i + slots is made only `after` all readers of datum i have ended.
struct Ring
{
    struct Datum
    {
        OpId by;                   ///< brings or makes it
        std::size_t until_end = 0; ///< behind its part of `until`, which begins where the last ends
    };
    std::uint32_t stream = 0;
    NodeId tile;
    bool partial = false;
    std::vector<Datum> data;
    std::vector<OpId> until;   ///< a datum is gone when its part of these have ended; rising
    std::uint32_t least = 1;   ///< fewest slots for which those edges point backwards
    std::uint64_t largest = 0; ///< bytes of the largest datum
    std::uint64_t total = 0;   ///< bytes of all

    /// Slots with `slack` more than needed: transfers and work overlap. Partial sums, which are
    /// large, get one at most.
    [[nodiscard]] std::uint32_t slots(std::uint32_t slack) const;
    [[nodiscard]] std::uint64_t bytes(std::uint32_t slack) const;
};

/// Rings of the operations from `first` on, one stage, in the order of their first data. They stand
/// for so many images that do the same one after the other: those of all need no more slots.
[[nodiscard]] std::vector<Ring> rings_of(const Emitter& emitter, std::size_t first,
                                         std::uint32_t images = 1);

/// Adds the `after` edges that bound a ring.
void bound(const Ring& ring, std::uint32_t slack, trace::CompactTrace& operations);

/// When the last operation ends if only MVMs take time and nothing waits for space.
[[nodiscard]] Tick makespan_if_only_mvms(const trace::CompactTrace& operations, std::size_t units,
                                         const config::ChipConfig& chip);

/// How the space of the buffers is shared out.
///
/// Why no operation ever waits for space, and so none can deadlock on it: a tile's buffer holds, at
/// any moment, data of the rings of the stage that runs and resident tensors. A ring never holds
/// more than slots(slack) data, whatever the timing, because the `after` edges say so; stages do
/// not overlap; a resident tensor counts as whole from the stage that makes it to the last that
/// reads it. choose() keeps the sum within the capacity, so every request for space is granted when
/// it is made. All edges point to earlier operations and units issue in the order of the trace, so
/// some operation can always go on.
class BufferPlan
{
public:
    static constexpr std::uint32_t kSlack = 2;

    /// Divides the data of every stage (Plan::set_level) until it fits into half of the buffers, or
    /// into the whole if it cannot be helped; what is left goes to tensors that stay on the chip
    /// between stages, those that stay the shortest first. With unlimited buffers all stay.
    /// `images` of a cross-layer schedule flow through a stage, fewer at a time where buffers are
    /// too small. Where even one does not fit, producers are held back, or data that wait long find
    /// refuge in other tiles or in memory, whatever costs the least time. Throws InputError when a
    /// stage does not fit at all.
    /// `reporter`: told of attempts, in phases of their own; null: nobody is.
    BufferPlan(Plan& plan, std::uint32_t images, Reporter* reporter = nullptr);

    [[nodiscard]] const Deliveries& deliveries() const { return deliveries_; }
    /// How images pass a stage of a cross-layer schedule.
    [[nodiscard]] const Pipeline& pipeline(std::size_t stage) const { return pipelines_[stage]; }
    /// How they would if buffers had room for all.
    [[nodiscard]] const Flight& wanted() const { return wanted_; }
    /// Bounds the rings of a finally emitted stage; `first`: its first operation.
    void bound_stage(Emitter& emitter, std::size_t stage, std::size_t first) const;
    /// Most bytes that the tile's buffer ever holds; 0 with unlimited buffers.
    [[nodiscard]] std::uint64_t planned(NodeId tile) const;

    /// Emits a stage as decided: layer by layer for the image worked on, else for the pipeline's.
    void emit(Emitter& emitter, const Plan& plan, std::size_t stage,
              const Pipeline& pipeline) const;
    /// Data that wait elsewhere because the tiles that read them are full.
    [[nodiscard]] const Refuges& refuges() const { return refuges_; }
    /// A stage is not issued in the order of planned ends but depth first: producers are held back
    /// until their data are needed.
    [[nodiscard]] bool held_back(std::size_t stage) const { return held_back_[stage]; }

private:
    /// With less slack than usual.
    static constexpr std::uint32_t kShelterSlack = 1;
    /// Each finds refuge for something in every full tile.
    static constexpr std::uint32_t kShelterRounds = 24;
    using Edge = Refuges::key_type;
    using Edges = std::set<Edge>;

    /// The least that any attempt with one image in flight took in the fullest tile.
    struct Shortage
    {
        std::uint64_t bytes = ~std::uint64_t{0};
        NodeId tile;
        std::uint32_t level = 0; ///< coarsest that comes near
    };
    /// How a stage fits.
    struct Fit
    {
        std::uint32_t level = 0;
        std::uint32_t slack = 0;
        std::uint32_t emitted = 0; ///< just now, for so many images
    };
    /// By level: what the fullest tile takes at least, with one image in flight, in bytes; 0: not
    /// known. More images take as much or more.
    using Least = std::vector<std::uint64_t>;
    /// Data that wait in a tile, and for whom most of the time.
    struct Wait
    {
        Edge edge;
        std::uint64_t bytes = 0;
        bool guest = false;        ///< the tile is their refuge
        NodeId tile;               ///< where
        std::uint64_t in_tile = 0; ///< bytes of everything there
    };
    void begin(std::string_view phase, std::uint64_t attempts) const;
    void count_attempt() const;
    void divide(Plan& plan, std::size_t stage);
    [[nodiscard]] std::optional<Fit> find_level(Plan& plan, std::size_t stage, Emitter& emitter,
                                                Shortage& shortage, Least& least);
    [[nodiscard]] bool help(Plan& plan, std::size_t stage, Emitter& emitter, Shortage& shortage);
    [[nodiscard]] std::optional<Wait> longest_wait(const Emitter& emitter,
                                                   const std::vector<Ring>& rings, NodeId tile,
                                                   const Edges& tried) const;
    [[nodiscard]] std::optional<Fit> shelter(Plan& plan, std::size_t stage, Emitter& emitter,
                                             Shortage& shortage);
    [[nodiscard]] NodeId room_near(const Plan& plan, const Wait& wait,
                                   std::vector<std::uint64_t>& bytes) const;
    [[nodiscard]] Tick cost_of(Plan& plan, std::size_t stage, Emitter& emitter, const Fit& fit);
    [[nodiscard]] Pipeline tried(std::size_t stage) const;
    [[nodiscard]] std::uint32_t emit_level(Plan& plan, std::size_t stage, Emitter& emitter,
                                           std::uint32_t level) const;
    void accept(std::size_t stage, const Emitter& emitter, const std::vector<Ring>& rings,
                std::uint32_t slack);
    void settle(const Plan& plan);
    [[nodiscard]] bool stays(const Plan& plan, LayerId id);
    [[nodiscard]] std::vector<std::uint64_t> space(const std::vector<Ring>& rings,
                                                   std::uint32_t slack) const;

    Reporter* reporter_; ///< while it is made; may be null
    std::uint64_t capacity_ = 0;
    std::size_t tiles_ = 0;
    Deliveries deliveries_;
    Flight wanted_;
    std::vector<Pipeline> pipelines_; ///< by stage
    std::vector<bool> held_back_;     ///< by stage
    Refuges refuges_;
    std::vector<std::uint32_t> slack_;                ///< by stage
    std::vector<std::vector<std::uint64_t>> planned_; ///< by stage and tile: bytes
    /// By layer and group: tiles where the data stay, rising.
    std::vector<std::vector<std::vector<NodeId>>> homes_;
};

} // namespace tessera::compiler
