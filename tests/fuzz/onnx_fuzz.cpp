// SPDX-License-Identifier: Apache-2.0
#include "fuzz_input.h"
#include "network/onnx/import.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    fuzz::refuses_or_accepts(
        [&]
        {
            const network::onnx::Imported imported = network::onnx::import(
                network::onnx::decode_graph(std::string(fuzz::text_of(data, size)), "fuzz.onnx",
                                            network::onnx::Values::all));
            const network::Network& network = imported.network;
            fuzz::require(!network.layers.empty() && !network.outputs.empty(),
                          "a network has layers and outputs");
            fuzz::require(imported.weights.size() == network.layers.size(), "weights are by layer");
            for (std::uint32_t i = 0; i < network.layers.size(); ++i)
            {
                const network::Layer& layer = network.layers[i];
                fuzz::require(layer.output.elements() != 0, "every layer makes something");
                for (const LayerId input : layer.inputs)
                {
                    fuzz::require(input.index() < i, "layers read earlier ones");
                }
                const network::Weights& weights = imported.weights[i];
                fuzz::require(weights.matrix.size() == weights.rows * weights.columns,
                              "a matrix has rows and columns");
                fuzz::require(weights.codes.matrix.empty() ||
                                  (weights.codes.matrix.size() == weights.matrix.size() &&
                                   weights.codes.scale.size() == weights.columns),
                              "codes are those of all weights");
                fuzz::require(weights.codes.bias.size() == weights.codes.bias_scale.size() &&
                                  (weights.codes.bias.empty() ||
                                   weights.codes.bias.size() == weights.columns),
                              "codes of a bias are one a column");
            }
            for (const network::onnx::Imported::Port& output : imported.outputs)
            {
                fuzz::require(output.view.layer.index() < network.layers.size(),
                              "outputs are layers");
                fuzz::require(static_cast<std::uint64_t>(output.view.elements()) ==
                                  network[output.view.layer].output.elements(),
                              "a view shows all elements of its layer");
            }
        });
    return 0;
}
