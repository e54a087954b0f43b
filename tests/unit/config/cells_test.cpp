// SPDX-License-Identifier: Apache-2.0
#include "config/cells.h"

#include <gtest/gtest.h>
#include <string>

namespace tessera::config
{
namespace
{

struct Mix
{
    const char* signs;
    unsigned weight_bits;
    unsigned cell_bits;
    unsigned cells; ///< counted by hand
    unsigned references;
};

class CellMix : public testing::TestWithParam<Mix>
{
};

TEST_P(CellMix, HasSoManyCells)
{
    ChipConfig::Macro macro;
    macro.weight_bits = GetParam().weight_bits;
    macro.cell.bits = GetParam().cell_bits;
    macro.cell.signs = GetParam().signs;
    macro.cells_per_weight = 5; // conversions are something else
    EXPECT_EQ(cells_per_weight(macro), GetParam().cells);
    for (const unsigned weights : {0U, 1U, 7U})
    {
        EXPECT_EQ(cells_in_row(macro, weights), weights * GetParam().cells + GetParam().references);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Signs, CellMix,
    testing::Values(Mix{"differential", 8, 2, 8, 0}, Mix{"differential-separate", 8, 2, 8, 0},
                    Mix{"sign-magnitude", 8, 2, 4, 0}, Mix{"offset", 8, 2, 4, 1}, //
                    Mix{"offset", 8, 1, 8, 1},
                    // 3 + 3 + 2 bits; 4 + 4 + 1; 2 + 1.
                    Mix{"sign-magnitude", 8, 3, 3, 0}, Mix{"differential", 8, 3, 6, 0},
                    Mix{"offset", 9, 4, 3, 1}, Mix{"differential-separate", 3, 2, 4, 0},
                    // A cell may hold more than a weight has.
                    Mix{"offset", 3, 4, 1, 1}, Mix{"differential", 1, 4, 2, 0},
                    Mix{"differential", 32, 1, 64, 0}));

TEST(Cells, OfAidacHoldABitEach)
{
    ChipConfig::Macro macro;
    macro.kind = "aidac";
    macro.weight_bits = 6;
    macro.cell.bits = 4;
    macro.cell.signs = "offset"; // of the other kind
    EXPECT_EQ(cells_per_weight(macro), 6U);
    EXPECT_EQ(cells_in_row(macro, 10), 60U) << "reference columns are not written";
    macro.aidac.signs = "paired";
    EXPECT_EQ(cells_per_weight(macro), 12U);
}

TEST(Cells, DigitalMacrosCountWeights)
{
    ChipConfig chip;
    chip.digital.macro.cell.signs = "offset";
    EXPECT_EQ(cells_per_weight(chip.digital.macro), 1U);
    EXPECT_EQ(cells_in_row(chip.digital.macro, 256), 256U);
}

} // namespace
} // namespace tessera::config
