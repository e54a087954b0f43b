// SPDX-License-Identifier: Apache-2.0
#include "values/quantize.h"

#include "base/interrupt.h"
#include "tessera/error.h"
#include "values/float_network.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

namespace tessera::values
{

using network::Layer;
using network::LayerKind;
using network::Network;

namespace
{

constexpr std::size_t kBins = 4096;
constexpr unsigned kMeanBits = 15;    ///< of a mean's multiplier
constexpr unsigned kSumBits = 20;     ///< of an addition's largest multiplier
constexpr unsigned kShareBits = 20;   ///< of the multiplier of a softmax
constexpr std::size_t kMseSteps = 80; ///< ranges tried, down to a fifth of the largest

/// Layers whose codes have one scale, by the first of them.
class Groups
{
public:
    explicit Groups(std::size_t size) : parent_(size)
    {
        std::iota(parent_.begin(), parent_.end(), 0);
    }
    [[nodiscard]] std::size_t of(std::size_t layer) const
    {
        while (parent_[layer] != layer)
        {
            layer = parent_[layer];
        }
        return layer;
    }
    void join(std::size_t a, std::size_t b)
    {
        const std::size_t one = of(a);
        const std::size_t other = of(b);
        parent_[std::max(one, other)] = std::min(one, other);
    }

private:
    std::vector<std::size_t> parent_;
};

struct Structure
{
    Groups groups;
    std::vector<char> swallowed; ///< layers whose own range does not matter: a relu cuts it
};

Structure structure_of(const network::WeightedNetwork& weighted)
{
    const Network& network = weighted.network;
    const auto coded = [&](std::size_t layer)
    { return weighted.weights[layer].codes.output.has_value(); };
    std::vector<std::size_t> readers(network.layers.size(), 0);
    for (const Layer& layer : network.layers)
    {
        for (const LayerId operand : layer.inputs)
        {
            ++readers[operand.index()];
        }
    }
    for (const LayerId output : network.outputs)
    {
        ++readers[output.index()];
    }
    Structure its{Groups(network.layers.size()), std::vector<char>(network.layers.size(), 0)};
    std::vector<char> has_codes(network.layers.size(), 0); // its own, or those of its operand
    for (std::size_t i = 0; i < network.layers.size(); ++i)
    {
        const Layer& layer = network.layers[i];
        has_codes[i] = coded(i) || ((moves_only(layer.kind) || layer.kind == LayerKind::max_pool) &&
                                    has_codes[layer.inputs[0].index()] != 0)
                           ? 1
                           : 0;
        if (layer.kind == LayerKind::concat && coded(i))
        {
            // Operands that the file codes by themselves become codes of the concat.
            for (const LayerId operand : layer.inputs)
            {
                if (has_codes[operand.index()] == 0)
                {
                    its.groups.join(i, operand.index());
                }
            }
        }
        else if (moves_only(layer.kind) || layer.kind == LayerKind::max_pool ||
                 (layer.kind == LayerKind::average_pool && !coded(i)))
        {
            for (const LayerId operand : layer.inputs)
            {
                its.groups.join(i, operand.index());
            }
        }
        if (layer.kind == LayerKind::activation &&
            (layer.activation == "relu" || (layer.activation == "relu6" && coded(i))))
        {
            const std::size_t from = layer.inputs[0].index();
            const LayerKind kind = network.layers[from].kind;
            if (readers[from] == 1 && !coded(from) &&
                (kind == LayerKind::conv2d || kind == LayerKind::dense || kind == LayerKind::add))
            {
                its.groups.join(i, from);
                its.swallowed[from] = 1;
            }
        }
    }
    return its;
}

using LayerCodes = std::vector<std::optional<network::OutputCodes>>;

/// Does the layer have the codes of its operands?
bool keeps_codes(const Structure& structure, const Layer& layer, std::size_t i)
{
    return layer.kind != LayerKind::activation &&
           std::any_of(layer.inputs.begin(), layer.inputs.end(),
                       [&](LayerId operand)
                       { return structure.groups.of(operand.index()) == structure.groups.of(i); });
}

/// Codes that the file itself has, and those of layers that share them: what a relu cuts, and what
/// data only move through.
LayerCodes recorded_codes(const network::WeightedNetwork& weighted, const Structure& structure,
                          const std::string& file)
{
    const std::vector<Layer>& layers = weighted.network.layers;
    LayerCodes codes(layers.size());
    std::vector<std::optional<std::size_t>> first(layers.size()); // by group, that has codes
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        codes[i] = weighted.weights[i].codes.output;
        if (!codes[i])
        {
            continue;
        }
        std::optional<std::size_t>& other = first[structure.groups.of(i)];
        if (other && codes[*other]->scale != codes[i]->scale)
        {
            throw InputError({file, 0, "/graph/" + layers[i].name},
                             "is coded with the scale " + std::to_string(codes[i]->scale) +
                                 ", but layer \"" + layers[*other].name +
                                 "\", whose codes it keeps, with " +
                                 std::to_string(codes[*other]->scale),
                             "quantise both with one scale");
        }
        other = other ? other : i;
        if (layers[i].kind == LayerKind::activation && layers[i].activation.rfind("relu", 0) == 0)
        {
            codes[i]->least = std::max(codes[i]->least, 0);
            if (layers[i].activation == "relu6")
            {
                codes[i]->most = static_cast<std::int32_t>(std::min<double>(
                    codes[i]->most, std::max(1.0, std::nearbyint(6 / codes[i]->scale))));
            }
        }
    }
    // Against the data's way to operands, with it to readers, until all of a group are reached.
    for (bool changed = true; changed;)
    {
        changed = false;
        for (std::size_t i = layers.size(); i-- > 0;)
        {
            for (const LayerId operand : layers[i].inputs)
            {
                auto& its = codes[operand.index()];
                if (codes[i] && !its &&
                    structure.groups.of(operand.index()) == structure.groups.of(i))
                {
                    its = codes[i];
                    changed = true;
                }
            }
        }
        for (std::size_t i = 0; i < layers.size(); ++i)
        {
            if (codes[i] || !keeps_codes(structure, layers[i], i))
            {
                continue;
            }
            for (const LayerId operand : layers[i].inputs)
            {
                const auto& its = codes[operand.index()];
                if (its && structure.groups.of(operand.index()) == structure.groups.of(i))
                {
                    codes[i] = codes[i] ? codes[i] : its;
                    codes[i]->least = std::min(codes[i]->least, its->least);
                    codes[i]->most = std::max(codes[i]->most, its->most);
                    changed = true;
                }
            }
        }
    }
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        for (const LayerId operand : layers[i].inputs)
        {
            const auto& its = codes[operand.index()];
            if (codes[i] && its && keeps_codes(structure, layers[i], i) &&
                structure.groups.of(operand.index()) == structure.groups.of(i) &&
                (its->least < codes[i]->least || its->most > codes[i]->most))
            {
                throw InputError({file, 0, "/graph/" + layers[i].name},
                                 "is coded with another zero point than layer \"" +
                                     layers[operand.index()].name + "\", whose codes it keeps",
                                 "quantise both with one scale and zero point");
            }
        }
    }
    return codes;
}

