// SPDX-License-Identifier: Apache-2.0
#include "compiler/mapping.h"

#include "tessera/error.h"

#include <gtest/gtest.h>
#include <random>

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

/// `groups` of the weights of a convolution, as if they were one matrix.
network::Network grouped(std::uint32_t kernel, std::uint32_t in, std::uint32_t out,
                         std::uint32_t groups)
{
    network::Network network = convolution(kernel, kernel, in * groups, out * groups);
    network.layers[1].groups = groups;
    return network;
}

TEST(Mapping, GroupsLieAlongTheDiagonal)
{
    std::mt19937 random(11);
    const auto dice = [&random](std::uint32_t last)
    { return 1 + static_cast<std::uint32_t>(random() % last); };
    for (int i = 0; i < 300; ++i)
    {
        const network::Network network = grouped(dice(3), dice(3), dice(3), dice(9));
        const auto size = macro(dice(40), dice(12));
        const WeightMatrix matrix = weight_matrix(network, network.layers[1]);
        const std::uint64_t rows = matrix.rows_of_group();
        const std::uint64_t columns = matrix.columns_of_group();
        std::vector<int> covered(matrix.rows * matrix.columns, 0);
        std::uint64_t weights = 0;
        for (const MatrixBlock& block : cut(network, network.layers[1], size))
        {
            EXPECT_LE(block.rows.size(), size.rows);
            EXPECT_LE(block.columns.size(), size.columns);
            weights += weights_in(block, matrix);
            for (std::uint32_t r = block.rows.begin; r < block.rows.end; ++r)
            {
                for (std::uint32_t c = block.columns.begin; c < block.columns.end; ++c)
                {
                    ++covered[r * matrix.columns + c];
                }
            }
        }
        for (std::uint64_t r = 0; r < matrix.rows; ++r)
        {
            for (std::uint64_t c = 0; c < matrix.columns; ++c)
            {
                const int times = covered[r * matrix.columns + c];
                ASSERT_EQ(times, r / rows == c / columns ? 1 : std::min(times, 1));
            }
        }
        EXPECT_EQ(weights, matrix.groups * rows * columns);
    }
}

TEST(Mapping, AsManyGroupsAsFitShareABlock)
{
    // 3 x 3 depthwise: 9 rows and 1 column each
    const auto blocks = [](std::uint32_t rows, std::uint32_t columns)
    {
        const network::Network network = grouped(3, 1, 1, 60);
        return cut(network, network.layers[1], macro(rows, columns)).size();
    };
    EXPECT_EQ(blocks(256, 256), 3U); // 28, 28 and 4
    EXPECT_EQ(blocks(540, 60), 1U);
    EXPECT_EQ(blocks(539, 60), 2U);
    EXPECT_EQ(blocks(540, 59), 2U);
    EXPECT_EQ(blocks(9, 1), 60U);
    EXPECT_EQ(blocks(8, 1), 120U);
}

void expect_packed(const std::vector<Cargo>& cargo, const std::vector<Berth>& berths,
                   const config::ChipConfig::Macro& size)
{
    ASSERT_EQ(berths.size(), cargo.size());
    std::uint32_t known = 0;
    for (std::size_t i = 0; i < cargo.size(); ++i)
    {
        EXPECT_LE(berths[i].row + cargo[i].rows, size.rows);
        EXPECT_LE(berths[i].column + cargo[i].columns, size.columns);
        EXPECT_LE(berths[i].macro, known) << "macros are numbered by their first block";
        known = std::max(known, berths[i].macro + 1);
        for (std::size_t k = 0; k < i; ++k)
        {
            if (berths[k].macro == berths[i].macro)
            {
                EXPECT_NE(cargo[k].layer, cargo[i].layer);
                EXPECT_TRUE(berths[k].row + cargo[k].rows <= berths[i].row ||
                            berths[i].row + cargo[i].rows <= berths[k].row ||
                            berths[k].column + cargo[k].columns <= berths[i].column ||
                            berths[i].column + cargo[i].columns <= berths[k].column);
            }
        }
    }
}

std::uint32_t macros_of(const std::vector<Berth>& berths)
{
    std::uint32_t most = 0;
    for (const Berth& berth : berths)
    {
        most = std::max(most, berth.macro + 1);
    }
    return most;
}

