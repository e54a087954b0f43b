// SPDX-License-Identifier: Apache-2.0
#include "recorder.h"

#include "tessera/error.h"

#include <gtest/gtest.h>

namespace tessera::noc
{
namespace
{

using testing::Recorder;
using Log = std::vector<std::pair<std::uint32_t, Tick>>;

config::ChipConfig ideal_chip(Duration latency)
{
    config::ChipConfig chip;
    chip.noc.kind = "ideal";
    chip.noc.clock = Clock(1000);
    chip.noc.latency = latency;
    return chip;
}

TEST(Ideal, SourceIsFreeAtOnceAndBytesArriveALatencyLater)
{
    Recorder chip(ideal_chip(Duration::of_ticks(2500)));
    // The way begins at an edge of the noc clock.
    chip.send_at(700, {7, NodeId(0), {NodeId(1), NodeId(3)}, 1'000'000});
    chip.wheel().run();
    EXPECT_EQ(chip.sent_log(), (Log{{7, 700}}));
    EXPECT_EQ(chip.delivered_at(7, 0), 3500U);
    EXPECT_EQ(chip.delivered_at(7, 1), 3500U);
}

TEST(Ideal, CyclesCountFromTheNextEdge)
{
    Recorder chip(ideal_chip(Duration::of_cycles(3)));
    chip.send_at(999, {1, NodeId(0), {NodeId(1)}, 8});
    chip.send_at(1000, {2, NodeId(0), {NodeId(1)}, 8});
    chip.send_at(1001, {3, NodeId(0), {NodeId(1)}, 8});
    chip.wheel().run();
    EXPECT_EQ(chip.delivered_at(1), 4000U);
    EXPECT_EQ(chip.delivered_at(2), 4000U);
    EXPECT_EQ(chip.delivered_at(3), 5000U);
}

TEST(Ideal, NoLatencyArrivesInTheSameTick)
{
    Recorder chip(ideal_chip({}));
    chip.send_at(1234, {1, NodeId(0), {NodeId(1)}, 8});
    chip.send_after(1, {2, NodeId(0), {NodeId(2)}, 8});
    chip.wheel().run();
    EXPECT_EQ(chip.sent_log(), (Log{{1, 1234}, {2, 1234}}));
    EXPECT_EQ(chip.delivered_at(1), 1234U);
    EXPECT_EQ(chip.delivered_at(2), 1234U);
}

TEST(Ideal, OneSourceMaySendManyTimesInATick)
{
    Recorder chip(ideal_chip(Duration::of_ticks(10)));
    chip.send_at(0, {1, NodeId(0), {NodeId(1)}, 5});
    chip.send_after(1, {2, NodeId(0), {NodeId(2)}, 6});
    chip.send_after(2, {3, NodeId(0), {NodeId(3)}, 7});
    chip.wheel().run();
    EXPECT_EQ(chip.delivered_at(3), 10U);
    EXPECT_EQ(chip.deliveries(), 3U);
    EXPECT_EQ(chip.fabric().links(chip.wheel().now()).at(0).flits, 18U);
    EXPECT_EQ(chip.fabric().links(chip.wheel().now()).at(0).name, "t0");
    EXPECT_EQ(chip.fabric().links(chip.wheel().now()).at(4).name, "mem0");
}

TEST(Ideal, ZeroLoadIsTheLatency)
{
    Recorder chip(ideal_chip(Duration::of_cycles(3)));
    EXPECT_EQ(chip.fabric().zero_load({0, NodeId(0), {NodeId(1)}, 8}), 3000U);
    EXPECT_EQ(chip.fabric().zero_load({0, NodeId(0), {NodeId(1)}, 8}, 1), 3999U);
    Recorder free(ideal_chip({}));
    EXPECT_EQ(free.fabric().zero_load({0, NodeId(0), {NodeId(1)}, 8}, 1), 0U);
}

TEST(Fabric, UnknownKindIsAnInputError)
{
    config::ChipConfig chip;
    chip.noc.kind = "torus";
    try
    {
        (void)fabric_wake_count(chip);
        FAIL();
    }
    catch (const InputError& error)
    {
        EXPECT_EQ(error.place().pointer, "/noc/kind");
        EXPECT_NE(std::string(error.what()).find("ideal, bus, mesh"), std::string::npos);
    }
}

} // namespace
} // namespace tessera::noc
