// SPDX-License-Identifier: Apache-2.0
#include "chip/chip.h"
#include "compiler/compiler.h"
#include "config/load.h"
#include "tessera/error.h"
#include "trace/reader.h"
#include "unit/network/float_executor.h"
#include "values/comparison.h"
#include "values/float_network.h"
#include "values/quantize.h"
#include "values/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

/// A transformer block as whole numbers: how far it is from the reals, and that chips compute it.
namespace tessera::values
{
namespace
{

using network::LayerKind;

constexpr std::uint32_t kTokens = 8;
constexpr std::uint32_t kFeatures = 16;

/// Two heads, with norms before and behind them, one by the mean and one without it, a scale on the
/// queries and a gate: every kind of layer that attention brings with it.
network::WeightedNetwork transformer_block(std::mt19937& random)
{
    network::WeightedNetwork weighted;
    weighted.network = network::parse(R"({"name": "block", "layers": [
        {"name": "x", "kind": "input", "shape": [8, 1, 16]},
        {"name": "norm1", "kind": "layer_norm"},
        {"name": "q", "kind": "dense", "channels": 16, "inputs": ["norm1"]},
        {"name": "k", "kind": "dense", "channels": 16, "inputs": ["norm1"]},
        {"name": "v", "kind": "dense", "channels": 16, "inputs": ["norm1"]},
        {"name": "apart", "kind": "reshape", "shape": [8, 2, 8], "inputs": ["q"]},
        {"name": "scale", "kind": "batch_norm", "inputs": ["apart"]},
        {"name": "scores", "kind": "matmul", "heads": 2, "transpose_second": true,
         "inputs": ["scale", "k"]},
        {"name": "softmax", "kind": "softmax"},
        {"name": "context", "kind": "matmul", "heads": 2, "inputs": ["softmax", "v"]},
        {"name": "project", "kind": "dense", "channels": 16},
        {"name": "sum", "kind": "add", "inputs": ["x", "project"]},
        {"name": "norm2", "kind": "layer_norm", "centred": false},
        {"name": "up", "kind": "dense", "channels": 32},
        {"name": "gelu", "kind": "activation", "function": "gelu"},
        {"name": "gate", "kind": "dense", "channels": 32, "inputs": ["norm2"]},
        {"name": "bent", "kind": "activation", "function": "prelu"},
        {"name": "gated", "kind": "mul", "inputs": ["gelu", "bent"]},
        {"name": "down", "kind": "dense", "channels": 16},
        {"name": "out", "kind": "add", "inputs": ["sum", "down"]}]})",
                                      "block.json");
    std::normal_distribution<float> normal;
    for (const network::Layer& layer : weighted.network.layers)
    {
        network::Weights& its = weighted.weights.emplace_back();
        its.known = true;
        if (layer.kind == LayerKind::dense)
        {
            its.rows = weighted.network.input_shape(layer).channels;
            its.columns = layer.output.channels;
            const float spread = 1 / std::sqrt(static_cast<float>(its.rows));
            for (std::size_t i = 0; i < its.rows * its.columns; ++i)
            {
                its.matrix.push_back(normal(random) * spread);
            }
            for (std::size_t c = 0; c < its.columns; ++c)
            {
                its.bias.push_back(normal(random) * 0.1F);
            }
        }
        else if (layer.activation == "prelu")
        {
            for (std::uint32_t c = 0; c < layer.output.channels; ++c)
            {
                its.scale.push_back(normal(random) * 0.5F); // above 0 and below
            }
        }
        else if (layer.kind == LayerKind::layer_norm || layer.kind == LayerKind::batch_norm)
        {
            const bool norm = layer.kind == LayerKind::layer_norm;
            for (std::uint32_t c = 0; c < layer.output.channels; ++c)
            {
                its.scale.push_back(norm ? 1 + normal(random) * 0.3F : 0.5F);
                its.bias.push_back(norm ? normal(random) * 0.2F : 0);
            }
        }
    }
    return weighted;
}