/// What calibration sees of a group.
struct Seen
{
    float least = 0;
    float most = 0;
    std::vector<std::uint64_t> bins; ///< of magnitudes, up to the largest
    [[nodiscard]] double magnitude() const
    {
        return std::max(std::abs(static_cast<double>(least)), static_cast<double>(most));
    }
};

std::vector<Seen> look(const network::WeightedNetwork& weighted, const Structure& structure,
                       const Dataset& images)
{
    const FloatNetwork network(weighted);
    std::vector<Seen> seen(weighted.network.layers.size());
    const auto each = [&](auto visit)
    {
        for (std::size_t image = 0; image < images.count(); ++image)
        {
            throw_if_interrupted();
            const auto maps = network.run(images.image(image));
            for (std::size_t i = 0; i < maps.size(); ++i)
            {
                if (structure.swallowed[i] == 0)
                {
                    visit(seen[structure.groups.of(i)], maps[i]);
                }
            }
        }
    };
    each(
        [](Seen& its, const Map<float>& map)
        {
            const auto [least, most] = std::minmax_element(map.begin(), map.end());
            its.least = std::min(its.least, *least);
            its.most = std::max(its.most, *most);
        });
    each(
        [](Seen& its, const Map<float>& map)
        {
            its.bins.resize(kBins);
            const double per_bin = static_cast<double>(kBins) / std::max(its.magnitude(), 1e-30);
            for (const float value : map)
            {
                const auto bin =
                    static_cast<std::size_t>(std::abs(static_cast<double>(value)) * per_bin);
                ++its.bins[std::min(bin, kBins - 1)];
            }
        });
    return seen;
}

