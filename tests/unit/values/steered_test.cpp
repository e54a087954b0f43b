// SPDX-License-Identifier: Apache-2.0
#include "config/load.h"
#include "tessera/error.h"
#include "unit/values/random_integers.h"
#include "values/array.h"
#include "values/calibrate.h"
#include "values/crossbars.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::values
{
namespace
{

using numerics::Matrix;
using testing::HasSubstr;

Analogue steered(const std::vector<std::string>& more)
{
    std::vector<std::string> settings{"macro.cell.signs=sign-magnitude", "macro.adc.range=lossless",
                                      "macro.cell.device=rram-50-225", "macro.cell.steps=[]",
                                      "macro.cell.read_volts=0.001"};
    settings.insert(settings.end(), more.begin(), more.end());
    return analogue_of(config::load("clsa-256", settings));
}

/// However cells are read, sums have the off current with the sign of the weight. At a thousandth
/// of a volt, and through wires of a milliohm, nothing else is to be seen.
TEST(SteeredArrays, GiveOffCurrentsInEveryRead)
{
    constexpr std::size_t rows = 300; // two partitions
    constexpr std::size_t columns = 12;
    constexpr std::size_t count = 16;
    test::Dice dice(3);
    Matrix<std::int32_t> weights(rows, columns);
    Matrix<std::int32_t> inputs(count, rows);
    for (std::size_t row = 0; row < rows; ++row)
    {
        for (std::size_t column = 0; column < columns; ++column)
        {
            // More positive ones than negative ones, some zeros.
            weights(row, column) = static_cast<std::int32_t>(dice(0, 160)) - 40;
        }
        for (std::size_t i = 0; i < count; ++i)
        {
            inputs(i, row) = static_cast<std::int32_t>(dice(0, 255)) - 128;
        }
    }
    const std::vector<std::string> wires{"macro.cell.row_ohm=0.001", "macro.cell.column_ohm=0.001",
                                         "macro.columns=32"};
    for (const char* bits : {"1", "4"})
    {
        for (const bool wired : {false, true})
        {
            for (const bool bent : {false, true})
            {
                if (wired && bent && *bits == '4')
                {
                    continue; // solved input by input, as with one bit
                }
                std::vector<std::string> settings = wired ? wires : std::vector<std::string>();
                settings.push_back(std::string("macro.dac.bits=") + bits);
                Analogue analogue = steered(settings);
                if (!bent)
                {
                    analogue.device->non_linear.reset();
                }
                const auto made = make_array(analogue, 0, {-128, 127}, weights, {1, 0, 0});
                analogue.off_cancels = true;
                const auto without = make_array(analogue, 0, {-128, 127}, weights, {1, 0, 0});
                const Matrix<std::int64_t> sums = made->sums(inputs, {}, {});
                const Matrix<std::int64_t> exact = without->sums(inputs, {}, {});
                // Level 0 is 50 uS, level 3 225 uS; four cells a weight.
                const double off = 50.0 / (175.0 / 3) * (1 + 4 + 16 + 64);
                double error = 0;
                double cancelled_error = 0;
                double size = 0;
                for (std::size_t i = 0; i < count; ++i)
                {
                    for (std::size_t column = 0; column < columns; ++column)
                    {
                        double product = 0;
                        double signs = 0;
                        for (std::size_t row = 0; row < rows; ++row)
                        {
                            const std::int32_t weight = weights(row, column);
                            product += double{1} * weight * inputs(i, row);
                            signs += ((weight > 0) - (weight < 0)) * double{1} * inputs(i, row);
                        }
                        error += std::pow(
                            static_cast<double>(sums(i, column)) - product - off * signs, 2);
                        cancelled_error +=
                            std::pow(static_cast<double>(exact(i, column)) - product, 2);
                        size += std::pow(off * signs, 2);
                    }
                }
                // What is left are half levels of conversions.
                EXPECT_LT(error, 0.005 * size) << bits << wired << bent;
                EXPECT_LT(cancelled_error, 0.005 * size) << bits << wired << bent;
            }
        }
    }
}

/// Ranges suit sums with off currents: no range of sums without them does better.
TEST(SteeredArrays, AreCalibratedWithTheirOffCurrents)
{
    const network::Network network = network::parse(R"({"name": "one", "layers": [
        {"name": "image", "kind": "input", "shape": [1, 1, 200]},
        {"name": "fc", "kind": "dense", "channels": 8}]})",
                                                    "one.json");
    test::Dice dice(1);
    IntegerNetwork integers = test::random_integers(dice, network);
    integers.layers[0].least = 0;
    integers.layers[0].most = 255;
    integers.layers[1].weights = Matrix<std::int32_t>(200, 8);
    std::vector<Map<std::int32_t>> images;
    Matrix<std::int32_t> inputs(12, 200);
    for (std::size_t row = 0; row < 200; ++row)
    {
        for (std::size_t column = 0; column < 8; ++column)
        {
            integers.layers[1].weights(row, column) =
                static_cast<std::int32_t>(dice(0, column % 2 == 0 ? 255 : 191)) -
                (column % 2 == 0 ? 128 : 64);
        }
        for (std::size_t i = 0; i < 12; ++i)
        {
            inputs(i, row) = static_cast<std::int32_t>(dice(0, 255));
        }
    }
    for (std::size_t i = 0; i < 12; ++i)
    {
        images.emplace_back(inputs.row(i), inputs.row(i) + 200);
    }
    const config::ChipConfig chip = config::load(
        "clsa-256", {"macro.cell.signs=sign-magnitude", "macro.adc.range=calibrated",
                     "macro.adc.bits=5", "macro.cell.device=rram-50-225", "macro.cell.steps=[]"});
    const std::vector<Piece> pieces = pieces_of(integers, chip);
    const Analogue analogue = analogue_of(chip);
    ASSERT_GT(analogue.device->off, 0);
    const Matrix<std::int64_t> exact = exact_product(inputs, integers.layers[1].weights, 1);
    const auto error = [&](double limit)
    {
        Analogue limited = with_off_current(analogue);
        limited.limits.assign(2, limit);
        const Matrix<std::int64_t> sums =
            Crossbars(integers, pieces, limited, 0, 1).multiply(LayerId(1), inputs, 0, 0);
        double squares = 0;
        for (std::size_t i = 0; i < sums.rows(); ++i)
        {
            for (std::size_t column = 0; column < sums.columns(); ++column)
            {
                squares += std::pow(static_cast<double>(sums(i, column) - exact(i, column)), 2);
            }
        }
        return squares;
    };
    const double found =
        calibrated(with_off_current(analogue), integers, pieces, images, 0, 1).limits[1];
    const auto full =
        static_cast<double>(numerics::greatest_sum(analogue.scheme, analogue.scheme.rows));
    for (int step = 0; step <= 20; ++step)
    {
        EXPECT_LE(error(found), error(full * std::exp2(-step / 2.0))) << step;
    }
    const double without =
        calibrated(noiseless(analogue), integers, pieces, images, 0, 1).limits[1];
    EXPECT_NE(found, without) << "off currents matter in this test";
    EXPECT_LT(error(found), error(without));
}

