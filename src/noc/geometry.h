// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "tessera/ids.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tessera::noc
{

/// A place in the grid of tiles.
struct Position
{
    std::uint32_t row = 0;
    std::uint32_t column = 0;
    friend bool operator==(Position a, Position b)
    {
        return a.row == b.row && a.column == b.column;
    }
};

/// Where nodes are: tiles 0 .. rows x columns - 1 in row-major order, then memory ports, which hang
/// as further local ports on the routers of column 0.
class Geometry
{
public:
    explicit Geometry(const config::ChipConfig& chip);

    [[nodiscard]] std::uint32_t rows() const { return rows_; }
    [[nodiscard]] std::uint32_t columns() const { return columns_; }
    [[nodiscard]] std::uint32_t tiles() const { return rows_ * columns_; }
    [[nodiscard]] std::uint32_t memory_ports() const { return memory_ports_; }
    [[nodiscard]] std::uint32_t nodes() const { return tiles() + memory_ports_; }

    /// "t3", "mem0"
    [[nodiscard]] std::string name(NodeId node) const;
    /// Row-major index of the router to which the node is attached.
    [[nodiscard]] std::uint32_t router_of(NodeId node) const { return router_of_[node.index()]; }
    /// 0 for a tile, 1 and up for the memory ports of that router.
    [[nodiscard]] std::uint32_t local_of(NodeId node) const { return local_of_[node.index()]; }
    /// Nodes attached to a router, in the order of local_of().
    [[nodiscard]] const std::vector<NodeId>& nodes_at(std::uint32_t router) const
    {
        return nodes_at_[router];
    }
    [[nodiscard]] Position position(std::uint32_t router) const
    {
        return {router / columns_, router % columns_};
    }
    /// Routers on a shortest way from one node to another, both ends counted.
    [[nodiscard]] std::uint32_t routers_between(NodeId from, NodeId to) const;

private:
    std::uint32_t rows_;
    std::uint32_t columns_;
    std::uint32_t memory_ports_;
    std::vector<std::uint32_t> router_of_;
    std::vector<std::uint32_t> local_of_;
    std::vector<std::vector<NodeId>> nodes_at_;
};

} // namespace tessera::noc
