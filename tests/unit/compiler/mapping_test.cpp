// SPDX-License-Identifier: Apache-2.0
#include "compiler/mapping.h"

#include "compiler/placement.h"
#include "tessera/error.h"

#include <gtest/gtest.h>
#include <random>
#include <set>

namespace tessera::compiler
{
namespace
{

network::Network convolution(std::uint32_t height, std::uint32_t width, std::uint32_t in,
                             std::uint32_t out)
{
    network::Network network;
    network.name = "one";
    network.layers.resize(2);
    network.layers[0].output = {8, 8, in};
    network.layers[1].kind = network::LayerKind::conv2d;
    network.layers[1].inputs = {LayerId(0)};
    network.layers[1].kernel_height = height;
    network.layers[1].kernel_width = width;
    network.layers[1].output = {8, 8, out};
    return network;
}

config::ChipConfig::Macro macro(std::uint32_t rows, std::uint32_t columns)
{
    config::ChipConfig::Macro result;
    result.rows = rows;
    result.columns = columns;
    return result;
}

TEST(Mapping, CutsAtTheEdgeOfAMacro)
{
    // 3 x 3 x 4 = 36 rows
    const auto blocks = [](std::uint32_t rows, std::uint32_t columns)
    {
        const network::Network network = convolution(3, 3, 4, 10);
        return cut(network, network.layers[1], macro(rows, columns)).size();
    };
    EXPECT_EQ(blocks(36, 10), 1U);
    EXPECT_EQ(blocks(37, 11), 1U);
    EXPECT_EQ(blocks(35, 10), 2U);
    EXPECT_EQ(blocks(36, 9), 2U);
    EXPECT_EQ(blocks(35, 9), 4U);
    EXPECT_EQ(blocks(1, 1), 360U);
}

TEST(Mapping, EveryWeightIsInExactlyOneBlock)
{
    std::mt19937 random(7);
    const auto dice = [&random](std::uint32_t last)
    { return 1 + static_cast<std::uint32_t>(random() % last); };
    for (int i = 0; i < 200; ++i)
    {
        const network::Network network = convolution(dice(3), dice(3), dice(9), dice(20));
        const auto size = macro(dice(12), dice(8));
        const WeightMatrix matrix = weight_matrix(network, network.layers[1]);
        std::vector<int> covered(matrix.rows * matrix.columns, 0);
        std::uint32_t column = 0;
        for (const MatrixBlock& block : cut(network, network.layers[1], size))
        {
            EXPECT_LE(block.rows.size(), size.rows);
            EXPECT_LE(block.columns.size(), size.columns);
            EXPECT_GE(block.columns.begin, column) << "blocks of a column do not follow each other";
            column = block.columns.begin;
            for (std::uint32_t r = block.rows.begin; r < block.rows.end; ++r)
            {
                for (std::uint32_t c = block.columns.begin; c < block.columns.end; ++c)
                {
                    ++covered[r * matrix.columns + c];
                }
            }
        }
        for (const int times : covered)
        {
            ASSERT_EQ(times, 1);
        }
    }
}

TEST(Mapping, MoreThan32BitsOfRowsAreRefused)
{
    const network::Network network = convolution(65536, 65536, 2, 1);
    EXPECT_THROW((void)cut(network, network.layers[1], macro(256, 256)), InputError);
}

TEST(Placement, RowMajorFillsTileAfterTile)
{
    config::ChipConfig chip;
    chip.tiles = {2, 2, 3};
    const std::vector<Slot> slots = placement(chip).place({2, 0, 5}, chip);
    ASSERT_EQ(slots.size(), 7U);
    for (std::uint32_t i = 0; i < slots.size(); ++i)
    {
        EXPECT_EQ(slots[i].tile, NodeId(i / 3));
        EXPECT_EQ(slots[i].macro, i % 3);
    }
}

} // namespace
} // namespace tessera::compiler
