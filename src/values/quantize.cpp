// SPDX-License-Identifier: Apache-2.0
#include "values/quantize.h"

#include "base/interrupt.h"
#include "tessera/error.h"
#include "values/float_network.h"

#include <fmt/format.h>

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
constexpr unsigned kBits = 31;           ///< of a multiplier
constexpr double kWord = 62;             ///< bits of what is added up in 64 bits
constexpr double kMostEpsilon = 0x1p40;  ///< of a layer_norm, in squares of a code and channels
constexpr double kFinestShare = 0x1p-20; ///< the finest scale of a softmax's result
constexpr std::size_t kMseSteps = 80;    ///< ranges tried, down to a fifth of the largest

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
                 (layer.kind == LayerKind::average_pool && !coded(i) &&
                  has_codes[layer.inputs[0].index()] == 0))
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
            const bool sums =
                kind == LayerKind::conv2d || kind == LayerKind::dense || kind == LayerKind::add;
            const bool rounds = kind == LayerKind::mul || kind == LayerKind::matmul ||
                                kind == LayerKind::batch_norm || kind == LayerKind::average_pool ||
                                kind == LayerKind::global_average_pool;
            if (readers[from] == 1 && !coded(from) && (sums || (rounds && coded(i))))
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
    const bool may = moves_only(layer.kind) || layer.kind == LayerKind::max_pool ||
                     layer.kind == LayerKind::average_pool;
    return may &&
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
                             "is coded with the scale " + fmt::format("{:.6g}", codes[i]->scale) +
                                 ", but layer \"" + layers[*other].name +
                                 "\", whose codes it keeps, with " +
                                 fmt::format("{:.6g}", codes[*other]->scale),
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
    // Who reads a layer beside those that share its codes sees it unrounded.
    std::vector<char> shared(layers.size(), 1);
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        for (const LayerId operand : layers[i].inputs)
        {
            if (structure.groups.of(operand.index()) != structure.groups.of(i))
            {
                shared[operand.index()] = 0;
            }
        }
    }
    for (const LayerId output : weighted.network.outputs)
    {
        shared[output.index()] = 0;
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
                if (codes[i] && !its && shared[operand.index()] != 0 &&
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
                    if (layers[i].kind == LayerKind::pad) // with zeros
                    {
                        codes[i]->least = std::min(codes[i]->least, 0);
                        codes[i]->most = std::max(codes[i]->most, 0);
                    }
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

/// How a bias becomes a whole number.
enum class Bias : std::uint8_t
{
    exact,  ///< as the file has it
    rounded ///< to the unit of the sums, as far as they hold it
};

/// How a sum, whose unit is worth `unit` codes of the result, becomes a code: its
/// ratio, and the bias, which is `bias` codes. What accumulators of 32 bits hold of the bias beside
/// sums up to `most_sum` is added to the sum. What they do not hold is added to the product with
/// the multiplier, and so is what lies between their units where the bias is to be exact.
void take_bias(double unit, double bias, double most_sum, Bias kind, IntegerLayer& its)
{
    constexpr double kMost = 0x1p31 - 1;
    const double room = std::floor(std::max(0.0, kMost - most_sum));
    const double units = std::clamp(std::nearbyint(bias / unit), -room, room);
    const bool held = std::abs(bias / unit) <= room;
    const double rest = held && kind == Bias::rounded ? 0 : bias - units * unit; // in codes
    // Beyond this the result is at an end of its range whatever the sum is.
    const double far = 4 * most_sum * unit + 0x1p30;
    const double limited = std::clamp(rest, -far, far);
    int exponent = 0;
    static_cast<void>(std::frexp(limited, &exponent));
    const int most_shift =
        std::clamp(static_cast<int>(kWord) - 3 - exponent, 0, static_cast<int>(Ratio::kMostShift));
    Ratio ratio = Ratio::of(unit, kBits, static_cast<unsigned>(most_shift));
    // As fine as the multiplier allows, for the rest's sake.
    while (limited != 0 && ratio.multiplier != 0 && ratio.multiplier < std::int64_t{1} << 30U &&
           ratio.shift < static_cast<unsigned>(most_shift))
    {
        ratio.multiplier *= 2;
        ++ratio.shift;
    }
    ratio.shift = ratio.multiplier == 0 ? static_cast<unsigned>(most_shift) : ratio.shift;
    its.bias.push_back(std::llround(units));
    its.rest.push_back(std::llround(std::ldexp(limited, static_cast<int>(ratio.shift))));
    its.ratio.push_back(ratio);
}

/// Rests that are all nothing are left out.
void drop_no_rests(IntegerLayer& its)
{
    if (std::all_of(its.rest.begin(), its.rest.end(), [](std::int64_t rest) { return rest == 0; }))
    {
        its.rest.clear();
    }
}

/// The greatest magnitude of a sum of products of a column.
double most_sum(const IntegerLayer& its, const IntegerLayer& operand, std::size_t column)
{
    const double most = std::max(std::abs(static_cast<double>(operand.least)),
                                 std::abs(static_cast<double>(operand.most)));
    double sum = 0;
    for (std::size_t row = 0; row < its.weights.rows(); ++row)
    {
        sum += std::abs(static_cast<double>(its.weights(row, column))) * most;
    }
    return sum;
}

void quantize_product(const network::Weights& weights, const std::vector<double>& scales,
                      const IntegerLayer& operand, IntegerLayer& its)
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
    for (std::size_t column = 0; column < weights.columns; ++column)
    {
        const double bias =
            weights.bias.empty() ? 0 : static_cast<double>(weights.bias[column]) / its.scale;
        take_bias(operand.scale * scales[column] / its.scale, bias, most_sum(its, operand, column),
                  Bias::rounded, its);
    }
    drop_no_rests(its);
}

/// How many biases accumulators do not hold, so that a part of them is added behind the multiplier.
std::size_t biases_beyond(const IntegerLayer& its)
{
    std::size_t count = 0;
    for (std::size_t column = 0; column < its.rest.size(); ++column)
    {
        // More than half a unit of the sums.
        count += 2 * std::abs(its.rest[column]) > its.ratio[column].multiplier + 1 ? 1 : 0;
    }
    return count;
}

/// Whole numbers as the file has them; what a real bias, or one with a unit of its own, has between
/// the units of the sums is kept as a rest.
void take_product(const network::Weights& weights, const IntegerLayer& operand, IntegerLayer& its)
{
    const network::Codes& codes = weights.codes;
    its.weights = numerics::Matrix<std::int32_t>(weights.rows, weights.columns);
    std::copy(codes.matrix.begin(), codes.matrix.end(), its.weights.row(0));
    for (std::size_t column = 0; column < weights.columns; ++column)
    {
        double bias = 0;
        if (!codes.bias.empty())
        {
            bias = static_cast<double>(codes.bias[column]) * codes.bias_scale[column];
        }
        else if (!weights.bias.empty())
        {
            bias = static_cast<double>(weights.bias[column]);
        }
        take_bias(operand.scale * codes.scale[column] / its.scale, bias / its.scale,
                  most_sum(its, operand, column), Bias::exact, its);
    }
    drop_no_rests(its);
}

/// Of a batch_norm: the ratios are its gains, the rests its biases.
void quantize_affine(const network::Weights& weights, double unit, IntegerLayer& its)
{
    const std::size_t channels = weights.scale.size();
    its.weights = numerics::Matrix<std::int32_t>(1, channels);
    for (std::size_t c = 0; c < channels; ++c)
    {
        const auto gain = static_cast<double>(weights.scale[c]);
        const double bias =
            weights.bias.empty() ? 0 : static_cast<double>(weights.bias[c]) / its.scale;
        its.weights(0, c) = gain > 0 ? 1 : gain < 0 ? -1 : 0;
        take_bias(gain == 0 ? 1 : std::abs(gain) * unit / its.scale, bias, 0x1p24, Bias::exact,
                  its);
    }
    drop_no_rests(its);
}

/// Of an embedding: what it adds lies between codes, so that it is kept as rests.
void quantize_table(const network::Weights& weights, double unit, IntegerLayer& its)
{
    double most = 0;
    for (const float value : weights.matrix)
    {
        most = std::max(most, std::abs(static_cast<double>(value)) / its.scale);
    }
    int exponent = 0;
    static_cast<void>(std::frexp(most, &exponent));
    const double ratio = unit / its.scale;
    const int shift = std::clamp(std::min(static_cast<int>(kBits) - 2 - std::ilogb(ratio),
                                          static_cast<int>(kWord) - 3 - exponent),
                                 0, static_cast<int>(Ratio::kMostShift));
    its.ratio = {{std::llround(std::ldexp(ratio, shift)), static_cast<unsigned>(shift)}};
    for (const float value : weights.matrix)
    {
        its.rest.push_back(std::llround(std::ldexp(static_cast<double>(value) / its.scale, shift)));
    }
}

/// Of a layer_norm, one step of weights for all channels.
void quantize_gains(const network::Weights& weights, IntegerLayer& its)
{
    constexpr double most_gain = (1U << kGainBits) - 1;
    const double unit = std::exp2(-int{kNormBits});
    const std::size_t channels = weights.scale.size();
    const auto most = static_cast<double>(most_norm(static_cast<std::uint32_t>(channels)));
    double step = 0;
    for (const float gain : weights.scale)
    {
        const double magnitude = std::abs(static_cast<double>(gain));
        step = std::max({step, magnitude / most_gain, magnitude * most / 0x1p30});
    }
    step = step > 0 ? step : 1;
    its.weights = numerics::Matrix<std::int32_t>(1, channels);
    for (std::size_t c = 0; c < channels; ++c)
    {
        const double bias =
            weights.bias.empty() ? 0 : static_cast<double>(weights.bias[c]) / its.scale;
        its.weights(0, c) =
            static_cast<std::int32_t>(std::lround(static_cast<double>(weights.scale[c]) / step));
        take_bias(unit * step / its.scale, bias,
                  std::abs(static_cast<double>(its.weights(0, c))) * most, Bias::exact, its);
    }
    drop_no_rests(its);
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

double greatest_code(const IntegerLayer& its)
{
    return std::max(std::abs(static_cast<double>(its.least)),
                    std::abs(static_cast<double>(its.most)));
}

/// Bits that hold whole numbers up to `value`.
double bits_of(double value)
{
    return std::ceil(std::log2(value + 1));
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

/// Multipliers of an addition have one shift: the finest that 64 bits hold.
void quantize_sum(const IntegerNetwork& integers, const Layer& layer, const std::string& file,
                  IntegerLayer& its)
{
    double largest = 0;
    double codes = 0;
    for (const LayerId operand : layer.inputs)
    {
        const double ratio = integers[operand].scale / its.scale;
        check_ratio(ratio, layer, file);
        largest = std::max(largest, ratio);
        codes += greatest_code(integers[operand]);
    }
    const double bits = std::min<double>(kBits - 1, kWord - 2 - bits_of(codes));
    const int shift = std::clamp(static_cast<int>(bits) - 1 - std::ilogb(largest), 0,
                                 static_cast<int>(kWord) - 2);
    for (const LayerId operand : layer.inputs)
    {
        its.ratio.push_back({std::llround(std::ldexp(integers[operand].scale / its.scale, shift)),
                             static_cast<unsigned>(shift)});
    }
}

void quantize_shares(const Network& network, const IntegerLayer& operand, const Layer& layer,
                     const std::string& file, IntegerLayer& its)
{
    if (!(its.scale >= kFinestShare))
    {
        throw InputError({file, 0, "/graph/" + layer.name},
                         "has codes of " + std::to_string(1 / its.scale) + " steps a unit",
                         "code it with a scale of 2^-20 or more: shares lie within 0 and 1");
    }
    const network::Shape& from = network.input_shape(layer);
    const double count = layer.axis == "height" ? from.height : from.channels;
    its.table = powers(operand);
    const auto bits = static_cast<unsigned>(kWord - 3 - int{kPowerBits});
    const auto shift = static_cast<unsigned>(kWord - 2 - int{kPowerBits} - bits_of(count));
    its.ratio.push_back(Ratio::of(1 / its.scale, std::min(kBits - 1, bits), shift));
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
    for (bool raised = true; raised;)
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
    const std::vector<Seen> seen =
        images != nullptr ? look(weighted, structure, *images) : std::vector<Seen>();
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
            const auto bits = static_cast<unsigned>(
                std::min<double>(kBits, kWord - 2 - bits_of(count * greatest_code(operand))));
            its.ratio.push_back(Ratio::of(operand.scale / its.scale, bits,
                                          static_cast<unsigned>(kWord - 3 - bits_of(count))));
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
