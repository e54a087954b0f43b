// SPDX-License-Identifier: Apache-2.0
#include "compiler/mapping.h"

#include "tessera/error.h"

#include <algorithm>
#include <limits>

namespace tessera::compiler
{

WeightMatrix weight_matrix(const network::Network& network, const network::Layer& layer)
{
    return {std::uint64_t{layer.kernel_height} * layer.kernel_width *
                network.input_shape(layer).channels,
            layer.output.channels};
}

std::vector<MatrixBlock> cut(const network::Network& network, const network::Layer& layer,
                             const config::ChipConfig::Macro& macro)
{
    const WeightMatrix matrix = weight_matrix(network, layer);
    if (matrix.rows > std::numeric_limits<std::uint32_t>::max())
    {
        throw InputError({network.name, 0, "/layers/" + layer.name},
                         "its weight matrix has " + std::to_string(matrix.rows) + " rows",
                         "keep kernel height x width x input channels below 2^32");
    }
    std::vector<MatrixBlock> blocks;
    for (std::uint64_t column = 0; column < matrix.columns; column += macro.columns)
    {
        const Extent columns{
            static_cast<std::uint32_t>(column),
            static_cast<std::uint32_t>(std::min(column + macro.columns, matrix.columns))};
        for (std::uint64_t row = 0; row < matrix.rows; row += macro.rows)
        {
            const auto end = static_cast<std::uint32_t>(std::min(row + macro.rows, matrix.rows));
            blocks.push_back({{static_cast<std::uint32_t>(row), end}, columns});
        }
    }
    return blocks;
}

} // namespace tessera::compiler
