// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"
#include "network/onnx/graph.h"
#include "network/onnx/view.h"
#include "network/weights.h"

#include <string>
#include <vector>

namespace tessera::network::onnx
{

/// A network and how it came out of a graph.
struct Imported
{
    Network network;
    std::vector<Weights> weights; ///< one a layer
    struct Port
    {
        std::string name;
        View view; ///< how the tensor lies in the output of a layer
    };
    std::vector<Port> inputs;  ///< of the graph, those that layers read
    std::vector<Port> outputs; ///< as the graph lists them
};

/// Turns a graph into layers, shapes inferred, constants folded. A batch is taken as one image (see
/// drop_batches());
/// NCHW becomes rows, columns, channels. Throws InputError; all operators that have no counterpart
/// are named together.
[[nodiscard]] Imported import(Graph graph, BatchAxis batch_axis = BatchAxis::automatic);

} // namespace tessera::network::onnx
