// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>

namespace tessera
{

/// An index that cannot be mistaken for another kind of index. Default-constructed: none().
template <class Tag, class Rep = std::uint32_t> class Id
{
public:
    constexpr Id() = default;
    constexpr explicit Id(Rep value) : value_(value) {}       ///< position `value`
    [[nodiscard]] static constexpr Id none() { return Id(); } ///< refers to nothing

    [[nodiscard]] constexpr Rep value() const { return value_; } ///< the position
    /// The position, as an index into a container.
    [[nodiscard]] constexpr std::size_t index() const { return static_cast<std::size_t>(value_); }
    /// False: none().
    [[nodiscard]] constexpr bool valid() const { return value_ != std::numeric_limits<Rep>::max(); }

    friend constexpr bool operator==(Id a, Id b) { return a.value_ == b.value_; } ///< same position
    friend constexpr bool operator!=(Id a, Id b) { return a.value_ != b.value_; } ///< not the same
    friend constexpr bool operator<(Id a, Id b) { return a.value_ < b.value_; } ///< none() is last

private:
    Rep value_ = std::numeric_limits<Rep>::max();
};

using TileId = Id<struct TileTag>;     ///< row-major position in the grid of tiles
using NodeId = Id<struct NodeTag>;     ///< a place data can be: tiles first, then memory ports
using UnitId = Id<struct UnitTag>;     ///< an issuing unit of the chip (macro, vector unit, ...)
using LayerId = Id<struct LayerTag>;   ///< position in the network's list of layers
using TensorId = Id<struct TensorTag>; ///< position in the trace header's list of tensors
using BlockId = Id<struct BlockTag>;   ///< position in the trace header's list of blocks
using OpId = Id<struct OpTag, std::uint64_t>; ///< an operation of a trace, rising in the file

} // namespace tessera

/// @cond what everybody expects
template <class Tag, class Rep> struct std::hash<tessera::Id<Tag, Rep>>
{
    std::size_t operator()(tessera::Id<Tag, Rep> id) const noexcept
    {
        return std::hash<Rep>{}(id.value());
    }
};
/// @endcond
