// SPDX-License-Identifier: Apache-2.0
#include "values/integer_network.h"

#include "tessera/error.h"

#include <cmath>
#include <string>

namespace tessera::values
{

using network::Layer;
using network::LayerKind;
using network::Shape;
using numerics::Matrix;

namespace
{

constexpr std::int64_t kMostSum = (std::int64_t{1} << 31U) - 1;
constexpr double kMostProduct = 0x1p62; ///< whatever is added up in 64 bits stays below

/// Complains about one layer.
class Complaint
{
public:
    Complaint(std::string file, const Layer& layer, std::string remedy)
        : file_(std::move(file)), layer_(layer), remedy_(std::move(remedy))
    {
    }
    void unless(bool right, const std::string& problem) const
    {
        if (!right)
        {
            throw InputError({file_, 0, ""}, "layer \"" + layer_.name + "\" " + problem, remedy_);
        }
    }

private:
    std::string file_;
    const Layer& layer_;
    std::string remedy_;
};

std::int64_t greatest(const IntegerLayer& its)
{
    return std::max(std::abs(std::int64_t{its.least}), std::abs(std::int64_t{its.most}));
}

void check_rests(const IntegerLayer& its, const Complaint& complain)
{
    for (const std::int64_t rest : its.rest)
    {
        complain.unless(std::abs(rest) <= kMostRest, "has a rest of a bias beyond 2^60");
    }
}

void check_rest(const IntegerLayer& its, const Complaint& complain)
{
    complain.unless(its.rest.empty() || its.rest.size() == its.bias.size(),
                    "has not one rest a bias");
    check_rests(its, complain);
}

/// Of batch_norm, layer_norm and prelu. `most_operand` is the greatest magnitude that a weight
/// multiplies.
void check_gains(const Layer& layer, const IntegerLayer& its, std::int64_t most_operand,
                 const Complaint& complain)
{
    const std::size_t channels = layer.output.channels;
    const std::size_t more = layer.kind == LayerKind::activation ? 1 : 0; // ratios
    complain.unless(its.weights.rows() == 1 && its.weights.columns() == channels &&
                        its.bias.size() == channels && its.ratio.size() == channels + more,
                    "has not one weight, bias, multiplier and shift a channel");
    for (std::size_t c = 0; c < channels; ++c)
    {
        complain.unless(std::abs(its.weights(0, c)) < 1 << kGainBits &&
                            std::abs(its.bias[c]) <= kMostSum,
                        "has a weight beyond 15 bits or a bias beyond 31");
        complain.unless(std::abs(its.weights(0, c)) * most_operand + std::abs(its.bias[c]) <=
                            kMostSum,
                        "can have sums beyond 32 bits");
    }
    check_rest(its, complain);
}

void check_softmax(const Layer& layer, const Shape& from, const IntegerLayer& operand,
                   const IntegerLayer& its, const Complaint& complain)
{
    const auto codes = static_cast<std::size_t>(operand.most - operand.least) + 1;
    complain.unless(its.table.size() == codes && its.table[0] > 0,
                    "needs a table of " + std::to_string(codes) + " powers, the first above 0");
    for (const std::int32_t power : its.table)
    {
        complain.unless(power >= 0 && power <= 1 << kPowerBits,
                        "has a table with powers below 0 or above 2^26");
    }
    complain.unless(its.ratio.size() == 1, "needs one multiplier and shift");
    const double count = layer.axis == "height" ? from.height : from.channels;
    complain.unless(count <= 0x1p16, "is over more than 2^16 elements");
    const double most = std::ldexp(1.0, kPowerBits);
    complain.unless(2 * most * static_cast<double>(its.ratio[0].multiplier) +
                            std::ldexp(count * most, static_cast<int>(its.ratio[0].shift) + 1) <=
                        kMostProduct,
                    "has a multiplier and a shift that overflow 64 bits");
}

void check_product(const IntegerNetwork& integers, const Layer& layer, const IntegerLayer& its,
                   const Complaint& complain)
{
    const Shape& from = integers.network.input_shape(layer);
    const std::size_t rows =
        std::size_t{layer.kernel_height} * layer.kernel_width * (from.channels / layer.groups);
    const std::size_t columns = layer.output.channels;
    complain.unless(its.weights.rows() == rows && its.weights.columns() == columns,
                    "has " + std::to_string(its.weights.rows()) + " x " +
                        std::to_string(its.weights.columns()) + " weights, not " +
                        std::to_string(rows) + " x " + std::to_string(columns));
    complain.unless(its.bias.size() == columns && its.ratio.size() == columns,
                    "has not one bias, multiplier and shift a channel");
    const IntegerLayer& operand = integers[layer.inputs[0]];
    const std::int64_t most_input = greatest(operand);
    const std::int64_t most_weight = std::int64_t{1} << (integers.network.weight_bits - 1);
    for (std::size_t column = 0; column < columns; ++column)
    {
        std::int64_t sum = 0;
        for (std::size_t row = 0; row < rows; ++row)
        {
            const std::int64_t weight = its.weights(row, column);
            complain.unless(weight >= -most_weight && weight < most_weight,
                            "has a weight of " + std::to_string(weight) + ", too large for " +
                                std::to_string(integers.network.weight_bits) + " bits");
            sum += std::abs(weight) * most_input;
        }
        complain.unless(std::abs(its.bias[column]) <= kMostSum &&
                            sum + std::abs(its.bias[column]) <= kMostSum,
                        "can have sums beyond 32 bits");
    }
    check_rest(its, complain);
}

/// Of average pools.
void check_mean(const Layer& layer, const IntegerLayer& operand, const IntegerLayer& its,
                const Complaint& complain)
{
    const double count = static_cast<double>(layer.kernel_height) * layer.kernel_width;
    complain.unless(count <= 0x1p16, "is the mean of more than 2^16 elements");
    complain.unless(its.ratio.size() == 1, "needs one multiplier and shift");
    complain.unless(2 * count * static_cast<double>(greatest(operand)) *
                                static_cast<double>(its.ratio[0].multiplier) +
                            std::ldexp(count, static_cast<int>(its.ratio[0].shift) + 1) <=
                        kMostProduct,
                    "has a multiplier and a shift that overflow 64 bits");
}

void check_sum(const IntegerNetwork& integers, const Layer& layer, const IntegerLayer& its,
               const Complaint& complain)
{
    complain.unless(its.ratio.size() == layer.inputs.size(),
                    "has not one multiplier and shift an operand");
    double most = 0;
    for (std::size_t k = 0; k < its.ratio.size(); ++k)
    {
        complain.unless(its.ratio[k].shift == its.ratio[0].shift, "has more than one shift");
        most += static_cast<double>(greatest(integers[layer.inputs[k]])) *
                static_cast<double>(its.ratio[k].multiplier);
    }
    complain.unless(most + std::ldexp(1.0, static_cast<int>(its.ratio[0].shift)) <= kMostProduct,
                    "has multipliers and a shift that overflow 64 bits");
}

} // namespace

Ratio Ratio::of(double value, unsigned bits, unsigned most_shift)
{
    if (!(value >= 0 && value < std::exp2(bits) - 0.5))
    {
        throw InputError({"", 0, "scale"},
                         "is " + std::to_string(value) +
                             " times that of the codes it becomes, "
                             "which takes more than " +
                             std::to_string(bits) + " bits",
                         "give data, or codes, whose ranges are nearer to each other");
    }
    int exponent = 0;
    static_cast<void>(std::frexp(value, &exponent)); // value is below 2^exponent
    int shift = std::min(static_cast<int>(bits) - exponent, static_cast<int>(most_shift));
    auto multiplier = static_cast<std::int64_t>(std::llround(std::ldexp(value, shift)));
    while (shift > 0 && (multiplier % 2 == 0 || multiplier >= std::int64_t{1} << bits))
    {
        multiplier /= 2;
        --shift;
        if (multiplier == 0)
        {
            shift = 0;
        }
    }
    return {multiplier, static_cast<unsigned>(std::max(shift, 0))};
}

LayerId IntegerNetwork::input() const
{
    for (std::uint32_t i = 0; i < network.layers.size(); ++i)
    {
        if (network.layers[i].kind == LayerKind::input)
        {
            return LayerId(i);
        }
    }
    return LayerId::none();
}

Map<std::int32_t> IntegerNetwork::codes(const float* image) const
{
    const IntegerLayer& its = (*this)[input()];
    Map<std::int32_t> codes(network[input()].output.elements());
    for (std::size_t i = 0; i < codes.size(); ++i)
    {
        const double code = std::floor(static_cast<double>(image[i]) / its.scale + 0.5);
        codes[i] = static_cast<std::int32_t>(
            std::clamp(code, static_cast<double>(its.least), static_cast<double>(its.most)));
    }
    return codes;
}

void check(const IntegerNetwork& integers, const std::string& file, const std::string& remedy)
{
    for (std::size_t i = 0; i < integers.layers.size(); ++i)
    {
        const Layer& layer = integers.network.layers[i];
        const IntegerLayer& its = integers.layers[i];
        const Complaint complain(file, layer, remedy);
        complain.unless(std::isfinite(its.scale) && its.scale > 0,
                        "has a scale that is not above 0");
        complain.unless(its.least < its.most && its.least >= -(1 << 24U) && its.most <= 1 << 24U,
                        "has a range that is empty or beyond 24 bits");
        for (const Ratio& ratio : its.ratio)
        {
            complain.unless(ratio.multiplier >= 0 && ratio.multiplier <= kMostSum &&
                                ratio.shift <= 62,
                            "has a multiplier beyond 31 bits or a shift beyond 62");
        }
        switch (layer.kind)
        {
        case LayerKind::conv2d:
        case LayerKind::dense:
            check_product(integers, layer, its, complain);
            break;
        case LayerKind::matmul:
            complain.unless(its.ratio.size() == 1, "needs one multiplier and shift");
            complain.unless(greatest(integers[layer.inputs[0]]) *
                                    greatest(integers[layer.inputs[1]]) <=
                                kMostSum / HeadProducts(integers.network, layer).common,
                            "can have sums beyond 32 bits");
            break;
        case LayerKind::mul:
            complain.unless(its.ratio.size() == 1, "needs one multiplier and shift");
            complain.unless(layer.inputs.size() == 2 &&
                                greatest(integers[layer.inputs[0]]) *
                                        greatest(integers[layer.inputs[1]]) <=
                                    kMostSum,
                            "has more than two operands, or products beyond 32 bits");
            break;
        case LayerKind::batch_norm:
            check_gains(layer, its, greatest(integers[layer.inputs[0]]), complain);
            break;
        case LayerKind::layer_norm:
            check_gains(layer, its, most_norm(layer.output.channels), complain);
            complain.unless(greatest(integers[layer.inputs[0]]) * layer.output.channels <=
                                    1 << 23U &&
                                its.epsilon >= 0 && its.epsilon <= std::int64_t{1} << 40U,
                            "has an epsilon beyond 2^40, or norms of more than 2^23 / (the largest "
                            "code) channels");
            break;
        case LayerKind::softmax:
            check_softmax(layer, integers.network.input_shape(layer), integers[layer.inputs[0]],
                          its, complain);
            break;
        case LayerKind::embedding:
            complain.unless(its.ratio.size() == 1 && its.rest.size() == layer.output.elements(),
                            "has not one multiplier and shift, and one rest an element");
            check_rests(its, complain);
            break;
        case LayerKind::add:
            check_sum(integers, layer, its, complain);
            break;
        case LayerKind::average_pool:
        case LayerKind::global_average_pool:
            check_mean(layer, integers[layer.inputs[0]], its, complain);
            break;
        case LayerKind::activation:
        {
            const IntegerLayer& operand = integers[layer.inputs[0]];
            if (layer.activation == "prelu")
            {
                check_gains(layer, its, greatest(operand), complain);
                break;
            }
            const auto codes = static_cast<std::size_t>(operand.most - operand.least) + 1;
            complain.unless(its.table.empty() ? its.ratio.size() == 1 : its.table.size() == codes,
                            "needs a table of " + std::to_string(codes) + " codes, or one ratio");
            for (const std::int32_t code : its.table)
            {
                complain.unless(code >= its.least && code <= its.most,
                                "has a table with codes out of its range");
            }
            break;
        }
        case LayerKind::input:
            break;
        case LayerKind::concat:
            if (!its.ratio.empty())
            {
                complain.unless(its.ratio.size() == layer.inputs.size(),
                                "has not one multiplier and shift an operand");
                break;
            }
            [[fallthrough]];
        default:
            complain.unless(its.ratio.empty(), "has a multiplier, but keeps codes");
            complain.unless(moves_only(layer.kind) || layer.kind == LayerKind::max_pool,
                            "is of a kind that whole numbers do not compute");
            for (const LayerId operand : layer.inputs)
            {
                complain.unless(integers[operand].least >= its.least &&
                                    integers[operand].most <= its.most,
                                "has a smaller range than its operands");
                complain.unless(layer.kind != LayerKind::pad || (its.least <= 0 && its.most >= 0),
                                "pads with zeros, which are not within its range");
            }
        }
    }
}

std::int64_t most_norm(std::uint32_t channels)
{
    // |deviation| of one of n elements is at most sqrt(n - 1) standard deviations.
    return static_cast<std::int64_t>(
        std::ceil(std::ldexp(std::sqrt(static_cast<double>(channels)), int{kNormBits})));
}

bool multiplies(LayerKind kind)
{
    return kind == LayerKind::conv2d || kind == LayerKind::dense || kind == LayerKind::matmul;
}

bool by_position(const Layer& layer)
{
    return layer.kind == LayerKind::layer_norm ||
           (layer.kind == LayerKind::softmax && layer.axis != "height");
}

std::vector<std::int32_t> IntegerLayer::shares(const std::vector<std::int32_t>& codes) const
{
    const std::int32_t greatest = *std::max_element(codes.begin(), codes.end());
    const auto power = [&](std::int32_t code)
    { return std::int64_t{table[static_cast<std::size_t>(greatest - code)]}; };
    std::int64_t sum = 0;
    for (const std::int32_t code : codes)
    {
        sum += power(code);
    }
    const Ratio& its = ratio[0];
    std::vector<std::int32_t> result;
    result.reserve(codes.size());
    for (const std::int32_t code : codes)
    {
        result.push_back(limited((2 * power(code) * its.multiplier + (sum << its.shift)) /
                                 (sum << (its.shift + 1))));
    }
    return result;
}

std::vector<std::int32_t> IntegerLayer::norms(const std::vector<std::int32_t>& codes,
                                              bool centred) const
{
    const auto count = static_cast<std::int64_t>(codes.size());
    std::int64_t sum = 0;
    std::int64_t squares = 0;
    for (const std::int32_t code : codes)
    {
        sum += centred ? code : 0;
        squares += std::int64_t{code} * code;
    }
    const std::int64_t square = (count * squares - sum * sum + epsilon) << (2 * kRootBits);
    auto root = static_cast<std::int64_t>(std::sqrt(static_cast<double>(square)));
    root -= root * root > square ? 1 : 0; // the double may have been rounded up
    root += (root + 1) * (root + 1) <= square ? 1 : 0;
    root = std::max<std::int64_t>(root, 1); // where all codes are the same
    std::vector<std::int32_t> result;
    result.reserve(codes.size());
    for (std::size_t c = 0; c < codes.size(); ++c)
    {
        const std::int64_t deviation =
            (count * codes[c] - sum) * (std::int64_t{1} << (kRootBits + kNormBits));
        const std::int64_t dividend = 2 * deviation + root;
        const std::int64_t norm = dividend / (2 * root) - (dividend % (2 * root) < 0 ? 1 : 0);
        result.push_back(finish(c, weights(0, c) * norm));
    }
    return result;
}

Matrix<std::int32_t> second_matrix(const network::Network& network, const Layer& layer,
                                   const Map<std::int32_t>& second)
{
    const HeadProducts how(network, layer);
    Matrix<std::int32_t> matrix(how.common, std::size_t{how.heads} * how.columns);
    for (std::uint32_t row = 0; row < how.common; ++row)
    {
        for (std::uint32_t column = 0; column < matrix.columns(); ++column)
        {
            matrix(row, column) =
                second[how.second(column / how.columns, row, column % how.columns)];
        }
    }
    return matrix;
}

Matrix<std::int64_t> exact_product(const Matrix<std::int32_t>& inputs,
                                   const Matrix<std::int32_t>& weights, std::uint32_t groups)
{
    Matrix<std::int64_t> sums(inputs.rows(), weights.columns());
    std::vector<std::int32_t> totals(weights.columns()); // check() keeps sums within 32 bits
    const std::size_t wide = weights.columns() / groups;
    for (std::size_t i = 0; i < inputs.rows(); ++i)
    {
        std::fill(totals.begin(), totals.end(), 0);
        for (std::size_t group = 0; group < groups; ++group)
        {
            std::int32_t* const its = totals.data() + group * wide;
            for (std::size_t k = 0; k < weights.rows(); ++k)
            {
                const std::int32_t input = inputs(i, group * weights.rows() + k);
                const std::int32_t* row = weights.row(k) + group * wide;
                if (input != 0)
                {
                    for (std::size_t c = 0; c < wide; ++c)
                    {
                        its[c] += input * row[c];
                    }
                }
            }
        }
        std::copy(totals.begin(), totals.end(), sums.row(i));
    }
    return sums;
}

std::vector<Map<std::int32_t>> run(const IntegerNetwork& integers, Map<std::int32_t> input,
                                   const Products* products, std::uint32_t image)
{
    const network::Network& network = integers.network;
    std::vector<Map<std::int32_t>> maps(network.layers.size());
    for (std::uint32_t i = 0; i < maps.size(); ++i)
    {
        const Layer& layer = network.layers[i];
        const Shape& to = layer.output;
        Map<std::int32_t>& out = maps[i];
        if (layer.kind == LayerKind::input)
        {
            out = std::move(input);
            continue;
        }
        out.resize(to.elements());
        if (layer.kind == LayerKind::conv2d || layer.kind == LayerKind::dense)
        {
            const Shape& from = network.input_shape(layer);
            const Map<std::int32_t>& in = maps[layer.inputs[0].index()];
            const Matrix<std::int32_t>& weights = integers.layers[i].weights;
            Matrix<std::int32_t> inputs(std::size_t{to.height} * to.width,
                                        weights.rows() * layer.groups);
            for (std::uint32_t row = 0; row < to.height; ++row)
            {
                for (std::uint32_t column = 0; column < to.width; ++column)
                {
                    std::int32_t* into = inputs.row(std::size_t{row} * to.width + column);
                    for (std::uint32_t group = 0; group < layer.groups; ++group)
                    {
                        gather(
                            layer, from, group, row, column,
                            [&](const Element& at) { return in[index_of(from, at)]; }, into);
                        into += weights.rows();
                    }
                }
            }
            const Matrix<std::int64_t> sums =
                products == nullptr ? exact_product(inputs, weights, layer.groups)
                                    : products->multiply(LayerId(i), inputs, image, 0);
            for (std::size_t k = 0; k < out.size(); ++k)
            {
                out[k] = integers.layers[i].finish(k % to.channels,
                                                   sums(k / to.channels, k % to.channels));
            }
            continue;
        }
        if (layer.kind == LayerKind::matmul)
        {
            const Map<std::int32_t>& in = maps[layer.inputs[0].index()];
            Matrix<std::int32_t> inputs(to.height, in.size() / to.height);
            std::copy(in.begin(), in.end(), inputs.row(0));
            const Matrix<std::int32_t> second =
                second_matrix(network, layer, maps[layer.inputs[1].index()]);
            const Matrix<std::int64_t> sums =
                products == nullptr ? exact_product(inputs, second, layer.heads)
                                    : products->multiply_maps(LayerId(i), inputs, second, image);
            for (std::size_t k = 0; k < out.size(); ++k)
            {
                out[k] =
                    integers.layers[i].finish(0, sums(k / second.columns(), k % second.columns()));
            }
            continue;
        }
        if (by_position(layer))
        {
            const IntegerLayer& its = integers.layers[i];
            const Map<std::int32_t>& in = maps[layer.inputs[0].index()];
            std::vector<std::int32_t> codes(to.channels);
            for (std::size_t first = 0; first < in.size(); first += to.channels)
            {
                std::copy_n(in.data() + first, to.channels, codes.data());
                const std::vector<std::int32_t> made = layer.kind == LayerKind::softmax
                                                           ? its.shares(codes)
                                                           : its.norms(codes, layer.centred);
                std::copy(made.begin(), made.end(), out.data() + first);
            }
            continue;
        }
        std::size_t next = 0;
        for (std::uint32_t row = 0; row < to.height; ++row)
        {
            for (std::uint32_t column = 0; column < to.width; ++column)
            {
                for (std::uint32_t channel = 0; channel < to.channels; ++channel)
                {
                    out[next++] =
                        element(integers, LayerId(i), {row, column, channel},
                                [&](std::uint32_t k, const Element& at) {
                                    return maps[layer.inputs[k].index()]
                                               [index_of(network.input_shape(layer, k), at)];
                                });
                }
            }
        }
    }
    return maps;
}

std::uint32_t best_class(const Map<std::int32_t>& logits)
{
    return static_cast<std::uint32_t>(std::max_element(logits.begin(), logits.end()) -
                                      logits.begin());
}

} // namespace tessera::values