/// Squared error of the magnitudes when `limit` is the largest code of `codes`.
double squared_error(const Seen& seen, double limit, double codes)
{
    double error = 0;
    for (std::size_t bin = 0; bin < kBins; ++bin)
    {
        const double value = (static_cast<double>(bin) + 0.5) / kBins * seen.magnitude();
        const double step = limit / codes;
        const double code = std::min(std::floor(value / step + 0.5), codes);
        error += static_cast<double>(seen.bins[bin]) * std::pow(value - code * step, 2);
    }
    return error;
}

double limit_of(const Seen& seen, double codes, const QuantizeOptions& options)
{
    const double largest = seen.magnitude();
    if (largest == 0)
    {
        return 1; // a layer of zeros
    }
    switch (options.rule)
    {
    case RangeRule::min_max:
        break;
    case RangeRule::percentile:
    {
        const std::uint64_t all =
            std::accumulate(seen.bins.begin(), seen.bins.end(), std::uint64_t{0});
        std::uint64_t below = 0;
        for (std::size_t bin = 0; bin < kBins; ++bin)
        {
            below += seen.bins[bin];
            if (static_cast<double>(below) >= options.percentile / 100 * static_cast<double>(all))
            {
                return largest * static_cast<double>(bin + 1) / kBins;
            }
        }
        break;
    }
    case RangeRule::mse:
    {
        double best = largest;
        double least = squared_error(seen, largest, codes);
        for (std::size_t step = 1; step < kMseSteps; ++step)
        {
            const double limit = largest * (1 - 0.8 * static_cast<double>(step) / kMseSteps);
            const double error = squared_error(seen, limit, codes);
            if (error < least)
            {
                least = error;
                best = limit;
            }
        }
        return best;
    }
    }
    return largest;
}

/// Scales of the columns of a weight matrix.
std::vector<double> weight_scales(const network::Weights& weights, unsigned bits, bool per_channel)
{
    std::vector<double> scales(weights.columns, 0);
    for (std::size_t i = 0; i < weights.matrix.size(); ++i)
    {
        double& scale = scales[i % weights.columns];
        scale = std::max(scale, std::abs(static_cast<double>(weights.matrix[i])));
    }
    if (!per_channel)
    {
        std::fill(scales.begin(), scales.end(), *std::max_element(scales.begin(), scales.end()));
    }
    for (double& scale : scales)
    {
        scale = scale == 0 ? 1 : scale / (std::exp2(bits - 1) - 1);
    }
    return scales;
}

