// SPDX-License-Identifier: Apache-2.0
#include "network/fold.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace tessera::network
{

namespace
{

/// Codes of weights stay; their scales take the factor over. A bias that is shifted is none of
/// whole numbers any more, and what the two make together is coded as the second says.
void fold(Codes& into, Codes& norm, const std::vector<float>& factors)
{
    into.output = norm.output;
    into.problem = std::move(norm.problem);
    into.bias.clear();
    into.bias_scale.clear();
    for (std::size_t column = 0; column < into.scale.size(); ++column)
    {
        into.scale[column] *= static_cast<double>(std::abs(factors[column]));
    }
    for (std::size_t i = 0; i < into.matrix.size(); ++i)
    {
        if (factors[i % factors.size()] < 0)
        {
            into.matrix[i] = -std::max(into.matrix[i], -std::numeric_limits<std::int32_t>::max());
        }
    }
    if (std::find(factors.begin(), factors.end(), 0.0F) != factors.end())
    {
        into.matrix.clear();
        into.scale.clear();
    }
}

void fold(Weights& into, Weights& norm)
{
    into.known = into.known && norm.known;
    if (!into.known)
    {
        into = Weights();
        into.codes.output = norm.codes.output;
        into.codes.problem = std::move(norm.codes.problem);
        return;
    }
    fold(into.codes, norm.codes, norm.scale);
    into.bias.resize(into.columns, 0.0F);
    for (std::size_t column = 0; column < into.columns; ++column)
    {
        into.bias[column] = into.bias[column] * norm.scale[column] + norm.bias[column];
    }
    for (std::size_t i = 0; i < into.matrix.size(); ++i)
    {
        into.matrix[i] *= norm.scale[i % into.columns];
    }
}

} // namespace

void fold_batch_norms(Network& network, std::vector<Weights>& weights)
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
    std::vector<Weights> kept_weights;
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
                if (!weights.empty())
                {
                    fold(kept_weights[target.index()], weights[i]);
                }
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
        if (!weights.empty())
        {
            kept_weights.push_back(std::move(weights[i]));
        }
    }
    network.layers = std::move(kept);
    weights = std::move(kept_weights);
    for (LayerId& output : network.outputs)
    {
        output = moved[output.index()];
    }
}

} // namespace tessera::network
