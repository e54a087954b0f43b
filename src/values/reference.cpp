// SPDX-License-Identifier: Apache-2.0
#include "values/reference.h"

#include "tessera/error.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <limits>

namespace tessera::values
{
namespace
{

using network::Layer;
using network::LayerKind;
using network::Shape;

constexpr std::int64_t kMostSum = 2'147'483'647; ///< accumulators saturate

using Inputs = std::vector<std::int64_t>; ///< of one output position, all rows of the matrix

/// What crossbars hold of a layer: its groups' matrices along a diagonal.
class Diagonal
{
public:
    /// Columns of `matrix` belong to one group after the other.
    Diagonal(const numerics::Matrix<std::int32_t>& matrix, std::size_t groups)
        : matrix_(matrix), groups_(groups)
    {
    }
    [[nodiscard]] std::size_t rows() const { return matrix_.rows() * groups_; }
    [[nodiscard]] std::int64_t operator()(std::size_t row, std::size_t column) const
    {
        const bool on = row / matrix_.rows() == column * groups_ / matrix_.columns();
        return on ? matrix_(row % matrix_.rows(), column) : 0;
    }

private:
    const numerics::Matrix<std::int32_t>& matrix_;
    std::size_t groups_;
};

/// The digit of `bits` bits number `index` of a pattern.
std::int64_t digit(std::int64_t pattern, unsigned index, unsigned bits)
{
    return (pattern >> (index * bits)) & ((std::int64_t{1} << bits) - 1);
}

unsigned digits(unsigned all, unsigned bits)
{
    return all / bits + (all % bits != 0 ? 1 : 0);
}

std::int64_t power(unsigned exponent)
{
    return std::int64_t{1} << exponent;
}

std::int64_t nearest_up(double value)
{
    return static_cast<std::int64_t>(std::floor(value + 0.5));
}

/// Crossbars with converters.
class Adc
{
public:
    /// Inputs are codes from `least` to `most`.
    Adc(const Analogue& analogue, const Diagonal& weights, std::size_t layer, std::int64_t least,
        std::int64_t most)
        : scheme_(analogue.scheme),
          weights_(weights),
          // What two's complement does not hold counts from the least.
          zero_point_(least < 0 && (-least > power(scheme_.input_bits - 1) ||
                                    most >= power(scheme_.input_bits - 1))
                          ? -least
                          : 0),
          two_pass_(least < 0 && zero_point_ == 0 &&
                    analogue.signed_inputs == numerics::InputCoding::two_pass),
          complement_(least < 0 && zero_point_ == 0 && !two_pass_),
          both_signs_(scheme_.signs == numerics::Signs::differential ||
                      scheme_.signs == numerics::Signs::sign_magnitude)
    {
        const numerics::ConverterScheme& converter = scheme_.converter;
        exact_ = converter.rounding == numerics::Rounding::ideal;
        const double codes = static_cast<double>(
            std::max<std::int64_t>(1, power(converter.bits - (both_signs_ ? 1 : 0)) - 1));
        const double full =
            static_cast<double>(static_cast<std::int64_t>(scheme_.rows) *
                                (power(scheme_.cell_bits) - 1) * (power(scheme_.slice_bits) - 1));
        if (exact_ || converter.range == numerics::Range::granular)
        {
            step_ = 1;
        }
        else if (converter.range == numerics::Range::full)
        {
            step_ = full / codes;
        }
        else
        {
            step_ = analogue.limits.at(layer) / codes;
        }
    }

    [[nodiscard]] std::int64_t product(const Piece& piece, const Inputs& inputs,
                                       std::size_t column) const
    {
        std::int64_t codes = pass(piece, inputs, column, two_pass_ ? 1 : 0);
        if (two_pass_)
        {
            codes -= pass(piece, inputs, column, -1);
        }
        std::int64_t driven_by_zeros = 0;
        for (std::size_t row = piece.rows.begin; row < piece.rows.end; ++row)
        {
            driven_by_zeros += zero_point_ * weights_(row, column);
        }
        return nearest_up(static_cast<double>(codes) * step_) - driven_by_zeros;
    }

private:
    /// sign 0: inputs as they are; else the magnitudes of those of that sign.
    [[nodiscard]] std::int64_t pass(const Piece& piece, const Inputs& inputs, std::size_t column,
                                    int sign) const
    {
        const unsigned slices = digits(scheme_.input_bits, scheme_.slice_bits);
        std::int64_t total = 0;
        for (std::size_t first = piece.rows.begin; first < piece.rows.end; first += scheme_.rows)
        {
            const std::size_t last = std::min<std::size_t>(first + scheme_.rows, piece.rows.end);
            for (unsigned slice = 0; slice < slices; ++slice)
            {
                const bool negative = complement_ && slice + 1 == slices;
                const std::int64_t worth = (negative ? -1 : 1) * power(slice * scheme_.slice_bits);
                total += worth * conversions(inputs, first, last, column, slice, sign);
            }
        }
        return total;
    }

