// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/graph.h"
#include "config/chip_config.h"

#include <cstdint>
#include <vector>

namespace tessera::compiler
{

/// The im2col weight matrix of a crossbar layer: kernel_height x kernel_width x input channels rows
/// by output channels columns.
struct WeightMatrix
{
    std::uint64_t rows = 0;
    std::uint64_t columns = 0;
};
[[nodiscard]] WeightMatrix weight_matrix(const network::Network& network,
                                         const network::Layer& layer);

/// Part of a weight matrix that one macro holds.
struct MatrixBlock
{
    Extent rows;
    Extent columns;
};

/// Cuts a matrix into blocks of at most macro.rows x macro.columns. Blocks of the same columns
/// follow each other, so that partial sums that belong together are made by neighbouring macros.
/// Throws InputError when the matrix has 2^32 rows or more.
[[nodiscard]] std::vector<MatrixBlock> cut(const network::Network& network,
                                           const network::Layer& layer,
                                           const config::ChipConfig::Macro& macro);

} // namespace tessera::compiler
