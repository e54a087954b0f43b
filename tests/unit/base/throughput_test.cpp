// SPDX-License-Identifier: Apache-2.0
#include "base/throughput.h"

#include <algorithm>
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

Images all_of(const std::vector<ImageRecord>& images)
{
    return [&images](const ImageVisitor& visit)
    { std::for_each(images.begin(), images.end(), visit); };
}

TEST(Throughput, OfArrivalsCountsFromThem)
{
    // One after the other, 10 each; the last two have not ended, the last one has not started.
    const std::vector<ImageRecord> images = {{0, 0, 10, 0, {}},
                                             {4, 10, 20, 1, {}},
                                             {8, 20, 30, 2, {}},
                                             {36, 36, kNever, 5, {}},
                                             {40, kNever, kNever, 6, {}}};
    const ImageSummary its = image_summary(all_of(images), false);
    EXPECT_TRUE(its.timed);
    EXPECT_EQ(its.arrived, 5U);
    EXPECT_EQ(its.count, 3U);
    EXPECT_EQ(its.first_latency, 10U);
    EXPECT_EQ(its.mean_latency, 16);
    EXPECT_EQ(its.most_latency, 22U);
    EXPECT_EQ(its.waiting.mean, 6);
    EXPECT_EQ(its.waiting.most, 12U);
    EXPECT_EQ(its.waiting.percentiles.p50, 6U);
    EXPECT_EQ(its.service.mean, 10);
    EXPECT_EQ(its.service.most, 10U);
    EXPECT_EQ(its.interval, 10);
    EXPECT_EQ(its.offered, 4 * 1e12 / 40);
    EXPECT_EQ(its.served, 2 * 1e12 / 20);
    const ImageSummary none = image_summary(all_of({}), false);
    EXPECT_FALSE(none.timed);
    EXPECT_EQ(none.arrived, 0U);
    EXPECT_EQ(none.served, 0);
}

TEST(Throughput, PercentilesAreNearestRanks)
{
    const auto percentiles = [](Tick count)
    {
        std::vector<ImageRecord> images; // latencies count, count - 1, ..., 1
        for (Tick i = 0; i < count; ++i)
        {
            images.push_back({0, 0, count - i, static_cast<std::uint32_t>(i), {}});
        }
        const Percentiles its = image_summary(all_of(images), false).latency;
        return std::vector<Tick>{its.p50, its.p95, its.p99};
    };
    EXPECT_EQ(percentiles(1), (std::vector<Tick>{1, 1, 1}));
    EXPECT_EQ(percentiles(2), (std::vector<Tick>{1, 2, 2}));
    EXPECT_EQ(percentiles(3), (std::vector<Tick>{2, 3, 3}));
    EXPECT_EQ(percentiles(19), (std::vector<Tick>{10, 19, 19}));
    EXPECT_EQ(percentiles(20), (std::vector<Tick>{10, 19, 20}));
    EXPECT_EQ(percentiles(21), (std::vector<Tick>{11, 20, 21}));
    EXPECT_EQ(percentiles(100), (std::vector<Tick>{50, 95, 99}));
    EXPECT_EQ(percentiles(101), (std::vector<Tick>{51, 96, 100}));
}

} // namespace
} // namespace tessera