    /// Codes of all cells of a weight, by their worth.
    [[nodiscard]] std::int64_t conversions(const Inputs& inputs, std::size_t first,
                                           std::size_t last, std::size_t column, unsigned slice,
                                           int sign) const
    {
        const std::int64_t half = power(scheme_.weight_bits - 1);
        const unsigned cells = digits(scheme_.weight_bits, scheme_.cell_bits);
        std::int64_t codes = 0;
        std::int64_t driven = 0; // the sum of the drives
        for (unsigned cell = 0; cell < cells; ++cell)
        {
            std::int64_t positive = 0;
            std::int64_t negative = 0;
            std::int64_t offset = 0;
            driven = 0;
            for (std::size_t row = first; row < last; ++row)
            {
                const std::int64_t input = sign == 0
                                               ? inputs[row] + zero_point_
                                               : std::max<std::int64_t>(sign * inputs[row], 0);
                const std::int64_t drive = digit(input, slice, scheme_.slice_bits);
                const std::int64_t weight = weights_(row, column);
                driven += drive;
                (weight < 0 ? negative : positive) +=
                    drive * digit(std::abs(weight), cell, scheme_.cell_bits);
                offset += drive * digit(weight + half, cell, scheme_.cell_bits);
            }
            std::int64_t its = 0;
            if (both_signs_)
            {
                its = code(positive - negative);
            }
            else if (scheme_.signs == numerics::Signs::differential_separate)
            {
                its = code(positive) - code(negative);
            }
            else
            {
                its = code(offset);
            }
            codes += its * power(cell * scheme_.cell_bits);
        }
        if (scheme_.signs == numerics::Signs::offset)
        {
            const unsigned top = (cells - 1) * scheme_.cell_bits;
            codes -= code(driven * (half >> top)) * power(top);
        }
        return codes;
    }

    [[nodiscard]] std::int64_t code(std::int64_t levels) const
    {
        if (exact_)
        {
            return levels;
        }
        // Converters are modelled in single precision, ties to even.
        const float ratio = static_cast<float>(levels) * static_cast<float>(1 / step_);
        const auto code = static_cast<std::int64_t>(std::nearbyint(ratio));
        const std::int64_t codes = power(scheme_.converter.bits);
        return both_signs_ ? std::clamp(code, -codes / 2, codes / 2 - 1)
                           : std::clamp(code, std::int64_t{0}, codes - 1);
    }

    const numerics::Scheme& scheme_;
    const Diagonal& weights_;
    std::int64_t zero_point_;
    bool two_pass_;
    bool complement_;
    bool both_signs_;
    bool exact_;
    double step_ = 1;
};

/// AiDAC: a chain of arrays is one sum of charges, a window of time and a converter.
class Aidac
{
public:
    Aidac(const AidacAnalogue& how, const Diagonal& weights, std::size_t layer, bool has_sign)
        : how_(how), weights_(weights), layer_(layer), has_sign_(has_sign)
    {
    }

