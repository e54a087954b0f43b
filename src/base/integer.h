// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tessera
{

/// For products of two 64-bit numbers.
__extension__ using Wide = unsigned __int128;

/// a / b, rounded up; b > 0.
[[nodiscard]] constexpr std::uint64_t ceil_div(std::uint64_t a, std::uint64_t b)
{
    return a / b + (a % b == 0 ? 0 : 1);
}

} // namespace tessera