TEST(Mapping, ReplicasHaveReferenceColumnsOfTheirOwn)
{
    const auto twice = [](std::uint32_t columns, std::uint32_t of_block, const char* signs)
    {
        auto size = macro(128, columns);
        size.cell.signs = signs;
        return replicas({{{0, 10}, {0, of_block}}}, size);
    };
    // Two blocks of 64, and between them a reference column: the macro has one beyond its columns.
    EXPECT_EQ(twice(128, 64, "differential"), 2U);
    EXPECT_EQ(twice(128, 64, "offset"), 1U);
    EXPECT_EQ(twice(129, 64, "offset"), 2U);
    EXPECT_EQ(twice(130, 64, "offset"), 2U);
    EXPECT_EQ(twice(128, 63, "offset"), 2U);
    EXPECT_EQ(twice(193, 64, "offset"), 2U);
    EXPECT_EQ(twice(194, 64, "offset"), 3U);
    EXPECT_EQ(twice(128, 128, "offset"), 1U);
    EXPECT_EQ(twice(16, 1, "offset"), 8U);
}

TEST(Mapping, AReferenceColumnTakesNoneOfAWholeMacro)
{
    const network::Network network = convolution(3, 3, 4, 10);
    for (const std::uint32_t columns : {9U, 10U, 11U})
    {
        auto size = macro(36, columns);
        const auto blocks = [&] { return cut(network, network.layers[1], size).size(); };
        const std::size_t without = blocks();
        size.cell.signs = "offset";
        EXPECT_EQ(blocks(), without);
        EXPECT_EQ(columns_with_references(size), columns + 1);
    }
}

TEST(Pack, BlocksBringTheirReferenceColumns)
{
    // Blocks of w columns with their references, of two layers, in a macro of 8 columns.
    const auto together = [](std::uint32_t w, const char* signs)
    {
        auto size = macro(4, 8);
        size.cell.signs = signs;
        const std::uint32_t wide = w + size.reference_columns();
        return macros_of(pack({{4, wide, 0}, {4, wide, 1}}, 2, size)) == 1;
    };
    EXPECT_TRUE(together(4, "differential"));
    EXPECT_FALSE(together(5, "differential"));
    EXPECT_TRUE(together(3, "offset"));
    EXPECT_FALSE(together(4, "offset"));
}

TEST(Pack, BlocksOfDifferentLayersShareMacros)
{
    std::mt19937 random(13);
    const auto dice = [&random](std::uint32_t last)
    { return 1 + static_cast<std::uint32_t>(random() % last); };
    std::size_t saved = 0;
    for (int i = 0; i < 200; ++i)
    {
        const auto size = macro(dice(30), dice(30));
        std::vector<Cargo> cargo;
        const std::uint32_t count = dice(40);
        for (std::uint32_t k = 0; k < count; ++k)
        {
            cargo.push_back({dice(size.rows), dice(size.columns), dice(6)});
        }
        const std::size_t movable = dice(count);
        const std::vector<Berth> berths = pack(cargo, movable, size);
        expect_packed(cargo, berths, size);
        saved += cargo.size() - macros_of(berths);
        const std::vector<Berth> alone = pack(
            {cargo.begin(), cargo.begin() + static_cast<std::ptrdiff_t>(movable)}, movable, size);
        EXPECT_LE(macros_of(alone), macros_of(berths));
        EXPECT_LE(macros_of(berths), macros_of(alone) + count - movable);
    }
    EXPECT_GT(saved, 500U);
}

TEST(Pack, FourQuartersMakeAWhole)
{
    std::vector<Cargo> cargo;
    for (std::size_t layer = 0; layer < 8; ++layer)
    {
        cargo.push_back({8, 4, layer});
    }
    EXPECT_EQ(macros_of(pack(cargo, cargo.size(), macro(16, 8))), 2U);
    for (Cargo& block : cargo)
    {
        block.layer = 0;
    }
    EXPECT_EQ(macros_of(pack(cargo, cargo.size(), macro(16, 8))), 8U);
}

TEST(Mapping, MoreThan32BitsOfRowsAreRefused)
{
    const network::Network network = convolution(65536, 65536, 2, 1);
    EXPECT_THROW((void)cut(network, network.layers[1], macro(256, 256)), InputError);
}

} // namespace
} // namespace tessera::compiler
