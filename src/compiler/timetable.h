// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/throughput.h"
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
    std::uint32_t image = 0;
    bool writes = false;
};

/// Images that pass the stages of a cross-layer schedule one behind the other: image k enters a
/// stage when image k - in_flight has left it.
struct Pipeline
{
    std::uint32_t images = 1;
    std::uint32_t in_flight = 1;
};

/// When a task runs.
struct Slice
{
    Tick start = 0;
    Tick end = 0;
};

/// The tasks of a layer, in the order in which they are made, and what they read. Tasks that read
/// the same of an operand, all of a sequence say, share a list.
struct SetReads
{
    std::vector<std::uint32_t> sequence;
    std::vector<std::size_t> end;      ///< by position in the sequence: behind its part of `lists`
    std::vector<std::uint32_t> lists;  ///< positions in `list_end`
    std::vector<std::size_t> list_end; ///< behind a list's part of `tasks`
    std::vector<Task> tasks;

    [[nodiscard]] std::size_t begin_of(std::uint32_t list) const
    {
        return list == 0 ? 0 : list_end[list - 1];
    }
    /// Calls visit(Task) for all that the task at a position of the sequence reads.
    template <typename Visit> void for_each(std::size_t position, Visit visit) const
    {
        for (std::size_t i = position == 0 ? 0 : end[position - 1]; i < end[position]; ++i)
        {
            for (std::size_t k = begin_of(lists[i]); k < list_end[lists[i]]; ++k)
            {
                visit(tasks[k]);
            }
        }
    }
};
[[nodiscard]] SetReads reads_of(const Plan& plan, LayerId id);

/// CLSA-CIM's stages II and IV: which tasks each task reads (exact receptive fields), and, from
/// that, when each runs if every one starts as soon as these have ended, its crossbars are free (a
/// copy takes its sets in the order of Grid::sequence(), stage III, image after image), its image
/// has entered and the stage before is over.
/// Only MVMs and writes take time: on a chip where that is so, a run takes exactly as long, unless
/// layers share macros (PlanOptions::pack): then they wait for each other, which is not foreseen.
class Timetable
{
public:
    explicit Timetable(const Plan& plan, const Pipeline& pipeline = {});

    [[nodiscard]] const Slice& operator[](const Task& task) const
    {
        const std::vector<std::vector<Slice>>& of_image =
            (task.writes ? writes_ : slices_)[task.image];
        return of_image[task.layer.index()][task.index];
    }
    [[nodiscard]] Tick makespan() const { return makespan_; }
    /// When each image enters and leaves a stage.
    [[nodiscard]] const std::vector<Passage>& images(std::size_t stage) const
    {
        return images_[stage];
    }
    /// Time that the busiest macro of a stage works on one image: in the long run, images do not
    /// follow each other faster.
    [[nodiscard]] Tick busiest(std::size_t stage) const { return busiest_[stage]; }
    /// Tasks of a stage by their ends; what ends together, by image, layer, then writes, then task.
    [[nodiscard]] std::vector<Task> order(std::size_t stage) const;

private:
    [[nodiscard]] Tick busy_time(LayerId id) const;
    [[nodiscard]] Tick ready(const std::vector<Region>& regions, std::uint32_t image,
                             Tick begin) const;
    [[nodiscard]] Tick run(LayerId id, const SetReads& reads, std::uint32_t image, Tick begin,
                           std::vector<Tick>& free);
    [[nodiscard]] Tick write_operand(LayerId id, std::uint32_t image, Tick begin);

    const Plan& plan_;
    std::vector<std::vector<std::vector<Slice>>> slices_; ///< by image, layer and task
    std::vector<std::vector<std::vector<Slice>>> writes_; ///< by image, layer and portion
    std::vector<std::vector<Passage>> images_;            ///< by stage and image
    std::vector<Tick> busiest_;                           ///< by stage
    Tick makespan_ = 0;
};

/// Operands are written into macros: those of the next image would replace what is still needed.
[[nodiscard]] bool one_at_a_time(const Plan& plan);

/// With as few images in flight as keep the busiest macros of every stage at work (or few more) if
/// only MVMs take time; see keeping_busy().
[[nodiscard]] Pipeline pipelined(const Plan& plan, std::uint32_t images);

/// The tasks, of layers whose data are computed, that a task of a crossbar or vector layer reads
/// (of a product: also what is written for it).
void append_dependencies(const Plan& plan, const Task& task, std::vector<Task>& out);

} // namespace tessera::compiler