    [[nodiscard]] std::int64_t product(const Piece& piece, const Inputs& inputs,
                                       std::size_t column) const
    {
        const std::int64_t positive = nearest_up(pass(piece, inputs, column, 1));
        return has_sign_ ? positive - nearest_up(pass(piece, inputs, column, -1)) : positive;
    }

private:
    [[nodiscard]] double pass(const Piece& piece, const Inputs& inputs, std::size_t column,
                              int sign) const
    {
        const numerics::AidacModel& model = how_.model;
        const unsigned weight_bits = how_.scheme.weight_bits;
        const unsigned input_bits = how_.scheme.input_bits;
        const bool paired = how_.scheme.signs == numerics::AidacSigns::paired;
        const std::int64_t half = power(weight_bits - 1);
        std::int64_t first = 0; // what the two chains hold, in units of input times weight
        std::int64_t second = 0;
        for (std::size_t row = piece.rows.begin; row < piece.rows.end; ++row)
        {
            const std::int64_t input = std::max<std::int64_t>(sign * inputs[row], 0);
            const std::int64_t weight = weights_(row, column);
            first += input * (paired ? std::max<std::int64_t>(weight, 0) : weight + half);
            second += input * (paired ? std::max<std::int64_t>(-weight, 0) : half);
        }
        if (!how_.errors.quantisation)
        {
            return static_cast<double>(first - second);
        }
        // Volts of one unit: a row's cells share what those of one unit were charged with, a
        // column's rows share again, and the lowest bit is so much of the line of the sum.
        const double rows = model.array_rows;
        const double row_cells = (model.array_outputs + 1) * weight_bits;
        const double unit = model.array_outputs * weight_bits / std::exp2(input_bits);
        const double lowest = rows / std::exp2(weight_bits - 1);
        const double line =
            lowest * (std::exp2(weight_bits) - 1) + model.vtc_input_ff / model.unit_ff;
        const double volts = model.supply_v * unit / row_cells / rows * lowest / line;
        const double window = model.window_ns * 1e-9;
        const double codes = std::exp2(model.tdc_bits);
        double gain = 0;
        double range = 0;
        if (how_.readouts.empty())
        {
            const double chained = std::ceil(static_cast<double>(piece.rows.size()) / rows);
            const double driven = rows * chained * (std::exp2(input_bits) - 1); // all rows, fully
            gain = window / (volts * driven * (std::exp2(weight_bits) - 1));
            // From all weights at their least to as far on the other side of 0.
            range = 2 * static_cast<double>(half) * driven * volts * gain;
        }
        else
        {
            gain = how_.readouts[layer_].gain;
            range = how_.readouts[layer_].range;
        }
        const auto seconds = [&](std::int64_t units)
        { return std::min(static_cast<double>(units) * volts * gain, window); };
        const double step = range / codes;
        const double code = std::clamp(std::nearbyint((seconds(first) - seconds(second)) / step),
                                       -codes / 2, codes / 2 - 1);
        return code * step / (gain * volts);
    }

    const AidacAnalogue& how_;
    const Diagonal& weights_;
    std::size_t layer_;
    bool has_sign_;
};

class Reference
{
public:
    Reference(const IntegerNetwork& integers, const std::vector<Piece>& pieces,
              const Analogue& analogue)
        : integers_(integers), pieces_(pieces), analogue_(analogue)
    {
    }

    [[nodiscard]] std::vector<Map<std::int32_t>> run(const Map<std::int32_t>& input)
    {
        const auto& layers = integers_.network.layers;
        maps_.resize(layers.size());
        for (std::size_t i = 0; i < layers.size(); ++i)
        {
            if (layers[i].kind == LayerKind::input)
            {
                maps_[i] = input;
                continue;
            }
            maps_[i].resize(layers[i].output.elements());
            if (layers[i].kind == LayerKind::conv2d || layers[i].kind == LayerKind::dense)
            {
                multiply(i);
            }
            else if (layers[i].kind == LayerKind::matmul)
            {
                multiply_maps(i);
            }
            else
            {
                compute(i);
            }
        }
        return std::move(maps_);
    }

private:
    /// Operand `k` at a position, which may lie beyond its edges.
    [[nodiscard]] std::int64_t at(const Layer& layer, std::size_t k, std::int64_t row,
                                  std::int64_t column, std::int64_t channel) const
    {
        const LayerId id = layer.inputs[k];
        const Shape& shape = integers_.network[id].output;
        if (row < 0 || column < 0 || row >= shape.height || column >= shape.width)
        {
            return 0;
        }
        return maps_[id.index()][static_cast<std::size_t>(
            (row * shape.width + column) * shape.channels + channel)];
    }

    [[nodiscard]] std::int32_t copy(const Layer& layer, std::size_t k, std::int64_t row,
                                    std::int64_t column, std::int64_t channel) const
    {
        return static_cast<std::int32_t>(at(layer, k, row, column, channel));
    }

