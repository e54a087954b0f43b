// SPDX-License-Identifier: Apache-2.0
// Runs with values, as programs start them.
#include "tessera/values.h"

#include "unit/simulation_fixture.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace tessera
{
namespace
{

using ::testing::HasSubstr;

const std::string kImages =
    std::string(TESSERA_SOURCE_DIR) + "/tests/oracle/fashion-200-images-idx3-ubyte.gz";

class Values : public tessera::testing::SimulationTest
{
protected:
    Values() : network("lenet5-fashion") {}
    [[nodiscard]] ValueResult run(ValueErrors errors, const RunOptions& options = {}) const
    {
        ValueOptions values;
        values.errors = errors;
        return simulate(chip, program, network, network.images(kImages, 3, 2), values, options);
    }
    template <class Action> static std::string refusal(Action action)
    {
        try
        {
            action();
        }
        catch (const InputError& error)
        {
            return error.what();
        }
        return "accepted";
    }

    ChipModel chip{"clsa-256", {"macro.adc.range=full"}};
    Program program = Program::compile("lenet5-fashion", chip, {"xinf", 2});
    QuantizedNetwork network;
};

TEST_F(Values, LosslessRunsAreTheWholeNumbersInTheTimeOfARunWithout)
{
    const ValueResult result = run(ValueErrors::lossless);
    EXPECT_NO_THROW(result.require_equal());
    EXPECT_EQ(result.run.end, RunEnd::complete);
    EXPECT_EQ(result.run.summary.span, simulate(chip, program).summary.span);
    ASSERT_EQ(result.layers.size(), 7U);
    for (const LayerValues& layer : result.layers)
    {
        EXPECT_TRUE(layer.integers.equal()) << layer.name;
        EXPECT_TRUE(layer.integers.first.empty());
        EXPECT_FALSE(layer.reference);
        EXPECT_EQ(layer.missing, 0U);
        EXPECT_EQ(layer.snr_db, std::numeric_limits<double>::infinity());
        EXPECT_EQ(layer.output.images, 2U);
        EXPECT_EQ(layer.output.numbers.size(), layer.elements);
        EXPECT_EQ(layer.output.images * layer.output.image_size(), layer.elements);
    }
    const LayerValues& first = result.layers.front();
    EXPECT_EQ(first.name, "/1/Relu");
    EXPECT_EQ(first.kind, "activation");
    EXPECT_EQ(first.output.rows, 28U);
    EXPECT_EQ(first.output.columns, 28U);
    EXPECT_EQ(first.output.channels, 6U);
    for (const float number : first.output.numbers)
    {
        const double code = number / first.scale;
        EXPECT_NEAR(code, std::round(code), 1e-4);
        EXPECT_GE(code, 0);
    }
}

TEST_F(Values, DifferencesAreNamedWithWhatWasMadeAndWanted)
{
    const ValueResult exact = run(ValueErrors::lossless);
    const ValueResult result = run(ValueErrors::noiseless);
    EXPECT_NO_THROW(result.require_equal()); // the slow reference says the same
    ASSERT_EQ(result.layers.size(), exact.layers.size());
    for (std::size_t i = 0; i < result.layers.size(); ++i)
    {
        const LayerValues& layer = result.layers[i];
        ASSERT_TRUE(layer.reference);
        EXPECT_TRUE(layer.reference->equal());
        EXPECT_GT(layer.integers.different, 8U) << "8 bits are too few for 256 rows";
        EXPECT_TRUE(std::isfinite(layer.snr_db));
        const Tensor& wanted = exact.layers[i].output;
        std::uint64_t different = 0;
        for (std::size_t k = 0; k < wanted.numbers.size(); ++k)
        {
            different += wanted.numbers[k] != layer.output.numbers[k] ? 1U : 0U;
        }
        EXPECT_EQ(different, layer.integers.different);
        ASSERT_EQ(layer.integers.first.size(), 8U);
        for (const Difference& its : layer.integers.first)
        {
            EXPECT_NE(its.made, its.wanted);
            EXPECT_FLOAT_EQ(layer.output.at(its.image, its.row, its.column, its.channel),
                            static_cast<float>(static_cast<double>(its.made) * layer.scale));
            EXPECT_FLOAT_EQ(wanted.at(its.image, its.row, its.column, its.channel),
                            static_cast<float>(static_cast<double>(its.wanted) * layer.scale));
        }
    }
}

TEST_F(Values, ARunThatIsCutShortHasHoles)
{
    RunOptions options;
    options.until = simulate(chip, program).summary.span / 2;
    const ValueResult result = run(ValueErrors::lossless, options);
    EXPECT_EQ(result.run.end, RunEnd::until);
    EXPECT_NO_THROW(result.require_equal());
    std::uint64_t missing = 0;
    std::uint64_t holes = 0;
    for (const LayerValues& layer : result.layers)
    {
        missing += layer.missing;
        for (const float number : layer.output.numbers)
        {
            holes += std::isnan(number) ? 1U : 0U;
        }
    }
    EXPECT_GT(missing, 0U);
    EXPECT_GE(holes, missing); // images of which nothing was made are not counted as missing
}

TEST_F(Values, SeedsChooseTheChipAndCalibrationItsRanges)
{
    const ChipModel aidac("aidac");
    const Program its = Program::compile("lenet5-fashion", aidac);
    const auto logits = [&](std::uint64_t seed, std::size_t calibration)
    {
        ValueOptions values;
        values.calibration = network.images(kImages, 100, calibration);
        RunOptions options;
        options.seed = seed;
        return simulate(aidac, its, network, network.images(kImages, 0, 1), values, options);
    };
    const ValueResult one = logits(1, 2);
    EXPECT_EQ(one.layers.back().output.numbers, logits(1, 2).layers.back().output.numbers);
    EXPECT_NE(one.layers.back().output.numbers, logits(2, 2).layers.back().output.numbers);
    EXPECT_GT(one.layers.back().snr_db, logits(1, 0).layers.back().snr_db + 3);
    EXPECT_NO_THROW(one.require_equal()); // nothing must be, with all errors
}

TEST_F(Values, InputsThatDoNotFitAreRefused)
{
    const auto with = [&](const Tensor& inputs)
    { return refusal([&] { (void)simulate(chip, program, network, inputs); }); };
    Tensor images = network.input(2);
    EXPECT_EQ(with(images), "accepted");
    images.at(1, 2, 3, 0) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THAT(with(images), HasSubstr("inputs: have nan at index 843; give finite numbers, "
                                        "images x 28 x 28 x 1"));
    images = network.input(2);
    images.numbers.pop_back();
    EXPECT_THAT(with(images), HasSubstr("are 1567 numbers for 2 images"));
    images = network.input(2);
    std::swap(images.rows, images.channels);
    EXPECT_THAT(with(images), HasSubstr("are images of 1 x 28 x 28 (rows, columns, channels)"));
    EXPECT_THAT(with(network.input(1)), HasSubstr("only 1 were given"));

    EXPECT_THAT(refusal([] { (void)QuantizedNetwork("resnet50"); }),
                HasSubstr("has no whole numbers beside it"));
    EXPECT_THAT(refusal([&] { (void)network.images(kImages, 199, 2); }),
                HasSubstr("has 1 images from number 199 on, not 2"));
    const auto file = std::string(TESSERA_SOURCE_DIR) + "/models/networks/lenet5-fashion.integers";
    EXPECT_NO_THROW((void)QuantizedNetwork::open(file));
    EXPECT_THROW((void)QuantizedNetwork::open(kImages), InputError);
    const ChipModel calibrated("clsa-256", {"macro.adc.range=calibrated"});
    EXPECT_THROW((void)simulate(calibrated, program, network, network.input(2)), UsageError);
}

TEST(ValueResult, WhatMustBeEqualIsAskedOfTheRightReference)
{
    ValueResult result;
    result.layers.push_back({"c1", "conv2d", 1, {}, 90, 0, {1, {{0, 1, 2, 3, 4, 5}}}, {}, 20});
    result.errors = ValueErrors::all;
    EXPECT_NO_THROW(result.require_equal());
    result.errors = ValueErrors::noiseless;
    result.layers[0].reference.emplace();
    EXPECT_NO_THROW(result.require_equal());
    result.errors = ValueErrors::lossless;
    try
    {
        result.require_equal();
        ADD_FAILURE() << "accepted";
    }
    catch (const SimulationError& error)
    {
        EXPECT_THAT(error.what(), HasSubstr("1 of 90 elements of layer \"c1\" are not those of the "
                                            "network of whole numbers; the first is 4, not 5, at "
                                            "[1,2,3] (row, column, channel) of image 0"));
    }
    result.errors = ValueErrors::noiseless;
    result.layers[0].reference = result.layers[0].integers;
    EXPECT_THROW(result.require_equal(), SimulationError);
    result.layers.clear();
    result.missing_reads = 1;
    result.first_missing_reads = {"of operation 7"};
    EXPECT_THROW(result.require_equal(), SimulationError);
}

} // namespace
} // namespace tessera
