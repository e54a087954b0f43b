// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "unit/compiler/random_network.h"
#include "values/integer_network.h"

#include <algorithm>
#include <cmath>

namespace tessera::test
{

/// A random network of kinds that whole numbers compute.
inline network::Network random_countable_network(Dice& dice)
{
    static const std::vector<std::string> kinds{
        "conv2d",  "dense",      "max_pool",   "average_pool", "global_average_pool",
        "add",     "concat",     "reshape",    "split",        "upsample",
        "pad",     "transpose",  "activation", "mul",          "matmul",
        "softmax", "layer_norm", "batch_norm"};
    json text{
        {"name", "random"},
        {"layers",
         {{{"name", "image"}, {"kind", "input"}, {"shape", {dice(1, 9), dice(1, 9), dice(1, 6)}}},
          {{"name", "first"}, {"kind", "conv2d"}, {"channels", dice(1, 6)}, {"kernel", 1}}}}};
    network::Network network = network::parse(text.dump(), "random.json");
    const std::uint32_t wanted = dice(1, 9);
    for (std::uint32_t attempt = 0; attempt < 60 && network.layers.size() < wanted + 2; ++attempt)
    {
        json more = text;
        more["layers"].push_back(random_layer(dice, network));
        json& last = more["layers"].back();
        const std::string kind = last["kind"];
        // Every other one of its kind that the dice do not know of.
        if (kind == "activation" && network.layers.size() % 2 == 0)
        {
            last["function"] = "prelu";
        }
        else if (kind == "layer_norm" && network.layers.size() % 2 == 0)
        {
            last["centred"] = false;
        }
        if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
        {
            continue;
        }
        try
        {
            network::Network longer = network::parse(more.dump(), "random.json");
            if (longer.layers.back().output.elements() <= 2000)
            {
                network = std::move(longer);
                text = std::move(more);
            }
        }
        catch (const InputError&)
        {
            // The dice gave shapes that do not match.
        }
    }
    return network;
}

/// Convolutions with groups, most of them one channel each.
inline network::Network random_grouped_network(Dice& dice)
{
    std::uint32_t channels = dice(1, 4) * 2;
    json text{
        {"name", "grouped"},
        {"layers",
         {{{"name", "image"}, {"kind", "input"}, {"shape", {dice(1, 6), dice(1, 6), channels}}}}}};
    const std::uint32_t count = dice(1, 3);
    for (std::uint32_t i = 0; i < count; ++i)
    {
        const std::uint32_t groups = dice(0, 2) == 0 ? 2 : channels;
        channels = groups * dice(1, 12 / groups);
        text["layers"].push_back({{"name", "conv" + std::to_string(i)},
                                  {"kind", "conv2d"},
                                  {"channels", channels},
                                  {"groups", groups},
                                  {"kernel", {dice(1, 3), dice(1, 3)}},
                                  {"stride", dice(1, 2)},
                                  {"padding", "same"}});
        channels += channels % 2; // the next one may have two groups
        text["layers"].push_back({{"name", "mix" + std::to_string(i)},
                                  {"kind", "conv2d"},
                                  {"channels", channels},
                                  {"kernel", 1}});
    }
    return network::parse(text.dump(), "grouped.json");
}

/// Random weights and ratios for it; codes of 8 bits, without a sign, with one, or around a zero
/// point.
inline values::IntegerNetwork random_integers(Dice& dice, const network::Network& network)
{
    using network::LayerKind;
    values::IntegerNetwork integers;
    integers.network = network;
    const std::uint32_t coding = dice(0, 2);
    const auto least = coding == 0   ? 0
                       : coding == 1 ? -128
                                     : -static_cast<std::int32_t>(dice(1, 254));
    for (const network::Layer& layer : network.layers)
    {
        values::IntegerLayer its;
        its.least = least;
        its.most = least + 255;
        if (layer.kind == LayerKind::conv2d || layer.kind == LayerKind::dense)
        {
            const std::size_t rows = std::size_t{layer.kernel_height} * layer.kernel_width *
                                     (network.input_shape(layer).channels / layer.groups);
            its.weights = numerics::Matrix<std::int32_t>(rows, layer.output.channels);
            for (std::size_t row = 0; row < rows; ++row)
            {
                for (std::uint32_t c = 0; c < layer.output.channels; ++c)
                {
                    its.weights(row, c) = static_cast<std::int32_t>(dice(0, 255)) - 128;
                }
            }
            for (std::uint32_t c = 0; c < layer.output.channels; ++c)
            {
                its.bias.push_back(static_cast<std::int64_t>(dice(0, 20'000)) - 10'000);
                its.ratio.push_back(values::Ratio::of(dice(1, 100) * 1e-4));
            }
        }
        else if (layer.kind == LayerKind::add)
        {
            for (std::size_t k = 0; k < layer.inputs.size(); ++k)
            {
                its.ratio.push_back({dice(1, 3000), 11});
            }
        }
        else if (layer.kind == LayerKind::matmul || layer.kind == LayerKind::mul)
        {
            its.ratio.push_back(values::Ratio::of(dice(1, 100) * 1e-4));
        }
        else if (layer.kind == LayerKind::layer_norm || layer.kind == LayerKind::batch_norm ||
                 layer.activation == "prelu")
        {
            const bool norm = layer.kind == LayerKind::layer_norm;
            its.weights = numerics::Matrix<std::int32_t>(1, layer.output.channels);
            for (std::uint32_t c = 0; c < layer.output.channels; ++c)
            {
                its.weights(0, c) = static_cast<std::int32_t>(dice(0, 65'534)) - 32'767;
                its.bias.push_back(static_cast<std::int64_t>(dice(0, 2'000'000)) - 1'000'000);
                its.ratio.push_back(values::Ratio::of(dice(1, 100) * (norm ? 1e-7 : 1e-6)));
            }
            its.epsilon = norm ? dice(0, 100) : 0;
            if (layer.kind == LayerKind::activation)
            {
                its.ratio.push_back({dice(1, 3000), 10});
            }
        }
        else if (layer.kind == LayerKind::softmax)
        {
            const double fall = dice(1, 100) * 1e-3;
            for (int below = 0; below < 256; ++below)
            {
                its.table.push_back(
                    static_cast<std::int32_t>(std::lround(65'536 * std::exp(-below * fall))));
            }
            its.ratio.push_back({dice(1, 600) << 4U, 4});
        }
        else if (layer.kind == LayerKind::concat && dice(0, 1) == 0)
        {
            for (std::size_t k = 0; k < layer.inputs.size(); ++k)
            {
                its.ratio.push_back({dice(1, 3000), 11});
            }
        }
        else if (layer.kind == LayerKind::average_pool ||
                 layer.kind == LayerKind::global_average_pool)
        {
            its.ratio.push_back({dice(1, 3000), 11});
        }
        else if (layer.kind == LayerKind::activation)
        {
            if (dice(0, 1) == 0)
            {
                its.ratio.push_back({dice(1, 3000), 10});
            }
            else
            {
                for (int code = 0; code < 256; ++code)
                {
                    its.table.push_back(its.least + static_cast<std::int32_t>(dice(0, 255)));
                }
            }
        }
        integers.layers.push_back(std::move(its));
    }
    values::check(integers, "random.json");
    return integers;
}

inline values::Map<std::int32_t> random_input(Dice& dice, const values::IntegerNetwork& integers)
{
    const values::IntegerLayer& its = integers[integers.input()];
    values::Map<std::int32_t> input(integers.network[integers.input()].output.elements());
    for (std::int32_t& code : input)
    {
        code = its.least + static_cast<std::int32_t>(dice(0, 255));
    }
    return input;
}

} // namespace tessera::test