    [[nodiscard]] std::int32_t saturated(std::size_t i, std::int64_t code) const
    {
        const IntegerLayer& its = integers_.layers[i];
        return static_cast<std::int32_t>(std::clamp<std::int64_t>(code, its.least, its.most));
    }

    /// (value x multiplier + added) / 2^shift to the nearest, ties up.
    [[nodiscard]] static std::int64_t scaled(std::int64_t value, std::int64_t multiplier,
                                             unsigned shift, std::int64_t added = 0)
    {
        const std::int64_t product = value * multiplier + added;
        if (shift == 0)
        {
            return product;
        }
        const std::int64_t divisor = power(shift);
        std::int64_t quotient = product / divisor;
        std::int64_t rest = product % divisor;
        if (rest < 0)
        {
            rest += divisor;
            --quotient;
        }
        return quotient + (rest >= divisor / 2 ? 1 : 0);
    }

    [[nodiscard]] std::vector<Piece> pieces_of_layer(std::size_t i) const
    {
        std::vector<Piece> own;
        std::copy_if(pieces_.begin(), pieces_.end(), std::back_inserter(own),
                     [&](const Piece& piece)
                     { return piece.layer.index() == i && piece.copy == 0; });
        return own;
    }

    /// What a piece adds to the sum of a column.
    [[nodiscard]] std::int64_t part(const Piece& piece, const Diagonal& weights, std::size_t i,
                                    const IntegerLayer& operand, const Inputs& inputs,
                                    std::size_t column) const
    {
        if (column < piece.columns.begin || column >= piece.columns.end)
        {
            return 0;
        }
        if (piece.digital)
        {
            std::int64_t sum = 0;
            for (std::size_t row = piece.rows.begin; row < piece.rows.end; ++row)
            {
                sum += inputs[row] * weights(row, column);
            }
            return sum;
        }
        return analogue_.aidac ? Aidac(*analogue_.aidac, weights, i, operand.least < 0)
                                     .product(piece, inputs, column)
                               : Adc(analogue_, weights, i, operand.least, operand.most)
                                     .product(piece, inputs, column);
    }

    /// The matrices of the heads are the second operand, its columns where it is not transposed.
    void multiply_maps(std::size_t i)
    {
        const Layer& layer = integers_.network.layers[i];
        const IntegerLayer& its = integers_.layers[i];
        const IntegerLayer& first = integers_[layer.inputs[0]];
        const IntegerLayer& second = integers_[layer.inputs[1]];
        const Shape& left = integers_.network.input_shape(layer, 0);
        const Shape& right = integers_.network.input_shape(layer, 1);
        const std::size_t depth = std::size_t{left.width} * left.channels / layer.heads;
        const std::size_t wide = std::size_t{right.width} * right.channels;
        const std::size_t columns = layer.transpose_second ? right.height : wide / layer.heads;
        const std::vector<Piece> own = pieces_of_layer(i);
        // Cells hold what is above the middle of the range, if they could not hold the codes.
        const bool digital = own.empty() || own.front().digital;
        const std::int64_t half = power(
            (analogue_.aidac ? analogue_.aidac->scheme.weight_bits : analogue_.scheme.weight_bits) -
            1);
        const bool fits = second.least >= -half && second.most <= half - 1;
        const std::int64_t middle = digital || fits ? 0 : second.least + half;
        numerics::Matrix<std::int32_t> held(depth, layer.heads * columns);
        for (std::size_t row = 0; row < depth; ++row)
        {
            for (std::size_t column = 0; column < held.columns(); ++column)
            {
                const std::size_t head = column / columns;
                const std::size_t place = layer.transpose_second
                                              ? column % columns * wide + head * depth + row
                                              : row * wide + column;
                held(row, column) =
                    static_cast<std::int32_t>(maps_[layer.inputs[1].index()][place] - middle);
            }
        }
        const Diagonal weights(held, layer.heads);
        std::size_t next = 0;
        for (std::size_t row = 0; row < layer.output.height; ++row)
        {
            Inputs inputs;
            for (std::size_t k = 0; k < depth * layer.heads; ++k)
            {
                inputs.push_back(maps_[layer.inputs[0].index()][row * depth * layer.heads + k]);
            }
            for (std::size_t column = 0; column < held.columns(); ++column)
            {
                std::int64_t sum = 0;
                for (std::size_t k = 0; own.empty() && k < inputs.size(); ++k)
                {
                    sum += inputs[k] * weights(k, column);
                }
                for (const Piece& piece : own)
                {
                    sum += part(piece, weights, i, first, inputs, column);
                }
                const std::size_t head = column / columns;
                for (std::size_t k = head * depth; k < (head + 1) * depth; ++k)
                {
                    sum += middle * inputs[k];
                }
                maps_[i][next++] =
                    saturated(i, scaled(std::clamp(sum, -kMostSum, kMostSum),
                                        its.ratio[0].multiplier, its.ratio[0].shift));
            }
        }
    }

