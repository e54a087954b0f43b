// SPDX-License-Identifier: Apache-2.0
#include "base/throughput.h"

#include <gtest/gtest.h>

namespace tessera
{
namespace
{

TEST(Throughput, OfNothingAndOfOneImage)
{
    EXPECT_EQ(summary_of({}).count, 0U);
    const ImageSummary one = summary_of({{5, 12}, {}});
    EXPECT_EQ(one.count, 1U);
    EXPECT_EQ(one.first_latency, 7U);
    EXPECT_EQ(one.most_latency, 7U);
    EXPECT_EQ(one.mean_latency, 7);
    EXPECT_EQ(one.interval, 0);
}

TEST(Throughput, TheIntervalIsThatOfTheLaterHalf)
{
    const ImageSummary five = summary_of({{0, 10}, {0, 30}, {10, 40}, {25, 47}, {40, 54}});
    EXPECT_EQ(five.count, 5U);
    EXPECT_EQ(five.first_latency, 10U);
    EXPECT_EQ(five.most_latency, 30U);
    EXPECT_EQ(five.mean_latency, (10 + 30 + 30 + 22 + 14) / 5.0);
    EXPECT_EQ(five.interval, 7);
    EXPECT_EQ(summary_of({{0, 4}, {0, 9}}).interval, 5);
    EXPECT_EQ(summary_of({{0, 9}, {0, 4}}).interval, 5) << "images may overtake";
}

TEST(Throughput, InTurnsTheWholeCounts)
{
    // Two segments: the later half follows each other as the second one says.
    const ImageSummary four = summary_of({{2, 30}, {4, 32}, {6, 34}, {8, 36}, {}}, true);
    EXPECT_EQ(four.interval, (36 - 2) / 4.0);
    EXPECT_EQ(four.most_latency, 28U);
    EXPECT_EQ(summary_of({{2, 30}}, true).interval, 0);
}

} // namespace
} // namespace tessera
