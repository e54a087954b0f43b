// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/onnx/graph.h"

#include <vector>

namespace tessera::network::onnx
{

/// Axis -1 is the last one. Throws Unsupported if there is no such axis.
[[nodiscard]] std::size_t axis_of(std::int64_t axis, std::size_t rank);
/// The extents that both become when the smaller one is repeated. Throws Unsupported if they do not
/// fit.
[[nodiscard]] Extents broadcast(const Extents& a, const Extents& b);
/// The extents that a Reshape to `wanted` makes: 0 keeps one, -1 is what is left.
[[nodiscard]] Extents reshape_extents(const Extents& from, const Tensor& wanted, bool allow_zero);
/// Integers of a constant that shapes are computed from. Throws Unsupported if its values are
/// missing.
[[nodiscard]] std::vector<std::int64_t> whole_numbers(const Tensor& tensor);
/// A 1-D constant of integers.
[[nodiscard]] Tensor tensor_of(const std::vector<std::int64_t>& values);

using Operands = std::vector<const Tensor*>; ///< null where left out

/// The operand's axes in the order in which Transpose wants them.
[[nodiscard]] std::vector<std::size_t> permutation_of(const Node& node, std::size_t rank);

/// What a Slice leaves of one axis.
struct Cut
{
    std::size_t axis = 0;
    std::int64_t begin = 0, step = 1, count = 0;
};
[[nodiscard]] std::vector<Cut> cuts_of(const Node& node, const Operands& operands,
                                       const Extents& extents);
/// Sizes of the parts of a Split.
[[nodiscard]] std::vector<std::int64_t> parts_of(const Node& node, const Operands& operands,
                                                 std::int64_t extent);
/// What Squeeze and Unsqueeze make; of operand 0 only the extents matter.
[[nodiscard]] Extents squeeze_extents(const Node& node, const Operands& operands);
[[nodiscard]] Extents unsqueeze_extents(const Node& node, const Operands& operands);

/// Executes nodes whose operands are all constants. What it makes without values (because some were
/// missing, or are not worth having) has at least a shape.
class Evaluator
{
public:
    explicit Evaluator(std::int64_t opset) : opset_(opset) {}

    [[nodiscard]] static bool knows(const Node& node);
    /// Shape and Size: values do not matter.
    [[nodiscard]] static bool asks_for_extents(const Node& node);
    /// Throws Unsupported.
    [[nodiscard]] std::vector<Tensor> run(const Node& node, const Operands& operands);

private:
    [[nodiscard]] std::vector<Tensor> compute(const Node& node, const Operands& operands);
    /// An empty tensor of these extents, known if that many more values may be made.
    [[nodiscard]] Tensor room(const Extents& extents, bool real, bool known);

    std::int64_t opset_;
    std::int64_t left_ = std::int64_t{1} << 28; ///< values that may still be made
};

} // namespace tessera::network::onnx
