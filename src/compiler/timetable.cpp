// SPDX-License-Identifier: Apache-2.0
#include "compiler/timetable.h"

#include "base/integer.h"
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

SetReads reads_of(const Plan& plan, LayerId id)
{
    SetReads result;
    result.sequence = plan[id].grid.sequence();
    result.end.reserve(result.sequence.size());
    for (const std::uint32_t index : result.sequence)
    {
        throw_if_interrupted();
        append_dependencies(plan, {id, index}, result.tasks);
        result.end.push_back(result.tasks.size());
    }
    return result;
}

Timetable::Timetable(const Plan& plan, const Pipeline& pipeline)
    : plan_(plan), slices_(pipeline.images), busiest_(plan.stages().size(), 0)
{
    for (auto& of_image : slices_)
    {
        of_image.resize(plan.graph().size());
    }
    const config::MacroTiming timing = config::macro_timing(plan.chip().macro);
    const Clock& clock = plan.chip().macro.clock;
    for (std::size_t stage = 0; stage < plan.stages().size(); ++stage)
    {
        const std::vector<LayerId>& layers = plan.stages()[stage];
        const Tick begin = makespan_;
        std::vector<SetReads> reads;
        std::vector<std::vector<Tick>> free; // by layer and copy
        for (const LayerId id : layers)
        {
            const Grid& grid = plan[id].grid;
            reads.push_back(reads_of(plan, id));
            free.emplace_back(grid.copies(), begin);
            if (plan.graph().role(id) != Role::crossbar)
            {
                continue;
            }
            std::vector<std::uint64_t> vectors(grid.copies(), 0);
            for (std::uint32_t task = 0; task < grid.tasks(); ++task)
            {
                const Volume made = grid.task(task);
                vectors[grid.copy_of(task)] +=
                    std::uint64_t{made.rows.size()} * made.columns.size();
            }
            const std::uint64_t most = *std::max_element(vectors.begin(), vectors.end());
            busiest_[stage] = std::max(busiest_[stage], (most * timing.interval).length(clock));
        }
        std::vector<Passage>& images = images_.emplace_back(pipeline.images);
        for (std::uint32_t image = 0; image < pipeline.images; ++image)
        {
            Passage& its = images[image];
            its.begin = its.end =
                image < pipeline.in_flight ? begin : images[image - pipeline.in_flight].end;
            for (std::size_t i = 0; i < layers.size(); ++i)
            {
                its.end = std::max(its.end, run(layers[i], reads[i], image, its.begin, free[i]));
            }
            makespan_ = std::max(makespan_, its.end);
        }
    }
}

/// Layers have macros of their own, so each can be followed from its first task to its last.
/// `free`: by copy, when it may begin; when the image is done is returned.
Tick Timetable::run(LayerId id, const SetReads& reads, std::uint32_t image, Tick begin,
                    std::vector<Tick>& free)
{
    const Grid& grid = plan_[id].grid;
    const bool mvms = plan_.graph().role(id) == Role::crossbar;
    const Clock& clock = plan_.chip().macro.clock;
    const config::MacroTiming timing = config::macro_timing(plan_.chip().macro);
    std::vector<Slice>& slices = slices_[image][id.index()];
    slices.resize(grid.tasks());
    Tick end = begin;
    std::size_t next = 0;
    for (std::size_t i = 0; i < reads.sequence.size(); ++i)
    {
        throw_if_interrupted();
        Tick ready = begin;
        for (; next < reads.end[i]; ++next)
        {
            const Task& read = reads.tasks[next];
            ready = std::max(ready, slices_[image][read.layer.index()][read.index].end);
        }
        const std::uint32_t index = reads.sequence[i];
        Slice& slice = slices[index];
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
        end = std::max(end, slice.end);
    }
    return end;
}

std::vector<Task> Timetable::order(std::size_t stage) const
{
    std::vector<Task> tasks;
    for (std::uint32_t image = 0; image < slices_.size(); ++image)
    {
        for (const LayerId id : plan_.stages()[stage])
        {
            for (std::uint32_t index = 0; index < plan_[id].grid.tasks(); ++index)
            {
                tasks.push_back({id, index, image});
            }
        }
    }
    std::sort(tasks.begin(), tasks.end(),
              [this](const Task& a, const Task& b)
              {
                  return std::tuple((*this)[a].end, a.image, a.layer, a.index) <
                         std::tuple((*this)[b].end, b.image, b.layer, b.index);
              });
    return tasks;
}

Pipeline pipelined(const Plan& plan, std::uint32_t images)
{
    if (images == 1)
    {
        return {};
    }
    // Fewer than these leave the busiest macros idle, even if nothing else delays an image.
    const Timetable one(plan);
    std::uint32_t fewest = 1;
    for (std::size_t stage = 0; stage < plan.stages().size(); ++stage)
    {
        const Passage& its = one.images(stage).front();
        const Tick busiest = std::max<Tick>(one.busiest(stage), 1);
        fewest = std::max(fewest, static_cast<std::uint32_t>(std::min<Tick>(
                                      ceil_div(its.end - its.begin, busiest), images)));
    }
    constexpr std::uint32_t more = 3; // that are tried
    for (std::uint32_t in_flight = fewest; in_flight < std::min(images, fewest + more); ++in_flight)
    {
        const Timetable tried(plan, {4 * in_flight, in_flight});
        bool keeps_up = true;
        for (std::size_t stage = 0; stage < plan.stages().size(); ++stage)
        {
            keeps_up = keeps_up && summary_of(tried.images(stage)).interval <=
                                       static_cast<double>(tried.busiest(stage));
        }
        if (keeps_up)
        {
            return {images, in_flight};
        }
    }
    return {images, std::min(images, fewest + more)};
}

} // namespace tessera::compiler
