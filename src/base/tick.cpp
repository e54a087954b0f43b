// SPDX-License-Identifier: Apache-2.0
#include "tessera/tick.h"

#include "base/integer.h"
#include <numeric>
#include <stdexcept>

namespace tessera
{
namespace
{

} // namespace

Clock::Clock(std::uint64_t numerator, std::uint64_t denominator)
{
    if (denominator == 0 || numerator < denominator)
    {
        throw std::invalid_argument("a clock period must be at least 1 ps");
    }
    const std::uint64_t divisor = std::gcd(numerator, denominator);
    numerator_ = numerator / divisor;
    denominator_ = denominator / divisor;
}

Clock Clock::from_hertz(std::uint64_t hertz)
{
    constexpr std::uint64_t ps_per_second = 1'000'000'000'000;
    if (hertz == 0 || hertz > ps_per_second)
    {
        throw std::invalid_argument("a clock rate must lie between 1 Hz and 1 THz");
    }
    return Clock(ps_per_second, hertz);
}

Tick Clock::rational_tick_of(std::uint64_t edge) const
{
    return static_cast<Tick>(static_cast<Wide>(edge) * numerator_ / denominator_);
}

std::uint64_t Clock::rational_edge(Tick tick) const
{
    // Smallest k with floor(k n / d) >= tick, that is k >= tick d / n.
    const Wide scaled = static_cast<Wide>(tick) * denominator_;
    return static_cast<std::uint64_t>((scaled + numerator_ - 1) / numerator_);
}

} // namespace tessera
