// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tessera::noc
{

/// Set of small numbers: ports of a router or virtual channels of a port.
using Mask = std::uint32_t;
inline constexpr std::uint32_t kMaskBits = 32;

[[nodiscard]] constexpr Mask bit(std::uint32_t position)
{
    return Mask{1} << position;
}

[[nodiscard]] inline std::uint32_t lowest(Mask mask)
{
    return static_cast<std::uint32_t>(__builtin_ctz(mask));
}

/// Round robin: the first member of `requests` (not empty) at or after `next`, cyclically.
[[nodiscard]] inline std::uint32_t round_robin(Mask requests, std::uint32_t next)
{
    const Mask behind = requests & (~Mask{0} << next);
    return lowest(behind != 0 ? behind : requests);
}

/// Where the arbiter looks first after it has granted `winner` of `size`.
[[nodiscard]] constexpr std::uint32_t after(std::uint32_t winner, std::uint32_t size)
{
    return winner + 1 == size ? 0 : winner + 1;
}

} // namespace tessera::noc