class NearDevice : public testing::Test
{
protected:
    NearDevice() : path_((std::filesystem::path(testing::TempDir()) / "tessera-near.json").string())
    {
        std::ofstream(path_) << R"({"format": "tessera-device", "version": "1.0", "name": "near",
 "conductance": {"off_uS": 99, "on_uS": 100, "bits": 2, "source": "s", "status": "assumed"}})";
    }
    ~NearDevice() override { std::filesystem::remove(path_); }

    std::string path_;
};

TEST_F(NearDevice, IsRefusedWhereOffCurrentsAreBeyondAllSums)
{
    const auto with = [&](const char* rows, const char* bits, const char* signs)
    {
        static_cast<void>(analogue_of(config::load(
            "clsa-256",
            {"macro.cell.device=" + path_, std::string("macro.cell.signs=") + signs,
             std::string("macro.rows=") + rows, std::string("macro.dac.bits=") + bits})));
    };
    // 7017 x 3 x 255 x 100 levels are below 2^29, those of one row more are not.
    EXPECT_NO_THROW(with("7017", "8", "sign-magnitude"));
    EXPECT_NO_THROW(with("7018", "8", "differential"));
    try
    {
        with("7018", "8", "sign-magnitude");
        ADD_FAILURE() << "taken";
    }
    catch (const InputError& error)
    {
        EXPECT_THAT(error.what(), HasSubstr("/macro/cell/device"));
        EXPECT_THAT(error.remedy(), HasSubstr("macro.cell.signs"));
    }
}

} // namespace
} // namespace tessera::values
