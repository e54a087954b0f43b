// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "noc/geometry.h"

#include <cstdint>
#include <memory>
#include <string>

namespace tessera::noc
{

/// Ports of a router; its local ports follow: kLocal is the tile's, then one per memory port.
enum class Direction : std::uint8_t
{
    east,  ///< column + 1
    west,  ///< column - 1
    south, ///< row + 1
    north  ///< row - 1
};
inline constexpr std::uint32_t kDirections = 4;
inline constexpr std::uint32_t kLocal = kDirections;

/// Which way a packet leaves a router. A routing must be free of cyclic waits by itself: nothing in
/// the mesh breaks them.
class Routing
{
public:
    virtual ~Routing() = default;
    /// Contract: `here` and `destination` differ.
    [[nodiscard]] virtual Direction next(Position here, Position destination) const = 0;
};

/// Kinds: "xy" (columns first), "yx". Throws InputError at /noc/routing for any other name.
[[nodiscard]] std::unique_ptr<Routing> make_routing(const std::string& name);

} // namespace tessera::noc
