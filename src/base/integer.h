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

/// Bits of a whole number: 3 of 4..7, none of 0 and below.
[[nodiscard]] constexpr unsigned bit_length(std::int64_t value)
{
    unsigned bits = 0;
    for (; value > 0; value >>= 1U)
    {
        ++bits;
    }
    return bits;
}

} // namespace tessera
