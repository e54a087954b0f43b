// SPDX-License-Identifier: Apache-2.0
#include "base/philox.h"

#include <gtest/gtest.h>

namespace tessera
{
namespace
{

using Counter = std::array<std::uint32_t, 4>;

// Known answers of the authors' reference implementation (Random123, kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers)
{
    EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
              (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    constexpr std::uint32_t ones = 0xffffffff;
    EXPECT_EQ(philox({ones, ones, ones, ones}, {ones, ones}),
              (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Draws, DependOnPurposeAndSeedAlone)
{
    const Draws draws(7);
    const double first = draws.uniform({1, 2, 3, 4});
    EXPECT_NE(first, draws.uniform({1, 2, 3, 5}));
    EXPECT_EQ(first, draws.uniform({1, 2, 3, 4}));
    EXPECT_NE(first, Draws(8).uniform({1, 2, 3, 4}));
}

TEST(Draws, MomentsAreThoseOfTheDistributions)
{
    constexpr std::uint32_t count = 200'000;
    const Draws draws(1);
    double uniform = 0;
    double normal = 0;
    double square = 0;
    double fourth = 0;
    for (std::uint32_t i = 0; i < count; ++i)
    {
        const double u = draws.uniform({i, 0, 0, 0});
        ASSERT_GE(u, 0);
        ASSERT_LT(u, 1);
        const double n = draws.normal({i, 1, 0, 0});
        uniform += u;
        normal += n;
        square += n * n;
        fourth += n * n * n * n;
    }
    // Five standard errors each: sqrt(1/12 / N), 1 / sqrt(N), sqrt(2 / N), sqrt(96 / N).
    EXPECT_NEAR(uniform / count, 0.5, 5 * std::sqrt(1.0 / 12 / count));
    EXPECT_NEAR(normal / count, 0, 5 / std::sqrt(count));
    EXPECT_NEAR(square / count, 1, 5 * std::sqrt(2.0 / count));
    EXPECT_NEAR(fourth / count, 3, 5 * std::sqrt(96.0 / count));
}

} // namespace
} // namespace tessera
