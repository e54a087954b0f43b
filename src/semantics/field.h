// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"
#include "semantics/effort.h"
#include "tessera/trace.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

/// Which elements an operation needs, from the definition of its layer alone. Nothing here is
/// shared with the compiler: a mistake in its receptive fields cannot hide itself.
namespace tessera::semantics
{

/// Half-open stretch of positions along one axis.
struct Stretch
{
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    [[nodiscard]] std::uint32_t size() const { return end - begin; }
};
/// Rising, not empty, none touches the next.
using Stretches = std::vector<Stretch>;

using Element = std::array<std::uint32_t, 3>; ///< row, column, channel

/// Elements of a layer's output: all rows x all columns x all channels. Never empty.
struct Need
{
    LayerId tensor; ///< the layer
    Stretches rows;
    Stretches columns;
    Stretch channels;
};

/// A whole box of a layer's output.
[[nodiscard]] Need need_of(LayerId tensor, const trace::Box& box);

/// Appends what rows `rows` of the weight matrix of conv2d or dense layer `id` multiply to make
/// `made`: row (ky * kernel width + kx) * input channels + c multiplies channel c at (ky, kx);
/// where there are groups, the rows of one follow those of another. Padding and channels of other
/// groups are not needed.
void append_block_needs(const network::Network& network, LayerId id, Stretch rows,
                        const trace::Box& made, Effort& effort, std::vector<Need>& out);

/// A matmul as products of a vector with a matrix for each head, which lie along the diagonal of
/// one: rows (head * common dimension + k) by columns (head * columns of a head + c).
struct HeadMatrix
{
    std::uint32_t heads = 1;
    std::uint32_t rows = 1;    ///< of one head: the common dimension
    std::uint32_t columns = 1; ///< of one head
};
[[nodiscard]] HeadMatrix head_matrix(const network::Network& network, const network::Layer& layer);
/// Columns of its matrix that make `made`; nothing if that belongs to several heads.
[[nodiscard]] std::optional<Stretch> columns_of_head(const network::Network& network, LayerId id,
                                                     const trace::Box& made);
/// What rows `rows` and columns `columns` of a matmul's matrix are in its second operand. Contract:
/// they belong to one head.
[[nodiscard]] Need second_operand(const network::Network& network, LayerId id, Stretch rows,
                                  Stretch columns);
/// What rows `rows` of a matmul's matrix multiply in its first operand to make rows of its output.
/// Contract: they belong to one head.
[[nodiscard]] Need first_operand(const network::Network& network, LayerId id, Stretch rows,
                                 Stretch made);
/// How many rows of a matmul's matrix part `box` of its second operand fills.
[[nodiscard]] std::uint64_t rows_filled(const network::Network& network, LayerId id,
                                        const trace::Box& box);

/// Channels of its input that a conv2d's output channels depend on.
[[nodiscard]] Stretch input_channels_of(const network::Network& network,
                                        const network::Layer& layer, Stretch made);

/// Appends what layer `id` needs of operand `k` to make `made`.
void append_operand_needs(const network::Network& network, LayerId id, std::size_t k,
                          const trace::Box& made, Effort& effort, std::vector<Need>& out);

/// concat, split, pad and reshape only rename elements.
[[nodiscard]] bool renames(network::LayerKind kind);
/// Appends what elements of such a layer's output are called in its inputs.
void append_renamed(const network::Network& network, const Need& need, Effort& effort,
                    std::vector<Need>& out);

/// The first element of `need` that lies in none of the boxes.
[[nodiscard]] std::optional<Element>
uncovered(const Need& need, const std::vector<const trace::Box*>& boxes, Effort& effort);

} // namespace tessera::semantics
