// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"

#include <cstddef>
#include <string>
#include <vector>

namespace tessera::network
{

/// The trained constants of one layer, as far as its file has them; batch norms are folded in.
///
/// conv2d and dense multiply by `matrix`, `rows` x `columns`, row by row: columns are output
/// channels; row (ky * kernel width + kx) * input channels + c of a conv2d multiplies channel c at
/// (ky, kx), row c of a dense channel c. With groups the rows count the channels of one group, that
/// of the column. batch_norm and layer_norm multiply by `scale`. `bias` is added by all four.
struct Weights
{
    bool known = false; ///< everything the layer has is here; else all of it is empty
    std::size_t rows = 0, columns = 0;
    std::vector<float> matrix;
    std::vector<float> scale; ///< one a channel
    std::vector<float> bias;  ///< one a channel; empty: none
};

struct WeightedNetwork
{
    Network network;
    std::vector<Weights> weights; ///< one a layer
};

/// As network::load(), with the weights that an ONNX file holds; JSON files have none.
[[nodiscard]] WeightedNetwork load_with_weights(const std::string& path);

} // namespace tessera::network
