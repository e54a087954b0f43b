// SPDX-License-Identifier: Apache-2.0
#include "compiler/compiler.h"

#include "base/interrupt.h"
#include "base/reporter.h"
#include "base/throughput.h"
#include "compiler/barrier.h"
#include "compiler/buffers.h"
#include "compiler/emit.h"
#include "compiler/forecast.h"
#include "compiler/plan.h"
#include "compiler/set_order.h"
#include "compiler/set_sizes.h"
#include "compiler/timetable.h"
#include "compiler/traffic.h"
#include "tessera/error.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tessera::compiler
{
namespace
{

using trace::CompactOperation;
using trace::CompactTrace;

/// Every operand slot is one use of the datum in the reader's tile.
void count_uses(CompactTrace& trace, const Emitter& emitter)
{
    std::vector<std::uint32_t> readers(trace.lists(), 0);
    std::vector<NodeId> tile(trace.lists());
    for (const CompactOperation& reader : trace)
    {
        const NodeId its = emitter.node_of(reader.at);
        trace.for_each_list(reader,
                            [&](CompactTrace::List list)
                            {
                                ++readers[list.index()];
                                tile[list.index()] = its;
                            });
    }
    for (std::size_t i = 0; i < readers.size(); ++i)
    {
        throw_if_interrupted();
        const auto [begin, end] = trace.ids(CompactTrace::List(static_cast<std::uint32_t>(i)));
        for (const std::uint32_t* id = begin; id != end; ++id)
        {
            CompactOperation& made = trace[OpId(*id)];
            if (!trace.arrives(made))
            {
                made.uses += readers[i];
            }
            else if (trace.arrives_at(made, tile[i]))
            {
                trace.destination(trace.arrival(made, tile[i])).uses += readers[i];
            }
        }
    }
}

/// No edge twice, none that an operand implies already. (A transfer to several tiles has not ended
/// when it has arrived at one.)
void tidy(CompactTrace& trace)
{
    std::vector<OpId> after;
    std::vector<OpId> in;
    for (const CompactOperation& operation : trace)
    {
        throw_if_interrupted();
        after.clear();
        trace.for_each_after(operation, [&](OpId id) { after.push_back(id); });
        if (after.empty())
        {
            continue;
        }
        in.clear();
        trace.for_each_operand(operation, [&](OpId id) { in.push_back(id); });
        std::sort(after.begin(), after.end());
        after.erase(std::unique(after.begin(), after.end()), after.end());
        const auto implied = [&](OpId id) {
            return !trace.arrives_often(trace[id]) &&
                   std::find(in.begin(), in.end(), id) != in.end();
        };
        after.erase(std::remove_if(after.begin(), after.end(), implied), after.end());
        trace.set_after(operation.id, after);
    }
}

trace::Header describe(const Plan& plan, const Options& options)
{
    const Graph& graph = plan.graph();
    const network::Network& network = graph.network();
    trace::Header header;
    header.producer = "tessera compile";
    header.network = network.name;
    header.mapping = options.mapping;
    header.tiles = plan.chip().tile_count();
    header.memory_ports = plan.chip().memory.ports;
    for (std::uint32_t i = 0; i < graph.size(); ++i)
    {
        const network::Layer& layer = network.layers[i];
        const auto bits = static_cast<std::uint8_t>(network.activation_bits);
        header.tensors.push_back(
            {layer.name, layer.output.height, layer.output.width, layer.output.channels, bits});
        const bool mapped = graph.role(LayerId(i)) == Role::crossbar;
        header.layers.push_back(
            {layer.name, name_of(layer.kind), TensorId(graph.value(LayerId(i)).value()),
             !mapped                     ? 0
             : graph.dynamic(LayerId(i)) ? layer.output.height // one for all heads
                                         : std::uint64_t{layer.output.height} * layer.output.width,
             bits});
    }
    return header;
}

/// The units that have operations, the blocks in theirs, and counts.
void list_units(const Plan& plan, const Emitter& emitter, CompactTrace& trace)
{
    std::vector<UnitId> number(emitter.unit_count());
    for (const CompactOperation& operation : trace)
    {
        number[operation.at.index()] = UnitId(0);
    }
    for (std::uint32_t unit = 0; unit < number.size(); ++unit)
    {
        if (number[unit].valid())
        {
            number[unit] = UnitId(static_cast<std::uint32_t>(trace.header.units.size()));
            trace.header.units.push_back(emitter.traced(UnitId(unit)));
        }
    }
    for (CompactOperation& operation : trace)
    {
        operation.at = number[operation.at.index()];
    }
    trace.header.blocks.resize(plan.block_count());
    for (std::uint32_t i = 0; i < plan.graph().size(); ++i)
    {
        const LayerPlan& layer = plan[LayerId(i)];
        const std::size_t groups = layer.grid.groups.size();
        const std::size_t rows = layer.blocks.empty() ? 1 : layer.blocks_per_group();
        for (std::size_t b = 0; b < layer.blocks.size(); ++b)
        {
            const PlacedBlock& placed = layer.blocks[b];
            trace::Block block;
            block.layer = LayerId(i);
            block.row_begin = placed.rows.begin;
            block.row_end = placed.rows.end;
            block.column_begin = placed.columns.begin;
            block.column_end = placed.columns.end;
            block.copy = static_cast<std::uint32_t>(b / rows / groups);
            block.row_at = placed.row_at;
            block.column_at = placed.column_at;
            block.replicas = layer.replicas;
            block.references = plan.macro_of(LayerId(i)).reference_columns();
            block.at = number[emitter.macro(placed.slot).index()];
            trace.header.blocks[placed.id.index()] = block;
        }
    }
    trace::finalize(trace);
}

/// What was planned for images that follow each other; nothing for one, or for segments in turns.
std::optional<MappingReport::Pipeline> pipeline(const Plan& plan, const BufferPlan& buffers,
                                                const Emitter& emitter)
{
    if (plan.stages().size() != 1 || buffers.pipeline(0).images == 1)
    {
        return std::nullopt;
    }
    const Timetable timetable(plan, buffers.pipeline(0));
    MappingReport::Pipeline result{buffers.pipeline(0).in_flight,
                                   summary_of(timetable.images(0)),
                                   timetable.busiest(0),
                                   "",
                                   0,
                                   buffers.wanted().pipeline.in_flight};
    if (const auto& one = buffers.wanted().one)
    {
        result.busiest = emitter.traced(one->busiest).name(plan.chip().tile_count());
        result.work = one->work;
    }
    return result;
}

/// What the buffers cost; nothing layer by layer, with unlimited ones, or for segments in turns.
std::optional<MappingReport::Buffers> costs(const Plan& plan, const BufferPlan& buffers,
                                            const Emitter& emitter)
{
    if (!plan.schedule().as_soon_as_possible() || plan.stages().size() != 1 ||
        plan.chip().buffer.capacity == config::kUnlimited)
    {
        return std::nullopt;
    }
    MappingReport::Buffers result;
    for (const auto& [edge, tile] : buffers.refuges())
    {
        const Grid& grid = plan[edge.first].grid;
        result.refuges.push_back(
            {plan.graph().layer(edge.first).name, plan.graph().layer(edge.second).name,
             tile.valid() ? trace::node_name(tile, plan.chip().tile_count()) : "memory",
             (grid.shape.elements() * grid.bits + 7) / 8});
    }
    result.held_back = buffers.held_back(0);
    result.unbounded = Timetable(plan, buffers.pipeline(0)).makespan();
    result.bounded = makespan_if_only_mvms(emitter.operations(), emitter.unit_count(), plan.chip());
    return result;
}

std::uint64_t tasks_of(const Plan& plan)
{
    std::uint64_t tasks = 0;
    for (const Stage& stage : plan.stages())
    {
        for (const LayerId id : stage)
        {
            tasks += plan[id].grid.tasks();
        }
    }
    return tasks;
}

/// Emits everything as planned; returns the first operation of every stage, and of every time that
/// it comes again.
std::vector<std::size_t> emit_all(const Plan& plan, const BufferPlan& buffers, std::uint32_t images,
                                  Emitter& emitter, Reporter& reporter)
{
    reporter.begin("making operations", tasks_of(plan) * images);
    emitter.report_to(reporter);
    std::vector<std::size_t> stages(plan.stages().size());
    std::iota(stages.begin(), stages.end(), std::size_t{0});
    emitter.reserve(stages, images);
    std::vector<std::size_t> begins;
    Barrier barrier;
    const bool flows = plan.schedule().as_soon_as_possible(); // images need no barrier
    for (std::uint32_t segment = 0; segment < plan.segments(); ++segment)
    {
        if (plan.segments() > 1)
        {
            const std::size_t first = emitter.operations().size();
            emitter.work_on(0);
            emitter.emit_weights(segment);
            barrier.close(emitter.operations(), first);
        }
        for (std::uint32_t image = 0; image < (flows ? 1 : images); ++image)
        {
            emitter.work_on(image);
            for (const std::size_t stage : stages)
            {
                if (plan.segment_of_stage(stage) != segment)
                {
                    continue;
                }
                const std::size_t first = emitter.operations().size();
                begins.push_back(first);
                const Pipeline& its = buffers.pipeline(stage);
                buffers.emit(emitter, plan, stage, its);
                buffers.bound_stage(emitter, stage, first);
                barrier.close(emitter.operations(), first,
                              its.in_flight < its.images ? its.in_flight : Barrier::kAll);
            }
        }
    }
    return begins;
}

/// The whole way, for a graph and options that are settled.
Compiled program(const Graph& graph, const config::ChipConfig& chip, const Options& options)
{
    Reporter reporter(options.monitor);
    reporter.begin("placing weights", 0);
    Plan plan(graph, chip, schedule(options.schedule), options.plan);
    const BufferPlan buffers(plan, options.images, &reporter);

    Emitter emitter(plan, &buffers.deliveries());
    static_cast<void>(emit_all(plan, buffers, options.images, emitter, reporter));
    reporter.begin("completing operations", 0);
    Compiled result;
    result.pipeline = pipeline(plan, buffers, emitter);
    result.buffers = costs(plan, buffers, emitter);
    result.divided = divided_sets(plan);
    for (const Stage& stage : plan.stages())
    {
        result.computed += static_cast<std::uint32_t>(stage.size());
    }
    result.trace = std::move(emitter.operations());
    result.trace.header = describe(plan, options);
    count_uses(result.trace, emitter);
    tidy(result.trace);
    list_units(plan, emitter, result.trace);
    return result;
}

/// What one image takes with sets as fine as this; more that follow it at the pace of the busiest
/// unit.
Outlook outlook(const Graph& graph, const config::ChipConfig& chip, Options options,
                const Fineness& fineness)
{
    const std::uint32_t images = std::exchange(options.images, 1);
    options.plan.fineness = fineness;
    Outlook result;
    try
    {
        Reporter reporter(options.monitor);
        Plan plan(graph, chip, schedule(options.schedule), options.plan);
        const BufferPlan buffers(plan, 1, &reporter);
        Emitter emitter(plan, &buffers.deliveries());
        const std::vector<std::size_t> begins = emit_all(plan, buffers, 1, emitter, reporter);
        const Forecast forecast(emitter);
        result.operations = emitter.operations().size();
        result.time = forecast.makespan();
        if (plan.schedule().as_soon_as_possible())
        {
            result.time += (images - 1) * forecast.work(forecast.busiest());
        }
        Tick before = 0;
        for (std::size_t stage = 0; stage < begins.size(); ++stage)
        {
            const std::size_t end =
                stage + 1 < begins.size() ? begins[stage + 1] : result.operations;
            Tick until = before;
            for (std::size_t i = begins[stage]; i < end; ++i)
            {
                until = std::max(until, forecast.end(OpId(i)));
            }
            result.of_stage.push_back(until - before);
            before = until;
        }
        for (std::uint32_t i = 0; i < graph.size(); ++i)
        {
            result.ran.push_back(plan[LayerId(i)].level);
        }
    }
    catch (const InputError&)
    {
        // These do not fit; where whole sets do not either, the program says so.
    }
    return result;
}

} // namespace

Compiled compile_and_plan(const network::Network& network, const config::ChipConfig& chip,
                          const Options& options)
{
    if (options.images == 0)
    {
        throw UsageError("there is nothing to do for 0 images; give at least 1");
    }
    const Graph graph(network, chip);
    auto [chosen, plans] = decide(graph, chip, options);
    const Placement& policy = placement(chip);
    if (policy.asks_for_traffic() && options.plan.tiles.empty())
    {
        chosen.plan.tiles = policy.order(chip, {});
        chosen.images = 1;
        chosen.plan.tiles = policy.order(chip, traffic(program(graph, chip, chosen).trace));
        chosen.images = options.images;
    }
    Compiled result = program(graph, chip, chosen);
    result.plans = plans;
    return result;
}

Decided decide(const Graph& graph, const config::ChipConfig& chip, Options options)
{
    const Schedule& its = schedule(options.schedule);
    options.plan.images = options.images;
    options.plan = settled(graph, chip, its, options.plan);
    if (options.plan.sets != "auto" || !options.plan.fineness.empty())
    {
        return {std::move(options), 0};
    }
    SetSizes sizes =
        choose_set_sizes(Plan(graph, chip, its, options.plan), [&](const Fineness& fineness)
                         { return outlook(graph, chip, options, fineness); });
    options.plan.fineness = std::move(sizes.fineness);
    if (options.plan.duplicate != "none")
    {
        // There may be more copies of a layer than it has rows, and each may have less to do.
        Options by_pixels = options;
        by_pixels.plan.by_pixels = true;
        by_pixels.plan.fineness.assign(graph.size(), 0);
        ++sizes.plans;
        if (worthwhile(outlook(graph, chip, by_pixels, by_pixels.plan.fineness).time, sizes.time))
        {
            options = std::move(by_pixels);
        }
    }
    return {std::move(options), sizes.plans};
}

std::vector<MappingReport::Divided> divided_sets(const Plan& plan)
{
    std::vector<MappingReport::Divided> result;
    for (const Stage& stage : plan.stages())
    {
        for (const LayerId id : stage)
        {
            const Grid& grid = plan[id].grid;
            const SetShape whole = plan.whole_set(id);
            if (grid.chunk < whole.rows || grid.segment < whole.columns)
            {
                result.push_back({plan.graph().layer(id).name, whole.rows, whole.columns,
                                  grid.chunk, grid.segment,
                                  plan.level_asked(id) == plan[id].level});
            }
        }
    }
    return result;
}

trace::Trace compile(const network::Network& network, const config::ChipConfig& chip,
                     const Options& options)
{
    return compile_and_plan(network, chip, options).trace.expanded();
}

} // namespace tessera::compiler
