// SPDX-License-Identifier: Apache-2.0
#include "compiler/timetable.h"

#include "base/interrupt.h"
#include "config/macro_timing.h"

#include <algorithm>
#include <tuple>

namespace tessera::compiler
{

void append_dependencies(const Plan& plan, const Task& task, std::vector<Task>& out)
{
    const Graph& graph = plan.graph();
    const Volume made = plan[task.layer].grid.task(task.index);
    std::vector<Region> regions;
    if (graph.role(task.layer) == Role::crossbar)
    {
        graph.block_operand(task.layer, {0, plan[task.layer].blocks.back().rows.end}, made,
                            regions);
    }
    else
    {
        for (std::size_t k = 0; k < graph.layer(task.layer).inputs.size(); ++k)
        {
            graph.operand(task.layer, k, made, regions);
        }
    }
    std::vector<std::size_t> tasks;
    for (const Region& region : regions)
    {
        if (graph.role(region.layer) == Role::memory)
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

Timetable::Timetable(const Plan& plan) : plan_(plan), slices_(plan.graph().size())
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

/// Layers have macros of their own, so each can be followed from its first task to its last.
void Timetable::run(LayerId id, Tick begin)
{
    const Grid& grid = plan_[id].grid;
    const bool mvms = plan_.graph().role(id) == Role::crossbar;
    const Clock& clock = plan_.chip().macro.clock;
    const config::MacroTiming timing = config::macro_timing(plan_.chip().macro);
    std::vector<Tick> free(grid.copies(), begin);
    std::vector<Task> read;
    slices_[id.index()].resize(grid.tasks());
    for (const std::uint32_t index : grid.sequence())
    {
        throw_if_interrupted();
        read.clear();
        append_dependencies(plan_, {id, index}, read);
        Tick ready = begin;
        for (const Task& task : read)
        {
            ready = std::max(ready, (*this)[task].end);
        }
        Slice& slice = slices_[id.index()][index];
        slice = {ready, ready};
        if (mvms)
        {
            const Volume made = grid.task(index);
            const std::uint64_t vectors = std::uint64_t{made.rows.size()} * made.columns.size();
            Tick& its = free[grid.copy_of(index)];
            slice.start = clock.align(std::max(ready, its));
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
        for (std::uint32_t index = 0; index < plan_[id].grid.tasks(); ++index)
        {
            tasks.push_back({id, index});
        }
    }
    std::sort(tasks.begin(), tasks.end(),
              [this](const Task& a, const Task& b)
              {
                  return std::tuple((*this)[a].end, a.layer, a.index) <
                         std::tuple((*this)[b].end, b.layer, b.index);
              });
    return tasks;
}

} // namespace tessera::compiler