Dataset tokens(std::mt19937& random, std::size_t count)
{
    Dataset data;
    data.source = "tokens";
    data.shape = {kTokens, 1, kFeatures};
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < count * kTokens * kFeatures; ++i)
    {
        data.pixels.push_back(normal(random));
    }
    return data;
}

class Attention : public testing::Test
{
protected:
    std::mt19937 random{3};
    network::WeightedNetwork weighted = transformer_block(random);
    Dataset data = tokens(random, 60);
    IntegerNetwork integers = quantize(weighted, &data, {}, "block.onnx");
};

TEST_F(Attention, FloatsAreThoseOfAPlainExecutor)
{
    const FloatNetwork floats(weighted);
    for (std::size_t image = 0; image < 5; ++image)
    {
        network::FloatExecutor plain(weighted.network, weighted.weights);
        const float* const from = data.image(image);
        plain.set(LayerId(0), {from, from + kTokens * kFeatures});
        plain.run();
        const auto maps = floats.run(from);
        for (std::uint32_t i = 0; i < maps.size(); ++i)
        {
            const auto& wanted = plain.map(LayerId(i));
            ASSERT_EQ(maps[i].size(), wanted.size());
            for (std::size_t k = 0; k < wanted.size(); ++k)
            {
                ASSERT_NEAR(maps[i][k], wanted[k], 2e-5 * (1 + std::abs(wanted[k])))
                    << weighted.network.layers[i].name;
            }
        }
    }
}

