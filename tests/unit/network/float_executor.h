// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"
#include "network/weights.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace tessera::network
{

/// What the layers of a network compute, in double precision and in the plainest way: an oracle for
/// importers.
class FloatExecutor
{
public:
    using Map = std::vector<double>; ///< height, width, channels

    FloatExecutor(const Network& network, const std::vector<Weights>& weights)
        : network_(network), weights_(weights), maps_(network.layers.size())
    {
    }

    void set(LayerId input, Map values) { maps_[input.index()] = std::move(values); }

    /// Throws std::runtime_error for a layer without weights.
    void run()
    {
        for (std::size_t i = 0; i < network_.layers.size(); ++i)
        {
            const Layer& layer = network_.layers[i];
            if (layer.kind != LayerKind::input)
            {
                maps_[i].assign(layer.output.elements(), 0.0);
                step(layer, weights_[i], maps_[i]);
            }
        }
    }

    [[nodiscard]] const Map& map(LayerId layer) const { return maps_[layer.index()]; }

private:
    [[nodiscard]] const Map& operand(const Layer& layer, std::size_t k) const
    {
        return maps_[layer.inputs.at(k).index()];
    }
    static std::size_t at(const Shape& shape, std::size_t y, std::size_t x, std::size_t c)
    {
        return (y * shape.width + x) * shape.channels + c;
    }
    static void need(const Weights& weights)
    {
        if (!weights.known)
        {
            throw std::runtime_error("a layer has no weights");
        }
    }

    /// Calls visit(y, x, ky, kx) for what a window covers inside the map.
    template <class Visit>
    static void window(const Layer& layer, const Shape& in, std::size_t oy, std::size_t ox,
                       Visit visit)
    {
        for (std::size_t ky = 0; ky < layer.kernel_height; ++ky)
        {
            for (std::size_t kx = 0; kx < layer.kernel_width; ++kx)
            {
                const std::size_t y = oy * layer.stride_height + ky * layer.dilation_height;
                const std::size_t x = ox * layer.stride_width + kx * layer.dilation_width;
                if (y >= layer.padding.top && x >= layer.padding.left &&
                    y - layer.padding.top < in.height && x - layer.padding.left < in.width)
                {
                    visit(y - layer.padding.top, x - layer.padding.left, ky, kx);
                }
            }
        }
    }

    static double activate(const Layer& layer, double x)
    {
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
                   ? x / 2 * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * std::pow(x, 3))))
               : f == "elu" ? (x < 0 ? layer.slope * (std::exp(x) - 1) : x)
               : f == "selu"
                   ? 1.05070102214813232 * (x < 0 ? 1.67326319217681885 * (std::exp(x) - 1) : x)
               : f == "sign" ? (x < 0 ? -layer.slope : layer.slope)
                             : x * std::clamp(x + 3, 0.0, 6.0) / 6;
    }

    void step(const Layer& layer, const Weights& weights, Map& out) const
    {
        const Map& in = operand(layer, 0);
        const Shape& from = network_.input_shape(layer);
        const Shape& to = layer.output;
        const auto each = [&](auto visit)
        {
            for (std::size_t y = 0; y < to.height; ++y)
            {
                for (std::size_t x = 0; x < to.width; ++x)
                {
                    for (std::size_t c = 0; c < to.channels; ++c)
                    {
                        out[at(to, y, x, c)] = visit(y, x, c);
                    }
                }
            }
        };
        switch (layer.kind)
        {
        case LayerKind::conv2d:
        case LayerKind::dense:
        {
            need(weights);
            const std::size_t inner = from.channels / layer.groups;
            each(
                [&](std::size_t y, std::size_t x, std::size_t c)
                {
                    const std::size_t first = c / (to.channels / layer.groups) * inner;
                    double sum = weights.bias.empty() ? 0 : static_cast<double>(weights.bias[c]);
                    window(layer, from, y, x,
                           [&](std::size_t iy, std::size_t ix, std::size_t ky, std::size_t kx)
                           {
                               for (std::size_t k = 0; k < inner; ++k)
                               {
                                   const std::size_t row =
                                       (ky * layer.kernel_width + kx) * inner + k;
                                   sum += in[at(from, iy, ix, first + k)] *
                                          static_cast<double>(
                                              weights.matrix[row * weights.columns + c]);
                               }
                           });
                    return sum;
                });
            break;
        }
        case LayerKind::max_pool:
        case LayerKind::average_pool:
        case LayerKind::global_average_pool:
            each(
                [&](std::size_t y, std::size_t x, std::size_t c)
                {
                    double most = -std::numeric_limits<double>::infinity();
                    double sum = 0;
                    int count = 0;
                    window(layer, from, y, x,
                           [&](std::size_t iy, std::size_t ix, std::size_t, std::size_t)
                           {
                               most = std::max(most, in[at(from, iy, ix, c)]);
                               sum += in[at(from, iy, ix, c)];
                               ++count;
                           });
                    return layer.kind == LayerKind::max_pool ? most : sum / count;
                });
            break;
        case LayerKind::add:
        case LayerKind::mul:
            each(
                [&](std::size_t y, std::size_t x, std::size_t c)
                {
                    double value = in[at(to, y, x, c)];
                    for (std::size_t k = 1; k < layer.inputs.size(); ++k)
                    {
                        const bool small = network_.input_shape(layer, k) != to;
                        const double other = operand(layer, k)[small ? c : at(to, y, x, c)];
                        value = layer.kind == LayerKind::add ? value + other : value * other;
                    }
                    return value;
                });
            break;
        case LayerKind::concat:
        {
            std::size_t begin = 0;
            for (std::size_t k = 0; k < layer.inputs.size(); ++k)
            {
                const Shape& part = network_.input_shape(layer, k);
                const bool rows = layer.axis == "height";
                for (std::size_t y = 0; y < part.height; ++y)
                {
                    for (std::size_t x = 0; x < part.width; ++x)
                    {
                        for (std::size_t c = 0; c < part.channels; ++c)
                        {
                            out[at(to, y + (rows ? begin : 0), x, c + (rows ? 0 : begin))] =
                                operand(layer, k)[at(part, y, x, c)];
                        }
                    }
                }
                begin += rows ? part.height : part.channels;
            }
            break;
        }
        case LayerKind::split:
            each([&](std::size_t y, std::size_t x, std::size_t c)
                 { return in[at(from, y, x, c + layer.channel_begin)]; });
            break;
        case LayerKind::upsample:
            each([&](std::size_t y, std::size_t x, std::size_t c)
                 { return in[at(from, y / layer.scale, x / layer.scale, c)]; });
            break;
        case LayerKind::pad:
            each(
                [&](std::size_t y, std::size_t x, std::size_t c)
                {
                    const std::size_t iy = y - layer.padding.top; // wraps above
                    const std::size_t ix = x - layer.padding.left;
                    return iy < from.height && ix < from.width ? in[at(from, iy, ix, c)] : 0.0;
                });
            break;
        case LayerKind::activation:
            if (layer.activation == "prelu")
            {
                need(weights);
            }
            each(
                [&](std::size_t y, std::size_t x, std::size_t c)
                {
                    const double value = in[at(to, y, x, c)];
                    return layer.activation != "prelu" ? activate(layer, value)
                           : value < 0 ? value * static_cast<double>(weights.scale[c])
                                       : value;
                });
            break;
        case LayerKind::batch_norm:
            need(weights);
            each(
                [&](std::size_t y, std::size_t x, std::size_t c)
                {
                    return in[at(to, y, x, c)] * static_cast<double>(weights.scale[c]) +
                           static_cast<double>(weights.bias[c]);
                });
            break;
        case LayerKind::softmax:
            each(
                [&](std::size_t y, std::size_t x, std::size_t c)
                {
                    double sum = 0;
                    for (std::size_t other = 0; other < to.channels; ++other)
                    {
                        sum += std::exp(in[at(to, y, x, other)] - in[at(to, y, x, c)]);
                    }
                    return 1 / sum;
                });
            break;
        case LayerKind::layer_norm:
            need(weights);
            each(
                [&](std::size_t y, std::size_t x, std::size_t c)
                {
                    double mean = 0;
                    double variance = 0;
                    for (std::size_t other = 0; layer.centred && other < to.channels; ++other)
                    {
                        mean += in[at(to, y, x, other)] / to.channels;
                    }
                    for (std::size_t other = 0; other < to.channels; ++other)
                    {
                        variance += std::pow(in[at(to, y, x, other)] - mean, 2) / to.channels;
                    }
                    return (in[at(to, y, x, c)] - mean) / std::sqrt(variance + layer.epsilon) *
                               static_cast<double>(weights.scale[c]) +
                           static_cast<double>(weights.bias[c]);
                });
            break;
        case LayerKind::matmul:
            matmul(layer, out);
            break;
        case LayerKind::reshape:
            out = in;
            break;
        case LayerKind::transpose:
            each(
                [&](std::size_t y, std::size_t x, std::size_t c)
                {
                    return layer.axis == "height,width"     ? in[at(from, x, y, c)]
                           : layer.axis == "width,channels" ? in[at(from, y, c, x)]
                                                            : in[at(from, c, x, y)];
                });
            break;
        case LayerKind::input:
        case LayerKind::embedding:
            throw std::runtime_error("a layer has no tables");
        }
    }

    void matmul(const Layer& layer, Map& out) const
    {
        const auto value = [&](std::size_t k, std::size_t row, std::size_t head, std::size_t c)
        {
            const Shape& shape = network_.input_shape(layer, k);
            const bool apart = shape.width == layer.heads;
            return operand(layer,
                           k)[apart ? at(shape, row, head, c)
                                    : at(shape, row, 0, head * (shape.channels / layer.heads) + c)];
        };
        const Shape& first = network_.input_shape(layer, 0);
        const Shape& second = network_.input_shape(layer, 1);
        const std::size_t inner =
            first.width == layer.heads ? first.channels : first.channels / layer.heads;
        const std::size_t depth =
            second.width == layer.heads ? second.channels : second.channels / layer.heads;
        const std::size_t columns = layer.transpose_second ? second.height : depth;
        std::size_t next = 0; // rows, heads, columns: in both forms
        for (std::size_t row = 0; row < first.height; ++row)
        {
            for (std::size_t head = 0; head < layer.heads; ++head)
            {
                for (std::size_t column = 0; column < columns; ++column)
                {
                    double sum = 0;
                    for (std::size_t k = 0; k < inner; ++k)
                    {
                        sum += value(0, row, head, k) * (layer.transpose_second
                                                             ? value(1, column, head, k)
                                                             : value(1, k, head, column));
                    }
                    out[next++] = sum;
                }
            }
        }
    }

    const Network& network_;
    const std::vector<Weights>& weights_;
    std::vector<Map> maps_;
};

} // namespace tessera::network
