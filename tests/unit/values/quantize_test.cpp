// SPDX-License-Identifier: Apache-2.0
#include "values/quantize.h"

#include "tessera/error.h"
#include "values/float_network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace tessera::values
{
namespace
{

constexpr std::uint32_t kWidth = 4;

/// in (1 x 1 x 4, float) -> dense with a weight matrix of one's choice -> relu -> dense of two
/// sums.
network::WeightedNetwork small(const std::vector<float>& matrix)
{
    network::WeightedNetwork weighted;
    weighted.network = network::parse(R"({"name": "small", "layers": [
        {"name": "in", "kind": "input", "shape": [1, 1, 4]},
        {"name": "hidden", "kind": "dense", "channels": 4},
        {"name": "relu", "kind": "activation", "function": "relu"},
        {"name": "out", "kind": "dense", "channels": 2}]})",
                                      "small.json");
    weighted.weights.resize(4);
    network::Weights& hidden = weighted.weights[1];
    hidden.known = true;
    hidden.rows = hidden.columns = kWidth;
    hidden.matrix = matrix;
    hidden.bias.assign(kWidth, 0);
    network::Weights& out = weighted.weights[3];
    out.known = true;
    out.rows = kWidth;
    out.columns = 2;
    out.matrix = {1, 1, 1, -1, 1, 1, 1, -1};
    out.bias.assign(2, 0.25F);
    return weighted;
}

std::vector<float> diagonal(float a, float b, float c, float d)
{
    return {a, 0, 0, 0, 0, b, 0, 0, 0, 0, c, 0, 0, 0, 0, d};
}

/// Magnitudes of a normal distribution, and one far away from the others.
Dataset images(std::size_t count)
{
    Dataset data;
    data.source = "images";
    data.shape = {1, 1, kWidth};
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < count * kWidth; ++i)
    {
        data.pixels.push_back(std::abs(normal(random)));
    }
    data.pixels[17] = 40;
    return data;
}

/// Root mean square of what whole numbers change in layer `layer`.
double error_of(const network::WeightedNetwork& weighted, const IntegerNetwork& integers,
                const Dataset& data, std::size_t layer)
{
    const FloatNetwork floats(weighted);
    double sum = 0;
    std::size_t count = 0;
    for (std::size_t i = 0; i < data.count(); ++i)
    {
        const Map<float> exact = floats.run(data.image(i))[layer];
        const Map<std::int32_t> codes = run(integers, integers.codes(data.image(i)))[layer];
        for (std::size_t k = 0; k < exact.size(); ++k)
        {
            sum += std::pow(double{exact[k]} - codes[k] * integers.layers[layer].scale, 2);
            ++count;
        }
    }
    return std::sqrt(sum / static_cast<double>(count));
}

IntegerNetwork quantized(const network::WeightedNetwork& weighted, const Dataset& data,
                         RangeRule rule, bool per_channel = true)
{
    QuantizeOptions options;
    options.rule = rule;
    options.percentile = 99.9;
    options.per_channel = per_channel;
    return quantize(weighted, &data, options, "small.onnx");
}

TEST(Quantize, RangesFollowTheirRules)
{
    const network::WeightedNetwork weighted = small(diagonal(1, 1, 1, 1));
    const Dataset data = images(2000);
    const IntegerNetwork widest = quantized(weighted, data, RangeRule::min_max);
    const IntegerNetwork most = quantized(weighted, data, RangeRule::percentile);
    const IntegerNetwork best = quantized(weighted, data, RangeRule::mse);
    EXPECT_NEAR(widest[LayerId(2)].scale, 40.0 / 255, 1e-6) << "nothing is cut off";
    const double limit = most[LayerId(2)].scale * 255;
    std::size_t above = 0;
    for (const float pixel : data.pixels)
    {
        above += pixel > limit ? 1 : 0;
    }
    EXPECT_LE(above, data.pixels.size() / 1000);
    EXPECT_GE(above, data.pixels.size() / 2000);
    const double least = error_of(weighted, best, data, 2);
    EXPECT_LE(least, error_of(weighted, widest, data, 2) * 1.01);
    EXPECT_LE(least, error_of(weighted, most, data, 2) * 1.01);
    EXPECT_LT(best[LayerId(2)].scale, widest[LayerId(2)].scale);
}

TEST(Quantize, WithoutOutliersIsHalfACodeAway)
{
    const network::WeightedNetwork weighted = small(diagonal(1, 0.5F, 0.25F, 2));
    Dataset data = images(500);
    data.pixels[17] = 1;
    const IntegerNetwork integers = quantized(weighted, data, RangeRule::min_max);
    const FloatNetwork floats(weighted);
    const IntegerLayer& its = integers.layers[2];
    // Codes of the input are rounded too; their weights are whole powers of two of each other.
    const double most = its.scale / 2 + integers.layers[0].scale / 2 * 2 * (1 + 1.0 / 127);
    for (std::size_t i = 0; i < data.count(); ++i)
    {
        const Map<float> exact = floats.run(data.image(i))[2];
        const Map<std::int32_t> codes = run(integers, integers.codes(data.image(i)))[2];
        for (std::size_t k = 0; k < exact.size(); ++k)
        {
            ASSERT_NEAR(codes[k] * its.scale, exact[k], most) << i << ' ' << k;
        }
    }
}

TEST(Quantize, EveryChannelUsesItsBitsOrAllShareAScale)
{
    const network::WeightedNetwork weighted = small(diagonal(1, 0.1F, -0.01F, 0.001F));
    const Dataset data = images(100);
    const auto greatest = [](const IntegerNetwork& integers, std::size_t column)
    { return integers.layers[1].weights(column, column); };
    const IntegerNetwork channels = quantized(weighted, data, RangeRule::min_max, true);
    const IntegerNetwork layers = quantized(weighted, data, RangeRule::min_max, false);
    const std::vector<std::int32_t> full{127, 127, -127, 127};
    const std::vector<std::int32_t> shared{127, 13, -1, 0};
    for (std::size_t column = 0; column < kWidth; ++column)
    {
        EXPECT_EQ(greatest(channels, column), full[column]);
        EXPECT_EQ(greatest(layers, column), shared[column]);
    }
}

TEST(Quantize, OutputsKeepMoreBits)
{
    const network::WeightedNetwork weighted = small(diagonal(1, 1, 1, 1));
    const IntegerNetwork integers = quantized(weighted, images(100), RangeRule::min_max);
    EXPECT_EQ(integers.layers[3].least, -32768);
    EXPECT_EQ(integers.layers[3].most, 32767);
    EXPECT_EQ(integers.layers[2].least, 0);
    EXPECT_EQ(integers.layers[2].most, 255);
}

TEST(Quantize, RefusesWeightsThatAreNoNumbers)
{
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    {
        const network::WeightedNetwork weighted = small(diagonal(1, bad, 1, 1));
        try
        {
            static_cast<void>(quantized(weighted, images(10), RangeRule::min_max));
            FAIL() << "nothing was thrown";
        }
        catch (const InputError& error)
        {
            EXPECT_NE(std::string(error.what()).find("hidden"), std::string::npos) << error.what();
            EXPECT_FALSE(error.remedy().empty());
        }
    }
    network::WeightedNetwork none = small(diagonal(1, 1, 1, 1));
    none.weights[3] = {};
    EXPECT_THROW(static_cast<void>(quantized(none, images(10), RangeRule::min_max)), InputError);
}

} // namespace
} // namespace tessera::values
