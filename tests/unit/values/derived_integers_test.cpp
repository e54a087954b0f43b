// SPDX-License-Identifier: Apache-2.0
// Integers that are derived from reals: none is cut off by what holds it.
#include "tessera/error.h"
#include "values/dataset.h"
#include "values/float_network.h"
#include "values/integer_file.h"
#include "values/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

namespace tessera::values
{
namespace
{

using testing::HasSubstr;
using testing::IsEmpty;

/// An input of 1 x 1 x `channels`, and these layers behind it.
network::WeightedNetwork network_of(std::uint32_t channels, const std::string& layers)
{
    network::WeightedNetwork weighted;
    weighted.network = network::parse(
        R"({"name": "n", "layers": [{"name": "in", "kind": "input", "shape": [1, 1, )" +
            std::to_string(channels) + "]}, " + layers + "]}",
        "n.json");
    weighted.weights.resize(weighted.network.layers.size());
    return weighted;
}

void give(network::Weights& weights, std::size_t rows, std::vector<float> matrix,
          std::vector<float> bias)
{
    weights.known = true;
    weights.rows = rows;
    weights.columns = bias.size();
    weights.matrix = std::move(matrix);
    weights.bias = std::move(bias);
}

Dataset images_of(std::uint32_t channels, std::vector<float> values)
{
    Dataset data;
    data.source = "made";
    data.shape = {1, 1, channels};
    data.pixels = std::move(values);
    return data;
}

/// The values of the last layer for one image.
std::vector<double> outputs_of(const IntegerNetwork& integers, const float* image)
{
    const Map<std::int32_t> codes = run(integers, integers.codes(image)).back();
    std::vector<double> values;
    for (const std::int32_t code : codes)
    {
        values.push_back(code * integers.layers.back().scale);
    }
    return values;
}

TEST(DerivedIntegers, BiasesOfDeadFiltersStay)
{
    // From filters whose biases accumulators hold with ease to those that they are far from
    // holding.
    const std::vector<float> filters{0.5F, 1e-3F, 1e-6F, 1e-7F, 1e-9F, 1e-12F, 1e-20F, 0.0F};
    network::WeightedNetwork weighted =
        network_of(2, R"({"name": "fc", "kind": "dense", "channels": 8})");
    std::vector<float> matrix = filters;
    matrix.insert(matrix.end(), filters.begin(), filters.end());
    const std::vector<float> biases{0.1F, 1.2F, 1.2F, -0.7F, 1.2F, 1.2F, -1.1F, 0.9F};
    give(weighted.weights[1], 2, matrix, biases);
    const Dataset data = images_of(2, {0, 0, 0.25F, 1, 1, 0.5F, 1, 1});
    for (const bool per_channel : {true, false})
    {
        QuantizeOptions options;
        options.rule = RangeRule::min_max;
        options.per_channel = per_channel;
        const IntegerNetwork integers = quantize(weighted, &data, options, "n.json");
        EXPECT_EQ(integers.notes.size(), per_channel ? 1U : 0U);
        for (std::size_t image = 0; image < data.count(); ++image)
        {
            const float* const x = data.image(image);
            const std::vector<double> got = outputs_of(integers, x);
            for (std::size_t c = 0; c < filters.size(); ++c)
            {
                const double right =
                    double{filters[c]} * (double{x[0]} + double{x[1]}) + double{biases[c]};
                // Half a code of the output, and what weights and inputs of 8 bits lose.
                EXPECT_NEAR(got[c], right, integers.layers[1].scale + 0.01) << c;
            }
        }
    }
}

TEST(DerivedIntegers, CodedBiasesAreExactBetweenTheUnitsOfSums)
{
    // Weights of 1 and -1: a code of the output is 0.6 units of the sums, so that a bias that were
    // rounded to them would be up to 0.8 codes off.
    network::WeightedNetwork weighted =
        network_of(1, R"({"name": "fc", "kind": "dense", "channels": 64})");
    std::vector<float> matrix;
    std::vector<float> bias;
    network::Weights& w = weighted.weights[1];
    for (int c = 0; c < 64; ++c)
    {
        w.codes.matrix.push_back(c % 2 == 0 ? 1 : -1);
        w.codes.scale.push_back(0.01);
        matrix.push_back(0.01F * static_cast<float>(w.codes.matrix.back()));
        bias.push_back(static_cast<float>(c - 32) * 0.00137F);
    }
    give(w, 1, matrix, bias);
    weighted.weights[0].codes.output = network::OutputCodes{0.1, -128, 127};
    w.codes.output = network::OutputCodes{0.0006, -32768, 32767};
    const IntegerNetwork integers = quantize(weighted, nullptr, {}, "n.onnx");
    for (const std::int32_t x : {-128, -1, 0, 1, 77, 127})
    {
        const Map<std::int32_t> codes = run(integers, {x}).back();
        for (std::size_t c = 0; c < codes.size(); ++c)
        {
            const double exact =
                (x * 0.1 * w.codes.matrix[c] * 0.01 + static_cast<double>(bias[c])) / 0.0006;
            EXPECT_NEAR(codes[c], exact, 0.5 + 1e-6) << x << ' ' << c;
        }
    }
}

TEST(DerivedIntegers, RatiosKeepWhatAnAccumulatorCanShow)
{
    constexpr double kMost = 0x1p31 - 1;
    for (int exponent = -60; exponent < 31; ++exponent)
    {
        for (const double fraction : {1.0, 1.2345678, 1.999999999})
        {
            const double value = std::ldexp(fraction, exponent);
            const Ratio ratio = Ratio::of(value);
            EXPECT_LT(ratio.multiplier, std::int64_t{1} << 31U);
            const double made =
                std::ldexp(static_cast<double>(ratio.multiplier), -static_cast<int>(ratio.shift));
            // Of the largest sum less than half a code goes astray, or less than 2^-31 of it.
            EXPECT_LE(std::abs(made - value) * kMost, std::max(0.5, value * kMost * 0x1p-31))
                << value;
        }
    }
    EXPECT_EQ(Ratio::of(0x1p-33).multiplier, 1); // not nothing: 2^31 of them are a quarter
    EXPECT_EQ(Ratio::of(0x1p-33).shift, 33U);
    EXPECT_THROW(static_cast<void>(Ratio::of(0x1p31)), InputError);
}

TEST(DerivedIntegers, RestsAddUpWithinTheirWord)
{
    IntegerLayer its;
    its.least = -1000;
    its.most = 1000;
    its.bias = {5};
    its.ratio = {{1, 4}}; // sixteenths
    for (const std::int64_t rest : {0, 7, 8, -8, -9})
    {
        its.rest = {rest};
        const double exact = (11 + 5 + static_cast<double>(rest)) / 16;
        EXPECT_EQ(its.finish(0, 11), std::floor(exact + 0.5)) << rest;
    }
}

TEST(DerivedIntegers, ScalesAreNoFinerThanTheArithmeticCarries)
{
    // A sigmoid that stays below 0.01, a flat softmax, a difference that all but vanishes.
    const Dataset data = images_of(4, {0.1F, 0.2F, 0.3F, 0.4F, 1, 1, 1, 1});
    network::WeightedNetwork sigmoid = network_of(4, R"(
        {"name": "fc", "kind": "dense", "channels": 1},
        {"name": "out", "kind": "activation", "function": "sigmoid"})");
    give(sigmoid.weights[1], 4, {0.1F, 0.1F, -0.1F, 0.1F}, {-5});
    const IntegerNetwork seen = quantize(sigmoid, &data, {}, "n.json");
    const double logit = 0.1 * (0.1 + 0.2 - 0.3 + 0.4) - 5;
    EXPECT_NEAR(outputs_of(seen, data.image(0))[0], 1 / (1 + std::exp(-logit)), 1e-4);

    network::WeightedNetwork flat = network_of(4, R"(
        {"name": "fc", "kind": "dense", "channels": 1000}, {"name": "out", "kind": "softmax"})");
    give(flat.weights[1], 4, std::vector<float>(4000, 0.01F), std::vector<float>(1000, 0));
    const IntegerNetwork shares = quantize(flat, &data, {}, "n.json");
    EXPECT_NEAR(outputs_of(shares, data.image(1))[17], 0.001, 1e-6);

    network::WeightedNetwork nothing = network_of(4, R"(
        {"name": "a", "kind": "dense", "channels": 1},
        {"name": "b", "kind": "dense", "channels": 1, "inputs": ["in"]},
        {"name": "out", "kind": "add", "inputs": ["a", "b"]})");
    give(nothing.weights[1], 4, {1, 1, 1, 1}, {0});
    give(nothing.weights[2], 4, {-1, -1, -1, -1.0000002F}, {0});
    const IntegerNetwork difference = quantize(nothing, &data, {}, "n.json");
    ASSERT_EQ(difference.notes.size(), 1U);
    EXPECT_THAT(difference.notes[0], HasSubstr("\"out\""));
    EXPECT_NEAR(outputs_of(difference, data.image(1))[0], 0, 1e-3);
}

TEST(DerivedIntegers, RestsSurviveTheirFile)
{
    const std::string source = TESSERA_SOURCE_DIR;
    const std::string path = source + "/tests/oracle/lenet5-fashion-qdq.onnx";
    const IntegerNetwork integers = quantize(network::load_with_weights(path), nullptr, {}, path);
    const std::string file = testing::TempDir() + "rests.integers";
    save_integers(integers, path, BatchAxis::automatic, "a test", file);
    const IntegerFile read = load_integers(file);
    ASSERT_EQ(read.integers.layers.size(), integers.layers.size());
    for (std::size_t i = 0; i < integers.layers.size(); ++i)
    {
        EXPECT_EQ(read.integers.layers[i].rest, integers.layers[i].rest);
        EXPECT_EQ(read.integers.layers[i].bias, integers.layers[i].bias);
    }
}

/// A *.npy file of version 1.0.
template <class Number>
std::string npy(const std::string& type, const std::string& shape, std::vector<Number> values)
{
    std::string header =
        "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
    header += std::string(118 - header.size() - 1, ' ') + '\n';
    std::string data("\x93NUMPY\x01\x00", 8);
    data += static_cast<char>(header.size());
    data += '\0';
    data += header;
    data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Number));
    const std::string path = testing::TempDir() + "codes.npy";
    std::ofstream(path, std::ios::binary) << data;
    return path;
}

