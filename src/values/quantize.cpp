// SPDX-License-Identifier: Apache-2.0
#include "values/quantize.h"

#include "tessera/error.h"
#include "values/code_ranges.h"
#include "values/float_network.h"
#include "values/layer_integers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace tessera::values
{

using network::Layer;
using network::LayerKind;
using network::Network;

namespace
{

constexpr double kMostEpsilon = 0x1p40; ///< of a layer_norm, in squares of a code and channels

/// Throws InputError unless crossbars can hold them.
void check_weight_codes(const network::Codes& codes, const Network& network, const Layer& layer,
                        const std::string& file)
{
    const std::int64_t half = std::int64_t{1} << (network.weight_bits - 1);
    for (const std::int32_t code : codes.matrix)
    {
        if (code < -half || code >= half)
        {
            throw InputError({file, 0, "/graph/" + layer.name},
                             "has a weight of " + std::to_string(code) +
                                 " steps from its zero point, beyond the " +
                                 std::to_string(network.weight_bits) + " bits of weights",
                             "quantise weights symmetrically: as int8 with the zero point 0");
        }
    }
}

/// Refuses a layer that the file does not say enough of.
[[noreturn]] void refuse_uncoded(const network::WeightedNetwork& weighted,
                                 const Structure& structure, std::size_t i, const std::string& what,
                                 const std::string& file)
{
    // Of layers that share their codes the one that the file has something about.
    for (std::size_t k = 0; k < weighted.weights.size(); ++k)
    {
        if (weighted.weights[i].codes.problem.empty() &&
            structure.groups.of(k) == structure.groups.of(i) &&
            !weighted.weights[k].codes.problem.empty())
        {
            i = k;
        }
    }
    const network::Codes& codes = weighted.weights[i].codes;
    const bool of_weights = what == "weights" && !codes.problem_of_weights.empty();
    const std::string problem = of_weights
                                    ? "they are made of codes by " + codes.problem_of_weights +
                                          ", and are no codes any more"
                                    : codes.problem;
    const std::string& name = weighted.network.layers[i].name;
    throw InputError({file, 0, "/graph/" + name},
                     "has no codes of the " + what + " of layer \"" + name + '"' +
                         (problem.empty() ? "" : ": " + problem),
                     "quantise it in the file, or give images with --calibrate");
}

/// The finest scale of a layer's result that the arithmetic carries, of the scales of its operands.
double finest_scale(const network::WeightedNetwork& weighted, std::size_t i,
                    const QuantizeOptions& options, const IntegerNetwork& integers)
{
    constexpr double kMostRatio = 0x1p14; // below what check_ratio() refuses
    const Layer& layer = weighted.network.layers[i];
    const network::Weights& weights = weighted.weights[i];
    double unit = 0; // the most that one step of an operand changes
    switch (layer.kind)
    {
    case LayerKind::conv2d:
    case LayerKind::dense:
    {
        const std::vector<double> scales =
            !weights.codes.matrix.empty()
                ? weights.codes.scale
                : weight_scales(weights, weighted.network.weight_bits, options.per_channel);
        unit = integers[layer.inputs[0]].scale * *std::max_element(scales.begin(), scales.end());
        break;
    }
    case LayerKind::batch_norm:
        for (const float gain : weights.scale)
        {
            unit = std::max(unit, std::abs(static_cast<double>(gain)));
        }
        unit *= integers[layer.inputs[0]].scale;
        break;
    case LayerKind::matmul:
    case LayerKind::mul:
        unit = 1;
        for (const LayerId operand : layer.inputs)
        {
            unit *= integers[operand].scale;
        }
        break;
    case LayerKind::softmax:
        return kFinestShare;
    case LayerKind::activation:
        if (layer.activation == "relu" || layer.activation == "prelu")
        {
            unit = 1;
            for (const float gain : weights.scale)
            {
                unit = std::max(unit, std::abs(static_cast<double>(gain)));
            }
            unit *= integers[layer.inputs[0]].scale;
        }
        break;
    case LayerKind::add:
    case LayerKind::concat:
    case LayerKind::embedding:
    case LayerKind::average_pool:
    case LayerKind::global_average_pool:
        for (const LayerId operand : layer.inputs)
        {
            unit = std::max(unit, integers[operand].scale);
        }
        break;
    default:
        break;
    }
    return unit / kMostRatio;
}

/// Scales that calibration made too fine, such as those of differences that are all but nothing,
/// become what the arithmetic carries; notes say where.
void raise_scales(const network::WeightedNetwork& weighted, const Structure& structure,
                  const LayerCodes& recorded, const QuantizeOptions& options,
                  IntegerNetwork& integers)
{
    const std::vector<Layer>& layers = weighted.network.layers;
    const auto raise = [&](std::size_t layer, double finest)
    {
        if (recorded[layer] || !(integers.layers[layer].scale < finest))
        {
            return false;
        }
        for (std::size_t other = 0; other < layers.size(); ++other)
        {
            if (structure.groups.of(other) == structure.groups.of(layer) && !recorded[other])
            {
                integers.layers[other].scale = finest;
            }
        }
        integers.notes.push_back("layer \"" + layers[layer].name +
                                 "\" has values so small that its scale is raised to " +
                                 fmt::format("{:.3g}", finest) +
                                 ", the finest that whole numbers carry");
        return true;
    };
    // What is raised may ask more of layers before it that share its scale, so once more then.
    // Where that has no end (a layer multiplies by more than it shares its scale with), a ratio is
    // refused.
    constexpr int kMostRounds = 32;
    bool raised = true;
    for (int round = 0; raised && round < kMostRounds; ++round)
    {
        raised = false;
        for (std::size_t i = 0; i < layers.size(); ++i)
        {
            raised = raise(i, finest_scale(weighted, i, options, integers)) || raised;
            if (layers[i].kind == LayerKind::layer_norm)
            {
                const double finest =
                    std::sqrt(layers[i].epsilon / kMostEpsilon) * layers[i].output.channels * 1.01;
                raised = raise(layers[i].inputs[0].index(), finest) || raised;
            }
        }
    }
}

} // namespace

bool has_codes(const network::WeightedNetwork& weighted)
{
    return std::any_of(weighted.weights.begin(), weighted.weights.end(),
                       [](const network::Weights& its)
                       { return its.codes.output.has_value() || !its.codes.matrix.empty(); });
}

RangeRule range_rule(const std::string& name)
{
    if (name == "min-max")
    {
        return RangeRule::min_max;
    }
    if (name == "percentile")
    {
        return RangeRule::percentile;
    }
    if (name == "mse")
    {
        return RangeRule::mse;
    }
    throw UsageError("unknown range rule '" + name + "'; give min-max, percentile or mse");
}

IntegerNetwork quantize(const network::WeightedNetwork& weighted, const Dataset* images,
                        const QuantizeOptions& options, const std::string& file)
{
    check_weights(weighted, file);
    if (images != nullptr && images->count() == 0)
    {
        throw InputError({images->source, 0, ""}, "has no images", "give some to calibrate on");
    }
    const Network& network = weighted.network;
    const Structure structure = structure_of(weighted);
    const LayerCodes recorded = recorded_codes(weighted, structure, file);
    const std::vector<Seen> seen = images != nullptr
                                       ? look(weighted, structure, *images, options.monitor)
                                       : std::vector<Seen>();
    const auto is_output = [&network](std::size_t layer)
    {
        return std::find(network.outputs.begin(), network.outputs.end(),
                         LayerId(static_cast<std::uint32_t>(layer))) != network.outputs.end();
    };
    IntegerNetwork result;
    result.network = network;
    result.layers.resize(network.layers.size());
    const std::size_t input_group = structure.groups.of(result.input().index());
    std::vector<char> wide(network.layers.size(), 0);
    for (std::size_t i = 0; i < network.layers.size(); ++i)
    {
        if (is_output(i))
        {
            wide[structure.groups.of(i)] = 1;
        }
    }
    for (std::size_t i = 0; i < network.layers.size(); ++i)
    {
        IntegerLayer& its = result.layers[i];
        if (recorded[i])
        {
            its.scale = recorded[i]->scale;
            its.least = recorded[i]->least;
            its.most = recorded[i]->most;
            continue;
        }
        if (images == nullptr)
        {
            refuse_uncoded(weighted, structure, i, "output", file);
        }
        const std::size_t group = structure.groups.of(i);
        const unsigned bits = wide[group] != 0 ? options.output_bits : network.activation_bits;
        const bool with_sign = seen[group].least < 0;
        its.most =
            static_cast<std::int32_t>((std::int64_t{1} << (bits - (with_sign ? 1U : 0U))) - 1);
        its.least = with_sign ? -its.most - 1 : 0;
        its.scale = group == input_group && images->bytes
                        ? 1.0 / 255
                        : limit_of(seen[group], its.most, options) / its.most;
    }
    raise_scales(weighted, structure, recorded, options, result);
    for (std::size_t i = 0; i < network.layers.size(); ++i)
    {
        const Layer& layer = network.layers[i];
        IntegerLayer& its = result.layers[i];
        switch (layer.kind)
        {
        case LayerKind::conv2d:
        case LayerKind::dense:
        {
            const network::Weights& weights = weighted.weights[i];
            const IntegerLayer& operand = result[layer.inputs[0]];
            if (!weights.codes.matrix.empty())
            {
                check_weight_codes(weights.codes, network, layer, file);
                for (const double scale : weights.codes.scale)
                {
                    check_ratio(operand.scale * scale / its.scale, layer, file);
                }
                take_product(weights, operand, its);
                break;
            }
            if (images == nullptr)
            {
                refuse_uncoded(weighted, structure, i, "weights", file);
            }
            quantize_product(weights,
                             weight_scales(weights, network.weight_bits, options.per_channel),
                             operand, its);
            break;
        }
        case LayerKind::add:
        {
            quantize_sum(result, layer, file, its);
            break;
        }
        case LayerKind::concat:
        {
            const auto keeps = [&](LayerId operand)
            {
                const IntegerLayer& from = result[operand];
                return from.scale == its.scale && from.least >= its.least && from.most <= its.most;
            };
            if (std::all_of(layer.inputs.begin(), layer.inputs.end(), keeps))
            {
                break;
            }
            for (const LayerId operand : layer.inputs)
            {
                check_ratio(result[operand].scale / its.scale, layer, file);
                its.ratio.push_back(Ratio::of(result[operand].scale / its.scale));
            }
            break;
        }
        case LayerKind::matmul:
        case LayerKind::mul:
        {
            double unit = 1;
            for (const LayerId operand : layer.inputs)
            {
                unit *= result[operand].scale;
            }
            check_ratio(unit / its.scale, layer, file);
            its.ratio.push_back(Ratio::of(unit / its.scale));
            break;
        }
        case LayerKind::softmax:
            quantize_shares(network, result[layer.inputs[0]], layer, file, its);
            break;
        case LayerKind::layer_norm:
        {
            const double square = std::pow(result[layer.inputs[0]].scale, 2);
            const double channels = layer.output.channels;
            const double epsilon = layer.epsilon / square * channels * channels;
            if (epsilon > kMostEpsilon)
            {
                throw InputError({file, 0, "/graph/" + layer.name},
                                 "adds an epsilon that is far above the squares of its operand's "
                                 "codes",
                                 "code the operand with a larger scale");
            }
            quantize_gains(weighted.weights[i], its);
            its.epsilon = std::llround(std::max(epsilon, 1.0));
            break;
        }
        case LayerKind::embedding:
        {
            const double unit = result[layer.inputs[0]].scale;
            check_ratio(unit / its.scale, layer, file);
            quantize_table(weighted.weights[i], unit, its);
            break;
        }
        case LayerKind::batch_norm:
            for (const float gain : weighted.weights[i].scale)
            {
                const double ratio =
                    std::abs(static_cast<double>(gain)) * result[layer.inputs[0]].scale / its.scale;
                check_ratio(gain == 0 ? 1 : ratio, layer, file);
            }
            quantize_affine(weighted.weights[i], result[layer.inputs[0]].scale, its);
            break;
        case LayerKind::average_pool:
        case LayerKind::global_average_pool:
        {
            const IntegerLayer& operand = result[layer.inputs[0]];
            check_ratio(operand.scale / its.scale, layer, file);
            const double count = static_cast<double>(layer.kernel_height) * layer.kernel_width;
            const auto bits = static_cast<unsigned>(std::min<double>(
                kMultiplierBits, kWordBits - 2 - bits_of(count * greatest_code(operand))));
            its.ratio.push_back(Ratio::of(operand.scale / its.scale, bits,
                                          static_cast<unsigned>(kWordBits - 3 - bits_of(count))));
            break;
        }
        case LayerKind::activation:
        {
            const IntegerLayer& operand = result[layer.inputs[0]];
            if (layer.activation == "prelu")
            {
                quantize_affine(weighted.weights[i], operand.scale, its);
                its.ratio.push_back(Ratio::of(operand.scale / its.scale));
                break;
            }
            if (layer.activation == "relu")
            {
                check_ratio(operand.scale / its.scale, layer, file);
                its.ratio.push_back(Ratio::of(operand.scale / its.scale));
                break;
            }
            for (std::int32_t code = operand.least; code <= operand.most; ++code)
            {
                const double value = activate(layer, code * operand.scale) / its.scale;
                its.table.push_back(its.limited(
                    std::llround(std::floor(std::clamp(value, -0x1p24, 0x1p24) + 0.5))));
            }
            break;
        }
        default:
            break;
        }
    }
    check(result, file, "quantise the network with scales that suit its values");
    for (std::size_t i = 0; i < network.layers.size(); ++i)
    {
        const LayerKind kind = network.layers[i].kind;
        const bool sums = kind == LayerKind::conv2d || kind == LayerKind::dense;
        if (const std::size_t count = sums ? biases_beyond(result.layers[i]) : 0)
        {
            result.notes.push_back(
                "layer \"" + network.layers[i].name + "\": " + std::to_string(count) +
                (count == 1 ? " bias is" : " biases are") +
                " beyond 32 bits of what its weights count in; what accumulators do not hold is "
                "added behind the multiplier");
        }
    }
    return result;
}

} // namespace tessera::values
