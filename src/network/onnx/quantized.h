// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/onnx/constants.h"
#include "network/onnx/graph.h"
#include "network/weights.h"

#include <optional>
#include <string>
#include <vector>

// Files whose tensors are whole numbers: value = (code - zero point) x scale.
namespace tessera::network::onnx
{

/// Replaces QLinear operators by what they stand for: a DequantizeLinear for each operand, the
/// operator on reals, a QuantizeLinear. All of them have the name of the node that they replace.
void spell_out_quantized(Graph& graph);

/// QuantizeLinear or DequantizeLinear.
[[nodiscard]] bool is_coding(const Node& node);

/// Why a quantised operator cannot be imported; "" for any other.
[[nodiscard]] std::string why_not_quantized(const Node& node);

/// What a QuantizeLinear or DequantizeLinear says of its operand.
struct Coding
{
    std::vector<float> scale;             ///< empty: its values are not in the file
    std::vector<std::int64_t> zero_point; ///< as long as `scale`
    bool per_axis = false;                ///< one scale for each position along `axis`
    std::size_t axis = 0;
    IntegerType type; ///< of the codes
    /// Of the codes, where they do not use the whole type.
    std::optional<CodeRange> range;

    /// Of the codes.
    [[nodiscard]] std::int64_t least() const;
    [[nodiscard]] std::int64_t most() const;
    /// Of a layer whose output is coded so, with one scale that is known.
    [[nodiscard]] OutputCodes codes() const;
};

/// `operands` are scale and zero point, null where left out; `extents` those of the tensor that is
/// coded, whose type is `type` if that is known. Throws InputError, Unsupported.
[[nodiscard]] Coding coding_of(const Node& node, const Operands& operands, const Extents& extents,
                               std::optional<IntegerType> type, const std::string& file);

/// What the node makes of a constant. Throws InputError, Unsupported.
[[nodiscard]] Tensor coded(const Node& node, const Operands& operands, const std::string& file);

/// "uint8"
[[nodiscard]] std::string name_of(const IntegerType& type);

} // namespace tessera::network::onnx
