// SPDX-License-Identifier: Apache-2.0
#include "compiler/report.h"

#include "compiler/mapping.h"
#include "compiler/traffic.h"

#include <algorithm>
#include <map>
#include <vector>

namespace tessera::compiler
{

namespace
{

/// How many of a macro's blocks need the same cell, at most: so often its contents change.
std::uint64_t most_in_one_cell(const std::vector<const trace::Block*>& blocks)
{
    // Where most rectangles meet, one of them begins in each direction.
    std::uint64_t most = 0;
    for (const trace::Block* above : blocks)
    {
        for (const trace::Block* left : blocks)
        {
            trace::Block cell;
            cell.at = above->at;
            cell.row_at = above->row_at;
            cell.column_at = left->column_at;
            cell.row_end = cell.column_end = 1;
            const auto holds = [&cell](const trace::Block* block)
            { return trace::overlap(cell, *block); };
            most = std::max(most, static_cast<std::uint64_t>(
                                      std::count_if(blocks.begin(), blocks.end(), holds)));
        }
    }
    return most;
}

/// Layers and the crossbars that hold them.
void add_placement(const trace::Header& header, const network::Network& network,
                   const config::ChipConfig& chip, MappingReport& result)
{
    const double cells = static_cast<double>(chip.macro.rows) * chip.macro.columns;
    std::map<LayerId, MappingReport::Layer> layers;
    std::map<UnitId, std::vector<const trace::Block*>> macros;
    for (const trace::Block& block : header.blocks)
    {
        MappingReport::Layer& layer = layers[block.layer];
        layer.name = network[block.layer].name;
        layer.copies = std::max(layer.copies, block.copy + 1);
        ++layer.blocks;
        layer.weights +=
            weights_in({{block.row_begin, block.row_end}, {block.column_begin, block.column_end}},
                       weight_matrix(network, network[block.layer]));
        macros[block.at].push_back(&block);
    }
    for (auto& [id, layer] : layers)
    {
        layer.occupancy =
            static_cast<double>(layer.weights) / (cells * static_cast<double>(layer.blocks));
        result.weights += layer.weights;
        result.layers.push_back(layer);
    }
    result.crossbars = macros.size();
    std::uint64_t fillings = 0;
    for (const auto& [macro, blocks] : macros)
    {
        const std::uint64_t its = most_in_one_cell(blocks);
        fillings += its;
        result.writes = std::max(result.writes, its);
    }
    result.occupancy = fillings == 0 ? 0
                                     : static_cast<double>(result.weights) /
                                           (cells * static_cast<double>(fillings));
}

} // namespace

MappingReport report(const trace::Trace& trace, const network::Network& network,
                     const config::ChipConfig& chip)
{
    MappingReport result;
    add_placement(trace.header, network, chip, result);
    std::uint32_t segments = 0;
    bool writing = false;
    for (const trace::Operation& operation : trace.operations)
    {
        result.images = std::max(result.images, operation.image + 1);
        if (operation.kind == trace::OpKind::program)
        {
            segments += writing ? 0 : 1;
            writing = true;
            const trace::Block& block = trace.header.blocks[operation.block.index()];
            result.cells_written += std::uint64_t{operation.n} *
                                    (block.column_end - block.column_begin) *
                                    chip.macro.cells_per_weight;
        }
        else if (operation.kind != trace::OpKind::load || operation.tensor.valid())
        {
            writing = false;
        }
    }
    result.segments = std::max(segments, 1U);
    // Every block is written once, before its segment.
    result.writes = segments == 0 ? 0 : result.writes;
    result.write_energy = result.cells_written * chip.macro.program.cell_energy;
    result.endurance =
        chip.macro.program.endurance == config::kUnlimited ? 0 : chip.macro.program.endurance;
    const std::vector<Flow> flows = traffic(trace);
    for (const Flow& flow : flows)
    {
        result.bytes_sent += flow.bytes;
    }
    result.byte_hops = byte_hops(flows, chip);
    return result;
}

} // namespace tessera::compiler
