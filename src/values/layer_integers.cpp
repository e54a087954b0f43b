// SPDX-License-Identifier: Apache-2.0
#include "values/layer_integers.h"

#include "tessera/error.h"

#include <algorithm>
#include <cmath>

namespace tessera::values
{

using network::Layer;
using network::LayerKind;
using network::Network;

namespace
{

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
    const int most_shift = std::clamp(static_cast<int>(kWordBits) - 3 - exponent, 0,
                                      static_cast<int>(Ratio::kMostShift));
    Ratio ratio = Ratio::of(unit, kMultiplierBits, static_cast<unsigned>(most_shift));
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

} // namespace

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
    const int shift = std::clamp(std::min(static_cast<int>(kMultiplierBits) - 2 - std::ilogb(ratio),
                                          static_cast<int>(kWordBits) - 3 - exponent),
                                 0, static_cast<int>(Ratio::kMostShift));
    its.ratio = {{std::llround(std::ldexp(ratio, shift)), static_cast<unsigned>(shift)}};
    for (const float value : weights.matrix)
    {
        its.rest.push_back(std::llround(std::ldexp(static_cast<double>(value) / its.scale, shift)));
    }
}

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

double greatest_code(const IntegerLayer& its)
{
    return std::max(std::abs(static_cast<double>(its.least)),
                    std::abs(static_cast<double>(its.most)));
}

double bits_of(double value)
{
    return std::ceil(std::log2(value + 1));
}

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
    const double bits = std::min<double>(kMultiplierBits - 1, kWordBits - 2 - bits_of(codes));
    const int shift = std::clamp(static_cast<int>(bits) - 1 - std::ilogb(largest), 0,
                                 static_cast<int>(kWordBits) - 2);
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
    const auto bits = static_cast<unsigned>(kWordBits - 3 - int{kPowerBits});
    const auto shift = static_cast<unsigned>(kWordBits - 2 - int{kPowerBits} - bits_of(count));
    its.ratio.push_back(Ratio::of(1 / its.scale, std::min(kMultiplierBits - 1, bits), shift));
}

} // namespace tessera::values
