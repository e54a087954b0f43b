// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/weights.h"
#include "values/geometry.h"

#include <vector>

namespace tessera::values
{

/// Throws InputError unless the network has one input, weights for all layers that need them, all
/// of them finite, and only layers that FloatNetwork computes.
void check_weights(const network::WeightedNetwork& network, const std::string& file);

/// Of the one input; throws InputError where there are none or several.
[[nodiscard]] const network::Layer& input_layer(const network::Network& network,
                                                const std::string& file);

/// What a network computes in single precision; of a quantised file, with its roundings. Keeps a
/// reference; any number of threads may use it at once.
class FloatNetwork
{
public:
    explicit FloatNetwork(const network::WeightedNetwork& network) : network_(network) {}

    /// The maps of all layers for one image.
    [[nodiscard]] std::vector<Map<float>> run(const float* image) const;

private:
    void multiply(const network::Layer& layer, const network::Weights& weights,
                  const Map<float>& in, Map<float>& out) const;
    void multiply_heads(const network::Layer& layer, const Map<float>& first,
                        const Map<float>& second, Map<float>& out) const;

    const network::WeightedNetwork& network_;
};

/// Of an activation layer.
[[nodiscard]] double activate(const network::Layer& layer, double value);

} // namespace tessera::values
