// SPDX-License-Identifier: Apache-2.0
#include "compiler/report.h"

#include "compiler/mapping.h"
#include "compiler/traffic.h"
#include "config/cells.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>
#include <vector>

namespace tessera::compiler
{

namespace
{

/// A block, and how often it is written, or simply counts.
struct Weighed
{
    const trace::Block* block = nullptr;
    std::uint64_t weight = 1;
};

/// Sum of the weights of a macro's blocks that need the same cell, at most.
std::uint64_t most_in_one_cell(const std::vector<Weighed>& blocks)
{
    // Where most rectangles meet, one of them begins in each direction.
    std::uint64_t most = 0;
    for (const Weighed& above : blocks)
    {
        for (const Weighed& left : blocks)
        {
            trace::Block cell;
            cell.at = above.block->at;
            cell.row_at = above.block->row_at;
            cell.column_at = left.block->column_at;
            cell.row_end = cell.column_end = 1;
            std::uint64_t its = 0;
            for (const Weighed& each : blocks)
            {
                its += trace::overlap(cell, *each.block) ? each.weight : 0;
            }
            most = std::max(most, its);
        }
    }
    return most;
}

/// Not weights, but the second operand of a product of feature maps.
bool holds_operand(const trace::Block& block, const network::Network& network)
{
    return network[block.layer].kind == network::LayerKind::matmul;
}

/// Layers and the crossbars that hold them.
void add_placement(const trace::Header& header, const network::Network& network,
                   const config::ChipConfig& chip, MappingReport& result)
{
    const double cells = static_cast<double>(chip.macro.rows) * chip.macro.columns;
    std::map<LayerId, MappingReport::Layer> layers;
    std::set<UnitId> taken;
    std::map<UnitId, std::vector<Weighed>> macros; // with weights
    for (const trace::Block& block : header.blocks)
    {
        if (chip.is_digital(header.units[block.at.index()].node.value()))
        {
            continue;
        }
        taken.insert(block.at);
        if (holds_operand(block, network))
        {
            continue;
        }
        MappingReport::Layer& layer = layers[block.layer];
        layer.name = network[block.layer].name;
        layer.copies = std::max(layer.copies, block.copy + 1);
        ++layer.blocks;
        layer.weights += block.replicas * weights_in({{block.row_begin, block.row_end},
                                                      {block.column_begin, block.column_end}},
                                                     weight_matrix(network, network[block.layer]));
        macros[block.at].push_back({&block});
    }
    for (auto& [id, layer] : layers)
    {
        layer.occupancy =
            static_cast<double>(layer.weights) / (cells * static_cast<double>(layer.blocks));
        result.weights += layer.weights;
        result.layers.push_back(layer);
    }
    result.crossbars = taken.size();
    std::uint64_t fillings = 0;
    for (const auto& [macro, blocks] : macros)
    {
        fillings += most_in_one_cell(blocks);
    }
    result.occupancy = fillings == 0 ? 0
                                     : static_cast<double>(result.weights) /
                                           (cells * static_cast<double>(fillings));
}

/// Writes to crossbars: how many cells, and how often the same.
template <typename Operations>
void add_writes(const trace::Header& header, const Operations& operations,
                const network::Network& network, const config::ChipConfig& chip,
                MappingReport& result)
{
    std::vector<std::uint64_t> rows(header.blocks.size(), 0);
    for (const auto& operation : operations)
    {
        const NodeId tile = header.units[operation.at.index()].node;
        if (operation.kind == trace::OpKind::program && !chip.is_digital(tile.value()))
        {
            rows[operation.block.index()] += operation.n;
        }
    }
    std::map<UnitId, std::vector<Weighed>> macros;
    for (std::size_t i = 0; i < rows.size(); ++i)
    {
        const trace::Block& block = header.blocks[i];
        if (rows[i] == 0)
        {
            continue;
        }
        // A row is written where its replica lies: cells off the diagonal are left as made.
        const std::uint64_t cells =
            rows[i] * config::cells_in_row(chip.macro, block.column_end - block.column_begin);
        result.cells_written += cells;
        result.weights_written += holds_operand(block, network) ? 0 : cells;
        macros[block.at].push_back({&block, rows[i] / block.height()});
    }
    for (const auto& [macro, blocks] : macros)
    {
        result.writes = std::max(result.writes, most_in_one_cell(blocks));
    }
    result.write_energy = result.cells_written * chip.macro.program.cell_energy;
    result.endurance =
        chip.macro.program.endurance == config::kUnlimited ? 0 : chip.macro.program.endurance;
}

/// All but what the operands take.
MappingReport::Attention products_of(const network::Network& network,
                                     const config::ChipConfig& chip)
{
    MappingReport::Attention result;
    result.way = chip.mapping.attention;
    for (const network::Layer& layer : network.layers)
    {
        if (layer.kind == network::LayerKind::matmul)
        {
            ++result.products;
            result.macs += layer.macs;
        }
    }
    return result;
}

/// Every block is written once per image, whatever the schedule.
void add_operand(std::uint64_t rows, std::uint64_t columns, const config::ChipConfig::Macro& macro,
                 MappingReport::Attention& result)
{
    ++result.macros;
    result.weights += rows * columns;
    result.cells += rows * config::cells_in_row(macro, columns);
    result.energy = result.cells * macro.program.cell_energy;
    result.writes = 1;
    result.endurance = macro.program.endurance == config::kUnlimited ? 0 : macro.program.endurance;
}

} // namespace

MappingReport::Attention attention(const Plan& plan)
{
    const Graph& graph = plan.graph();
    MappingReport::Attention result = products_of(graph.network(), plan.chip());
    for (std::uint32_t i = 0; i < graph.size(); ++i)
    {
        for (const PlacedBlock& block : plan[LayerId(i)].blocks)
        {
            if (graph.dynamic(LayerId(i)))
            {
                add_operand(block.rows.size(), block.columns.size(), plan.macro_of(LayerId(i)),
                            result);
            }
        }
    }
    return result;
}

nlohmann::ordered_json attention_json(const MappingReport::Attention& attention)
{
    // 0 stands for cells that do not wear out, or are not written.
    const auto limit = [](std::uint64_t value)
    { return value == 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(value); };
    return {{"way", attention.way},
            {"products", attention.products},
            {"macs", attention.macs},
            {"macros", attention.macros},
            {"weights_per_image", attention.weights},
            {"cells_per_image", attention.cells},
            {"writes_per_cell_and_image", attention.writes},
            {"energy_aj_per_image", attention.energy},
            {"endurance", limit(attention.endurance)},
            {"lifetime_images", limit(attention.lifetime())}};
}

std::string attention_text(const nlohmann::ordered_json& attention)
{
    const std::string way = attention["way"];
    const auto count = [&attention](const char* key)
    { return attention[key].get<std::uint64_t>(); };
    if (count("products") == 0)
    {
        return "";
    }
    const std::string what =
        fmt::format("{} products, {} MACs; ", count("products"), count("macs"));
    if (way == "vector")
    {
        return "attention on vector units: " + what + "nothing is written\n";
    }
    const bool crossbars = way == "crossbar";
    const std::uint64_t writes = count("writes_per_cell_and_image");
    const std::uint64_t lifetime =
        attention["lifetime_images"].is_null() ? 0 : count("lifetime_images");
    return fmt::format(
        "attention in {} {}: {}{} {} are written per image, {:.6g} mJ; {}\n", count("macros"),
        crossbars ? "crossbars" : "digital macros", what,
        count(crossbars ? "cells_per_image" : "weights_per_image"), crossbars ? "cells" : "weights",
        static_cast<double>(count("energy_aj_per_image")) * 1e-15,
        lifetime == 0
            ? "they do not wear out"
            : fmt::format("each {}, which lasts for {} images",
                          writes == 1 ? "once" : fmt::format("{} times", writes), lifetime));
}

nlohmann::ordered_json divided_json(const std::vector<MappingReport::Divided>& divided)
{
    nlohmann::ordered_json result = nlohmann::ordered_json::array();
    for (const MappingReport::Divided& its : divided)
    {
        result.push_back({{"layer", its.layer},
                          {"set", {its.rows, its.columns}},
                          {"part", {its.part_rows, its.part_columns}},
                          {"chosen", its.chosen}});
    }
    return result;
}

std::string divided_text(const nlohmann::ordered_json& divided, std::uint32_t computed,
                         std::uint32_t plans)
{
    const auto most = [&divided](bool chosen)
    {
        // How many layers, and the one that is divided most.
        std::pair<std::size_t, std::string> result;
        double ratio = 0;
        for (const nlohmann::ordered_json& its : divided)
        {
            if (its["chosen"].get<bool>() != chosen)
            {
                continue;
            }
            ++result.first;
            const auto side = [&its](const char* key, std::size_t k)
            { return its[key][k].get<std::uint32_t>(); };
            const double parts = static_cast<double>(side("set", 0)) * side("set", 1) /
                                 side("part", 0) / side("part", 1);
            if (parts > ratio)
            {
                ratio = parts;
                result.second = fmt::format("{} {}x{} at a time instead of {}x{}",
                                            its["layer"].get<std::string>(), side("part", 0),
                                            side("part", 1), side("set", 0), side("set", 1));
            }
        }
        return result;
    };
    const auto [by_buffers, worst] = most(false);
    const auto [by_choice, finest] = most(true);
    std::string text;
    if (plans != 0)
    {
        text = fmt::format("sets: the best of {} plans divides {} of {} layers{}", plans, by_choice,
                           computed, by_choice == 0 ? "" : ", most of all " + finest);
    }
    if (by_buffers != 0)
    {
        text += text.empty() ? "sets: " : "; ";
        text +=
            fmt::format("buffers have no room for whole ones in {} of {} layers, least of all {}",
                        by_buffers, computed, worst);
    }
    return text.empty() ? text : text + '\n';
}

namespace
{

template <typename Operations>
MappingReport report(const trace::Header& header, const Operations& operations,
                     const std::vector<Flow>& flows, const network::Network& network,
                     const config::ChipConfig& chip)
{
    MappingReport result;
    add_placement(header, network, chip, result);
    add_writes(header, operations, network, chip, result);
    result.attention = products_of(network, chip);
    for (const trace::Block& block : header.blocks)
    {
        if (holds_operand(block, network))
        {
            const NodeId tile = header.units[block.at.index()].node;
            add_operand(block.row_end - block.row_begin, block.column_end - block.column_begin,
                        chip.macro_of(tile.value()), result.attention);
        }
    }
    std::uint32_t segments = 0;
    bool writing = false;
    for (const auto& operation : operations)
    {
        result.images = std::max(result.images, operation.image + 1);
        if (operation.kind == trace::OpKind::program && !operation.tensor.valid())
        {
            segments += writing ? 0 : 1;
            writing = true;
        }
        else if (operation.kind != trace::OpKind::load || operation.tensor.valid())
        {
            writing = false;
        }
    }
    result.segments = std::max(segments, 1U);
    for (const Flow& flow : flows)
    {
        result.bytes_sent += flow.bytes;
    }
    result.byte_hops = byte_hops(flows, chip);
    return result;
}

} // namespace

MappingReport report(const trace::Trace& trace, const network::Network& network,
                     const config::ChipConfig& chip)
{
    return report(trace.header, trace.operations, traffic(trace), network, chip);
}

MappingReport report(const trace::CompactTrace& trace, const network::Network& network,
                     const config::ChipConfig& chip)
{
    return report(trace.header, trace, traffic(trace), network, chip);
}

} // namespace tessera::compiler
