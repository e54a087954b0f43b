// SPDX-License-Identifier: Apache-2.0
#include "compiler/timetable.h"

#include "base/integer.h"
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

SetReads reads_of(const Plan& plan, LayerId id)
{
    const Graph& graph = plan.graph();
    // What lies in macros beforehand is no operand, and rows of a matrix are taken together.
    const bool whole = graph.role(id) == Role::crossbar && !graph.dynamic(id);
    const std::size_t operands = whole ? 1 : graph.layer(id).inputs.size();
    std::vector<std::vector<Region>> before(operands); // what the task before has read
    std::vector<std::uint32_t> list(operands);
    std::vector<Region> regions;
    SetReads result;
    result.sequence = plan[id].grid.sequence();
    result.end.reserve(result.sequence.size());
    for (const std::uint32_t index : result.sequence)
    {
        throw_if_interrupted();
        const Volume made = plan[id].grid.task(index);
        for (std::size_t k = 0; k < operands; ++k)
        {
            regions.clear();
            whole ? graph.operands(id, made, regions) : graph.operand(id, k, made, regions);
            if (result.end.empty() || regions != before[k])
            {
                list[k] = static_cast<std::uint32_t>(result.list_end.size());
                append_tasks(plan, regions, result.tasks);
                result.list_end.push_back(result.tasks.size());
                std::swap(before[k], regions);
            }
            result.lists.push_back(list[k]);
        }
        result.end.push_back(result.lists.size());
    }
    return result;
}

namespace
{

/// Steps of each block of a crossbar layer for one task: an input vector each, or as many together
/// as there are replicas. The rows of a product are vectors of their own.
std::uint64_t steps_of(const Plan& plan, LayerId id, std::uint32_t task)
{
    const Volume made = plan[id].grid.task(task);
    return ceil_div(made.rows.size() *
                        (plan.graph().dynamic(id) ? 1 : std::uint64_t{made.columns.size()}),
                    plan[id].replicas);
}

} // namespace

