// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/duplication.h"
#include "compiler/graph.h"
#include "compiler/mapping.h"
#include "compiler/placement.h"
#include "compiler/schedule.h"
#include "compiler/segments.h"
#include "config/chip_config.h"
#include "config/macro_timing.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera::compiler
{

/// Channels of a layer that one vector unit makes, and where it is.
struct Group
{
    Extent channels;
    std::vector<NodeId> tiles;    ///< by copy; none(): in external memory (inputs)
    Extent columns = kAllColumns; ///< narrower: of one head of a product A B^T only

    static constexpr Extent kAllColumns{0, 0xffff'ffffU};
    [[nodiscard]] bool narrow() const { return !(columns == kAllColumns); }
};

/// Rows x columns of a feature map that are made together.
struct SetShape
{
    std::uint32_t rows = 1;
    std::uint32_t columns = 1;
};

/// How the data of a layer are divided. Its sets (CLSA-CIM's stage I) go round the copies of its
/// weights in the order in which they are made (stage III). `chunk` rows x `segment` columns make
/// one task: a set, or a part of one where a set takes too much space. A task makes one datum per
/// channel group; data are numbered by task (row-major), then group.
struct Grid
{
    network::Shape shape;
    std::uint8_t bits = 8;
    SetShape set;
    std::uint32_t chunk = 1;
    std::uint32_t segment = 1;
    std::vector<Group> groups;
    std::vector<std::uint32_t> copy_of_set; ///< by set, row-major; empty: there is one copy
    std::vector<std::uint32_t> rank_of_set; ///< by set: how many are made before; empty: row-major

    [[nodiscard]] std::uint32_t copies() const
    {
        return static_cast<std::uint32_t>(groups.front().tiles.size());
    }
    [[nodiscard]] std::uint32_t sets() const;
    /// Which set the element at (row, column) belongs to.
    [[nodiscard]] std::uint32_t set_at(std::uint32_t row, std::uint32_t column) const;
    /// Which set a task belongs to.
    [[nodiscard]] std::uint32_t set_of(std::uint32_t task) const
    {
        return set_at(task / segments() * chunk, task % segments() * segment);
    }
    [[nodiscard]] std::uint32_t copy_of(std::uint32_t task) const
    {
        return copy_of_set.empty() ? 0 : copy_of_set[set_of(task)];
    }
    /// All tasks in the order in which they are made; those of a set row-major.
    [[nodiscard]] std::vector<std::uint32_t> sequence() const;
    /// Where a datum is made.
    [[nodiscard]] NodeId home(std::size_t datum) const
    {
        return groups[group_of(datum)]
            .tiles[copy_of(static_cast<std::uint32_t>(datum / groups.size()))];
    }

    [[nodiscard]] std::uint32_t chunks() const { return (shape.height + chunk - 1) / chunk; }
    [[nodiscard]] std::uint32_t segments() const { return (shape.width + segment - 1) / segment; }
    [[nodiscard]] std::uint32_t tasks() const { return chunks() * segments(); }
    [[nodiscard]] std::uint32_t group_of(std::size_t datum) const
    {
        return static_cast<std::uint32_t>(datum % groups.size());
    }
    /// All channels of a task.
    [[nodiscard]] Volume task(std::uint32_t index) const;
    [[nodiscard]] Volume datum(std::size_t index) const;
    [[nodiscard]] std::uint64_t bytes(std::size_t index) const;
    /// Appends the tasks that overlap the rows and columns of `volume`.
    void tasks_in(const Volume& volume, std::vector<std::size_t>& tasks) const;
    /// Appends the data that overlap `volume`.
    void overlapping(const Volume& volume, std::vector<std::size_t>& data) const;
    /// How many tasks, from the first, must be done before all of `volume` is made.
    [[nodiscard]] std::uint32_t tasks_until(const Volume& volume) const;
};

/// One block of a crossbar layer in its macro.
struct PlacedBlock
{
    BlockId id;
    Extent rows;    ///< of the weight matrix
    Extent columns; ///< of the weight matrix
    Slot slot;
    std::uint32_t row_at = 0; ///< in the macro
    std::uint32_t column_at = 0;
    std::uint8_t bits = 0; ///< of a partial sum
};

/// Part of the second operand of a product in macros that is written at once: rows of it. For
/// A B^T all: what a row of cells holds of them comes from everywhere.
using Portion = Extent;

/// What is decided about one layer; empty for fused layers and views.
struct LayerPlan
{
    Grid grid;
    std::vector<PlacedBlock> blocks; ///< by copy, group, rows; the same number for every group
    std::vector<Portion> portions;   ///< in the order in which they are written; not dynamic: none
    std::uint32_t replicas = 1;      ///< of each block in its macro (trace::Block::replicas)
    std::uint32_t segment = 0;       ///< during which the layer works
    std::uint32_t stage = 0;         ///< that makes the data; memory layers: not meaningful
    std::uint32_t last_stage = 0;    ///< that reads the data
    bool leaves = false;             ///< all or part of the data are outputs of the network
    std::uint8_t level = 0;          ///< how far the data are divided (Plan::set_level)

    /// Blocks that share their columns.
    [[nodiscard]] std::size_t blocks_per_group() const
    {
        return blocks.size() / (grid.groups.size() * grid.copies());
    }
};

/// By layer: a level of Plan::set_level().
using Fineness = std::vector<std::uint8_t>;

/// What a user decides about a plan.
struct PlanOptions
{
    std::string duplicate = "none";           ///< a duplication() policy
    std::optional<std::uint64_t> extra_pes{}; ///< crossbars for copies; nothing: all that are left
    /// "row", "pixel", rows x columns: "4x8"; or "auto": rows, divided as it pays (`fineness`).
    std::string sets = "row";
    std::string order = "raster"; ///< of the sets of a layer: a SetOrder
    bool time_multiplex = false;  ///< a network that does not fit is cut into segments
    std::uint32_t images = 1;     ///< that pass a segment while it is on the chip
    bool pack = false;            ///< several small blocks may share a macro
    TileOrder tiles{};            ///< empty: as the chip's placement says without traffic
    /// A macro holds weights that fill a part of it as often as its diagonal has room for.
    bool replicate_in_crossbar = false;
    /// How long crossbars take where their kind tells more than the config does; used by Forecast.
    std::optional<config::MacroTiming> crossbars{};
    /// By layer: its data are divided at least as far as Plan::set_level() would at this level;
    /// empty: no further than it has to be.
    Fineness fineness{};
    bool by_pixels = false; ///< with "auto": copies take turns with pixels, not with rows
};

/// Which macro, tile and stage does what: everything but the operations.
class Plan
{
public:
    /// Keeps references. Throws InputError when the chip has too few macros, or too narrow ones for
    /// the network's bit widths, or no digital ones for attention, UsageError for options that mean
    /// nothing.
    Plan(const Graph& graph, const config::ChipConfig& chip, const Schedule& schedule,
         const PlanOptions& options = {});

    [[nodiscard]] const Graph& graph() const { return graph_; }
    [[nodiscard]] const config::ChipConfig& chip() const { return chip_; }
    [[nodiscard]] const LayerPlan& operator[](LayerId id) const { return layers_[id.index()]; }
    [[nodiscard]] const std::vector<Stage>& stages() const { return stages_; }
    /// Parts of the network that take turns on the chip: 1, unless it does not fit.
    [[nodiscard]] std::uint32_t segments() const { return segment_count_; }
    [[nodiscard]] std::uint32_t segment_of_stage(std::size_t stage) const
    {
        return layers_[stages_[stage].front().index()].segment;
    }
    [[nodiscard]] std::size_t block_count() const { return block_count_; }
    /// Of the kind that holds what a crossbar layer multiplies with.
    [[nodiscard]] const config::ChipConfig::Macro& macro_of(LayerId id) const
    {
        return in_digital(id) ? chip_.digital.macro : chip_.macro;
    }
    /// Rows of the weight matrix that a portion writes in a block; may be empty.
    [[nodiscard]] Extent rows_written(LayerId id, const PlacedBlock& block,
                                      const Portion& portion) const;
    [[nodiscard]] const Schedule& schedule() const { return schedule_; }
    /// What the layers with weights in crossbars ask for, in order, and how many crossbars copies
    /// may take: what the duplication was decided on.
    [[nodiscard]] const std::vector<Demand>& demands() const { return demands_; }
    [[nodiscard]] std::uint64_t extra_crossbars() const { return extra_; }

    /// How long the chip's crossbars take (PlanOptions::crossbars).
    [[nodiscard]] const config::MacroTiming& crossbars() const { return crossbars_; }

    /// Divides the data of a stage's layers: level 0 makes one datum of a set (by default a row, or
    /// 16 rows of a sequence), every further level halves that. Layers that were asked to be finer
    /// (PlanOptions::fineness) are.
    void set_level(std::size_t stage, std::uint32_t level);
    /// How fine a layer was asked to be.
    /// Of the sets that copies take turns with by default; finer ones are told as divided.
    [[nodiscard]] SetShape whole_set(LayerId id) const;
    [[nodiscard]] std::uint8_t level_asked(LayerId id) const { return fineness_[id.index()]; }
    /// Level up to which set_level() changes nothing.
    [[nodiscard]] std::uint32_t coarsest_level(std::size_t stage) const;
    /// Level from which on set_level() changes nothing any more.
    [[nodiscard]] std::uint32_t finest_level(std::size_t stage) const;
    [[nodiscard]] std::uint32_t finest_level(LayerId id) const;

private:
    void divide_into_sets(const std::string& sets);
    /// A layer whose weights lie in macros, and the blocks of one copy of them.
    struct Mapped
    {
        LayerId id;
        WeightMatrix matrix;
        std::vector<MatrixBlock> blocks;
        Demand demand;
        bool dynamic = false;       ///< has one copy: every one would have to be written
        std::uint32_t replicas = 1; ///< of each block in its macro
    };
    using Layers = std::vector<Mapped>;
    /// How the chip's macros are shared out among layers that are on it at the same time.
    struct Share
    {
        std::uint64_t held = 0;  ///< macros that one copy of each takes
        std::uint64_t extra = 0; ///< macros that further copies may take
        std::vector<std::uint32_t> copies;
    };
    /// Crossbars, digital macros apart.
    [[nodiscard]] std::uint64_t macros_of_chip() const
    {
        return crossbar_tiles_.size() * std::uint64_t{chip_.tiles.macros};
    }
    [[nodiscard]] bool in_digital(LayerId id) const
    {
        return chip_.mapping.attention == "digital" && graph_.dynamic(id);
    }
    void order_sets(const std::string& order);
    void place_blocks(const PlanOptions& options);
    void place_crossbars(const Layers& layers, const PlanOptions& options);
    void divide_second_operand(LayerId id);
    [[nodiscard]] std::optional<Share> share(const Layers& layers, const Segment& segment,
                                             const PlanOptions& options) const;
    [[nodiscard]] Tick time_of(const Layers& layers, const Segment& segment, const Share& share,
                               const PlanOptions& options) const;
    [[nodiscard]] std::vector<Segment> cut_network(const Layers& layers,
                                                   const PlanOptions& options) const;
    void place_segment(const Layers& layers, const Segment& segment, const Share& share, bool pack);
    void place_digital(const Layers& layers);
    void divide_stages();
    [[nodiscard]] std::vector<Berth> berths(const Layers& layers, const Segment& segment,
                                            const std::vector<std::uint32_t>& copies,
                                            bool packed) const;
    void place_copies(const Mapped& layer, std::uint32_t copies, const Berth*& where);
    [[nodiscard]] Group group_of(const Mapped& layer, const Extent& columns) const;
    [[nodiscard]] Slot slot(std::uint32_t index, bool digital) const;
    [[nodiscard]] std::vector<std::uint32_t> inherited_copies(LayerId id) const;
    [[nodiscard]] std::vector<Group>
    groups_read(LayerId id, const std::vector<std::vector<Group>>& known) const;
    [[nodiscard]] std::vector<Group> vector_groups(LayerId id,
                                                   const std::vector<Group>& operand) const;
    [[nodiscard]] std::uint32_t rows_of_set(LayerId id) const;
    void trace_readers();

    const Graph& graph_;
    const config::ChipConfig& chip_;
    const Schedule& schedule_;
    TileOrder tiles_;
    TileOrder crossbar_tiles_; ///< of these
    TileOrder digital_tiles_;
    std::vector<Demand> demands_;
    std::uint64_t extra_ = 0;
    std::vector<LayerPlan> layers_;
    std::vector<Stage> stages_;
    std::size_t block_count_ = 0;
    std::uint32_t segment_count_ = 1;
    config::MacroTiming crossbars_;
    bool by_pixels_ = false; ///< PlanOptions::by_pixels
    Fineness fineness_;
};

} // namespace tessera::compiler
