// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/onnx/constants.h"
#include "network/onnx/graph.h"

#include <string>

// Quant (IntQuant) and BipolarQuant of QONNX, which Brevitas, FINN and hls4ml write: reals in,
// rounded reals out.
namespace tessera::network::onnx
{

/// Quant, IntQuant or BipolarQuant in one of QONNX's domains.
[[nodiscard]] bool is_quantizer(const Node& node);

/// What a quantiser makes of a constant: reals with their codes (Tensor::steps). Throws InputError,
/// Unsupported.
[[nodiscard]] Tensor quantized_constant(const Node& node, const Operands& operands,
                                        const std::string& file);

/// Replaces quantisers of computed tensors by QuantizeLinear and DequantizeLinear, or by a Sign
/// with an amplitude. Those that nothing can stand for are left. Throws InputError.
void spell_out_quantizers(Graph& graph);

/// Throws Unsupported: why a quantiser could not be replaced.
[[noreturn]] void refuse_quantizer(const Node& node, const Graph& graph);

} // namespace tessera::network::onnx
