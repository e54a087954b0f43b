// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/onnx/graph.h"
#include "tessera/batch_axis.h"

#include <string>
#include <vector>

namespace tessera::network::onnx
{

/// Makes a graph whose inputs begin with a batch the graph of one image: their first extents become
/// 1, and so do those of constants that repeat for every image.
///
/// The axis is followed from the inputs through all operators that keep it in front. If one does
/// not, it is no batch but rows (tokens) of one image. If all do, it is a batch, except that a
/// graph may not tell: [N, features] straight into products of matrices has independent rows
/// either way. Constants are evaluated before. Returns what was decided, in words. Throws
/// InputError for files that do not tell (`axis` tells then), and for constants that differ from
/// image to image.
[[nodiscard]] std::vector<std::string> drop_batches(Graph& graph, BatchAxis axis);

} // namespace tessera::network::onnx
