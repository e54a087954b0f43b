// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "network/network.h"
#include "tessera/ids.h"
#include "tessera/trace.h"

#include <cstdint>
#include <vector>

namespace tessera::compiler
{

/// Half-open range.
struct Extent
{
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    [[nodiscard]] std::uint32_t size() const { return end - begin; }
    [[nodiscard]] bool empty() const { return begin >= end; }
    [[nodiscard]] Extent clipped(const Extent& to) const;
    friend bool operator==(const Extent& a, const Extent& b)
    {
        return a.begin == b.begin && a.end == b.end;
    }
};

/// A box of a feature map.
struct Volume
{
    Extent rows;
    Extent columns;
    Extent channels;
    [[nodiscard]] static Volume of(const network::Shape& shape);
    [[nodiscard]] bool empty() const { return rows.empty() || columns.empty() || channels.empty(); }
    [[nodiscard]] std::uint64_t elements() const
    {
        return std::uint64_t{rows.size()} * columns.size() * channels.size();
    }
    [[nodiscard]] trace::Box box() const;
    friend bool operator==(const Volume& a, const Volume& b)
    {
        return a.rows == b.rows && a.columns == b.columns && a.channels == b.channels;
    }
};

/// What becomes of a layer.
enum class Role : std::uint8_t
{
    memory,   ///< an input: lies in the external memory
    crossbar, ///< its weights lie in macros; a matmul's second operand is written into them
    vector,   ///< computed by vector units
    fused,    ///< activation or batch_norm done by the accumulation of the crossbar layer before it
    view      ///< concat, split, pad, reshape: no operation; consumers read the producers' data
};

/// A part of the data of a layer that has data of its own (memory, crossbar or vector).
struct Region
{
    LayerId layer;
    Volume volume;
    friend bool operator==(const Region& a, const Region& b)
    {
        return a.layer == b.layer && a.volume == b.volume;
    }
};

/// The network as the compiler sees it: who makes data, and which part of whose data it takes to
/// make a given part of a layer.
class Graph
{
public:
    /// Keeps a reference to `network`. A conv2d with groups > 1 is put on crossbars only where
    /// `mapping.depthwise` says so, a matmul in macros only where `mapping.attention` does. Throws
    /// InputError when `mapping.on_crossbar` names a kind whose weights no crossbar can hold.
    Graph(const network::Network& network, const config::ChipConfig& chip);

    [[nodiscard]] const network::Network& network() const { return network_; }
    [[nodiscard]] std::size_t size() const { return network_.layers.size(); }
    [[nodiscard]] const network::Layer& layer(LayerId id) const { return network_[id]; }
    [[nodiscard]] Role role(LayerId id) const { return roles_[id.index()]; }
    /// Memory, crossbar or vector.
    [[nodiscard]] bool has_data(LayerId id) const;
    /// Crossbar layer that a fused layer belongs to; any other layer itself.
    [[nodiscard]] LayerId head(LayerId id) const { return heads_[id.index()]; }
    /// Layer whose output the data of `id` hold: the last layer fused into it, or itself.
    [[nodiscard]] LayerId value(LayerId id) const { return values_[id.index()]; }
    /// A matmul in macros: its second operand is written into them for every image.
    [[nodiscard]] bool dynamic(LayerId id) const
    {
        return role(id) == Role::crossbar && layer(id).kind == network::LayerKind::matmul;
    }
    /// Output channels depend on the same channels of the operands only.
    [[nodiscard]] bool channelwise(LayerId id) const;

    /// Appends the data that hold `volume` of the output of `id`; nothing for padding.
    void resolve(LayerId id, Volume volume, std::vector<Region>& out) const;
    /// Appends what a vector layer needs of operand `k` to make `made`.
    void operand(LayerId id, std::size_t k, const Volume& made, std::vector<Region>& out) const;
    /// Appends all that a crossbar or vector layer needs to make `made`.
    void operands(LayerId id, const Volume& made, std::vector<Region>& out) const;
    /// Appends what rows `rows` of the weight matrix of a crossbar layer multiply to make `made`.
    /// Row (ky * kernel_width + kx) * input channels + c multiplies input channel c at (ky, kx);
    /// with groups, each has such rows for its own channels, group after group; a matmul has rows
    /// for the common dimension of each head, head after head. Contract: rows of several groups or
    /// heads are those of whole ones.
    void block_operand(LayerId id, const Extent& rows, const Volume& made,
                       std::vector<Region>& out) const;
    /// The part of a matmul's second operand that is rows `rows` and columns `columns` of its
    /// weight matrix. Contract: they belong to one head.
    [[nodiscard]] Volume second_operand(LayerId id, const Extent& rows,
                                        const Extent& columns) const;
    /// The part of a matmul's output that columns `columns` of its weight matrix make. Contract:
    /// they belong to one head.
    [[nodiscard]] Volume made_by_columns(LayerId id, const Extent& columns) const;
    /// Elementary operations that a vector unit executes to make `made` ("n" of a vec): results,
    /// times the window for pools, times operands - 1 for add and mul, times the length of the dot
    /// product for dense, conv2d and matmul.
    [[nodiscard]] std::uint64_t work(LayerId id, const Volume& made) const;

private:
    void open_parts(const network::Layer& concat, const Volume& volume,
                    std::vector<Region>& open) const;
    void dilated_operand(LayerId id, const Volume& made, std::vector<Region>& out) const;
    [[nodiscard]] Volume before_view(const network::Layer& view, Volume volume) const;

    const network::Network& network_;
    std::vector<Role> roles_;
    std::vector<LayerId> heads_;
    std::vector<LayerId> values_;
};

} // namespace tessera::compiler
