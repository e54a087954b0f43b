// SPDX-License-Identifier: Apache-2.0
#include "values/geometry.h"

#include <stdexcept>
#include <utility>

namespace tessera::values
{

using network::LayerKind;
using network::Shape;

HeadProducts::HeadProducts(const network::Network& network, const network::Layer& layer)
    : heads(layer.heads), transposed(layer.transpose_second)
{
    const Shape& first = network.input_shape(layer, 0);
    const Shape& second = network.input_shape(layer, 1);
    common = static_cast<std::uint32_t>(std::uint64_t{first.width} * first.channels / heads);
    columns =
        transposed
            ? second.height
            : static_cast<std::uint32_t>(std::uint64_t{second.width} * second.channels / heads);
}

bool moves_only(LayerKind kind)
{
    switch (kind)
    {
    case LayerKind::concat:
    case LayerKind::split:
    case LayerKind::pad:
    case LayerKind::reshape:
    case LayerKind::upsample:
    case LayerKind::transpose:
        return true;
    default:
        return false;
    }
}

std::optional<Origin> origin_of(const network::Network& network, const network::Layer& layer,
                                const Element& at)
{
    const Shape& from = network.input_shape(layer);
    switch (layer.kind)
    {
    case LayerKind::concat:
    {
        Origin origin{0, at};
        const bool by_rows = layer.axis == "height";
        std::uint32_t& place = by_rows ? origin.element.row : origin.element.channel;
        for (;; ++origin.operand)
        {
            const Shape& part = network.input_shape(layer, origin.operand);
            const std::uint32_t extent = by_rows ? part.height : part.channels;
            if (place < extent)
            {
                return origin;
            }
            place -= extent;
        }
    }
    case LayerKind::split:
        return Origin{0, {at.row, at.column, at.channel + layer.channel_begin}};
    case LayerKind::pad:
        if (at.row < layer.padding.top || at.row - layer.padding.top >= from.height ||
            at.column < layer.padding.left || at.column - layer.padding.left >= from.width)
        {
            return std::nullopt;
        }
        return Origin{0, {at.row - layer.padding.top, at.column - layer.padding.left, at.channel}};
    case LayerKind::reshape:
        return Origin{0, element_at(from, index_of(layer.output, at))};
    case LayerKind::upsample:
        return Origin{0, {at.row / layer.scale, at.column / layer.scale, at.channel}};
    case LayerKind::transpose:
    {
        Element element = at;
        if (layer.axis == "height,width")
        {
            std::swap(element.row, element.column);
        }
        else if (layer.axis == "height,channels")
        {
            std::swap(element.row, element.channel);
        }
        else
        {
            std::swap(element.column, element.channel);
        }
        return Origin{0, element};
    }
    default:
        throw std::logic_error("a layer that computes has no origins");
    }
}

} // namespace tessera::values