    void multiply(std::size_t i)
    {
        const Layer& layer = integers_.network.layers[i];
        const IntegerLayer& its = integers_.layers[i];
        const Shape& from = integers_.network.input_shape(layer);
        const Shape& to = layer.output;
        const IntegerLayer& operand = integers_[layer.inputs[0]];
        const std::vector<Piece> own = pieces_of_layer(i);
        const Diagonal weights(its.weights, layer.groups);
        const std::uint32_t inner = from.channels / layer.groups;
        Inputs inputs;
        std::size_t next = 0;
        for (std::uint32_t row = 0; row < to.height; ++row)
        {
            for (std::uint32_t column = 0; column < to.width; ++column)
            {
                inputs.clear();
                for (std::uint32_t group = 0; group < layer.groups; ++group)
                {
                    for (std::uint32_t ky = 0; ky < layer.kernel_height; ++ky)
                    {
                        for (std::uint32_t kx = 0; kx < layer.kernel_width; ++kx)
                        {
                            for (std::uint32_t c = 0; c < inner; ++c)
                            {
                                inputs.push_back(at(layer, 0,
                                                    std::int64_t{row} * layer.stride_height +
                                                        std::int64_t{ky} * layer.dilation_height -
                                                        layer.padding.top,
                                                    std::int64_t{column} * layer.stride_width +
                                                        std::int64_t{kx} * layer.dilation_width -
                                                        layer.padding.left,
                                                    group * inner + c));
                            }
                        }
                    }
                }
                for (std::uint32_t channel = 0; channel < to.channels; ++channel)
                {
                    std::int64_t sum = its.bias[channel];
                    for (std::size_t k = 0; own.empty() && k < inputs.size(); ++k)
                    {
                        sum += inputs[k] * weights(k, channel);
                    }
                    for (const Piece& piece : own)
                    {
                        sum += part(piece, weights, i, operand, inputs, channel);
                    }
                    sum = std::clamp(sum, -kMostSum, kMostSum);
                    const Ratio& ratio = its.ratio[channel];
                    maps_[i][next++] =
                        saturated(i, scaled(sum, ratio.multiplier, ratio.shift,
                                            its.rest.empty() ? 0 : its.rest[channel]));
                }
            }
        }
    }

    void compute(std::size_t i)
    {
        const Layer& layer = integers_.network.layers[i];
        const Shape& to = layer.output;
        std::size_t next = 0;
        for (std::uint32_t row = 0; row < to.height; ++row)
        {
            for (std::uint32_t column = 0; column < to.width; ++column)
            {
                for (std::uint32_t channel = 0; channel < to.channels; ++channel)
                {
                    maps_[i][next++] = value(i, layer, row, column, channel);
                }
            }
        }
    }

