// SPDX-License-Identifier: Apache-2.0
#include "values/calibrate.h"

#include "config/load.h"
#include "network/network.h"
#include "unit/compiler/random_network.h"
#include "values/crossbars.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace tessera::values
{
namespace
{

using numerics::Matrix;
using numerics::Range;
using test::Dice;

constexpr LayerId kDense{1};
constexpr std::uint64_t kSeed = 11;

/// A dense layer of random weights, and images as a ReLU makes them.
struct Layer
{
    IntegerNetwork integers;
    std::vector<Map<std::int32_t>> images;
    config::ChipConfig chip;

    [[nodiscard]] std::vector<Piece> pieces() const { return pieces_of(integers, chip); }
};

/// About normal, of this standard deviation.
std::int32_t bell(Dice& dice, double sigma)
{
    double sum = -6;
    for (int i = 0; i < 12; ++i)
    {
        sum += dice(0, 1000) / 1000.0;
    }
    return static_cast<std::int32_t>(std::lround(sum * sigma));
}

Layer random_layer(Dice& dice)
{
    Layer layer;
    const std::uint32_t rows = dice(4, 150);
    const std::uint32_t columns = dice(1, 6);
    const bool has_sign = dice(0, 3) == 0;
    layer.chip =
        config::load("clsa-256",
                     {"macro.rows=" + std::to_string(dice.pick(std::vector<int>{16, 64, 128})),
                      "macro.columns=32", "macro.cell.bits=" + std::to_string(dice(1, 3)),
                      "macro.cell.signs=" +
                          dice.pick(std::vector<std::string>{
                              "differential", "differential-separate", "offset", "sign-magnitude"}),
                      "macro.dac.bits=" + std::to_string(dice(1, 2)),
                      "macro.adc.bits=" + std::to_string(dice(4, 9)), "macro.adc.range=calibrated"},
                     {});
    if (dice(0, 1) == 0)
    {
        layer.chip.macro.cell.device = "neurram-1day";
    }
    if (dice(0, 7) == 0)
    {
        layer.chip.macro.adc.offset = 0.4; // codes
    }
    const test::json text{{"name", "weights"},
                          {"weight_bits", 8},
                          {"activation_bits", 8},
                          {"layers",
                           {{{"name", "inputs"}, {"kind", "input"}, {"shape", {1, 1, rows}}},
                            {{"name", "products"}, {"kind", "dense"}, {"channels", columns}}}}};
    IntegerNetwork& integers = layer.integers;
    integers.network = network::parse(text.dump(), "weights");
    integers.layers.resize(2);
    integers.layers[0].least = has_sign ? -128 : 0;
    integers.layers[0].most = has_sign ? 127 : 255;
    integers.layers[1].weights = Matrix<std::int32_t>(rows, columns);
    integers.layers[1].bias.assign(columns, 0);
    integers.layers[1].ratio = {Ratio::of(1)};
    const double weight = dice(2, 60);
    const double input = dice(5, 120);
    for (std::uint32_t row = 0; row < rows; ++row)
    {
        for (std::uint32_t column = 0; column < columns; ++column)
        {
            integers.layers[1].weights(row, column) = std::clamp(bell(dice, weight), -128, 127);
        }
    }
    for (int image = 0; image < 6; ++image)
    {
        Map<std::int32_t>& codes = layer.images.emplace_back(rows);
        std::generate(codes.begin(), codes.end(),
                      [&] {
                          return std::clamp(bell(dice, input), integers.layers[0].least,
                                            integers.layers[0].most);
                      });
    }
    return layer;
}

/// Squared, of all sums of the calibration images, on the chip that `kSeed` names.
double error_of(const Layer& layer, const Analogue& analogue)
{
    const Crossbars crossbars(layer.integers, layer.pieces(), analogue, kSeed, 1);
    double error = 0;
    for (std::uint32_t image = 0; image < layer.images.size(); ++image)
    {
        const Map<std::int32_t>& codes = layer.images[image];
        Matrix<std::int32_t> inputs(1, codes.size());
        std::copy(codes.begin(), codes.end(), inputs.row(0));
        const auto exact = exact_product(inputs, layer.integers[kDense].weights, 1);
        const auto seen = crossbars.multiply(kDense, inputs, image, 0);
        for (std::size_t column = 0; column < exact.columns(); ++column)
        {
            error += std::pow(static_cast<double>(seen(0, column) - exact(0, column)), 2);
        }
    }
    return error;
}

double error_with(const Layer& layer, Analogue analogue, Range range, double limit = 1)
{
    analogue.scheme.converter.range = range;
    analogue.scheme.converter.limit = limit;
    analogue.limits.clear();
    return error_of(layer, analogue);
}

TEST(Calibration, IsNeverWorseThanFullOrGranularOnItsData)
{
    std::size_t better = 0;
    std::size_t lossless = 0;
    for (std::uint32_t seed = 0; seed < 200; ++seed)
    {
        Dice dice(seed);
        const Layer layer = random_layer(dice);
        SCOPED_TRACE("seed " + std::to_string(seed));
        const Analogue built = analogue_of(layer.chip);
        const Analogue fitted =
            calibrated(built, layer.integers, layer.pieces(), layer.images, kSeed, 1);
        const double error = error_of(layer, fitted);
        const double full = error_with(layer, built, Range::full);
        const double granular = error_with(layer, built, Range::granular);
        ASSERT_LE(error, full);
        ASSERT_LE(error, granular);
        better += error < 0.9 * std::min(full, granular) ? 1U : 0U;
        lossless += error == 0 ? 1U : 0U;
    }
    EXPECT_GT(better, 50U);   // it is worth its time
    EXPECT_GT(lossless, 10U); // one code a level, where that is all that there is to lose
}

TEST(Calibration, ComesCloseToTheBestOfAllRanges)
{
    for (std::uint32_t seed = 1000; seed < 1012; ++seed)
    {
        Dice dice(seed);
        const Layer layer = random_layer(dice);
        const Analogue built = analogue_of(layer.chip);
        const double error = error_of(
            layer, calibrated(built, layer.integers, layer.pieces(), layer.images, kSeed, 1));
        const double full =
            static_cast<double>(numerics::greatest_sum(built.scheme, built.scheme.rows));
        double best = error;
        for (double limit = full; limit > full / 200; limit *= 0.98)
        {
            best = std::min(best, error_with(layer, built, Range::calibrated, limit));
        }
        EXPECT_LE(error, 1.4 * best) << "seed " << seed;
    }
}

TEST(Calibration, DoesNotDependOnThreads)
{
    Dice dice(7);
    Layer layer = random_layer(dice);
    layer.chip.macro.cell.device = "neurram-1day";
    const Analogue built = analogue_of(layer.chip);
    const auto limits = [&](unsigned threads) {
        return calibrated(built, layer.integers, layer.pieces(), layer.images, kSeed, threads)
            .limits;
    };
    EXPECT_EQ(limits(1), limits(3));
}

} // namespace
} // namespace tessera::values