Timetable::Timetable(const Plan& plan, const Pipeline& pipeline)
    : plan_(plan),
      slices_(pipeline.images, std::vector<std::vector<Slice>>(plan.graph().size())),
      writes_(slices_),
      busiest_(plan.stages().size(), 0)
{
    for (std::size_t stage = 0; stage < plan.stages().size(); ++stage)
    {
        const std::vector<LayerId>& layers = plan.stages()[stage];
        const Tick begin = makespan_;
        std::vector<SetReads> reads;
        std::vector<std::vector<Tick>> free; // by layer and copy
        for (const LayerId id : layers)
        {
            reads.push_back(reads_of(plan, id));
            free.emplace_back(plan[id].grid.copies(), begin);
            if (plan.graph().role(id) == Role::crossbar)
            {
                busiest_[stage] = std::max(busiest_[stage], busy_time(id));
            }
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

/// How long the busiest macro of a layer works on one image.
Tick Timetable::busy_time(LayerId id) const
{
    const LayerPlan& layer = plan_[id];
    const config::ChipConfig::Macro& macro = plan_.macro_of(id);
    std::vector<std::uint64_t> steps(layer.grid.copies(), 0);
    for (std::uint32_t task = 0; task < layer.grid.tasks(); ++task)
    {
        steps[layer.grid.copy_of(task)] += steps_of(plan_, id, task);
    }
    const std::uint64_t most = *std::max_element(steps.begin(), steps.end());
    Tick writing = 0;
    for (const PlacedBlock& block : layer.blocks)
    {
        Tick its = 0;
        for (const auto& portion : layer.portions)
        {
            const std::uint64_t rows = plan_.rows_written(id, block, portion).size();
            its += (rows * macro.program.row_time).length(macro.clock);
        }
        writing = std::max(writing, its);
    }
    return (most * config::macro_timing(macro).interval).length(macro.clock) + writing;
}

/// When all of `regions` is there.
Tick Timetable::ready(const std::vector<Region>& regions, std::uint32_t image, Tick begin) const
{
    std::vector<Task> read;
    append_tasks(plan_, regions, read);
    Tick ready = begin;
    for (const Task& its : read)
    {
        ready = std::max(ready, slices_[image][its.layer.index()][its.index].end);
    }
    return ready;
}

/// Writes the second operand of a product as it comes; returns when its last block is written. A
/// macro writes portions in their order: though blocks of the next one may be done before, a
/// portion's slice ends no earlier than those before it.
Tick Timetable::write_operand(LayerId id, std::uint32_t image, Tick begin)
{
    const LayerPlan& layer = plan_[id];
    const Graph& graph = plan_.graph();
    const config::ChipConfig::Macro& macro = plan_.macro_of(id);
    std::vector<Tick> free(layer.blocks.size(), begin);
    std::vector<Region> regions;
    for (const Portion& portion : layer.portions)
    {
        throw_if_interrupted();
        std::vector<Slice>& slices = writes_[image][id.index()];
        Slice slice{kNever, slices.empty() ? begin : slices.back().end};
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
            const Tick start = macro.clock.align(std::max(ready(regions, image, begin), free[b]));
            free[b] = work_end(macro.clock, start, rows.size() * macro.program.row_time);
            slice = {std::min(slice.start, start), std::max(slice.end, free[b])};
        }
        slices.push_back(slice);
    }
    return *std::max_element(free.begin(), free.end());
}

/// Layers have macros of their own, so each can be followed from its first task to its last. What
/// the blocks of a layer do at different times, others wait for the last of them.
/// `free`: by copy, when it may begin; when the image is done is returned.
Tick Timetable::run(LayerId id, const SetReads& reads, std::uint32_t image, Tick begin,
                    std::vector<Tick>& free)
{
    const Grid& grid = plan_[id].grid;
    const bool mvms = plan_.graph().role(id) == Role::crossbar;
    const Clock& clock = plan_.macro_of(id).clock;
    const Clock& adder = plan_.chip().vector.clock;
    const config::MacroTiming timing = config::macro_timing(plan_.macro_of(id));
    if (plan_.graph().dynamic(id))
    {
        const Tick written = write_operand(id, image, begin);
        std::fill(free.begin(), free.end(), written);
    }
    std::vector<Slice>& slices = slices_[image][id.index()];
    slices.resize(grid.tasks());
    Tick end = begin;
    std::size_t next = 0;
    std::vector<Tick> list_end(reads.list_end.size(), kNever); // when all of a list has ended
    for (std::size_t i = 0; i < reads.sequence.size(); ++i)
    {
        throw_if_interrupted();
        Tick ready = begin;
        for (; next < reads.end[i]; ++next)
        {
            const std::uint32_t list = reads.lists[next];
            if (list_end[list] == kNever)
            {
                list_end[list] = begin;
                for (std::size_t k = reads.begin_of(list); k < reads.list_end[list]; ++k)
                {
                    const Task& read = reads.tasks[k];
                    list_end[list] = std::max(list_end[list],
                                              slices_[image][read.layer.index()][read.index].end);
                }
            }
            ready = std::max(ready, list_end[list]);
        }
        const std::uint32_t index = reads.sequence[i];
        Slice& slice = slices[index];
        slice = {ready, ready};
        if (mvms)
        {
            const std::uint64_t steps = steps_of(plan_, id, index);
            Tick& its = free[grid.copy_of(index)];
            slice.start = clock.align(std::max(ready, its));
            // The sums are there at the edge at which a vector unit adds them up.
            slice.end = adder.align(timing.total(steps).end(clock, slice.start));
            its = (steps * timing.interval).end(clock, slice.start);
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
            for (std::uint32_t index = 0; index < plan_[id].portions.size(); ++index)
            {
                tasks.push_back({id, index, image, true});
            }
            for (std::uint32_t index = 0; index < plan_[id].grid.tasks(); ++index)
            {
                tasks.push_back({id, index, image});
            }
        }
    }
    std::sort(tasks.begin(), tasks.end(),
              [this](const Task& a, const Task& b)
              {
                  return std::tuple((*this)[a].end, a.image, a.layer, !a.writes, a.index) <
                         std::tuple((*this)[b].end, b.image, b.layer, !b.writes, b.index);
              });
    return tasks;
}

bool one_at_a_time(const Plan& plan)
{
    return std::any_of(plan.stages().begin(), plan.stages().end(),
                       [&plan](const Stage& stage)
                       {
                           return std::any_of(stage.begin(), stage.end(),
                                              [&plan](LayerId id)
                                              { return plan.graph().dynamic(id); });
                       });
}

Pipeline pipelined(const Plan& plan, std::uint32_t images)
{
    if (images == 1)
    {
        return {};
    }
    if (one_at_a_time(plan))
    {
        return {images, 1};
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
