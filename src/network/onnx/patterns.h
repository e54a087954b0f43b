// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/onnx/graph.h"

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace tessera::network::onnx
{

/// Several nodes that together are one layer.
struct Pattern
{
    std::string function; ///< of an activation; "" is a layer norm
    std::string source;   ///< the tensor it reads
    double slope = 1;     ///< Layer::slope
    // layer norm
    double epsilon = 0;
    std::vector<std::int64_t> axes;
    std::string scale, bias; ///< constants; "" where there is none
    bool centred = true;     ///< false: RMS norm
};

/// What is found in a graph, by the position of the node that makes the result; the others are
/// `inner`.
struct Patterns
{
    std::map<std::size_t, Pattern> roots;
    std::vector<bool> inner;
};

/// Finds activations written out (x * sigmoid(x), x / 2 * (1 + erf(x / sqrt(2))), ...) and layer
/// norms. An activation is recognised by its values: elementwise operations on one tensor and
/// scalars are evaluated together, whatever their order.
/// `constants` are all that are known before shapes are. What reads one of `codes`, tensors of
/// integers that stand for reals, is in no pattern.
[[nodiscard]] Patterns find_patterns(const Graph& graph,
                                     const std::map<std::string, Tensor>& constants,
                                     const std::unordered_set<std::string>& codes);

/// An activation by its values.
struct Curve
{
    std::string function;
    double slope = 1; ///< Layer::slope
};

/// The activation that is nearest to these values of f(x): relu, silu, ...; nothing if none is
/// near.
[[nodiscard]] std::optional<Curve> curve_of(const std::vector<double>& x,
                                            const std::vector<double>& y);

} // namespace tessera::network::onnx
