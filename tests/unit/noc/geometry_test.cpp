// SPDX-License-Identifier: Apache-2.0
#include "noc/geometry.h"

#include "noc/flit.h"
#include "noc/routing.h"
#include "tessera/error.h"

#include <gtest/gtest.h>

namespace tessera::noc
{
namespace
{

Geometry grid(std::uint32_t rows, std::uint32_t columns, std::uint32_t ports)
{
    config::ChipConfig chip;
    chip.tiles.rows = rows;
    chip.tiles.columns = columns;
    chip.memory.ports = ports;
    return Geometry(chip);
}

std::vector<std::uint32_t> port_rows(const Geometry& geometry)
{
    std::vector<std::uint32_t> rows;
    for (std::uint32_t port = 0; port < geometry.memory_ports(); ++port)
    {
        const Position at = geometry.position(geometry.router_of(NodeId(geometry.tiles() + port)));
        EXPECT_EQ(at.column, 0U);
        rows.push_back(at.row);
    }
    return rows;
}

TEST(Geometry, MemoryPortsAreSpreadOverTheWestEdge)
{
    using Rows = std::vector<std::uint32_t>;
    EXPECT_EQ(port_rows(grid(4, 3, 0)), Rows{});
    EXPECT_EQ(port_rows(grid(1, 3, 1)), Rows{0});
    EXPECT_EQ(port_rows(grid(4, 3, 1)), Rows{2});
    EXPECT_EQ(port_rows(grid(5, 3, 1)), Rows{2});
    EXPECT_EQ(port_rows(grid(4, 3, 2)), (Rows{1, 3}));
    EXPECT_EQ(port_rows(grid(4, 3, 4)), (Rows{0, 1, 2, 3}));
    EXPECT_EQ(port_rows(grid(2, 3, 3)), (Rows{0, 1, 1}));
}

TEST(Geometry, NodesKnowTheirRouterAndPort)
{
    const Geometry geometry = grid(2, 3, 3);
    EXPECT_EQ(geometry.nodes(), 9U);
    EXPECT_EQ(geometry.router_of(NodeId(4)), 4U);
    EXPECT_EQ(geometry.local_of(NodeId(4)), 0U);
    EXPECT_EQ(geometry.router_of(NodeId(7)), 3U);
    EXPECT_EQ(geometry.local_of(NodeId(7)), 1U);
    EXPECT_EQ(geometry.local_of(NodeId(8)), 2U);
    EXPECT_EQ(geometry.name(NodeId(5)), "t5");
    EXPECT_EQ(geometry.name(NodeId(6)), "mem0");
    EXPECT_EQ(geometry.routers_between(NodeId(3), NodeId(7)), 1U);
    EXPECT_EQ(geometry.routers_between(NodeId(2), NodeId(8)), 4U);
}

TEST(Routing, DimensionOrder)
{
    const auto xy = make_routing("xy");
    const auto yx = make_routing("yx");
    EXPECT_EQ(xy->next({0, 0}, {2, 2}), Direction::east);
    EXPECT_EQ(yx->next({0, 0}, {2, 2}), Direction::south);
    EXPECT_EQ(xy->next({2, 2}, {0, 1}), Direction::west);
    EXPECT_EQ(yx->next({2, 2}, {0, 1}), Direction::north);
    EXPECT_EQ(xy->next({2, 2}, {0, 2}), Direction::north);
    EXPECT_EQ(yx->next({2, 2}, {2, 3}), Direction::east);
    EXPECT_THROW((void)make_routing("zigzag"), InputError);
}

TEST(PacketFormat, CutsBytesIntoPackets)
{
    const PacketFormat format{256, 16, 1};
    EXPECT_EQ(format.flits(0), 1U); // header only
    EXPECT_EQ(format.flits(1), 2U);
    EXPECT_EQ(format.flits(32), 2U);
    EXPECT_EQ(format.flits(33), 3U);
    EXPECT_EQ(format.flits(15 * 32 - 1), 16U);
    EXPECT_EQ(format.flits(15 * 32), 16U);
    EXPECT_EQ(format.packets(15 * 32), 1U);
    EXPECT_EQ(format.flits(15 * 32 + 1), 18U);
    EXPECT_EQ(format.packets(15 * 32 + 1), 2U);
    EXPECT_EQ((PacketFormat{256, 16, 0}.flits(0)), 1U);
    EXPECT_EQ((PacketFormat{12, 3, 2}.flits(3)), 6U); // 24 bits: two flits of data, a packet each
    // No overflow where 8 x bytes would not fit in 64 bits.
    EXPECT_EQ((PacketFormat{8, 16, 1}.payload_flits(std::uint64_t{1} << 62U)),
              std::uint64_t{1} << 62U);
}

} // namespace
} // namespace tessera::noc
