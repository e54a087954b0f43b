// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/graph.h"
#include "compiler/placement.h"
#include "compiler/schedule.h"
#include "config/chip_config.h"

#include <cstdint>
#include <vector>

namespace tessera::compiler
{

/// Channels of a layer that one vector unit makes, and where it is.
struct Group
{
    Extent channels;
    NodeId tile; ///< none(): in external memory (inputs)
};

/// How the data of a layer are divided: `chunk` rows x `segment` columns make one task; a task
/// makes one datum per channel group. Data are numbered by task (row-major), then group.
struct Grid
{
    network::Shape shape;
    std::uint8_t bits = 8;
    std::uint32_t chunk = 1;
    std::uint32_t segment = 1;
    std::vector<Group> groups;

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
    /// Appends the data that overlap `volume`.
    void overlapping(const Volume& volume, std::vector<std::size_t>& data) const;
    /// How many tasks, from the first, must be done before all of `volume` is made.
    [[nodiscard]] std::uint32_t tasks_until(const Volume& volume) const;
};

/// One block of a crossbar layer in its macro.
struct PlacedBlock
{
    BlockId id;
    Extent rows;
    Slot slot;
    std::uint8_t bits = 0; ///< of a partial sum
};

/// What is decided about one layer; empty for fused layers and views.
struct LayerPlan
{
    Grid grid;
    std::vector<PlacedBlock> blocks; ///< by group, then rows; the same number for every group
    std::uint32_t stage = 0;         ///< that makes the data; memory layers: not meaningful
    std::uint32_t last_stage = 0;    ///< that reads the data
    std::uint32_t natural_chunk = 1; ///< rows of a datum at level 0
    bool leaves = false;             ///< all or part of the data are outputs of the network
};

/// Which macro, tile and stage does what: everything but the operations.
class Plan
{
public:
    /// Keeps references. Throws InputError when the chip has too few macros, or too narrow ones for
    /// the network's bit widths, UsageError for an unknown schedule.
    Plan(const Graph& graph, const config::ChipConfig& chip, const Schedule& schedule);

    [[nodiscard]] const Graph& graph() const { return graph_; }
    [[nodiscard]] const config::ChipConfig& chip() const { return chip_; }
    [[nodiscard]] const LayerPlan& operator[](LayerId id) const { return layers_[id.index()]; }
    [[nodiscard]] const std::vector<Stage>& stages() const { return stages_; }
    [[nodiscard]] std::size_t block_count() const { return block_count_; }

    /// Divides the data of a stage's layers: level 0 makes one datum of a row (or 16 rows of a
    /// sequence), every further level halves that.
    void set_level(std::size_t stage, std::uint32_t level);
    /// Level from which on set_level() changes nothing any more.
    [[nodiscard]] std::uint32_t finest_level(std::size_t stage) const;

private:
    void place_blocks();
    [[nodiscard]] std::vector<Group>
    groups_read(LayerId id, const std::vector<std::vector<Group>>& known) const;
    [[nodiscard]] std::vector<Group> vector_groups(LayerId id,
                                                   const std::vector<Group>& operand) const;
    [[nodiscard]] std::uint32_t natural_chunk(LayerId id) const;
    void trace_readers();

    const Graph& graph_;
    const config::ChipConfig& chip_;
    std::vector<LayerPlan> layers_;
    std::vector<Stage> stages_;
    std::size_t block_count_ = 0;
};

} // namespace tessera::compiler
