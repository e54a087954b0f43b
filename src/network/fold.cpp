// SPDX-License-Identifier: Apache-2.0
#include "network/fold.h"

#include <utility>

namespace tessera::network
{

void fold_batch_norms(Network& network)
{
    std::vector<std::size_t> uses(network.layers.size());
    for (const Layer& layer : network.layers)
    {
        for (const LayerId input : layer.inputs)
        {
            ++uses[input.index()];
        }
    }
    for (const LayerId output : network.outputs)
    {
        ++uses[output.index()];
    }

    std::vector<LayerId> moved(network.layers.size());
    std::vector<Layer> kept;
    kept.reserve(network.layers.size());
    for (std::size_t i = 0; i < network.layers.size(); ++i)
    {
        Layer& layer = network.layers[i];
        if (layer.kind == LayerKind::batch_norm && uses[layer.inputs[0].index()] == 1)
        {
            const LayerId target = moved[layer.inputs[0].index()];
            Layer& producer = kept[target.index()];
            if (producer.kind == LayerKind::conv2d || producer.kind == LayerKind::dense)
            {
                producer.parameters += layer.parameters;
                producer.bias = true;
                moved[i] = target;
                continue;
            }
        }
        for (LayerId& input : layer.inputs)
        {
            input = moved[input.index()];
        }
        moved[i] = LayerId(static_cast<std::uint32_t>(kept.size()));
        kept.push_back(std::move(layer));
    }
    network.layers = std::move(kept);
    for (LayerId& output : network.outputs)
    {
        output = moved[output.index()];
    }
}

} // namespace tessera::network