void quantize_product(const network::Weights& weights, const std::vector<double>& scales,
                      double input_scale, IntegerLayer& its)
{
    its.weights = numerics::Matrix<std::int32_t>(weights.rows, weights.columns);
    for (std::size_t row = 0; row < weights.rows; ++row)
    {
        for (std::size_t column = 0; column < weights.columns; ++column)
        {
            const auto weight = static_cast<double>(weights.matrix[row * weights.columns + column]);
            its.weights(row, column) =
                static_cast<std::int32_t>(std::lround(weight / scales[column]));
        }
    }
    its.bias.assign(weights.columns, 0);
    for (std::size_t column = 0; column < weights.columns; ++column)
    {
        const double unit = input_scale * scales[column];
        if (!weights.bias.empty())
        {
            constexpr double most = 0x1p30;
            its.bias[column] = std::llround(
                std::clamp(static_cast<double>(weights.bias[column]) / unit, -most, most));
        }
        its.ratio.push_back(Ratio::of(unit / its.scale));
    }
}

/// Whole numbers as the file has them; a real bias is rounded to the unit of the sums, and so is
/// one with a unit of its own.
void take_product(const network::Weights& weights, double input_scale, IntegerLayer& its)
{
    constexpr double kSame = 1e-6; // of products of scales, rounded to single precision
    constexpr double kMost = 0x1p40;
    const network::Codes& codes = weights.codes;
    its.weights = numerics::Matrix<std::int32_t>(weights.rows, weights.columns);
    std::copy(codes.matrix.begin(), codes.matrix.end(), its.weights.row(0));
    for (std::size_t column = 0; column < weights.columns; ++column)
    {
        const double unit = input_scale * codes.scale[column];
        const auto rounded = [&](double value)
        { return std::llround(std::clamp(value / unit, -kMost, kMost)); };
        std::int64_t bias = 0;
        if (!codes.bias.empty())
        {
            const double own = codes.bias_scale[column];
            bias = std::abs(own / unit - 1) <= kSame
                       ? codes.bias[column]
                       : rounded(static_cast<double>(codes.bias[column]) * own);
        }
        else if (!weights.bias.empty())
        {
            bias = rounded(static_cast<double>(weights.bias[column]));
        }
        its.bias.push_back(bias);
        its.ratio.push_back(Ratio::of(unit / its.scale));
    }
}

/// Weights, biases and ratios of a norm: `unit` is what its codes or norms are worth.
void quantize_gains(const network::Weights& weights, double unit, bool per_channel,
                    IntegerLayer& its)
{
    constexpr double most_gain = (1U << kGainBits) - 1;
    constexpr double most_bias = 0x1p30;
    const std::size_t channels = weights.scale.size();
    std::vector<double> steps;
    for (std::size_t c = 0; c < channels; ++c)
    {
        const double gain = std::abs(static_cast<double>(weights.scale[c]));
        const double bias =
            weights.bias.empty() ? 0 : std::abs(static_cast<double>(weights.bias[c]));
        steps.push_back(std::max(gain / most_gain, bias / unit / most_bias));
    }
    if (!per_channel)
    {
        std::fill(steps.begin(), steps.end(), *std::max_element(steps.begin(), steps.end()));
    }
    its.weights = numerics::Matrix<std::int32_t>(1, channels);
    for (std::size_t c = 0; c < channels; ++c)
    {
        const double step = steps[c] > 0 ? steps[c] : 1;
        its.weights(0, c) =
            static_cast<std::int32_t>(std::lround(static_cast<double>(weights.scale[c]) / step));
        its.bias.push_back(
            weights.bias.empty()
                ? 0
                : std::llround(static_cast<double>(weights.bias[c]) / (unit * step)));
        its.ratio.push_back(Ratio::of(unit * step / its.scale));
    }
}

/// Powers of what a code is below the greatest.
std::vector<std::int32_t> powers(const IntegerLayer& operand)
{
    std::vector<std::int32_t> table;
    for (std::int32_t below = 0; below <= operand.most - operand.least; ++below)
    {
        table.push_back(static_cast<std::int32_t>(
            std::lround(std::ldexp(std::exp(-below * operand.scale), int{kPowerBits}))));
    }
    return table;
}

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
    const std::string& problem = weighted.weights[i].codes.problem;
    const std::string& name = weighted.network.layers[i].name;
    throw InputError({file, 0, "/graph/" + name},
                     "has no codes of the " + what + " of layer \"" + name + '"' +
                         (problem.empty() ? "" : ": " + problem),
                     "quantise it in the file, or give images with --calibrate");
}

