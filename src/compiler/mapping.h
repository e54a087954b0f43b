// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/graph.h"
#include "config/chip_config.h"

#include <cstdint>
#include <vector>

namespace tessera::compiler
{

/// The im2col weight matrix of a crossbar layer: kernel_height x kernel_width x input channels rows
/// by output channels columns. That of a convolution with groups has one small matrix per group
/// along its diagonal, and nothing else. So has that of a matmul for each of its heads: the second
/// operand (transposed if the layer says so), or the part of its channels that is the head's.
struct WeightMatrix
{
    std::uint64_t rows = 0;
    std::uint64_t columns = 0;
    std::uint32_t groups = 1; ///< divide rows and columns

    /// Rows that add up in one column.
    [[nodiscard]] std::uint64_t rows_of_group() const { return rows / groups; }
    [[nodiscard]] std::uint64_t columns_of_group() const { return columns / groups; }
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
/// As many whole groups as fit share a block; a group that does not fit is cut on its own. Heads of
/// a matmul do not share blocks: their rows would be written one after the other.
/// Throws InputError when the matrix has 2^32 rows or more.
[[nodiscard]] std::vector<MatrixBlock> cut(const network::Network& network,
                                           const network::Layer& layer,
                                           const config::ChipConfig::Macro& macro);

/// How often a macro has room for the larger of the blocks along its diagonal, each time with its
/// reference column; at least 1.
[[nodiscard]] std::uint32_t replicas(const std::vector<MatrixBlock>& blocks,
                                     const config::ChipConfig::Macro& macro);

/// Weights in a block of a matrix: what is not zero for certain.
[[nodiscard]] std::uint64_t weights_in(const MatrixBlock& block, const WeightMatrix& matrix);

/// Where in which macro a block lies.
struct Berth
{
    std::uint32_t macro = 0; ///< in the order in which macros are filled
    std::uint32_t row = 0;
    std::uint32_t column = 0;
};

/// Columns that a macro has room for in all: weights and reference columns.
[[nodiscard]] std::uint32_t columns_with_references(const config::ChipConfig::Macro& macro);

/// A block to be packed, and whose.
struct Cargo
{
    std::uint32_t rows = 0;
    std::uint32_t columns = 0; ///< reference columns included
    std::size_t layer = 0; ///< blocks of one layer never share a macro: they work at the same time
};

/// Packs blocks of different layers into as few macros as a greedy rule finds: the first `movable`
/// by falling area, then the others in order, each into the first macro that has room for it.
/// Macros are numbered by their first block. So `movable` blocks take the same number of macros
/// whatever follows them, and those that follow at most one each.
[[nodiscard]] std::vector<Berth> pack(const std::vector<Cargo>& blocks, std::size_t movable,
                                      const config::ChipConfig::Macro& macro);

} // namespace tessera::compiler