/// What a layer makes of its operands' codes, as reals, against its own: no more than a rounding.
TEST_F(Attention, EveryLayerIsARoundingAwayFromReals)
{
    const std::vector<std::pair<LayerKind, double>> most{
        {LayerKind::softmax, 0.52}, // powers are rounded too
        {LayerKind::layer_norm, 0.6},  {LayerKind::matmul, 0.5001},  {LayerKind::mul, 0.5001},
        {LayerKind::activation, 0.51}, {LayerKind::batch_norm, 0.51}};
    std::size_t judged = 0;
    for (std::size_t image = 0; image < 20; ++image)
    {
        const auto codes = run(integers, integers.codes(data.image(image)));
        for (std::uint32_t i = 0; i < codes.size(); ++i)
        {
            const network::Layer& layer = weighted.network.layers[i];
            const auto bound = std::find_if(
                most.begin(), most.end(), [&](const auto& its) { return its.first == layer.kind; });
            if (bound == most.end())
            {
                continue;
            }
            // The layer alone, behind inputs that are the codes of its operands.
            network::Network alone;
            std::vector<network::Weights> weights;
            for (const LayerId operand : layer.inputs)
            {
                network::Layer input;
                input.name = "operand" + std::to_string(alone.layers.size());
                input.output = weighted.network[operand].output;
                alone.layers.push_back(input);
                weights.emplace_back();
            }
            alone.layers.push_back(layer);
            weights.push_back(weighted.weights[i]);
            for (std::uint32_t k = 0; k < layer.inputs.size(); ++k)
            {
                alone.layers.back().inputs[k] = LayerId(k);
            }
            network::FloatExecutor plain(alone, weights);
            for (std::uint32_t k = 0; k < layer.inputs.size(); ++k)
            {
                std::vector<double> reals;
                for (const std::int32_t code : codes[layer.inputs[k].index()])
                {
                    reals.push_back(code * integers[layer.inputs[k]].scale);
                }
                plain.set(LayerId(k), reals);
            }
            plain.run();
            const auto& wanted =
                plain.map(LayerId(static_cast<std::uint32_t>(layer.inputs.size())));
            const IntegerLayer& its = integers.layers[i];
            for (std::size_t k = 0; k < wanted.size(); ++k)
            {
                const double code = std::clamp<double>(wanted[k] / its.scale, its.least, its.most);
                ASSERT_NEAR(codes[i][k], code, bound->second) << layer.name << ' ' << k;
                ++judged;
            }
        }
    }
    EXPECT_GT(judged, 10'000U);
}

TEST_F(Attention, EightBitsKeepMostOfTheSignal)
{
    const FloatNetwork floats(weighted);
    const std::size_t out = weighted.network.outputs.front().index();
    double signal = 0;
    double noise = 0;
    for (std::size_t image = 0; image < data.count(); ++image)
    {
        const auto reals = floats.run(data.image(image))[out];
        const auto codes = run(integers, integers.codes(data.image(image)))[out];
        for (std::size_t k = 0; k < reals.size(); ++k)
        {
            signal += std::pow(double{reals[k]}, 2);
            noise += std::pow(double{reals[k]} - codes[k] * integers.layers[out].scale, 2);
        }
    }
    const double snr = 10 * std::log10(signal / noise);
    RecordProperty("snr_db", std::to_string(snr));
    EXPECT_GT(snr, 25) << "dB: a rounding of eight bits leaves 40 to 50, ten of them are in a row";
    EXPECT_LT(snr, 60) << "dB: eight bits cannot be that good";
}

TEST_F(Attention, ShippedChipsComputeItBitForBit)
{
    struct Case
    {
        std::string chip, attention, schedule;
    };
    for (const Case& its :
         {Case{"clsa-256", "vector", "xinf"}, Case{"clsa-256", "crossbar", "xinf"},
          Case{"clsa-256", "crossbar", "layer-by-layer"},
          Case{"clsa-256-hybrid", "digital", "xinf"}, Case{"aidac", "crossbar", "layer-by-layer"}})
    {
        SCOPED_TRACE(its.chip + ' ' + its.attention + ' ' + its.schedule);
        const config::ChipConfig chip =
            config::load(its.chip, {"mapping.attention=" + its.attention}, {});
        compiler::Options options;
        options.schedule = its.schedule;
        options.images = 2;
        const trace::Trace trace = compiler::compile(integers.network, chip, options);
        const std::vector<Map<std::int32_t>> inputs{integers.codes(data.image(0)),
                                                    integers.codes(data.image(1))};
        semantics::Effort effort;
        const semantics::Naming naming(trace.header, integers.network, effort);
        const Crossbars crossbars(integers, pieces_of(trace.header, naming, chip),
                                  lossless(analogue_of(chip)), 1, 1);
        Machine machine(trace.header, integers, chip, crossbars, inputs);
        trace::MemorySource source(trace);
        ActivitySink sink;
        chip::Chip hardware(chip, source, sink);
        hardware.follow(machine);
        ASSERT_TRUE(chip::run_native(hardware, [](const Progress&) { return true; }));
        EXPECT_TRUE(machine.poison().empty());
        std::uint64_t elements = 0;
        for (const LayerComparison& layer : compare(machine, integers, inputs, nullptr))
        {
            EXPECT_EQ(layer.from_integers.different, 0U) << integers.network[layer.layer].name;
            EXPECT_EQ(layer.missing, 0U) << integers.network[layer.layer].name;
            elements += layer.elements;
        }
        EXPECT_GT(elements, 2'000U);
    }
}

/// Whatever is not what the README says of numbers makes a difference somewhere.
TEST_F(Attention, EveryNumberMatters)
{
    const auto layer_id = [](const IntegerNetwork& network, const char* name)
    {
        for (std::size_t i = 0; i < network.layers.size(); ++i)
        {
            if (network.network.layers[i].name == name)
            {
                return i;
            }
        }
        throw std::logic_error(name);
    };
    const auto layer = [&](IntegerNetwork& network, const char* name) -> IntegerLayer&
    { return network.layers[layer_id(network, name)]; };
    const std::vector<std::function<void(IntegerNetwork&)>> changes{
        [&](IntegerNetwork& its) { layer(its, "norm1").weights(0, 3) ^= 1 << 8; },
        [&](IntegerNetwork& its) { layer(its, "norm1").bias[2] += 1 << 18; },
        [&](IntegerNetwork& its) { layer(its, "norm2").epsilon *= 5'000; },
        [&](IntegerNetwork& its) { layer(its, "scale").weights(0, 1) ^= 1 << 9; },
        [&](IntegerNetwork& its) { layer(its, "softmax").table[20] /= 2; },
        [&](IntegerNetwork& its) {
            layer(its, "softmax").ratio[0].multiplier +=
                layer(its, "softmax").ratio[0].multiplier / 100;
        },
        [&](IntegerNetwork& its) { layer(its, "scores").ratio[0].multiplier += 1 << 22; },
        [&](IntegerNetwork& its) { layer(its, "q").weights(1, 1) ^= 1; },
        [&](IntegerNetwork& its) { layer(its, "bent").weights(0, 5) *= -1; },
        [&](IntegerNetwork& its) { layer(its, "bent").ratio.back().multiplier /= 2; },
        [&](IntegerNetwork& its) { its.network.layers[layer_id(its, "norm2")].centred = true; },
        [&](IntegerNetwork& its) { layer(its, "gated").ratio[0].multiplier += 1 << 22; }};
    const auto outputs = [&](const IntegerNetwork& network)
    {
        std::vector<Map<std::int32_t>> all;
        for (std::size_t image = 0; image < 10; ++image)
        {
            all.push_back(run(network, network.codes(data.image(
                                           image)))[network.network.outputs.front().index()]);
        }
        return all;
    };
    const auto right = outputs(integers);
    for (std::size_t i = 0; i < changes.size(); ++i)
    {
        IntegerNetwork other = integers;
        changes[i](other);
        EXPECT_NE(outputs(other), right) << i;
    }
}

TEST_F(Attention, RefusesWhatCannotBe)
{
    const auto refused = [&](const std::string& name, const std::string& problem, auto change)
    {
        IntegerNetwork wrong = integers;
        for (std::size_t i = 0; i < wrong.layers.size(); ++i)
        {
            if (wrong.network.layers[i].name == name)
            {
                change(wrong.layers[i]);
            }
        }
        try
        {
            check(wrong, "block.integers");
            ADD_FAILURE() << name << " was accepted";
        }
        catch (const InputError& error)
        {
            EXPECT_NE(std::string(error.what()).find('"' + name + '"'), std::string::npos);
            EXPECT_NE(std::string(error.what()).find(problem), std::string::npos) << error.what();
        }
    };
    refused("softmax", "table", [](IntegerLayer& its) { its.table.pop_back(); });
    refused("softmax", "above 0", [](IntegerLayer& its) { its.table[0] = 0; });
    refused("softmax", "2^26", [](IntegerLayer& its) { its.table[1] = (1 << 26U) + 1; });
    refused("softmax", "64 bits", [](IntegerLayer& its) { its.ratio[0].shift = 40; });
    refused("norm1", "epsilon", [](IntegerLayer& its) { its.epsilon = -1; });
    refused("norm1", "15 bits", [](IntegerLayer& its) { its.weights(0, 0) = 1 << 15U; });
    refused("norm1", "a channel", [](IntegerLayer& its) { its.bias.pop_back(); });
    refused("bent", "a channel", [](IntegerLayer& its) { its.ratio.pop_back(); });
    refused("scores", "multiplier", [](IntegerLayer& its) { its.ratio.clear(); });
    refused("gated", "multiplier", [](IntegerLayer& its) { its.ratio.clear(); });
    refused("k", "32 bits", [](IntegerLayer& its) { its.bias[0] = std::int64_t{1} << 31U; });
    refused("apart", "multiplier", [](IntegerLayer& its) { its.ratio.push_back({}); });
}

} // namespace
} // namespace tessera::values
