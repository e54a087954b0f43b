// SPDX-License-Identifier: Apache-2.0
#include "compiler/traffic.h"

#include <map>
#include <utility>

namespace tessera::compiler
{
GridPlace grid_place(const config::ChipConfig& chip, NodeId node)
{
    const std::uint32_t tiles = chip.tile_count();
    return node.value() < tiles
               ? GridPlace{node.value() / chip.tiles.columns, node.value() % chip.tiles.columns}
               : GridPlace{chip.row_of_port(node.value() - tiles), 0};
}

namespace
{

using Sums = std::map<std::pair<NodeId, NodeId>, std::uint64_t>; ///< bytes

std::vector<Flow> flows(const Sums& bytes)
{
    std::vector<Flow> result;
    for (const auto& [ends, sum] : bytes)
    {
        result.push_back({ends.first, ends.second, sum});
    }
    return result;
}

} // namespace

std::vector<Flow> traffic(const trace::Trace& trace)
{
    Sums bytes;
    for (const trace::Operation& operation : trace.operations)
    {
        const NodeId from = trace.header.units[operation.at.index()].node;
        for (const trace::Destination& destination : operation.to)
        {
            bytes[{from, destination.at}] += operation.bytes;
        }
    }
    return flows(bytes);
}

std::vector<Flow> traffic(const trace::CompactTrace& trace)
{
    Sums bytes;
    for (const trace::CompactOperation& operation : trace)
    {
        const NodeId from = trace.header.units[operation.at.index()].node;
        trace.for_each_arrival(operation,
                               [&](trace::CompactTrace::Arrival arrival) {
                                   bytes[{from, trace.destination(arrival).at}] += operation.bytes;
                               });
    }
    return flows(bytes);
}

std::uint64_t byte_hops(const std::vector<Flow>& traffic, const config::ChipConfig& chip)
{
    std::uint64_t sum = 0;
    for (const Flow& flow : traffic)
    {
        sum += flow.bytes * hops(grid_place(chip, flow.from), grid_place(chip, flow.to));
    }
    return sum;
}

} // namespace tessera::compiler
