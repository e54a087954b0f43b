// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/onnx/graph.h"
#include "tessera/ids.h"

#include <array>
#include <cstddef>
#include <optional>
#include <vector>

namespace tessera::network::onnx
{

/// Factors of a list of axes, major to minor: positions in View::atoms.
using Factors = std::vector<std::size_t>;

/// An ONNX tensor whose elements lie in the output of a layer.
///
/// Its axes and those of the layer (height, width, channels) are products of common factors, the
/// atoms. So reshaping, transposing, squeezing and flattening change only how axes are put
/// together from atoms: no layer is made for them before something has to read the elements in
/// another order.
struct View
{
    LayerId layer;
    /// Extents > 1, in the order of the layer's elements: those of height, then width, then
    /// channels.
    std::vector<std::int64_t> atoms;
    /// Atoms [0, bounds[0]) make up the height, [bounds[0], bounds[1]) the width, the rest the
    /// channels.
    std::array<std::size_t, 2> bounds{};
    std::vector<Factors> axes;

    [[nodiscard]] std::size_t rank() const { return axes.size(); }
    [[nodiscard]] std::int64_t extent(std::size_t axis) const;
    [[nodiscard]] Extents extents() const;
    [[nodiscard]] std::int64_t elements() const;
    /// All atoms in the order of the ONNX tensor's elements.
    [[nodiscard]] Factors order() const;
    /// The axis' atoms in the order of the layer's elements.
    [[nodiscard]] Factors sorted(std::size_t axis) const;
    /// Are these exactly the channels, in this order?
    [[nodiscard]] bool are_channels(const Factors& factors) const;

    /// Divides an atom into `major` and what is left of it, wherever it occurs.
    void divide(std::size_t atom, std::int64_t major);
};

/// The same elements in the same order with other axes; nothing if the new axes are no products of
/// factors of the old ones.
[[nodiscard]] std::optional<View> reshaped(View view, const Extents& extents);

/// Divides atoms of both until each axis of one, `except` apart, is made of the same extents as
/// that of the other. False if they have no common factors.
[[nodiscard]] bool refine(View& a, View& b, std::optional<std::size_t> except);

} // namespace tessera::network::onnx
