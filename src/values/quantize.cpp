// SPDX-License-Identifier: Apache-2.0
#include "values/quantize.h"

#include "base/interrupt.h"
#include "tessera/error.h"
#include "values/float_network.h"

#include <cmath>
#include <numeric>

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

Structure structure_of(const Network& network)
{
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
    for (std::size_t i = 0; i < network.layers.size(); ++i)
    {
        const Layer& layer = network.layers[i];
        if (moves_only(layer.kind) || layer.kind == LayerKind::max_pool ||
            layer.kind == LayerKind::average_pool)
        {
            for (const LayerId operand : layer.inputs)
            {
                its.groups.join(i, operand.index());
            }
        }
        if (layer.kind == LayerKind::activation && layer.activation == "relu")
        {
            const std::size_t from = layer.inputs[0].index();
            const LayerKind kind = network.layers[from].kind;
            if (readers[from] == 1 &&
                (kind == LayerKind::conv2d || kind == LayerKind::dense || kind == LayerKind::add))
            {
                its.groups.join(i, from);
                its.swallowed[from] = 1;
            }
        }
    }
    return its;
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

} // namespace

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

IntegerNetwork quantize(const network::WeightedNetwork& weighted, const Dataset& images,
                        const QuantizeOptions& options, const std::string& file)
{
    check_weights(weighted, file);
    if (images.count() == 0)
    {
        throw InputError({images.source, 0, ""}, "has no images", "give some to calibrate on");
    }
    const Network& network = weighted.network;
    const Structure structure = structure_of(network);
    const std::vector<Seen> seen = look(weighted, structure, images);
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
        const std::size_t group = structure.groups.of(i);
        const unsigned bits = wide[group] != 0 ? options.output_bits : network.activation_bits;
        const bool with_sign = seen[group].least < 0;
        its.most =
            static_cast<std::int32_t>((std::int64_t{1} << (bits - (with_sign ? 1U : 0U))) - 1);
        its.least = with_sign ? -its.most - 1 : 0;
        its.scale = group == input_group && images.bytes
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
            quantize_product(weights,
                             weight_scales(weights, network.weight_bits, options.per_channel),
                             result[layer.inputs[0]].scale, its);
            break;
        }
        case LayerKind::add:
        {
            // One shift: that of the largest ratio.
            double largest = 0;
            for (const LayerId operand : layer.inputs)
            {
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
        case LayerKind::average_pool:
        case LayerKind::global_average_pool:
            its.ratio.push_back(Ratio::of(result[layer.inputs[0]].scale / its.scale, kMeanBits));
            break;
        case LayerKind::activation:
        {
            const IntegerLayer& operand = result[layer.inputs[0]];
            if (layer.activation == "relu")
            {
                its.ratio.push_back(Ratio::of(operand.scale / its.scale));
                break;
            }
            for (std::int32_t code = operand.least; code <= operand.most; ++code)
            {
                const double value = activate(layer, code * operand.scale) / its.scale;
                its.table.push_back(its.limited(std::llround(std::floor(value + 0.5))));
            }
            break;
        }
        default:
            break;
        }
    }
    check(result, file);
    return result;
}

} // namespace tessera::values
