// SPDX-License-Identifier: Apache-2.0
#include "noc/geometry.h"

namespace tessera::noc
{
namespace
{

std::uint32_t distance(std::uint32_t a, std::uint32_t b)
{
    return a < b ? b - a : a - b;
}

} // namespace

Geometry::Geometry(const config::ChipConfig& chip)
    : rows_(chip.tiles.rows),
      columns_(chip.tiles.columns),
      memory_ports_(chip.memory.ports),
      nodes_at_(chip.tile_count())
{
    const auto attach = [this](std::uint32_t router)
    {
        const NodeId node(static_cast<std::uint32_t>(router_of_.size()));
        router_of_.push_back(router);
        local_of_.push_back(static_cast<std::uint32_t>(nodes_at_[router].size()));
        nodes_at_[router].push_back(node);
    };
    for (std::uint32_t tile = 0; tile < tiles(); ++tile)
    {
        attach(tile);
    }
    for (std::uint32_t port = 0; port < memory_ports_; ++port)
    {
        attach(chip.row_of_port(port) * columns_);
    }
}

std::string Geometry::name(NodeId node) const
{
    return node.value() < tiles() ? "t" + std::to_string(node.value())
                                  : "mem" + std::to_string(node.value() - tiles());
}

std::uint32_t Geometry::routers_between(NodeId from, NodeId to) const
{
    const Position a = position(router_of(from));
    const Position b = position(router_of(to));
    return distance(a.row, b.row) + distance(a.column, b.column) + 1;
}

} // namespace tessera::noc
