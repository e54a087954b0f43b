// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace tessera
{

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a
/// function from (counter, key) to 128 random bits. There is no state, so a draw depends on what it
/// is for and not on how many draws came before it.
[[nodiscard]] constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                                            std::array<std::uint32_t, 2> key)
{
    constexpr std::uint64_t multiplier0 = 0xD2511F53;
    constexpr std::uint64_t multiplier1 = 0xCD9E8D57;
    constexpr std::uint32_t weyl0 = 0x9E3779B9;
    constexpr std::uint32_t weyl1 = 0xBB67AE85;
    constexpr unsigned rounds = 10;
    for (unsigned round = 0; round < rounds; ++round)
    {
        const std::uint64_t product0 = multiplier0 * counter[0];
        const std::uint64_t product1 = multiplier1 * counter[2];
        counter = {static_cast<std::uint32_t>(product1 >> 32U) ^ counter[1] ^ key[0],
                   static_cast<std::uint32_t>(product1),
                   static_cast<std::uint32_t>(product0 >> 32U) ^ counter[3] ^ key[1],
                   static_cast<std::uint32_t>(product0)};
        key = {key[0] + weyl0, key[1] + weyl1};
    }
    return counter;
}

/// Random numbers of one run: a seed, and for each draw the four numbers that say what it is for
/// (say layer, row, column, write count).
class Draws
{
public:
    explicit constexpr Draws(std::uint64_t seed)
        : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32U)}
    {
    }

    /// 128 random bits.
    [[nodiscard]] constexpr std::array<std::uint32_t, 4>
    words(const std::array<std::uint32_t, 4>& purpose) const
    {
        return philox(purpose, key_);
    }
    /// Uniform in [0, 1), 53 bits.
    [[nodiscard]] constexpr double uniform(const std::array<std::uint32_t, 4>& purpose) const
    {
        const auto bits = philox(purpose, key_);
        return static_cast<double>(join(bits[0], bits[1]) >> 11U) * 0x1p-53;
    }

    /// Normal with mean 0 and standard deviation 1 (Box and Muller).
    [[nodiscard]] double normal(const std::array<std::uint32_t, 4>& purpose) const
    {
        constexpr double two_pi = 6.283185307179586476925286766559;
        const auto bits = philox(purpose, key_);
        // In (0, 1], so that the logarithm is finite.
        const double radius = static_cast<double>((join(bits[0], bits[1]) >> 11U) + 1) * 0x1p-53;
        const double angle = static_cast<double>(join(bits[2], bits[3]) >> 11U) * 0x1p-53;
        return std::sqrt(-2 * std::log(radius)) * std::cos(two_pi * angle);
    }

private:
    [[nodiscard]] static constexpr std::uint64_t join(std::uint32_t high, std::uint32_t low)
    {
        return std::uint64_t{high} << 32U | low;
    }
    std::array<std::uint32_t, 2> key_;
};

} // namespace tessera
