// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera::network
{

/// How the elements of a layer's output are whole numbers: a code times `scale` is the value.
/// Codes count from the zero point.
struct OutputCodes
{
    double scale = 1;
    std::int32_t least = 0;
    std::int32_t most = 255;

    friend bool operator==(const OutputCodes& a, const OutputCodes& b)
    {
        return a.scale == b.scale && a.least == b.least && a.most == b.most;
    }
    friend bool operator!=(const OutputCodes& a, const OutputCodes& b) { return !(a == b); }
};

/// What a quantised file holds of one layer as whole numbers.
struct Codes
{
    std::optional<OutputCodes> output;
    std::string problem;              ///< why there are none, where the file has some
    std::string problem_of_weights;   ///< the same of `matrix`
    std::vector<std::int32_t> matrix; ///< as Weights::matrix, which is these times `scale`
    std::vector<double> scale;        ///< one a column
    std::vector<std::int64_t> bias;   ///< one a column; empty: the bias is real
    std::vector<double> bias_scale;   ///< one a column
};

/// The trained constants of one layer, as far as its file has them; batch norms are folded in.
///
/// conv2d and dense multiply by `matrix`, `rows` x `columns`, row by row: columns are output
/// channels; row (ky * kernel width + kx) * input channels + c of a conv2d multiplies channel c at
/// (ky, kx), row c of a dense channel c. With groups the rows count the channels of one group, that
/// of the column. batch_norm and layer_norm multiply by `scale`. `bias` is added by all four. An
/// activation prelu multiplies what is below 0 by `scale`.
struct Weights
{
    bool known = false; ///< everything the layer has is here; else all but `codes` is empty
    /// An embedding without a vocabulary adds `matrix`, one row a position.
    std::size_t rows = 0, columns = 0;
    std::vector<float> matrix;
    std::vector<float> scale; ///< one a channel
    std::vector<float> bias;  ///< one a channel; empty: none
    Codes codes;
};

struct WeightedNetwork
{
    Network network;
    std::vector<Weights> weights; ///< one a layer
};

/// As network::load(), with the weights that an ONNX file holds; JSON files have none.
[[nodiscard]] WeightedNetwork load_with_weights(const std::string& path,
                                                BatchAxis batch_axis = BatchAxis::automatic);

} // namespace tessera::network
