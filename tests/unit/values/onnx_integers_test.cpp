// SPDX-License-Identifier: Apache-2.0
// The shipped networks of whole numbers against logits that tests/oracle/integers.py computed with
// NumPy.
#include "config/load.h"
#include "tessera/error.h"
#include "values/accuracy.h"
#include "values/crossbars.h"
#include "values/dataset.h"
#include "values/integer_file.h"
#include "values/integer_network.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <memory>
#include <random>

namespace tessera::values
{
namespace
{

network::Layer input_of(const network::Shape& shape)
{
    network::Layer input;
    input.output = shape;
    return input;
}

const std::string kSource = TESSERA_SOURCE_DIR;
const std::string kImages = kSource + "/tests/oracle/fashion-200-images-idx3-ubyte.gz";

IntegerNetwork load(const std::string& name)
{
    return load_integers(kSource + "/models/networks/" + name + ".integers").integers;
}

std::vector<Map<std::int32_t>> truth_of(const std::string& name)
{
    std::ifstream file(kSource + "/tests/oracle/integers_truth.json");
    return nlohmann::json::parse(file)[name]["first"].get<std::vector<Map<std::int32_t>>>();
}

/// Of the first `count` images, how many have other logits than NumPy says.
std::size_t different(const std::string& name, const IntegerNetwork& network, std::size_t count,
                      const Products* products = nullptr)
{
    const Dataset images = load_dataset(kImages, "", input_of({28, 28, 1}), 0, count);
    const auto truth = truth_of(name);
    const std::size_t output = network.network.outputs.front().index();
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < count; ++i)
    {
        const auto maps =
            run(network, network.codes(images.image(i)), products, static_cast<std::uint32_t>(i));
        wrong += maps[output] == truth[i] ? 0 : 1;
    }
    return wrong;
}

std::size_t layer_named(const IntegerNetwork& network, const std::string& name)
{
    std::size_t i = 0;
    while (network.network.layers.at(i).name != name)
    {
        ++i;
    }
    return i;
}

class Shipped : public testing::TestWithParam<const char*>
{
};

TEST_P(Shipped, LogitsAreThoseOfNumpy)
{
    EXPECT_EQ(different(GetParam(), load(GetParam()), 200), 0);
}

TEST_P(Shipped, LosslessCrossbarsGiveTheSameBits)
{
    const IntegerNetwork network = load(GetParam());
    for (const char* signs : {"differential", "offset"})
    {
        config::ChipConfig chip = config::load("clsa-256", {}, {});
        chip.macro.cell.signs = signs;
        chip.macro.rows = 100; // several blocks, the last ones not full
        chip.macro.columns = 24;
        const Crossbars crossbars(network, pieces_of(network, chip), lossless(analogue_of(chip)), 1,
                                  2);
        EXPECT_EQ(different(GetParam(), network, 3, &crossbars), 0) << signs;
    }
}

TEST_P(Shipped, ConvertersWithEnoughBitsLoseNothingAndThoseWithFewDo)
{
    const IntegerNetwork network = load(GetParam());
    config::ChipConfig chip = config::load("clsa-256", {"macro.adc.range=granular"}, {});
    const numerics::Scheme scheme = analogue_of(chip).scheme;
    chip.macro.adc.bits = numerics::lossless_bits(scheme, scheme.rows);
    const Crossbars enough(network, pieces_of(network, chip), analogue_of(chip), 1, 2);
    EXPECT_EQ(different(GetParam(), network, 3, &enough), 0);
    chip.macro.adc.bits = 4;
    const Crossbars few(network, pieces_of(network, chip), analogue_of(chip), 1, 2);
    EXPECT_NE(different(GetParam(), network, 3, &few), 0);
}

TEST_P(Shipped, OneWeightBitMakesADifference)
{
    IntegerNetwork network = load(GetParam());
    network.layers[layer_named(network, "/0/Conv")].weights(4, 0) ^= 1;
    EXPECT_NE(different(GetParam(), network, 20), 0);
}

TEST_P(Shipped, APaddingMakesADifference)
{
    IntegerNetwork network = load(GetParam());
    network::Layer& layer = network.network.layers[layer_named(network, "/0/Conv")];
    --layer.padding.top;
    ++layer.padding.bottom;
    EXPECT_NE(different(GetParam(), network, 20), 0);
}

/// Crossbars without errors, in which the cells of one slice count twice.
class DoubledSlice : public Products
{
public:
    DoubledSlice(const IntegerNetwork& network, const numerics::Scheme& scheme, unsigned slice)
        : blocks_(network.layers.size())
    {
        for (std::size_t i = 0; i < blocks_.size(); ++i)
        {
            const numerics::Matrix<std::int32_t>& weights = network.layers[i].weights;
            if (weights.rows() == 0)
            {
                continue;
            }
            const numerics::Cells cells = numerics::cells_of(scheme, weights);
            numerics::Analog analog;
            analog.levels = numerics::Matrix<float>(cells.levels.rows(), cells.levels.columns());
            const unsigned per_weight = numerics::cells_per_weight(scheme);
            const unsigned per_slice = per_weight / numerics::weight_slices(scheme);
            for (std::size_t row = 0; row < cells.levels.rows(); ++row)
            {
                for (std::size_t cell = 0; cell < cells.levels.columns(); ++cell)
                {
                    const bool its = cell % per_weight / per_slice == slice;
                    analog.levels(row, cell) =
                        static_cast<float>(cells.levels(row, cell)) * (its ? 2.0F : 1.0F);
                }
            }
            blocks_[i] = std::make_unique<numerics::Block>(scheme, weights, analog);
        }
    }
    [[nodiscard]] numerics::Matrix<std::int64_t>
    multiply(LayerId id, const numerics::Matrix<std::int32_t>& inputs, std::uint32_t /*image*/,
             std::uint32_t /*first*/) const override
    {
        return blocks_[id.index()]->multiply(inputs);
    }
    [[nodiscard]] numerics::Matrix<std::int64_t>
    multiply_maps(LayerId /*id*/, const numerics::Matrix<std::int32_t>& inputs,
                  const numerics::Matrix<std::int32_t>& second,
                  std::uint32_t /*image*/) const override
    {
        return exact_product(inputs, second,
                             static_cast<std::uint32_t>(inputs.columns() / second.rows()));
    }

private:
    std::vector<std::unique_ptr<const numerics::Block>> blocks_;
};

TEST_P(Shipped, TheWorthOfASliceMakesADifference)
{
    const IntegerNetwork network = load(GetParam());
    numerics::Scheme scheme = lossless(analogue_of(config::load("clsa-256", {}, {}))).scheme;
    const DoubledSlice none(network, scheme, numerics::weight_slices(scheme));
    EXPECT_EQ(different(GetParam(), network, 2, &none), 0);
    for (unsigned slice = 0; slice < numerics::weight_slices(scheme); ++slice)
    {
        const DoubledSlice wrong(network, scheme, slice);
        EXPECT_NE(different(GetParam(), network, 2, &wrong), 0) << slice;
    }
}

TEST_P(Shipped, OneCodeOfTheConvertersMakesADifference)
{
    const IntegerNetwork network = load(GetParam());
    const config::ChipConfig chip = config::load("clsa-256", {"macro.adc.range=granular"}, {});
    Analogue analogue = lossless(analogue_of(chip));
    analogue.scheme.converter.rounding = numerics::Rounding::uniform;
    analogue.scheme.converter.range = numerics::Range::granular;
    analogue.scheme.converter.bits = numerics::lossless_bits(analogue.scheme, chip.macro.rows);
    const Crossbars right(network, pieces_of(network, chip), analogue, 1, 2);
    EXPECT_EQ(different(GetParam(), network, 2, &right), 0);
    analogue.scheme.converter.offset = 1;
    const Crossbars wrong(network, pieces_of(network, chip), analogue, 1, 2);
    EXPECT_NE(different(GetParam(), network, 2, &wrong), 0);
}

TEST_P(Shipped, AStrideMakesADifference)
{
    IntegerNetwork network = load(GetParam());
    bool changed = false;
    for (network::Layer& layer : network.network.layers)
    {
        if (!changed && layer.stride_width == 2)
        {
            layer.stride_width = 1; // as many outputs, of windows that lie closer together
            changed = true;
        }
    }
    ASSERT_TRUE(changed);
    EXPECT_NE(different(GetParam(), network, 20), 0);
}

INSTANTIATE_TEST_SUITE_P(Networks, Shipped, testing::Values("lenet5-fashion", "resnet-fashion"));

TEST(Ratio, RoundsTiesUp)
{
    const Ratio half = Ratio::of(0.5);
    EXPECT_EQ(half(3), 2);
    EXPECT_EQ(half(-3), -1);
    EXPECT_EQ(half(-2), -1);
    EXPECT_NEAR(static_cast<double>(Ratio::of(1e-4)(1'000'000'000)), 1e5, 1);
}

TEST(Accuracy, DoesNotDependOnThreads)
{
    const IntegerNetwork network = load("lenet5-fashion");
    const Dataset images = load_dataset(kImages, "", input_of({28, 28, 1}), 0, 12);
    const config::ChipConfig chip =
        config::load("clsa-256", {"macro.adc.range=full", "macro.cell.device=generic"}, {});
    AccuracyOptions options;
    options.trials = 2;
    const AccuracyReport one = accuracy(nullptr, network, images, chip, options);
    options.threads = 3;
    const AccuracyReport three = accuracy(nullptr, network, images, chip, options);
    ASSERT_EQ(one.answers.size(), three.answers.size());
    for (std::size_t i = 0; i < one.answers.size(); ++i)
    {
        EXPECT_EQ(one.answers[i].accuracy.value, three.answers[i].accuracy.value);
        EXPECT_EQ(one.answers[i].snr_db, three.answers[i].snr_db) << one.answers[i].name;
    }
    EXPECT_TRUE(std::isfinite(one.answers.back().snr_db.front())); // errors do something
}

TEST(Accuracy, LabelsOfAnotherNetworkAreRefused)
{
    Dataset images = load_dataset(kImages, "", input_of({28, 28, 1}), 0, 3);
    images.labels.assign(3, 10);
    const config::ChipConfig chip = config::load("clsa-256", {}, {});
    EXPECT_THROW(static_cast<void>(accuracy(nullptr, load("lenet5-fashion"), images, chip, {})),
                 InputError);
}

TEST(Dataset, RefusesWhatDoesNotFit)
{
    EXPECT_THROW(static_cast<void>(load_dataset(kImages, "", input_of({32, 32, 3}), 0, 1)),
                 InputError);
    EXPECT_THROW(static_cast<void>(load_dataset(kImages, "", input_of({28, 28, 1}), 200, 1)),
                 InputError);
    EXPECT_THROW(static_cast<void>(load_dataset(kSource, "t10k", input_of({28, 28, 1}), 0, 1)),
                 InputError);
}

} // namespace
} // namespace tessera::values