    [[nodiscard]] std::int32_t value(std::size_t i, const Layer& layer, std::uint32_t row,
                                     std::uint32_t column, std::uint32_t channel) const
    {
        const IntegerLayer& its = integers_.layers[i];
        switch (layer.kind)
        {
        case LayerKind::max_pool:
            return static_cast<std::int32_t>(window(layer, row, column, channel).most);
        case LayerKind::average_pool:
        case LayerKind::global_average_pool:
        {
            const Window seen = window(layer, row, column, channel);
            // floor((2 sum m + n 2^s) / (n 2^(s + 1))): the mean to the nearest, ties up.
            const std::int64_t divisor = seen.count * power(its.ratio[0].shift + 1);
            const std::int64_t dividend =
                2 * seen.sum * its.ratio[0].multiplier + seen.count * power(its.ratio[0].shift);
            return saturated(i, (dividend - (dividend % divisor + divisor) % divisor) / divisor);
        }
        case LayerKind::add:
        {
            std::int64_t sum = 0;
            for (std::size_t k = 0; k < layer.inputs.size(); ++k)
            {
                sum += at(layer, k, row, column, channel) * its.ratio[k].multiplier;
            }
            return saturated(i, scaled(sum, 1, its.ratio[0].shift));
        }
        case LayerKind::mul:
        {
            std::int64_t product = 1;
            for (std::size_t k = 0; k < layer.inputs.size(); ++k)
            {
                const bool whole = integers_.network.input_shape(layer, k) == layer.output;
                product *= at(layer, k, whole ? row : 0, whole ? column : 0, channel);
            }
            return saturated(i, scaled(product, its.ratio[0].multiplier, its.ratio[0].shift));
        }
        case LayerKind::embedding:
            return saturated(i, scaled(at(layer, 0, row, column, channel), its.ratio[0].multiplier,
                                       its.ratio[0].shift,
                                       its.rest[(std::size_t{row} * layer.output.width + column) *
                                                    layer.output.channels +
                                                channel]));
        case LayerKind::batch_norm:
            return gained(i, channel, at(layer, 0, row, column, channel));
        case LayerKind::layer_norm:
            return gained(i, channel, norm(layer, its, row, column, channel));
        case LayerKind::softmax:
            return share(i, layer, row, column, channel);
        case LayerKind::activation:
        {
            const std::int64_t code = at(layer, 0, row, column, channel);
            if (layer.activation == "prelu")
            {
                const Ratio& above = its.ratio[layer.output.channels];
                return code < 0 ? gained(i, channel, code)
                                : saturated(i, scaled(code, above.multiplier, above.shift));
            }
            return its.table.empty()
                       ? saturated(i, scaled(code, its.ratio[0].multiplier, its.ratio[0].shift))
                       : its.table[static_cast<std::size_t>(code -
                                                            integers_[layer.inputs[0]].least)];
        }
        case LayerKind::reshape:
        {
            const std::size_t index =
                (std::size_t{row} * layer.output.width + column) * layer.output.channels + channel;
            return maps_[layer.inputs[0].index()][index];
        }
        case LayerKind::concat:
        {
            const bool rows = layer.axis == "height";
            std::uint32_t place = rows ? row : channel;
            for (std::size_t k = 0; k < layer.inputs.size(); ++k)
            {
                const Shape& from = integers_.network[layer.inputs[k]].output;
                const std::uint32_t size = rows ? from.height : from.channels;
                if (place < size)
                {
                    const std::int64_t code =
                        at(layer, k, rows ? place : row, column, rows ? channel : place);
                    return its.ratio.empty() ? static_cast<std::int32_t>(code)
                                             : saturated(i, scaled(code, its.ratio[k].multiplier,
                                                                   its.ratio[k].shift));
                }
                place -= size;
            }
            break;
        }
        case LayerKind::split:
            return copy(layer, 0, row, column, layer.channel_begin + channel);
        case LayerKind::upsample:
            return copy(layer, 0, row / layer.scale, column / layer.scale, channel);
        case LayerKind::pad:
            return copy(layer, 0, std::int64_t{row} - layer.padding.top,
                        std::int64_t{column} - layer.padding.left, channel);
        case LayerKind::transpose:
            return layer.axis == "height,width"      ? copy(layer, 0, column, row, channel)
                   : layer.axis == "height,channels" ? copy(layer, 0, channel, column, row)
                                                     : copy(layer, 0, row, channel, column);
        default:
            break;
        }
        throw InputError({integers_.network.name, 0, "/layers/" + layer.name},
                         std::string("is of kind ") + name_of(layer.kind) +
                             ", which the slow reference does not compute",
                         "compare with whole numbers only: --errors lossless");
    }

    [[nodiscard]] std::int32_t gained(std::size_t i, std::size_t channel, std::int64_t value) const
    {
        const IntegerLayer& its = integers_.layers[i];
        const std::int64_t sum = value * its.weights(0, channel) + its.bias[channel];
        return saturated(i, scaled(std::clamp(sum, -kMostSum, kMostSum),
                                   its.ratio[channel].multiplier, its.ratio[channel].shift,
                                   its.rest.empty() ? 0 : its.rest[channel]));
    }

    /// The greatest whole number whose square is not above `square`, bit by bit.
    [[nodiscard]] static std::int64_t root_of(std::int64_t square)
    {
        std::int64_t root = 0;
        for (std::int64_t bit = power(31); bit != 0; bit /= 2)
        {
            root += (root + bit) * (root + bit) <= square ? bit : 0;
        }
        return root;
    }

