// SPDX-License-Identifier: Apache-2.0
#include "compiler/timetable.h"

#include "base/interrupt.h"
#include "config/macro_timing.h"

#include <algorithm>
#include <tuple>

namespace tessera::compiler
{

namespace
{

/// The tasks, of layers whose data are computed, that make `regions`.
void append_tasks(const Plan& plan, const std::vector<Region>& regions, std::vector<Task>& out)
{
    std::vector<std::size_t> tasks;
    for (const Region& region : regions)
    {
        if (plan.graph().role(region.layer) == Role::memory)
        {
            continue;
        }
        tasks.clear();
        plan[region.layer].grid.tasks_in(region.volume, tasks);
        for (const std::size_t index : tasks)
        {
            out.push_back({region.layer, static_cast<std::uint32_t>(index)});
        }
    }
}

} // namespace

void append_dependencies(const Plan& plan, const Task& task, std::vector<Task>& out)
{
    std::vector<Region> regions;
    plan.graph().operands(task.layer, plan[task.layer].grid.task(task.index), regions);
    append_tasks(plan, regions, out);
}

Timetable::Timetable(const Plan& plan)
    : plan_(plan), slices_(plan.graph().size()), writes_(plan.graph().size())
{
    for (const Stage& stage : plan.stages())
    {
        const Tick begin = makespan_;
        for (const LayerId id : stage)
        {
            run(id, begin);
        }
    }
}

/// When all of `regions` is there.
Tick Timetable::ready(const std::vector<Region>& regions, Tick begin) const
{
    std::vector<Task> read;
    append_tasks(plan_, regions, read);
    Tick ready = begin;
    for (const Task& its : read)
    {
        ready = std::max(ready, (*this)[its].end);
    }
    return ready;
}

/// Writes the second operand of a product as it comes; returns when its last block is written.
Tick Timetable::write_operand(LayerId id, Tick begin)
{
    const LayerPlan& layer = plan_[id];
    const Graph& graph = plan_.graph();
    const config::ChipConfig::Macro& macro = plan_.macro_of(id);
    std::vector<Tick> free(layer.blocks.size(), begin);
    std::vector<Region> regions;
    for (const Portion& portion : layer.portions)
    {
        throw_if_interrupted();
        Slice slice{kNever, begin};
        for (std::size_t b = 0; b < free.size(); ++b)
        {
            const Extent rows = plan_.rows_written(id, layer.blocks[b], portion);
            if (rows.empty())
            {
                continue;
            }
            regions.clear();
            graph.resolve(graph.layer(id).inputs[1],
                          graph.second_operand(id, rows, layer.blocks[b].columns), regions);
            const Tick start = macro.clock.align(std::max(ready(regions, begin), free[b]));
            free[b] = work_end(macro.clock, start, rows.size() * macro.program.row_time);
            slice = {std::min(slice.start, start), std::max(slice.end, free[b])};
        }
        writes_[id.index()].push_back(slice);
    }
    return *std::max_element(free.begin(), free.end());
}

/// Layers have macros of their own, so each can be followed from its first task to its last. What
/// the blocks of a layer do at different times, others wait for the last of them.
void Timetable::run(LayerId id, Tick begin)
{
    const Grid& grid = plan_[id].grid;
    const bool mvms = plan_.graph().role(id) == Role::crossbar;
    const bool dynamic = plan_.graph().dynamic(id);
    const Clock& clock = plan_.macro_of(id).clock;
    const config::MacroTiming timing = config::macro_timing(plan_.macro_of(id));
    std::vector<Tick> free(grid.copies(), dynamic ? write_operand(id, begin) : begin);
    slices_[id.index()].resize(grid.tasks());
    std::vector<Region> regions;
    for (const std::uint32_t index : grid.sequence())
    {
        throw_if_interrupted();
        regions.clear();
        plan_.graph().operands(id, grid.task(index), regions);
        const Tick now = ready(regions, begin);
        Slice& slice = slices_[id.index()][index];
        slice = {now, now};
        if (mvms)
        {
            const Volume made = grid.task(index);
            const std::uint64_t vectors =
                made.rows.size() * (dynamic ? 1 : std::uint64_t{made.columns.size()});
            Tick& its = free[grid.copy_of(index)];
            slice.start = clock.align(std::max(now, its));
            slice.end = timing.total(vectors).end(clock, slice.start);
            its = (vectors * timing.interval).end(clock, slice.start);
        }
        makespan_ = std::max(makespan_, slice.end);
    }
}

std::vector<Task> Timetable::order(std::size_t stage) const
{
    std::vector<Task> tasks;
    for (const LayerId id : plan_.stages()[stage])
    {
        for (std::uint32_t index = 0; index < plan_[id].portions.size(); ++index)
        {
            tasks.push_back({id, index, true});
        }
        for (std::uint32_t index = 0; index < plan_[id].grid.tasks(); ++index)
        {
            tasks.push_back({id, index});
        }
    }
    std::sort(tasks.begin(), tasks.end(),
              [this](const Task& a, const Task& b)
              {
                  return std::tuple((*this)[a].end, a.layer, !a.writes, a.index) <
                         std::tuple((*this)[b].end, b.layer, !b.writes, b.index);
              });
    return tasks;
}

} // namespace tessera::compiler
