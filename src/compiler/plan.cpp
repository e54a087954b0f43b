// SPDX-License-Identifier: Apache-2.0
#include "compiler/plan.h"

#include "compiler/mapping.h"
#include "tessera/error.h"

#include <algorithm>
#include <map>
#include <string>

namespace tessera::compiler
{
namespace
{

using network::LayerKind;

/// Rows of a sequence (width 1) that one operation handles: single tokens would be very many
/// operations of hardly any work.
constexpr std::uint32_t kSequenceChunk = 16;

std::uint8_t ceil_log2(std::uint64_t value)
{
    std::uint8_t bits = 0;
    while ((std::uint64_t{1} << bits) < value)
    {
        ++bits;
    }
    return bits;
}

void check_widths(const Graph& graph, const config::ChipConfig& chip)
{
    const auto check = [&](std::uint32_t needed, std::uint32_t given, const char* key)
    {
        if (needed > given)
        {
            throw InputError({chip.name, 0, std::string("/macro/") + key},
                             "is " + std::to_string(given) + ", but network '" +
                                 graph.network().name + "' has " + std::to_string(needed) + " bits",
                             "raise it, or quantise the network to " + std::to_string(given) +
                                 " bits");
        }
    };
    check(graph.network().activation_bits, chip.macro.input_bits, "input_bits");
    check(graph.network().weight_bits, chip.macro.weight_bits, "weight_bits");
}

/// Neighbouring groups in one tile become one.
std::vector<Group> merged(const std::vector<Group>& groups)
{
    std::vector<Group> result;
    for (const Group& group : groups)
    {
        if (!result.empty() && result.back().tile == group.tile)
        {
            result.back().channels.end = group.channels.end;
        }
        else
        {
            result.push_back(group);
        }
    }
    return result;
}

} // namespace

Volume Grid::task(std::uint32_t index) const
{
    const std::uint32_t row = index / segments() * chunk;
    const std::uint32_t column = index % segments() * segment;
    return {{row, std::min(row + chunk, shape.height)},
            {column, std::min(column + segment, shape.width)},
            {0, shape.channels}};
}

Volume Grid::datum(std::size_t index) const
{
    Volume volume = task(static_cast<std::uint32_t>(index / groups.size()));
    volume.channels = groups[group_of(index)].channels;
    return volume;
}

std::uint64_t Grid::bytes(std::size_t index) const
{
    return (datum(index).elements() * bits + 7) / 8;
}

void Grid::overlapping(const Volume& volume, std::vector<std::size_t>& data) const
{
    const auto first_group = static_cast<std::size_t>(
        std::upper_bound(groups.begin(), groups.end(), volume.channels.begin,
                         [](std::uint32_t channel, const Group& group)
                         { return channel < group.channels.end; }) -
        groups.begin());
    for (std::uint32_t row = volume.rows.begin / chunk; row * chunk < volume.rows.end; ++row)
    {
        for (std::uint32_t column = volume.columns.begin / segment;
             column * segment < volume.columns.end; ++column)
        {
            const std::size_t task = std::size_t{row} * segments() + column;
            for (std::size_t g = first_group;
                 g < groups.size() && groups[g].channels.begin < volume.channels.end; ++g)
            {
                data.push_back(task * groups.size() + g);
            }
        }
    }
}

std::uint32_t Grid::tasks_until(const Volume& volume) const
{
    return (volume.rows.end - 1) / chunk * segments() + (volume.columns.end - 1) / segment + 1;
}

Plan::Plan(const Graph& graph, const config::ChipConfig& chip, const Schedule& schedule)
    : graph_(graph), chip_(chip), layers_(graph.size()), stages_(schedule.stages(graph))
{
    check_widths(graph, chip);
    place_blocks();
    std::vector<std::vector<Group>> groups(graph.size()); // views and fused layers too
    for (std::uint32_t i = 0; i < graph.size(); ++i)
    {
        const LayerId id(i);
        const network::Layer& layer = graph.layer(id);
        Grid& grid = layers_[i].grid;
        grid.shape = layer.output;
        grid.bits = static_cast<std::uint8_t>(graph.network().activation_bits);
        grid.segment = grid.shape.width;
        if (graph.role(id) == Role::memory)
        {
            grid.groups = {{{0, grid.shape.channels}, NodeId::none()}};
        }
        else if (graph.role(id) == Role::vector)
        {
            grid.groups = vector_groups(id, groups[layer.inputs.front().index()]);
        }
        groups[i] = graph.has_data(id) ? grid.groups : groups_read(id, groups);
        layers_[i].natural_chunk = natural_chunk(id);
        grid.chunk = layers_[i].natural_chunk;
    }
    for (std::uint32_t stage = 0; stage < stages_.size(); ++stage)
    {
        for (const LayerId id : stages_[stage])
        {
            layers_[id.index()].stage = stage;
            layers_[id.index()].last_stage = stage;
        }
    }
    trace_readers();
}

void Plan::place_blocks()
{
    std::vector<LayerId> crossbar_layers;
    std::vector<std::vector<MatrixBlock>> matrices;
    std::vector<std::size_t> counts;
    for (std::uint32_t i = 0; i < graph_.size(); ++i)
    {
        if (graph_.role(LayerId(i)) == Role::crossbar)
        {
            crossbar_layers.emplace_back(i);
            matrices.push_back(cut(graph_.network(), graph_.layer(LayerId(i)), chip_.macro));
            counts.push_back(matrices.back().size());
            block_count_ += counts.back();
        }
    }
    const std::uint64_t macros = std::uint64_t{chip_.tile_count()} * chip_.tiles.macros;
    if (block_count_ > macros)
    {
        throw InputError(
            {chip_.name, 0, "/tiles"},
            "network '" + graph_.network().name + "' needs " + std::to_string(block_count_) +
                " macros of " + std::to_string(chip_.macro.rows) + "x" +
                std::to_string(chip_.macro.columns) + ", the chip has " + std::to_string(macros),
            "give it more tiles or macros (" + std::to_string(block_count_ - macros) +
                " are missing), larger macros, or fewer kinds in "
                "mapping.on_crossbar");
    }
    const std::vector<Slot> slots = placement(chip_).place(counts, chip_);
    std::uint32_t next = 0;
    for (std::size_t i = 0; i < crossbar_layers.size(); ++i)
    {
        LayerPlan& plan = layers_[crossbar_layers[i].index()];
        std::map<NodeId, std::size_t> in_tile;
        const auto close_group = [&]
        {
            // Most partial sums are already there: the fewest have to travel.
            const auto most =
                std::max_element(in_tile.begin(), in_tile.end(),
                                 [](const auto& a, const auto& b) { return a.second < b.second; });
            plan.grid.groups.back().tile = most->first;
            in_tile.clear();
        };
        for (const MatrixBlock& block : matrices[i])
        {
            if (block.rows.begin == 0)
            {
                if (!in_tile.empty())
                {
                    close_group();
                }
                plan.grid.groups.push_back({block.columns, NodeId::none()});
            }
            PlacedBlock placed{BlockId(next), block.rows, slots[next], 0};
            placed.bits = static_cast<std::uint8_t>(
                chip_.macro.input_bits + chip_.macro.weight_bits + ceil_log2(block.rows.size()));
            ++in_tile[placed.slot.tile];
            plan.blocks.push_back(placed);
            ++next;
        }
        close_group();
    }
}

/// Channel groups of the data that consumers of a fused layer or view read; `known`: of the layers
/// before.
std::vector<Group> Plan::groups_read(LayerId id, const std::vector<std::vector<Group>>& known) const
{
    const network::Layer& layer = graph_.layer(id);
    if (layer.kind == LayerKind::concat && layer.axis != "height")
    {
        std::vector<Group> all;
        std::uint32_t offset = 0;
        for (const LayerId input : layer.inputs)
        {
            for (Group group : known[input.index()])
            {
                group.channels = {group.channels.begin + offset, group.channels.end + offset};
                all.push_back(group);
            }
            offset += graph_.layer(input).output.channels;
        }
        return merged(all);
    }
    const std::vector<Group>& its = known[layer.inputs.front().index()];
    if (layer.kind == LayerKind::split)
    {
        std::vector<Group> part;
        for (const Group& group : its)
        {
            const Extent kept = group.channels.clipped({layer.channel_begin, layer.channel_end});
            if (!kept.empty())
            {
                part.push_back({{kept.begin - layer.channel_begin, kept.end - layer.channel_begin},
                                group.tile});
            }
        }
        return part;
    }
    if (layer.output.channels != its.back().channels.end)
    {
        return {{{0, layer.output.channels}, its.front().tile}};
    }
    return its;
}

/// A vector layer works where its first operand is made; one that mixes channels, or finds its
/// operand in memory, in one tile.
std::vector<Group> Plan::vector_groups(LayerId id, const std::vector<Group>& operand) const
{
    const network::Layer& layer = graph_.layer(id);
    std::vector<Group> groups = operand;
    for (Group& group : groups)
    {
        if (!group.tile.valid())
        {
            group.tile = NodeId(0);
        }
    }
    if (!graph_.channelwise(id) || groups.back().channels.end != layer.output.channels)
    {
        return {{{0, layer.output.channels}, groups.front().tile}};
    }
    return merged(groups);
}

std::uint32_t Plan::natural_chunk(LayerId id) const
{
    const network::Layer& layer = graph_.layer(id);
    if (layer.output.width == 1)
    {
        return std::min(kSequenceChunk, layer.output.height);
    }
    // Attention scores are as wide as there are heads, but rows are still tokens.
    const bool keeps_rows = layer.kind == LayerKind::matmul || layer.kind == LayerKind::softmax ||
                            layer.kind == LayerKind::activation || layer.kind == LayerKind::add ||
                            layer.kind == LayerKind::mul;
    if (keeps_rows && graph_.network().input_shape(layer).height == layer.output.height)
    {
        return layers_[graph_.head(layer.inputs.front()).index()].natural_chunk;
    }
    return 1;
}

void Plan::trace_readers()
{
    std::vector<Region> regions;
    for (const Stage& stage : stages_)
    {
        for (const LayerId id : stage)
        {
            regions.clear();
            for (const LayerId input : graph_.layer(id).inputs)
            {
                graph_.resolve(input, Volume::of(graph_.layer(input).output), regions);
            }
            for (const Region& region : regions)
            {
                LayerPlan& producer = layers_[region.layer.index()];
                producer.last_stage = std::max(producer.last_stage, layers_[id.index()].stage);
            }
        }
    }
    regions.clear();
    for (const LayerId id : graph_.network().outputs)
    {
        graph_.resolve(id, Volume::of(graph_.layer(id).output), regions);
    }
    for (const Region& region : regions)
    {
        layers_[region.layer.index()].leaves = true;
    }
}

void Plan::set_level(std::size_t stage, std::uint32_t level)
{
    for (const LayerId id : stages_[stage])
    {
        Grid& grid = layers_[id.index()].grid;
        const std::uint32_t parts = std::uint32_t{1}
                                    << std::min(level, std::uint32_t{16}); // extents end at 65536
        grid.chunk = std::max(layers_[id.index()].natural_chunk / parts, 1U);
        grid.segment = (grid.shape.width + parts - 1) / parts;
    }
}

std::uint32_t Plan::finest_level(std::size_t stage) const
{
    std::uint8_t level = 0;
    for (const LayerId id : stages_[stage])
    {
        level = std::max({level, ceil_log2(layers_[id.index()].grid.shape.width),
                          ceil_log2(layers_[id.index()].natural_chunk)});
    }
    return level;
}

} // namespace tessera::compiler
