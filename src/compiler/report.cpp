// SPDX-License-Identifier: Apache-2.0
#include "compiler/report.h"

#include "compiler/mapping.h"
#include "compiler/traffic.h"

#include <algorithm>
#include <map>
#include <set>

namespace tessera::compiler
{

MappingReport report(const trace::Trace& trace, const network::Network& network,
                     const config::ChipConfig& chip)
{
    MappingReport result;
    const double cells = static_cast<double>(chip.macro.rows) * chip.macro.columns;
    std::map<LayerId, MappingReport::Layer> layers;
    std::set<UnitId> macros;
    for (const trace::Block& block : trace.header.blocks)
    {
        MappingReport::Layer& layer = layers[block.layer];
        layer.name = network[block.layer].name;
        layer.copies = std::max(layer.copies, block.copy + 1);
        ++layer.blocks;
        layer.weights +=
            weights_in({{block.row_begin, block.row_end}, {block.column_begin, block.column_end}},
                       weight_matrix(network, network[block.layer]));
        macros.insert(block.at);
    }
    for (auto& [id, layer] : layers)
    {
        layer.occupancy =
            static_cast<double>(layer.weights) / (cells * static_cast<double>(layer.blocks));
        result.weights += layer.weights;
        result.layers.push_back(layer);
    }
    result.crossbars = macros.size();
    result.occupancy = macros.empty() ? 0
                                      : static_cast<double>(result.weights) /
                                            (cells * static_cast<double>(macros.size()));
    const std::vector<Flow> flows = traffic(trace);
    for (const Flow& flow : flows)
    {
        result.bytes_sent += flow.bytes;
    }
    result.byte_hops = byte_hops(flows, chip);
    return result;
}

} // namespace tessera::compiler
