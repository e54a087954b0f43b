// SPDX-License-Identifier: Apache-2.0
#include "network/kinds.h"

#include "network/shapes.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace tessera::network
{
namespace
{

using Operands = std::vector<Shape>;

std::string text_of(const Shape& shape)
{
    return std::to_string(shape.height) + 'x' + std::to_string(shape.width) + 'x' +
           std::to_string(shape.channels);
}

Shape make_shape(const ObjectReader& object, std::uint64_t height, std::uint64_t width,
                 std::uint64_t channels)
{
    if (std::max({height, width, channels}) > kMaxExtent ||
        product({height, width, channels}, kMaxMapElements) > kMaxMapElements)
    {
        object.fail("its output of " + std::to_string(height) + 'x' + std::to_string(width) + 'x' +
                        std::to_string(channels) + " is too large",
                    "keep every extent within 65536 and the elements within 2^31");
    }
    return {static_cast<std::uint32_t>(height), static_cast<std::uint32_t>(width),
            static_cast<std::uint32_t>(channels)};
}

void set_costs(const ObjectReader& object, Layer& layer, std::uint64_t weights,
               std::uint64_t biases, std::uint64_t macs)
{
    if (weights > kMaxWeights || macs > kMaxMacs)
    {
        object.fail("has more than 2^40 weights or 2^46 multiply-accumulates",
                    "divide the layer; check its kernel and channels");
    }
    layer.parameters = weights + biases;
    layer.macs = macs;
}

void read_input(const ObjectReader& object, const Operands& /*operands*/, Layer& layer)
{
    const auto extents = object.numbers("shape", {3}, 1, kMaxExtent, false);
    layer.output = make_shape(object, extents[0], extents[1], extents[2]);
}

/// A number, [vertical, horizontal] or [top, bottom, left, right].
Padding read_padding(const ObjectReader& object)
{
    const auto p = object.numbers("padding", {2, 4}, 0, kMaxExtent, true);
    switch (p.size())
    {
    case 1:
        return {p[0], p[0], p[0], p[0]};
    case 2:
        return {p[0], p[0], p[1], p[1]};
    default:
        return {p[0], p[1], p[2], p[3]};
    }
}

/// Kernel, stride, dilation and padding of conv2d and pools; returns the output of `channels`.
Shape read_windows(const ObjectReader& object, const Shape& input, std::uint32_t channels,
                   bool strides_of_kernel, Layer& layer)
{
    std::tie(layer.kernel_height, layer.kernel_width) = object.pair("kernel", 1, kMaxExtent);
    if (strides_of_kernel)
    {
        layer.stride_height = layer.kernel_height;
        layer.stride_width = layer.kernel_width;
    }
    if (object.has("stride"))
    {
        std::tie(layer.stride_height, layer.stride_width) = object.pair("stride", 1, kMaxExtent);
    }
    if (object.has("dilation"))
    {
        std::tie(layer.dilation_height, layer.dilation_width) =
            object.pair("dilation", 1, kMaxExtent);
    }
    Window rows{layer.kernel_height, layer.stride_height, layer.dilation_height, 0, 0};
    Window columns{layer.kernel_width, layer.stride_width, layer.dilation_width, 0, 0};
    if (object.has("padding") && object.at("padding").is_string())
    {
        if (object.choice("padding", {"valid", "same"}) == "same")
        {
            if (layer.ceil_mode)
            {
                object.fail("ceil_mode", "does not go with \"same\" padding, which never cuts off",
                            "remove it or give the padding in numbers");
            }
            std::tie(layer.padding.top, layer.padding.bottom) = rows.same(input.height);
            std::tie(layer.padding.left, layer.padding.right) = columns.same(input.width);
        }
    }
    else if (object.has("padding"))
    {
        layer.padding = read_padding(object);
    }
    rows.before = layer.padding.top;
    rows.after = layer.padding.bottom;
    columns.before = layer.padding.left;
    columns.after = layer.padding.right;

    const std::uint64_t height = rows.count(input.height, layer.ceil_mode);
    const std::uint64_t width = columns.count(input.width, layer.ceil_mode);
    if (height == 0 || width == 0)
    {
        object.fail("kernel",
                    "covers " + std::to_string(rows.span()) + 'x' + std::to_string(columns.span()) +
                        ", more than the padded input of " +
                        std::to_string(input.height + rows.before + rows.after) + 'x' +
                        std::to_string(input.width + columns.before + columns.after),
                    "make it (or the dilation) smaller or pad more");
    }
    return make_shape(object, height, width, channels);
}

void read_conv2d(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    const Shape& input = operands[0];
    const std::uint32_t channels = object.number("channels", 1, kMaxExtent);
    layer.bias = object.flag_or("bias", true);
    layer.groups = object.number_or("groups", 1, 1, kMaxExtent);
    if (input.channels % layer.groups != 0 || channels % layer.groups != 0)
    {
        object.fail("groups",
                    std::to_string(layer.groups) + " does not divide both the " +
                        std::to_string(input.channels) + " input channels and the " +
                        std::to_string(channels) + " output channels",
                    "give a common divisor");
    }
    layer.output = read_windows(object, input, channels, false, layer);
    const std::uint64_t weights =
        product({layer.kernel_height, layer.kernel_width, input.channels / layer.groups, channels},
                kMaxWeights);
    set_costs(object, layer, weights, layer.bias ? channels : 0,
              product({layer.output.height, layer.output.width, weights}, kMaxMacs));
}

void read_dense(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    const Shape& input = operands[0];
    const std::uint32_t channels = object.number("channels", 1, kMaxExtent);
    layer.bias = object.flag_or("bias", true);
    layer.output = make_shape(object, input.height, input.width, channels);
    const std::uint64_t weights = product({input.channels, channels}, kMaxWeights);
    set_costs(object, layer, weights, layer.bias ? channels : 0,
              product({input.height, input.width, weights}, kMaxMacs));
}

void read_pool(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    layer.ceil_mode = object.flag_or("ceil_mode", false);
    layer.output = read_windows(object, operands[0], operands[0].channels, true, layer);
    const Padding& padding = layer.padding;
    const std::uint64_t rows = Window{layer.kernel_height, 1, layer.dilation_height, 0, 0}.span();
    const std::uint64_t columns = Window{layer.kernel_width, 1, layer.dilation_width, 0, 0}.span();
    if (std::max(padding.top, padding.bottom) >= rows ||
        std::max(padding.left, padding.right) >= columns)
    {
        object.fail("padding", "lets a window lie outside the map: it covers no element",
                    "pad less than the kernel");
    }
}

void read_global_pool(const ObjectReader& /*object*/, const Operands& operands, Layer& layer)
{
    layer.kernel_height = operands[0].height;
    layer.kernel_width = operands[0].width;
    layer.output = {1, 1, operands[0].channels};
}

void read_add(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    layer.output = operands[0];
    for (std::size_t k = 1; k < operands.size(); ++k)
    {
        if (operands[k] != operands[0])
        {
            object.fail_at("inputs", k,
                           "has shape " + text_of(operands[k]) + ", the first has " +
                               text_of(operands[0]),
                           "give operands of one shape");
        }
    }
}

void read_mul(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    layer.output = operands[0];
    for (std::size_t k = 1; k < operands.size(); ++k)
    {
        const Shape per_channel{1, 1, operands[0].channels};
        if (operands[k] != operands[0] && operands[k] != per_channel)
        {
            object.fail_at(
                "inputs", k,
                "has shape " + text_of(operands[k]) + ", the first has " + text_of(operands[0]),
                "give operands of one shape, or a factor per channel: " + text_of(per_channel));
        }
    }
}

void read_concat(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    layer.axis = object.has("axis") ? object.choice("axis", {"channels", "height"}) : "channels";
    const bool by_channels = layer.axis == "channels";
    std::uint64_t height = 0;
    std::uint64_t channels = 0;
    for (std::size_t k = 0; k < operands.size(); ++k)
    {
        const Shape& shape = operands[k];
        if (shape.width != operands[0].width ||
            (by_channels ? shape.height != operands[0].height
                         : shape.channels != operands[0].channels))
        {
            object.fail_at("inputs", k,
                           "has shape " + text_of(shape) + ", the first has " +
                               text_of(operands[0]),
                           "operands may differ in " + layer.axis + " only");
        }
        height += shape.height;
        channels += shape.channels;
    }
    layer.output = by_channels
                       ? make_shape(object, operands[0].height, operands[0].width, channels)
                       : make_shape(object, height, operands[0].width, operands[0].channels);
}

void read_split(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    const Shape& input = operands[0];
    const auto range = object.numbers("range", {2}, 0, kMaxExtent, false);
    if (range[0] >= range[1] || range[1] > input.channels)
    {
        object.fail("range",
                    "[" + std::to_string(range[0]) + ", " + std::to_string(range[1]) +
                        ") is empty or beyond the " + std::to_string(input.channels) +
                        " input channels",
                    "give [first, one past the last]");
    }
    layer.channel_begin = range[0];
    layer.channel_end = range[1];
    layer.output = {input.height, input.width, range[1] - range[0]};
}

void read_upsample(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    const Shape& input = operands[0];
    layer.scale = object.number("scale", 1, kMaxExtent);
    layer.output = make_shape(object, std::uint64_t{input.height} * layer.scale,
                              std::uint64_t{input.width} * layer.scale, input.channels);
}

void read_pad(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    const Shape& input = operands[0];
    const Padding& p = layer.padding = read_padding(object);
    layer.output = make_shape(object, std::uint64_t{input.height} + p.top + p.bottom,
                              std::uint64_t{input.width} + p.left + p.right, input.channels);
}

void read_activation(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    layer.activation = object.choice("function", activations());
    layer.slope = default_slope(layer.activation);
    layer.output = operands[0];
    if (layer.activation == "prelu")
    {
        layer.parameters = operands[0].channels;
    }
}

void read_norm(const ObjectReader& /*object*/, const Operands& operands, Layer& layer)
{
    layer.parameters = 2 * std::uint64_t{operands[0].channels};
    layer.output = operands[0];
}

void read_layer_norm(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    read_norm(object, operands, layer);
    layer.centred = object.flag_or("centred", true);
    if (!layer.centred) // and nothing is added
    {
        layer.parameters = operands[0].channels;
    }
}

void read_softmax(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    layer.axis = object.has("axis") ? object.choice("axis", {"channels", "height"}) : "channels";
    layer.output = operands[0];
}

/// Channels per head; the heads lie side by side in the channels, or in the width.
std::uint32_t depth_of_head(const ObjectReader& object, std::size_t k, const Shape& operand,
                            std::uint32_t heads)
{
    if (operand.width == heads)
    {
        return operand.channels;
    }
    if (operand.width != 1 || operand.channels % heads != 0)
    {
        object.fail_at("inputs", k,
                       "has shape " + text_of(operand) + ", which does not hold " +
                           std::to_string(heads) + " heads",
                       "give rows x 1 x (heads x depth) or rows x heads x depth");
    }
    return operand.channels / heads;
}

void read_matmul(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    layer.heads = object.number_or("heads", 1, 1, kMaxExtent);
    layer.transpose_second = object.flag_or("transpose_second", false);
    const Shape& first = operands[0];
    const Shape& second = operands[1];
    const std::uint32_t first_depth = depth_of_head(object, 0, first, layer.heads);
    const std::uint32_t second_depth = depth_of_head(object, 1, second, layer.heads);
    const std::uint32_t common = layer.transpose_second ? second_depth : second.height;
    if (first_depth != common)
    {
        object.fail_at("inputs", 1,
                       "has shape " + text_of(second) + " with " + std::to_string(common) + " " +
                           (layer.transpose_second ? "channels per head" : "rows") +
                           ", but the first operand, " + text_of(first) + ", has " +
                           std::to_string(first_depth) + " channels per head",
                       "make them equal or change transpose_second");
    }
    const std::uint32_t columns = layer.transpose_second ? second.height : second_depth;
    layer.output = layer.transpose_second
                       ? make_shape(object, first.height, layer.heads, columns)
                       : make_shape(object, first.height, 1, std::uint64_t{layer.heads} * columns);
    set_costs(object, layer, 0, 0, product({first.height, layer.heads, common, columns}, kMaxMacs));
}

void read_embedding(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    constexpr std::uint32_t kMaxRows = std::numeric_limits<std::int32_t>::max();
    const Shape& input = operands[0];
    if (input.width != 1)
    {
        object.fail("reads " + text_of(input) + ", which is not a sequence",
                    "reshape it to rows x 1 x channels");
    }
    const std::uint32_t vocabulary = object.number_or("vocabulary", 0, 1, kMaxRows);
    const std::uint32_t positions = object.number_or("positions", 0, 1, kMaxRows);
    const std::uint32_t segments = object.number_or("segments", 0, 1, kMaxRows);
    const std::uint32_t first_rows = object.number_or("first_rows", 0, 1, kMaxRows);
    std::uint32_t channels = input.channels;
    if (vocabulary != 0)
    {
        channels = object.number("channels", 1, kMaxExtent);
        if (input.channels != 1)
        {
            object.fail("vocabulary",
                        "looks up token numbers, but the input has shape " + text_of(input),
                        "feed it tokens x 1 x 1, or give no vocabulary");
        }
    }
    else if (object.has("channels"))
    {
        object.fail("channels", "is given without a vocabulary",
                    "remove it: without a look-up the channels stay as they are");
    }
    if (positions != 0 && positions < input.height)
    {
        object.fail("positions",
                    std::to_string(positions) + " rows are too few for " +
                        std::to_string(input.height) + " tokens",
                    "give at least one row per token");
    }
    if (first_rows > input.height)
    {
        object.fail("first_rows", "is more than the " + std::to_string(input.height) + " rows",
                    "give at most as many as there are rows");
    }
    layer.table_rows = std::uint64_t{vocabulary} + positions + segments + first_rows;
    if (layer.table_rows == 0)
    {
        object.fail("has no table", "give vocabulary, positions, segments or first_rows");
    }
    layer.output = make_shape(object, input.height, 1, channels);
    set_costs(object, layer, product({layer.table_rows, channels}, kMaxWeights), 0, 0);
}

void read_reshape(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    const auto extents = object.numbers("shape", {3}, 1, kMaxExtent, false);
    const Shape& input = operands[0];
    if (product({extents[0], extents[1], extents[2]}, kMaxMapElements) != input.elements())
    {
        object.fail("shape",
                    "does not have the " + std::to_string(input.elements()) +
                        " elements of the input, " + text_of(input),
                    "give height, width and channels with that product");
    }
    layer.output = {extents[0], extents[1], extents[2]};
}

void read_transpose(const ObjectReader& object, const Operands& operands, Layer& layer)
{
    const Shape& input = operands[0];
    layer.axis = object.choice("axes", {"height,width", "height,channels", "width,channels"});
    layer.output = layer.axis == "height,width" ? Shape{input.width, input.height, input.channels}
                   : layer.axis == "height,channels"
                       ? Shape{input.channels, input.width, input.height}
                       : Shape{input.height, input.channels, input.width};
}

} // namespace

const std::vector<KindRule>& kind_rules()
{
    constexpr std::size_t kAny = std::numeric_limits<std::size_t>::max();
    static const std::vector<KindRule> rules{
        {LayerKind::input, 0, 0, {"shape"}, read_input},
        {LayerKind::conv2d,
         1,
         1,
         {"channels", "kernel", "stride", "dilation", "groups", "padding", "bias"},
         read_conv2d},
        {LayerKind::dense, 1, 1, {"channels", "bias"}, read_dense},
        {LayerKind::max_pool,
         1,
         1,
         {"kernel", "stride", "dilation", "padding", "ceil_mode"},
         read_pool},
        {LayerKind::average_pool, 1, 1, {"kernel", "stride", "padding", "ceil_mode"}, read_pool},
        {LayerKind::global_average_pool, 1, 1, {}, read_global_pool},
        {LayerKind::add, 2, kAny, {}, read_add},
        {LayerKind::mul, 2, kAny, {}, read_mul},
        {LayerKind::concat, 2, kAny, {"axis"}, read_concat},
        {LayerKind::split, 1, 1, {"range"}, read_split},
        {LayerKind::upsample, 1, 1, {"scale"}, read_upsample},
        {LayerKind::pad, 1, 1, {"padding"}, read_pad},
        {LayerKind::activation, 1, 1, {"function"}, read_activation},
        {LayerKind::batch_norm, 1, 1, {}, read_norm},
        {LayerKind::softmax, 1, 1, {"axis"}, read_softmax},
        {LayerKind::layer_norm, 1, 1, {"centred"}, read_layer_norm},
        {LayerKind::matmul, 2, 2, {"heads", "transpose_second"}, read_matmul},
        {LayerKind::embedding,
         1,
         1,
         {"vocabulary", "channels", "positions", "segments", "first_rows"},
         read_embedding},
        {LayerKind::reshape, 1, 1, {"shape"}, read_reshape},
        {LayerKind::transpose, 1, 1, {"axes"}, read_transpose},
    };
    return rules;
}

} // namespace tessera::network
