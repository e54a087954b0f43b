// SPDX-License-Identifier: Apache-2.0
#include "tessera/tick.h"

#include <gtest/gtest.h>

#include <random>
#include <stdexcept>

namespace tessera
{
namespace
{

TEST(Clock, WholePeriods)
{
    const Clock clock(1000);
    EXPECT_EQ(clock.tick_of(0), 0U);
    EXPECT_EQ(clock.tick_of(7), 7000U);
    EXPECT_EQ(clock.edge_at_or_after(0), 0U);
    EXPECT_EQ(clock.edge_at_or_after(1), 1U);
    EXPECT_EQ(clock.edge_at_or_after(999), 1U);
    EXPECT_EQ(clock.edge_at_or_after(1000), 1U);
    EXPECT_EQ(clock.edge_at_or_after(1001), 2U);
    EXPECT_EQ(clock.align(1001), 2000U);
    EXPECT_EQ(clock.after(1001, 3), 5000U);
    EXPECT_EQ(clock.after(1000, 0), 1000U);
}

TEST(Clock, RationalPeriodsDoNotDrift)
{
    const Clock clock = Clock::from_hertz(1'280'000'000); // 781.25 ps
    EXPECT_EQ(clock.numerator(), 3125U);
    EXPECT_EQ(clock.denominator(), 4U);
    EXPECT_EQ(clock.tick_of(1), 781U);
    EXPECT_EQ(clock.tick_of(2), 1562U);
    EXPECT_EQ(clock.tick_of(3), 2343U);
    EXPECT_EQ(clock.tick_of(4), 3125U);
    EXPECT_EQ(clock.tick_of(1'280'000'000), 1'000'000'000'000U);
    EXPECT_EQ(clock.edge_at_or_after(781), 1U);
    EXPECT_EQ(clock.edge_at_or_after(782), 2U);
    EXPECT_EQ(clock.edge_at_or_after(3125), 4U);
    EXPECT_EQ(clock.edge_at_or_after(3126), 5U);
}

TEST(Clock, EdgeAndTickAreInverse)
{
    std::mt19937_64 random(3);
    for (int trial = 0; trial < 20'000; ++trial)
    {
        const std::uint64_t denominator = 1 + random() % 1000;
        const Clock clock(denominator + random() % 1'000'000, denominator);
        const std::uint64_t edge = random() % (std::uint64_t{1} << 40U);
        const Tick tick = clock.tick_of(edge);
        ASSERT_EQ(clock.edge_at_or_after(tick), edge);
        ASSERT_EQ(clock.edge_at_or_after(tick + 1), edge + 1);
        ASSERT_LT(tick, clock.tick_of(edge + 1));
    }
}

TEST(Clock, PeriodsBelowAPicosecondAreRefused)
{
    EXPECT_NO_THROW(Clock(1, 1));
    EXPECT_THROW(Clock(0, 1), std::invalid_argument);
    EXPECT_THROW(Clock(1, 0), std::invalid_argument);
    EXPECT_THROW(Clock(2, 3), std::invalid_argument);
    EXPECT_NO_THROW((void)Clock::from_hertz(1));
    EXPECT_NO_THROW((void)Clock::from_hertz(1'000'000'000'000));
    EXPECT_THROW((void)Clock::from_hertz(1'000'000'000'001), std::invalid_argument);
    EXPECT_THROW((void)Clock::from_hertz(0), std::invalid_argument);
}

TEST(Clock, EqualPeriodsAreEqual)
{
    EXPECT_EQ(Clock(2000, 2), Clock(1000));
    EXPECT_NE(Clock(2001, 2), Clock(1000));
}

TEST(Duration, CyclesCountFromAnEdgeAndTicksFromTheStart)
{
    const Clock clock(1000);
    EXPECT_EQ(Duration::of_cycles(2).end(clock, 1001), 4000U);
    EXPECT_EQ(Duration::of_cycles(2).end(clock, 1000), 3000U);
    EXPECT_EQ(Duration::of_ticks(7).end(clock, 1001), 1008U);
    EXPECT_EQ(Duration{}.end(clock, 1001), 1001U);
    EXPECT_EQ((Duration::of_cycles(2) + Duration::of_ticks(7)).end(clock, 1), 3007U);
    EXPECT_EQ((3 * Duration{2, 5}), (Duration{6, 15}));
    EXPECT_EQ((Duration{2, 5}).length(clock), 2005U);
    EXPECT_EQ(work_end(clock, 1, Duration::of_ticks(7)), 1007U);
    EXPECT_EQ(work_end(clock, 1000, Duration::of_ticks(7)), 1007U);
    EXPECT_EQ(work_end(clock, 1, Duration::of_cycles(2)), 3000U);
    EXPECT_EQ(work_end(clock, 1, Duration{}), 1U);
    EXPECT_TRUE(Duration{}.zero());
    EXPECT_FALSE(Duration::of_ticks(1).zero());
    EXPECT_FALSE(Duration::of_cycles(1).zero());
}

} // namespace
} // namespace tessera
