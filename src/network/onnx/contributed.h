// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/onnx/graph.h"

namespace tessera::network::onnx
{

/// Replaces operators of com.microsoft, which ONNX Runtime's optimiser makes out of several, by
/// those of ONNX: gelu in all its forms, silu, norms that begin with a sum. All nodes that stand
/// for one have its name.
void spell_out_contributed(Graph& graph);

} // namespace tessera::network::onnx
