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
        const float factor = factors[column];
        into.scale[column] *= factor == 0 ? 1 : static_cast<double>(std::abs(factor));
    }
    for (std::size_t i = 0; i < into.matrix.size(); ++i)
    {
        const float factor = factors[i % factors.size()];
        if (factor < 0)
        {
            into.matrix[i] = -std::max(into.matrix[i], -std::numeric_limits<std::int32_t>::max());
        }
        into.matrix[i] = factor == 0 ? 0 : into.matrix[i];
    }
}

/// Is the output rounded, or meant to be? What comes behind cannot be folded in then.
bool is_quantised(const Codes& codes)
{
    return codes.output.has_value() || !codes.problem.empty();
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

/// Two scales and shifts, one behind the other.
void compose(Weights& first, Weights& second)
{
    first.codes.output = second.codes.output;
    first.codes.problem = std::move(second.codes.problem);
    first.known = first.known && second.known;
    if (!first.known)
    {
        first.scale.clear();
        first.bias.clear();
        return;
    }
    first.bias.resize(first.scale.size(), 0.0F);
    for (std::size_t c = 0; c < first.scale.size(); ++c)
    {
        const auto gain = static_cast<double>(second.scale[c]);
        const double shift = second.bias.empty() ? 0 : static_cast<double>(second.bias[c]);
        first.scale[c] = static_cast<float>(static_cast<double>(first.scale[c]) * gain);
        first.bias[c] = static_cast<float>(static_cast<double>(first.bias[c]) * gain + shift);
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
            const bool multiplies =
                producer.kind == LayerKind::conv2d || producer.kind == LayerKind::dense;
            const bool scales = producer.kind == LayerKind::batch_norm && !weights.empty();
            if ((multiplies || scales) &&
                (weights.empty() || !is_quantised(kept_weights[target.index()].codes)))
            {
                producer.parameters += layer.parameters;
                producer.bias = producer.bias || multiplies;
                if (scales)
                {
                    compose(kept_weights[target.index()], weights[i]);
                }
                else if (!weights.empty())
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
