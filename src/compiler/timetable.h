// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/plan.h"
#include "tessera/tick.h"

#include <cstdint>
#include <vector>

namespace tessera::compiler
{

/// A task of a layer (Grid::task), or one portion of a product's second operand to be written
/// (LayerPlan::portions).
struct Task
{
    LayerId layer;
    std::uint32_t index = 0;
    bool writes = false;
};

/// When a task runs.
struct Slice
{
    Tick start = 0;
    Tick end = 0;
};

/// CLSA-CIM's stages II and IV: which tasks each task reads (exact receptive fields), and, from
/// that, when each runs if every one starts as soon as these have ended, its crossbars are free (a
/// copy takes its sets in the order of Grid::sequence(), stage III) and the stage before is over.
/// Only MVMs and writes take time: on a chip where that is so, a run takes exactly as long, unless
/// layers share macros (PlanOptions::pack): then they wait for each other, which is not foreseen.
class Timetable
{
public:
    explicit Timetable(const Plan& plan);

    [[nodiscard]] const Slice& operator[](const Task& task) const
    {
        return (task.writes ? writes_ : slices_)[task.layer.index()][task.index];
    }
    [[nodiscard]] Tick makespan() const { return makespan_; }
    /// Tasks of a stage by their ends; what ends together, by layer, then writes, then task.
    [[nodiscard]] std::vector<Task> order(std::size_t stage) const;

private:
    void run(LayerId id, Tick begin);
    [[nodiscard]] Tick ready(const std::vector<Region>& regions, Tick begin) const;
    [[nodiscard]] Tick write_operand(LayerId id, Tick begin);

    const Plan& plan_;
    std::vector<std::vector<Slice>> slices_; ///< by layer and task
    std::vector<std::vector<Slice>> writes_; ///< by layer and portion
    Tick makespan_ = 0;
};

/// The tasks, of layers whose data are computed, that a task of a crossbar or vector layer reads
/// (of a product: also what is written for it).
void append_dependencies(const Plan& plan, const Task& task, std::vector<Task>& out);

} // namespace tessera::compiler
