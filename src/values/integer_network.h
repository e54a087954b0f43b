// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"
#include "numerics/matrix.h"
#include "values/geometry.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace tessera::values
{

/// multiplier / 2^shift: how a sum becomes codes.
struct Ratio
{
    std::int64_t multiplier = 1; ///< 0 .. 2^31 - 1
    unsigned shift = 0;          ///< up to kMostShift

    static constexpr unsigned kMostShift = 62;

    /// The product and `rest`, which counts in 2^-shift, rounded to the nearest whole number; ties
    /// go up. |value| below 2^31, |rest| up to kMostRest.
    [[nodiscard]] std::int64_t operator()(std::int64_t value, std::int64_t rest = 0) const
    {
        const std::int64_t product = value * multiplier + rest;
        return shift == 0 ? product : (product + (std::int64_t{1} << (shift - 1))) >> shift;
    }
    /// The nearest ratio whose multiplier has up to `bits` bits and whose shift is `most_shift` at
    /// the most; 0 for values so small that every product is 0. Throws InputError for a value that
    /// is not a number from 0 to below 2^bits.
    [[nodiscard]] static Ratio of(double value, unsigned bits = 31,
                                  unsigned most_shift = kMostShift);
};
constexpr std::int64_t kMostRest = std::int64_t{1} << 60U;

/// How one layer computes with whole numbers ("codes"); a code times `scale` is the value.
///
/// conv2d, dense: ratio[channel] (sum of products + bias[channel]) + rest[channel] / 2^shift.
/// matmul: ratio[0] (sum of products). mul: ratio[0] (product).
/// batch_norm: as conv2d, of weights(0, channel) code.
/// embedding: ratio[0] code + rest[element] / 2^shift.
/// layer_norm: as conv2d, of weights(0, channel) norm; see norms().
/// softmax: powers table[greatest code - code], as parts of their sum: see shares().
/// add: (sum of codes x multiplier) / 2^shift; ratio[operand], all of one shift.
/// global_average_pool, average_pool: sum x multiplier / (elements x 2^shift); ratio[0].
/// activation: table[code - least code of the operand]; relu where there is none: ratio[0]. prelu:
/// as batch_norm below 0, else by the last ratio, which is one more than there are channels.
/// concat: ratio[operand] code, or the codes of its operands where there are none.
/// All are rounded to nearest, ties up, then limited to least .. most. max_pool and the other
/// layers that move data keep codes, and have the scale of their operands.
struct IntegerLayer
{
    double scale = 1;
    std::int32_t least = 0;
    std::int32_t most = 255;
    numerics::Matrix<std::int32_t> weights; ///< as network::Weights::matrix
    std::vector<std::int64_t> bias;
    std::vector<std::int64_t> rest; ///< what `bias` lacks of the real one; empty: nothing
    std::vector<Ratio> ratio;
    std::vector<std::int32_t> table;
    std::int64_t epsilon =
        0; ///< of a layer_norm: in squares of a code, times those of its channels

    [[nodiscard]] std::int32_t limited(std::int64_t value) const
    {
        return static_cast<std::int32_t>(std::clamp<std::int64_t>(value, least, most));
    }
    /// What a layer that moves data makes of a code of an operand.
    [[nodiscard]] std::int32_t moved(std::size_t operand, std::int32_t code) const
    {
        return ratio.empty() ? code : limited(ratio[operand](code));
    }
    /// What becomes of a sum of products. Accumulators have 32 bits and saturate.
    [[nodiscard]] std::int32_t finish(std::size_t channel, std::int64_t sum) const
    {
        constexpr std::int64_t most_sum = std::numeric_limits<std::int32_t>::max();
        const std::int64_t all = bias.empty() ? sum : sum + bias[channel];
        return limited(ratio[ratio.size() == 1 ? 0 : channel](std::clamp(all, -most_sum, most_sum),
                                                              rest.empty() ? 0 : rest[channel]));
    }
    /// What a softmax makes of the codes of a row: power x multiplier / (2^shift x the sum of the
    /// powers).
    [[nodiscard]] std::vector<std::int32_t> shares(const std::vector<std::int32_t>& codes) const;
    /// What a layer_norm makes of the n codes of a position, whose sum counts as 0 if it is not
    /// centred: with d = n code - sum of codes and
    /// v = n (sum of squares) - (sum of codes)^2 + epsilon, the norm is d / sqrt(v) with kNormBits
    /// bits behind the point, where the root has kRootBits of them and what is below is dropped,
    /// and the quotient is rounded.
    [[nodiscard]] std::vector<std::int32_t> norms(const std::vector<std::int32_t>& codes,
                                                  bool centred) const;
    /// What a prelu makes of a code.
    [[nodiscard]] std::int32_t bent(std::size_t channel, std::int32_t code) const
    {
        return code < 0 ? finish(channel, std::int64_t{weights(0, channel)} * code)
                        : limited(ratio.back()(code));
    }
};
constexpr unsigned kNormBits = 10;
constexpr unsigned kRootBits = 8;
constexpr unsigned kPowerBits = 26; ///< behind the point, of a softmax's powers
constexpr unsigned kGainBits = 15;  ///< of the weights of norms, without the sign

/// The greatest magnitude of a norm of so many channels.
[[nodiscard]] std::int64_t most_norm(std::uint32_t channels);

/// Is an element made of all channels of its position, all of which go alike: softmax over
/// channels, layer_norm?
[[nodiscard]] bool by_position(const network::Layer& layer);

/// Is its result a sum of products that crossbars can make: conv2d, dense, matmul?
[[nodiscard]] bool multiplies(network::LayerKind kind);

/// A network of whole numbers.
struct IntegerNetwork
{
    network::Network network;
    std::vector<IntegerLayer> layers;
    std::vector<std::string> notes; ///< where a number is coarser than asked for, in words

    [[nodiscard]] const IntegerLayer& operator[](LayerId id) const { return layers[id.index()]; }
    /// The layer that has no operands.
    [[nodiscard]] LayerId input() const;
    /// Codes of an image: value / scale, rounded to nearest (ties up) and limited.
    [[nodiscard]] Map<std::int32_t> codes(const float* image) const;
};

/// Throws InputError unless all numbers of all layers fit their shapes and the bounds above, so
/// that nothing overflows. `file` and `remedy` are used in messages.
void check(const IntegerNetwork& network, const std::string& file,
           const std::string& remedy = "make the file again with tessera quantize");

/// One element of a layer that is not an input: read(operand, element) gives codes of operands.
/// conv2d, dense and matmul take an exact product.
template <class Read>
std::int32_t element(const IntegerNetwork& integers, LayerId id, const Element& at, Read read);

/// Who multiplies weights and inputs: exactly, or in crossbars.
class Products
{
public:
    Products() = default;
    Products(const Products&) = delete;
    Products& operator=(const Products&) = delete;
    virtual ~Products() = default;
    /// Sums of products of layer `id`: a row of `inputs` is what the weight matrix multiplies for
    /// the output position (row-major) `first` + its index, one group of channels after the other.
    [[nodiscard]] virtual numerics::Matrix<std::int64_t>
    multiply(LayerId id, const numerics::Matrix<std::int32_t>& inputs, std::uint32_t image,
             std::uint32_t first) const = 0;
    /// The same of a matmul: rows of its first operand with what second_matrix() gives of its
    /// second.
    [[nodiscard]] virtual numerics::Matrix<std::int64_t>
    multiply_maps(LayerId id, const numerics::Matrix<std::int32_t>& inputs,
                  const numerics::Matrix<std::int32_t>& second, std::uint32_t image) const = 0;
};

/// The matrices of the heads of a matmul beside one another.
[[nodiscard]] numerics::Matrix<std::int32_t> second_matrix(const network::Network& network,
                                                           const network::Layer& layer,
                                                           const Map<std::int32_t>& second);

/// The codes of all layers for one image. `products` multiplies for conv2d, dense and matmul; null:
/// exactly. Reads only: any number of threads may run at once.
[[nodiscard]] std::vector<Map<std::int32_t>> run(const IntegerNetwork& network,
                                                 Map<std::int32_t> input,
                                                 const Products* products = nullptr,
                                                 std::uint32_t image = 0);

/// The sums that multiply() gives, exactly: column k of `weights` multiplies the inputs of its
/// group.
[[nodiscard]] numerics::Matrix<std::int64_t>
exact_product(const numerics::Matrix<std::int32_t>& inputs,
              const numerics::Matrix<std::int32_t>& weights, std::uint32_t groups);

/// First of the largest.
[[nodiscard]] std::uint32_t best_class(const Map<std::int32_t>& logits);

template <class Read>
std::int32_t element(const IntegerNetwork& integers, LayerId id, const Element& at, Read read)
{
    using network::LayerKind;
    const network::Network& network = integers.network;
    const network::Layer& layer = network[id];
    const IntegerLayer& its = integers[id];
    const network::Shape& from = network.input_shape(layer);
    switch (layer.kind)
    {
    case LayerKind::conv2d:
    case LayerKind::dense:
    {
        const std::uint32_t group = at.channel / (layer.output.channels / layer.groups);
        const std::uint32_t inner = from.channels / layer.groups;
        std::int64_t sum = 0;
        each_in_window(layer, from, at.row, at.column,
                       [&](std::uint32_t y, std::uint32_t x, std::size_t tap)
                       {
                           for (std::uint32_t c = 0; c < inner; ++c)
                           {
                               sum += std::int64_t{its.weights(tap * inner + c, at.channel)} *
                                      read(0U, Element{y, x, group * inner + c});
                           }
                       });
        return its.finish(at.channel, sum);
    }
    case LayerKind::max_pool:
    {
        std::int32_t most = std::numeric_limits<std::int32_t>::min();
        each_in_window(layer, from, at.row, at.column,
                       [&](std::uint32_t y, std::uint32_t x, std::size_t) {
                           most = std::max(most, read(0U, Element{y, x, at.channel}));
                       });
        return most;
    }
    case LayerKind::average_pool:
    case LayerKind::global_average_pool:
    {
        std::int64_t sum = 0;
        std::int64_t count = 0;
        each_in_window(layer, from, at.row, at.column,
                       [&](std::uint32_t y, std::uint32_t x, std::size_t)
                       {
                           sum += read(0U, Element{y, x, at.channel});
                           ++count;
                       });
        const Ratio& ratio = its.ratio[0];
        const std::int64_t divisor = count << (ratio.shift + 1);
        const std::int64_t dividend = 2 * sum * ratio.multiplier + (count << ratio.shift);
        const std::int64_t quotient = dividend / divisor;
        return its.limited(quotient - (dividend % divisor < 0 ? 1 : 0)); // down, not towards 0
    }
    case LayerKind::add:
    {
        std::int64_t sum = 0;
        for (std::uint32_t k = 0; k < layer.inputs.size(); ++k)
        {
            sum += read(k, at) * its.ratio[k].multiplier;
        }
        return its.limited(Ratio{1, its.ratio[0].shift}(sum));
    }
    case LayerKind::mul:
    {
        std::int64_t product = 1;
        for (std::uint32_t k = 0; k < layer.inputs.size(); ++k)
        {
            product *= read(k, factor_at(network.input_shape(layer, k), layer.output, at));
        }
        return its.limited(its.ratio[0](product));
    }
    case LayerKind::embedding:
        return its.limited(its.ratio[0](read(0U, at), its.rest[index_of(layer.output, at)]));
    case LayerKind::batch_norm:
        return its.finish(at.channel, std::int64_t{its.weights(0, at.channel)} * read(0U, at));
    case LayerKind::layer_norm:
    {
        std::vector<std::int32_t> codes(from.channels);
        for (std::uint32_t c = 0; c < from.channels; ++c)
        {
            codes[c] = read(0U, Element{at.row, at.column, c});
        }
        return its.norms(codes, layer.centred)[at.channel];
    }
    case LayerKind::softmax:
    {
        const bool down = layer.axis == "height";
        std::vector<std::int32_t> codes(down ? from.height : from.channels);
        for (std::uint32_t k = 0; k < codes.size(); ++k)
        {
            codes[k] =
                read(0U, down ? Element{k, at.column, at.channel} : Element{at.row, at.column, k});
        }
        return its.shares(codes)[down ? at.row : at.channel];
    }
    case LayerKind::matmul:
    {
        const HeadProducts how(network, layer);
        const std::uint32_t column = at.column * layer.output.channels + at.channel;
        const std::uint32_t head = column / how.columns;
        const std::size_t row = std::size_t{at.row} * how.heads * how.common;
        const network::Shape& other = network.input_shape(layer, 1);
        std::int64_t sum = 0;
        for (std::uint32_t k = 0; k < how.common; ++k)
        {
            sum +=
                std::int64_t{read(0U, element_at(from, row + std::size_t{head} * how.common + k))} *
                read(1U, element_at(other, how.second(head, k, column % how.columns)));
        }
        return its.finish(0, sum);
    }
    case LayerKind::activation:
    {
        const std::int32_t code = read(0U, at);
        if (layer.activation == "prelu")
        {
            return its.bent(at.channel, code);
        }
        return its.table.empty()
                   ? its.limited(its.ratio[0](code))
                   : its.table[static_cast<std::size_t>(code - integers[layer.inputs[0]].least)];
    }
    default:
    {
        const std::optional<Origin> origin = origin_of(network, layer, at);
        return origin ? its.moved(origin->operand, read(static_cast<std::uint32_t>(origin->operand),
                                                        origin->element))
                      : 0;
    }
    }
}

} // namespace tessera::values
