// SPDX-License-Identifier: Apache-2.0
#include "values/fault_map.h"

#include "config/load.h"
#include "tessera/error.h"
#include "unit/values/random_integers.h"
#include "values/crossbars.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::values
{
namespace
{

using numerics::Matrix;
using test::Dice;
using testing::HasSubstr;

constexpr std::uint32_t kRows = 70;
constexpr std::uint32_t kColumns = 20;

/// A dense layer in several macros, which a file lists stuck cells of.
class FaultMaps : public testing::Test
{
protected:
    FaultMaps()
        : path_(std::filesystem::path(testing::TempDir()) /
                (std::string("tessera-faults-") +
                 testing::UnitTest::GetInstance()->current_test_info()->name() + ".json"))
    {
        const network::Network network = network::parse(R"({"name": "one", "layers": [
            {"name": "image", "kind": "input", "shape": [1, 1, 70]},
            {"name": "fc", "kind": "dense", "channels": 20}]})",
                                                        "one.json");
        Dice dice(1);
        integers_ = test::random_integers(dice, network);
        integers_.layers[1].weights = Matrix<std::int32_t>(kRows, kColumns, 0);
        settings_ = {
            "macro.rows=32",       "macro.columns=8",   "macro.cell.device=generic",
            "macro.cell.steps=[]", "macro.cell.bits=2", "macro.cell.faults=" + path_.string()};
    }
    ~FaultMaps() override { std::filesystem::remove(path_); }

    void write(const std::string& cells) const
    {
        std::ofstream(path_) << R"({"format":"tessera-faults","version":"1.0","cells":[)" << '\n'
                             << cells << "]}";
    }
    [[nodiscard]] config::ChipConfig chip() const
    {
        return config::load("clsa-256", settings_, {});
    }

    /// Sums of the layer for an input of 1 at one row.
    [[nodiscard]] std::vector<std::int64_t> sums(std::uint32_t row) const
    {
        Matrix<std::int32_t> inputs(1, kRows);
        inputs(0, row) = 1;
        const config::ChipConfig config = chip();
        const Crossbars crossbars(integers_, pieces_of(integers_, config), analogue_of(config), 1,
                                  1);
        const Matrix<std::int64_t> all = crossbars.multiply(LayerId(1), inputs, 0, 0);
        return {all.row(0), all.row(0) + kColumns};
    }
    [[nodiscard]] std::string refusal(const std::string& cells) const
    {
        write(cells);
        try
        {
            static_cast<void>(sums(0));
        }
        catch (const InputError& error)
        {
            return error.what();
        }
        return "accepted";
    }

    std::filesystem::path path_;
    IntegerNetwork integers_;
    std::vector<std::string> settings_;
};

TEST_F(FaultMaps, StuckCellsAreWorthTheirSliceAndSide)
{
    // Weights of four cells of two bits on either side.
    for (const std::uint32_t cell : {0U, 1U, 2U, 5U, 6U, 7U})
    {
        for (const auto& [row, column] : {std::pair{0U, 0U}, {31U, 7U}, {32U, 8U}, {69U, 19U}})
        {
            write(R"({"layer":"fc","row":)" + std::to_string(row) + R"(,"column":)" +
                  std::to_string(column) + R"(,"cell":)" + std::to_string(cell) +
                  R"(,"stuck":"on"})");
            std::vector<std::int64_t> expected(kColumns, 0);
            expected[column] = (cell % 2 == 0 ? 3 : -3) * (std::int64_t{1} << (cell / 2 * 2));
            EXPECT_EQ(sums(row), expected) << cell << " of " << row << '/' << column;
            EXPECT_EQ(sums(row == 5 ? 6 : 5), std::vector<std::int64_t>(kColumns, 0));
        }
    }
}

TEST_F(FaultMaps, CellsThatAreOffTakeTheirShareAway)
{
    integers_.layers[1].weights(40, 3) = 0b0111'0110; // slices 2, 1, 3, 1 from the lowest
    write(R"({"layer":"fc","row":40,"column":3,"cell":4,"stuck":"off"})");
    EXPECT_EQ(sums(40)[3], 0b0111'0110 - (3 << 4));
    write(R"({"layer":"fc","row":40,"column":3,"cell":5,"stuck":"off"})"); // is off already
    EXPECT_EQ(sums(40)[3], 0b0111'0110);
    write(R"({"layer":"fc","copy":1,"row":40,"column":3,"cell":4,"stuck":"off"},)"
          R"({"layer":"fc","replica":1,"row":40,"column":3,"cell":4,"stuck":"off"})");
    EXPECT_EQ(sums(40)[3], 0b0111'0110) << "this chip has no such copy or replica";
}

TEST_F(FaultMaps, AreASourceOfErrorsOfTheirOwn)
{
    write(R"({"layer":"fc","row":0,"column":0,"cell":0,"stuck":"on"})");
    const Analogue analogue = analogue_of(chip());
    const std::vector<Source> all = sources(analogue);
    ASSERT_EQ(all.size(), 1U); // no step happens
    EXPECT_EQ(all[0].name, "stuck cells");
    EXPECT_EQ(all[0].analogue.faults.cells.size(), 1U);
    EXPECT_TRUE(noiseless(analogue).faults.cells.empty());
}

TEST_F(FaultMaps, MessagesNameFilePlaceAndRemedy)
{
    const auto with = [](const std::string& layer, const std::string& row,
                         const std::string& column, const std::string& cell)
    {
        return R"({"layer":")" + layer + R"(","row":)" + row + R"(,"column":)" + column +
               R"(,"cell":)" + cell + R"(,"stuck":"on"})";
    };
    const std::string file = path_.string();
    EXPECT_EQ(refusal(with("fc", "69", "19", "7")), "accepted");
    EXPECT_THAT(refusal(with("fd", "0", "0", "0")),
                HasSubstr(file + ": /cells/0/layer: 'fd' is no layer of one on crossbars; did you "
                                 "mean 'fc'?"));
    EXPECT_THAT(refusal(with("image", "0", "0", "0")), HasSubstr("is no layer of one on"));
    EXPECT_THAT(refusal(with("fc", "70", "0", "0")),
                HasSubstr("/cells/0/row: lies beyond the weights; fc has 70 x 20 weights"));
    EXPECT_THAT(refusal(with("fc", "0", "20", "0")), HasSubstr("/cells/0/column: lies beyond"));
    EXPECT_THAT(refusal(with("fc", "0", "0", "8")),
                HasSubstr("/cells/0/cell: is 8; a weight has 8 cells here: give 0..7"));
    EXPECT_THAT(refusal(with("fc", "-1", "0", "0")), HasSubstr(file + ":2: /cells/0/row: "));
    EXPECT_THAT(refusal(R"({"layer":"fc","row":0,"column":0,"cell":0,"stuck":"half"})"),
                HasSubstr("/cells/0/stuck: 'half' is not known here"));
    EXPECT_THAT(refusal(R"({"layer":"fc","row":0,"column":0,"cell":0,"stuck":"on","side":1})"),
                HasSubstr("/cells/0/side: unknown key"));
    EXPECT_THAT(refusal("3"), HasSubstr(file + ":2: /cells/0"));
    settings_.emplace_back("macro.cell.device=");
    EXPECT_THAT(refusal(with("fc", "0", "0", "0")),
                HasSubstr("macro.cell.faults has no effect while macro.cell.device is empty"));
}

} // namespace
} // namespace tessera::values
