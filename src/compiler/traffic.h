// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "tessera/ids.h"
#include "trace/compact.h"

#include <cstdint>
#include <vector>

namespace tessera::compiler
{

/// Bytes that a program sends from one tile or memory port to another.
struct Flow
{
    NodeId from;
    NodeId to;
    std::uint64_t bytes = 0;
};

/// Of a tile in the grid, or of the router on which a memory port hangs.
struct GridPlace
{
    std::uint32_t row = 0;
    std::uint32_t column = 0;
};
[[nodiscard]] GridPlace grid_place(const config::ChipConfig& chip, NodeId node);

/// Links between the routers of a mesh on a shortest way.
[[nodiscard]] constexpr std::uint32_t hops(const GridPlace& a, const GridPlace& b)
{
    const auto distance = [](std::uint32_t x, std::uint32_t y) { return x < y ? y - x : x - y; };
    return distance(a.row, b.row) + distance(a.column, b.column);
}

/// All transfers of a trace, by source and destination, rising; each destination of a multicast
/// counts, as it is served on its own.
[[nodiscard]] std::vector<Flow> traffic(const trace::Trace& trace);
[[nodiscard]] std::vector<Flow> traffic(const trace::CompactTrace& trace);

/// Sum of bytes x hops on a mesh, whatever the interconnect of the chip really is.
[[nodiscard]] std::uint64_t byte_hops(const std::vector<Flow>& traffic,
                                      const config::ChipConfig& chip);

} // namespace tessera::compiler