/// What is divided by what must leave multipliers and shifts in their bounds.
void check_ratio(double ratio, const Layer& layer, const std::string& file)
{
    constexpr double kMost = 0x1p15;
    if (!(ratio > 0 && ratio < kMost))
    {
        throw InputError({file, 0, "/graph/" + layer.name},
                         "has codes " + std::to_string(ratio) +
                             " times as fine as what goes into it",
                         "quantise the network with scales that suit its values");
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
    const std::vector<Seen> seen =
        images != nullptr ? look(weighted, structure, *images) : std::vector<Seen>();
    const auto is_output = [&network](std::size_t layer)
    {
        return std::find(network.outputs.begin(), network.outputs.end(),
                         LayerId(static_cast<std::uint32_t>(layer))) != network.outputs.end();
    };
    IntegerNetwork result{network, std::vector<IntegerLayer>(network.layers.size())};
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
            const double input_scale = result[layer.inputs[0]].scale;
            if (!weights.codes.matrix.empty())
            {
                check_weight_codes(weights.codes, network, layer, file);
                for (const double scale : weights.codes.scale)
                {
                    check_ratio(input_scale * scale / its.scale, layer, file);
                }
                take_product(weights, input_scale, its);
                break;
            }
            if (images == nullptr)
            {
                refuse_uncoded(weighted, structure, i, "weights", file);
            }
            quantize_product(weights,
                             weight_scales(weights, network.weight_bits, options.per_channel),
                             input_scale, its);
            break;
        }
        case LayerKind::add:
        {
            // One shift: that of the largest ratio.
            double largest = 0;
            for (const LayerId operand : layer.inputs)
            {
                check_ratio(result[operand].scale / its.scale, layer, file);
                largest = std::max(largest, result[operand].scale / its.scale);
            }
            const int shift = std::max(0, static_cast<int>(kSumBits) - std::ilogb(largest));
            for (const LayerId operand : layer.inputs)
            {
                its.ratio.push_back(
                    {std::llround(std::ldexp(result[operand].scale / its.scale, shift)),
                     static_cast<unsigned>(shift)});
            }
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
            check_ratio(1 / its.scale / 32, layer, file); // so below 2^20
            its.table = powers(result[layer.inputs[0]]);
            its.ratio.push_back(Ratio::of(1 / its.scale, kShareBits));
            break;
        case LayerKind::layer_norm:
        {
            const double square = std::pow(result[layer.inputs[0]].scale, 2);
            const double channels = layer.output.channels;
            quantize_gains(weighted.weights[i], std::exp2(-int{kNormBits}), false, its);
            its.epsilon =
                std::llround(std::clamp(layer.epsilon / square * channels * channels, 1.0, 0x1p40));
            break;
        }
        case LayerKind::batch_norm:
            quantize_gains(weighted.weights[i], result[layer.inputs[0]].scale, true, its);
            break;
        case LayerKind::average_pool:
        case LayerKind::global_average_pool:
            check_ratio(result[layer.inputs[0]].scale / its.scale, layer, file);
            its.ratio.push_back(Ratio::of(result[layer.inputs[0]].scale / its.scale, kMeanBits));
            break;
        case LayerKind::activation:
        {
            const IntegerLayer& operand = result[layer.inputs[0]];
            check_ratio(operand.scale / its.scale, layer, file);
            if (layer.activation == "prelu")
            {
                quantize_gains(weighted.weights[i], operand.scale, true, its);
                its.ratio.push_back(Ratio::of(operand.scale / its.scale));
                break;
            }
            if (layer.activation == "relu")
            {
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
    return result;
}

} // namespace tessera::values
