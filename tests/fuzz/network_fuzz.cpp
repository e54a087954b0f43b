// SPDX-License-Identifier: Apache-2.0
#include "fuzz_input.h"
#include "network/network.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    fuzz::refuses_or_accepts(
        [&]
        {
            const network::Network network =
                network::parse(std::string(fuzz::text_of(data, size)), "fuzz");
            fuzz::require(!network.layers.empty() && !network.outputs.empty(),
                          "a network has layers and outputs");
            for (std::uint32_t i = 0; i < network.layers.size(); ++i)
            {
                const network::Layer& layer = network.layers[i];
                fuzz::require(layer.output.elements() != 0, "every layer makes something");
                for (const LayerId input : layer.inputs)
                {
                    fuzz::require(input.index() < i, "layers read earlier ones");
                }
            }
            for (const LayerId output : network.outputs)
            {
                fuzz::require(output.index() < network.layers.size(), "outputs are layers");
            }
        });
    return 0;
}
