// SPDX-License-Identifier: Apache-2.0
#include "values/float_network.h"

#include "numerics/matrix.h"
#include "numerics/product.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace tessera::values
{

using network::Layer;
using network::LayerKind;
using network::Shape;

namespace
{

/// `what` they are: "a weight".
void check_finite(const std::vector<float>& values, const char* what, const Layer& layer,
                  const std::string& file)
{
    for (std::size_t i = 0; i < values.size(); ++i)
    {
        if (!std::isfinite(values[i]))
        {
            throw InputError({file, 0, ""},
                             "layer \"" + layer.name + "\" has " + what + " (number " +
                                 std::to_string(i) + ") that is not finite",
                             "train or export the network again");
        }
    }
}

} // namespace

void check_weights(const network::WeightedNetwork& weighted, const std::string& file)
{
    static_cast<void>(input_layer(weighted.network, file));
    for (std::size_t i = 0; i < weighted.network.layers.size(); ++i)
    {
        const Layer& layer = weighted.network.layers[i];
        if (layer.kind == LayerKind::embedding && !weighted.weights[i].known)
        {
            throw InputError({file, 0, ""},
                             "layer \"" + layer.name +
                                 "\" looks tokens up, or its table is not in the file: its values "
                                 "cannot be computed",
                             "begin behind it");
        }
        const network::Weights& weights = weighted.weights[i];
        const bool needed = layer.kind == LayerKind::conv2d || layer.kind == LayerKind::dense ||
                            layer.kind == LayerKind::batch_norm ||
                            layer.kind == LayerKind::layer_norm ||
                            (layer.kind == LayerKind::activation && layer.activation == "prelu");
        if (needed && !weights.known)
        {
            throw InputError({file, 0, ""}, "has no weights of layer \"" + layer.name + '"',
                             "give an ONNX file with weights, such as lenet5-fashion");
        }
        check_finite(weights.matrix, "a weight", layer, file);
        check_finite(weights.scale, "a factor", layer, file);
        check_finite(weights.bias, "a bias", layer, file);
    }
}

const Layer& input_layer(const network::Network& network, const std::string& file)
{
    std::size_t inputs = 0;
    const Layer* input = nullptr;
    for (const Layer& layer : network.layers)
    {
        if (layer.kind == LayerKind::input)
        {
            ++inputs;
            input = &layer;
        }
    }
    if (inputs != 1 || input == nullptr)
    {
        throw InputError({file, 0, ""}, "has " + std::to_string(inputs) + " inputs",
                         "values go through networks with one input");
    }
    return *input;
}

double activate(const Layer& layer, double x)
{
    constexpr double kPi = 3.14159265358979323846;
    // Klambauer et al., Self-Normalizing Neural Networks: in single precision, as ONNX has them.
    constexpr double kSeluAlpha = 1.67326319217681884765625;
    constexpr double kSeluGamma = 1.05070102214813232421875;
    const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
    const std::string& f = layer.activation;
    return f == "relu"         ? std::max(x, 0.0)
           : f == "relu6"      ? std::clamp(x, 0.0, 6.0)
           : f == "leaky_relu" ? (x < 0 ? x * layer.slope : x)
           : f == "silu"       ? x * sigmoid(layer.slope * x)
           : f == "mish"       ? x * std::tanh(std::log1p(std::exp(x)))
           : f == "gelu"       ? x / 2 * (1 + std::erf(x / std::sqrt(2.0)))
           : f == "sigmoid"    ? sigmoid(x)
           : f == "tanh"       ? std::tanh(x)
           : f == "gelu_tanh"
               ? x / 2 * (1 + std::tanh(std::sqrt(2 / kPi) * (x + 0.044715 * x * x * x)))
           : f == "elu"  ? (x < 0 ? layer.slope * std::expm1(x) : x)
           : f == "selu" ? kSeluGamma * (x < 0 ? kSeluAlpha * std::expm1(x) : x)
           : f == "sign" ? (x < 0 ? -layer.slope : layer.slope)
                         : x * std::clamp(x + 3, 0.0, 6.0) / 6;
}

void FloatNetwork::multiply(const Layer& layer, const network::Weights& weights,
                            const Map<float>& in, Map<float>& out) const
{
    const Shape& from = network_.network.input_shape(layer);
    const Shape& to = layer.output;
    const std::size_t pixels = std::size_t{to.height} * to.width;
    const std::size_t wide = to.channels / layer.groups;
    numerics::Matrix<float> inputs(pixels, weights.rows);
    for (std::uint32_t group = 0; group < layer.groups; ++group)
    {
        for (std::uint32_t row = 0; row < to.height; ++row)
        {
            for (std::uint32_t column = 0; column < to.width; ++column)
            {
                gather(
                    layer, from, group, row, column,
                    [&](const Element& at) { return in[index_of(from, at)]; },
                    inputs.row(std::size_t{row} * to.width + column));
            }
        }
        numerics::product(pixels, wide, weights.rows, inputs.row(0), weights.rows,
                          weights.matrix.data() + group * wide, weights.columns,
                          out.data() + group * wide, to.channels);
    }
    if (!weights.bias.empty())
    {
        for (std::size_t i = 0; i < out.size(); ++i)
        {
            out[i] += weights.bias[i % to.channels];
        }
    }
}

void FloatNetwork::multiply_heads(const Layer& layer, const Map<float>& first,
                                  const Map<float>& second, Map<float>& out) const
{
    const HeadProducts how(network_.network, layer);
    const std::size_t wide = std::size_t{how.heads} * how.columns;
    numerics::Matrix<float> matrix(how.common, how.columns);
    for (std::uint32_t head = 0; head < how.heads; ++head)
    {
        for (std::uint32_t row = 0; row < how.common; ++row)
        {
            for (std::uint32_t column = 0; column < how.columns; ++column)
            {
                matrix(row, column) = second[how.second(head, row, column)];
            }
        }
        numerics::product(layer.output.height, how.columns, how.common,
                          first.data() + std::size_t{head} * how.common,
                          std::size_t{how.heads} * how.common, matrix.row(0), how.columns,
                          out.data() + std::size_t{head} * how.columns, wide);
    }
}

namespace
{

void softmax(const Layer& layer, const Map<float>& in, Map<float>& out)
{
    const Shape& shape = layer.output;
    const bool down = layer.axis == "height";
    const std::size_t count = down ? shape.height : shape.channels;
    const std::size_t step = down ? std::size_t{shape.width} * shape.channels : 1;
    for (std::size_t i = 0; i < in.size() / count; ++i)
    {
        const std::size_t first = down ? i : i * count;
        float most = in[first];
        for (std::size_t k = 1; k < count; ++k)
        {
            most = std::max(most, in[first + k * step]);
        }
        double sum = 0;
        for (std::size_t k = 0; k < count; ++k)
        {
            sum += std::exp(static_cast<double>(in[first + k * step] - most));
        }
        for (std::size_t k = 0; k < count; ++k)
        {
            out[first + k * step] = static_cast<float>(
                std::exp(static_cast<double>(in[first + k * step] - most)) / sum);
        }
    }
}

void normalise(const Layer& layer, const network::Weights& weights, const Map<float>& in,
               Map<float>& out)
{
    const std::size_t count = layer.output.channels;
    for (std::size_t first = 0; first < in.size(); first += count)
    {
        double sum = 0;
        double squares = 0;
        for (std::size_t c = 0; layer.centred && c < count; ++c)
        {
            sum += static_cast<double>(in[first + c]);
        }
        const double mean = sum / static_cast<double>(count);
        for (std::size_t c = 0; c < count; ++c)
        {
            squares += std::pow(static_cast<double>(in[first + c]) - mean, 2);
        }
        const double root = std::sqrt(squares / static_cast<double>(count) + layer.epsilon);
        for (std::size_t c = 0; c < count; ++c)
        {
            const double norm = (static_cast<double>(in[first + c]) - mean) / root;
            out[first + c] = static_cast<float>(norm * static_cast<double>(weights.scale[c]) +
                                                static_cast<double>(weights.bias[c]));
        }
    }
}

/// As a QuantizeLinear and a DequantizeLinear do: ties to even, cut off at both ends.
void round_to_codes(const network::Codes& codes, Map<float>& map)
{
    if (!codes.output)
    {
        return;
    }
    const auto scale = static_cast<float>(codes.output->scale);
    const auto least = static_cast<float>(codes.output->least);
    const auto most = static_cast<float>(codes.output->most);
    std::transform(map.begin(), map.end(), map.begin(),
                   [&](float value)
                   { return std::clamp(std::nearbyint(value / scale), least, most) * scale; });
}

} // namespace

std::vector<Map<float>> FloatNetwork::run(const float* image) const
{
    const network::Network& network = network_.network;
    std::vector<Map<float>> maps(network.layers.size());
    for (std::size_t i = 0; i < maps.size(); ++i)
    {
        const Layer& layer = network.layers[i];
        Map<float>& out = maps[i];
        const Shape& to = layer.output;
        if (layer.kind == LayerKind::input)
        {
            out.assign(image, image + to.elements());
            round_to_codes(network_.weights[i].codes, out);
            continue;
        }
        out.assign(to.elements(), 0.0F);
        const Map<float>& in = maps[layer.inputs[0].index()];
        const Shape& from = network.input_shape(layer);
        const auto each = [&](auto value)
        {
            std::size_t next = 0;
            for (std::uint32_t row = 0; row < to.height; ++row)
            {
                for (std::uint32_t column = 0; column < to.width; ++column)
                {
                    for (std::uint32_t channel = 0; channel < to.channels; ++channel)
                    {
                        out[next++] = value(Element{row, column, channel});
                    }
                }
            }
        };
        switch (layer.kind)
        {
        case LayerKind::conv2d:
        case LayerKind::dense:
            multiply(layer, network_.weights[i], in, out);
            break;
        case LayerKind::max_pool:
            each(
                [&](const Element& at)
                {
                    float most = -std::numeric_limits<float>::infinity();
                    each_in_window(
                        layer, from, at.row, at.column,
                        [&](std::uint32_t y, std::uint32_t x, std::size_t) {
                            most = std::max(most, in[index_of(from, {y, x, at.channel})]);
                        });
                    return most;
                });
            break;
        case LayerKind::average_pool:
        case LayerKind::global_average_pool:
            each(
                [&](const Element& at)
                {
                    float sum = 0;
                    float count = 0;
                    each_in_window(layer, from, at.row, at.column,
                                   [&](std::uint32_t y, std::uint32_t x, std::size_t)
                                   {
                                       sum += in[index_of(from, {y, x, at.channel})];
                                       ++count;
                                   });
                    return sum / count;
                });
            break;
        case LayerKind::add:
            for (const LayerId operand : layer.inputs)
            {
                const Map<float>& other = maps[operand.index()];
                std::transform(out.begin(), out.end(), other.begin(), out.begin(), std::plus<>());
            }
            break;
        case LayerKind::activation:
            if (layer.activation == "prelu")
            {
                for (std::size_t k = 0; k < out.size(); ++k)
                {
                    out[k] =
                        in[k] * (in[k] < 0 ? network_.weights[i].scale[k % to.channels] : 1.0F);
                }
                break;
            }
            std::transform(
                in.begin(), in.end(), out.begin(),
                [&layer](float value)
                { return static_cast<float>(activate(layer, static_cast<double>(value))); });
            break;
        case LayerKind::mul:
            std::fill(out.begin(), out.end(), 1.0F);
            for (std::size_t k = 0; k < layer.inputs.size(); ++k)
            {
                const Map<float>& other = maps[layer.inputs[k].index()];
                const Shape& shape = network.input_shape(layer, k);
                for (std::size_t e = 0; e < out.size(); ++e)
                {
                    out[e] *= other[index_of(shape, factor_at(shape, to, element_at(to, e)))];
                }
            }
            break;
        case LayerKind::matmul:
            multiply_heads(layer, in, maps[layer.inputs[1].index()], out);
            break;
        case LayerKind::softmax:
            softmax(layer, in, out);
            break;
        case LayerKind::layer_norm:
            normalise(layer, network_.weights[i], in, out);
            break;
        case LayerKind::embedding:
            std::transform(in.begin(), in.end(), network_.weights[i].matrix.begin(), out.begin(),
                           std::plus<>());
            break;
        case LayerKind::batch_norm:
            for (std::size_t k = 0; k < out.size(); ++k)
            {
                const std::size_t channel = k % to.channels;
                const network::Weights& weights = network_.weights[i];
                out[k] = in[k] * weights.scale[channel] + weights.bias[channel];
            }
            break;
        default:
            each(
                [&](const Element& at)
                {
                    const std::optional<Origin> origin = origin_of(network, layer, at);
                    return origin
                               ? maps[layer.inputs[origin->operand].index()][index_of(
                                     network.input_shape(layer, origin->operand), origin->element)]
                               : 0.0F;
                });
        }
        round_to_codes(network_.weights[i].codes, out);
    }
    return maps;
}

} // namespace tessera::values
