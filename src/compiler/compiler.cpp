// SPDX-License-Identifier: Apache-2.0
#include "compiler/compiler.h"

#include "base/interrupt.h"
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

using trace::Operation;

/// Every operand slot is one use of the datum in the reader's tile.
void count_uses(const Emitter& emitter, std::vector<Operation>& operations)
{
    for (const Operation& reader : operations)
    {
        throw_if_interrupted();
        const NodeId tile = emitter.node_of(reader.at);
        for (const OpId in : reader.in)
        {
            Operation& made = operations[in.index()];
            if (made.to.empty())
            {
                ++made.uses;
                continue;
            }
            for (trace::Destination& destination : made.to)
            {
                destination.uses += destination.at == tile ? 1 : 0;
            }
        }
    }
}

/// No edge twice, none that an operand implies already. (A transfer to several tiles has not ended
/// when it has arrived at one.)
void tidy(std::vector<Operation>& operations)
{
    for (Operation& operation : operations)
    {
        throw_if_interrupted();
        std::vector<OpId>& after = operation.after;
        std::sort(after.begin(), after.end());
        after.erase(std::unique(after.begin(), after.end()), after.end());
        const auto implied = [&](OpId id)
        {
            return operations[id.index()].to.size() < 2 &&
                   std::find(operation.in.begin(), operation.in.end(), id) != operation.in.end();
        };
        after.erase(std::remove_if(after.begin(), after.end(), implied), after.end());
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
void list_units(const Plan& plan, const Emitter& emitter, trace::Trace& trace)
{
    std::vector<UnitId> number(emitter.unit_count());
    for (const Operation& operation : trace.operations)
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
    for (Operation& operation : trace.operations)
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

/// Emits everything as planned; returns the first operation of every stage, and of every time that
/// it comes again.
std::vector<std::size_t> emit_all(const Plan& plan, const BufferPlan& buffers, std::uint32_t images,
                                  Emitter& emitter)
{
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
    Plan plan(graph, chip, schedule(options.schedule), options.plan);
    const BufferPlan buffers(plan, options.images);

    Emitter emitter(plan, &buffers.deliveries());
    (void)emit_all(plan, buffers, options.images, emitter);
    Compiled result;
    result.pipeline = pipeline(plan, buffers, emitter);
    result.buffers = costs(plan, buffers, emitter);
    result.divided = divided_sets(plan);
    for (const Stage& stage : plan.stages())
    {
        result.computed += static_cast<std::uint32_t>(stage.size());
    }
    result.trace.header = describe(plan, options);
    result.trace.operations = std::move(emitter.operations());
    count_uses(emitter, result.trace.operations);
    tidy(result.trace.operations);
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
        Plan plan(graph, chip, schedule(options.schedule), options.plan);
        const BufferPlan buffers(plan, 1);
        Emitter emitter(plan, &buffers.deliveries());
        const std::vector<std::size_t> begins = emit_all(plan, buffers, 1, emitter);
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
    const SetSizes sizes =
        choose_set_sizes(Plan(graph, chip, its, options.plan), [&](const Fineness& fineness)
                         { return outlook(graph, chip, options, fineness); });
    options.plan.fineness = sizes.fineness;
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
            if (grid.chunk < grid.set.rows || grid.segment < grid.set.columns)
            {
                result.push_back({plan.graph().layer(id).name, grid.set.rows, grid.set.columns,
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
    return compile_and_plan(network, chip, options).trace;
}

} // namespace tessera::compiler