TEST(Codes, OfAnInputAreTheIntegersOfAFile)
{
    network::Layer input;
    input.output = {1, 2, 1};
    const auto values = [&](const std::string& path)
    { return load_dataset(path, "", input, 0, 1).pixels; };
    const std::string bytes =
        npy<std::uint8_t>("|u1", "(1, 1, 2, 1)", {std::uint8_t{7}, std::uint8_t{255}});
    EXPECT_EQ(values(bytes), (std::vector<float>{7 / 255.0F, 1}));
    input.codes = network::InputCodes{0.5, 117, 0, 255};
    EXPECT_EQ(values(bytes), (std::vector<float>{-55, 69}));
    EXPECT_FALSE(load_dataset(bytes, "", input, 0, 1).bytes);
    // Reals are what codes stand for.
    EXPECT_EQ(values(npy<float>("<f4", "(1, 1, 2, 1)", {-55, 69})), (std::vector<float>{-55, 69}));
    input.codes = network::InputCodes{0.5, -10, -128, 127};
    EXPECT_EQ(values(npy<std::int8_t>("|i1", "(1, 1, 2, 1)", {std::int8_t{-128}, std::int8_t{5}})),
              (std::vector<float>{-59, 7.5F}));
    try
    {
        static_cast<void>(values(npy<std::int16_t>("<i2", "(1, 1, 2, 1)", {0, 128})));
        FAIL() << "a code beyond the type was taken";
    }
    catch (const InputError& error)
    {
        EXPECT_THAT(error.what(), HasSubstr("holds 128 in image 0"));
        EXPECT_THAT(error.what(), HasSubstr("from -128 to 127"));
    }
}

} // namespace
} // namespace tessera::values