    /// Deviation from the mean by the standard deviation, times 1024, to the nearest, ties up.
    [[nodiscard]] std::int64_t norm(const Layer& layer, const IntegerLayer& its, std::uint32_t row,
                                    std::uint32_t column, std::uint32_t channel) const
    {
        const std::int64_t count = layer.output.channels;
        std::int64_t sum = 0;
        for (std::int64_t c = 0; layer.centred && c < count; ++c)
        {
            sum += at(layer, 0, row, column, c);
        }
        // Of n code - sum: n times what the variance of n codes is, n times over.
        std::int64_t squares = 0;
        for (std::int64_t c = 0; c < count; ++c)
        {
            const std::int64_t deviation = count * at(layer, 0, row, column, c) - sum;
            squares += deviation * deviation;
        }
        const std::int64_t square = squares / count + its.epsilon;
        const std::int64_t divisor = std::max<std::int64_t>(root_of(square * power(16)), 1);
        const std::int64_t deviation =
            (count * at(layer, 0, row, column, channel) - sum) * power(18);
        std::int64_t quotient = deviation / divisor;
        std::int64_t rest = deviation % divisor;
        if (rest < 0)
        {
            rest += divisor;
            --quotient;
        }
        return quotient + (2 * rest >= divisor ? 1 : 0);
    }

    [[nodiscard]] std::int32_t share(std::size_t i, const Layer& layer, std::uint32_t row,
                                     std::uint32_t column, std::uint32_t channel) const
    {
        const IntegerLayer& its = integers_.layers[i];
        const bool down = layer.axis == "height";
        std::vector<std::int64_t> codes;
        for (std::uint32_t k = 0; k < (down ? layer.output.height : layer.output.channels); ++k)
        {
            codes.push_back(down ? at(layer, 0, k, column, channel) : at(layer, 0, row, column, k));
        }
        const std::int64_t greatest = *std::max_element(codes.begin(), codes.end());
        std::int64_t sum = 0;
        for (const std::int64_t code : codes)
        {
            sum += its.table[static_cast<std::size_t>(greatest - code)];
        }
        const std::int64_t power_of_it =
            its.table[static_cast<std::size_t>(greatest - at(layer, 0, row, column, channel))];
        const std::int64_t divisor = sum * power(its.ratio[0].shift);
        const std::int64_t dividend = power_of_it * its.ratio[0].multiplier;
        return saturated(i, dividend / divisor + (dividend % divisor * 2 >= divisor ? 1 : 0));
    }

    struct Window
    {
        std::int64_t most = std::numeric_limits<std::int64_t>::min();
        std::int64_t sum = 0;
        std::int64_t count = 0;
    };
    [[nodiscard]] Window window(const Layer& layer, std::uint32_t row, std::uint32_t column,
                                std::uint32_t channel) const
    {
        const Shape& from = integers_.network.input_shape(layer);
        Window seen;
        for (std::uint32_t ky = 0; ky < layer.kernel_height; ++ky)
        {
            for (std::uint32_t kx = 0; kx < layer.kernel_width; ++kx)
            {
                const std::int64_t y = std::int64_t{row} * layer.stride_height +
                                       std::int64_t{ky} * layer.dilation_height - layer.padding.top;
                const std::int64_t x = std::int64_t{column} * layer.stride_width +
                                       std::int64_t{kx} * layer.dilation_width - layer.padding.left;
                if (y < 0 || x < 0 || y >= from.height || x >= from.width)
                {
                    continue;
                }
                const std::int64_t code = at(layer, 0, y, x, channel);
                seen.most = std::max(seen.most, code);
                seen.sum += code;
                ++seen.count;
            }
        }
        return seen;
    }

    const IntegerNetwork& integers_;
    const std::vector<Piece>& pieces_;
    const Analogue& analogue_;
    std::vector<Map<std::int32_t>> maps_;
};

} // namespace

std::vector<Map<std::int32_t>> finite_noiseless(const IntegerNetwork& integers,
                                                const std::vector<Piece>& pieces,
                                                const Analogue& analogue,
                                                const Map<std::int32_t>& input)
{
    return Reference(integers, pieces, analogue).run(input);
}

} // namespace tessera::values
