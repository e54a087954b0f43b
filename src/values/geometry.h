// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"

#include <cstddef>
#include <optional>
#include <vector>

namespace tessera::values
{

/// One image's feature map: rows, columns, channels.
template <class T> using Map = std::vector<T>;

/// One element of a map.
struct Element
{
    std::uint32_t row = 0;
    std::uint32_t column = 0;
    std::uint32_t channel = 0;
};

[[nodiscard]] inline std::size_t index_of(const network::Shape& shape, const Element& at)
{
    return (std::size_t{at.row} * shape.width + at.column) * shape.channels + at.channel;
}

/// Calls visit(row, column, tap) for what the window of output position (row, column) covers inside
/// the map; tap counts the kernel's positions row by row.
template <class Visit>
void each_in_window(const network::Layer& layer, const network::Shape& in, std::uint32_t row,
                    std::uint32_t column, Visit visit)
{
    for (std::uint32_t ky = 0; ky < layer.kernel_height; ++ky)
    {
        const std::uint32_t y = row * layer.stride_height + ky * layer.dilation_height;
        if (y < layer.padding.top || y - layer.padding.top >= in.height)
        {
            continue;
        }
        for (std::uint32_t kx = 0; kx < layer.kernel_width; ++kx)
        {
            const std::uint32_t x = column * layer.stride_width + kx * layer.dilation_width;
            if (x >= layer.padding.left && x - layer.padding.left < in.width)
            {
                visit(y - layer.padding.top, x - layer.padding.left,
                      std::size_t{ky} * layer.kernel_width + kx);
            }
        }
    }
}

/// What the weight matrix of a conv2d or dense multiplies for output position (row, column): rows
/// of `group` in the matrix's order, of which those of the padding are left as they are.
/// read(element) gives an input.
template <class T, class Read>
void gather(const network::Layer& layer, const network::Shape& in, std::uint32_t group,
            std::uint32_t row, std::uint32_t column, Read read, T* into)
{
    const std::uint32_t inner = in.channels / layer.groups;
    each_in_window(layer, in, row, column,
                   [&](std::uint32_t y, std::uint32_t x, std::size_t tap)
                   {
                       for (std::uint32_t c = 0; c < inner; ++c)
                       {
                           into[tap * inner + c] = read(Element{y, x, group * inner + c});
                       }
                   });
}

/// The element with an index.
[[nodiscard]] inline Element element_at(const network::Shape& shape, std::size_t index)
{
    const std::size_t row = std::size_t{shape.width} * shape.channels;
    return {static_cast<std::uint32_t>(index / row),
            static_cast<std::uint32_t>(index % row / shape.channels),
            static_cast<std::uint32_t>(index % shape.channels)};
}

/// A matmul as products of rows with a matrix for each head. However an operand keeps its heads, a
/// row of it, and of the output, is one head's elements after the other's; of a second operand that
/// is transposed, a row is a column of every head.
struct HeadProducts
{
    std::uint32_t heads = 1;
    std::uint32_t common = 1;  ///< dimension that sums are over, of a head
    std::uint32_t columns = 1; ///< of a head
    bool transposed = false;

    HeadProducts(const network::Network& network, const network::Layer& layer);
    /// Index in the second operand of what row `row` of head `head` has in its column `column`.
    [[nodiscard]] std::size_t second(std::uint32_t head, std::uint32_t row,
                                     std::uint32_t column) const
    {
        const std::size_t wide = std::size_t{heads} * (transposed ? common : columns);
        return transposed ? column * wide + std::size_t{head} * common + row
                          : row * wide + std::size_t{head} * columns + column;
    }
};

/// The operand of a mul that is not as large as its output has one factor for each channel.
[[nodiscard]] inline Element factor_at(const network::Shape& operand, const network::Shape& output,
                                       const Element& at)
{
    return operand == output ? at : Element{0, 0, at.channel};
}

/// Layers that only say where an element comes from: concat, split, pad, reshape, upsample,
/// transpose.
[[nodiscard]] bool moves_only(network::LayerKind kind);

struct Origin
{
    std::size_t operand = 0;
    Element element;
};
/// Which element of which operand an element of such a layer is; nothing: a zero of a pad.
[[nodiscard]] std::optional<Origin> origin_of(const network::Network& network,
                                              const network::Layer& layer, const Element& at);

} // namespace tessera::values
