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

config::ChipConfig bus_chip(std::uint64_t bytes_per_cycle = 32)
{
    config::ChipConfig chip;
    chip.noc.kind = "bus";
    chip.noc.clock = Clock(1000);
    chip.noc.bytes_per_cycle = bytes_per_cycle;
    return chip;
}

Transfer transfer(std::uint32_t tag, std::uint32_t from, std::uint64_t bytes)
{
    return {tag, NodeId(from), {NodeId(from == 3 ? 2 : 3)}, bytes};
}

TEST(Bus, LastsWholeCyclesFromAnEdge)
{
    const std::vector<std::pair<std::uint64_t, Tick>> lengths = {{0, 0},  {1, 1},  {31, 1}, {32, 1},
                                                                 {33, 2}, {64, 2}, {65, 3}};
    for (const auto& [bytes, cycles] : lengths)
    {
        for (const Tick start : {0, 1, 999, 1000})
        {
            Recorder chip(bus_chip());
            chip.send_at(start, transfer(1, 0, bytes));
            chip.wheel().run();
            const Tick end = (start + 999) / 1000 * 1000 + cycles * 1000;
            EXPECT_EQ(chip.sent_log(), (Log{{1, end}})) << bytes << " from " << start;
            EXPECT_EQ(chip.delivered_at(1), end);
            EXPECT_EQ(chip.fabric().zero_load(transfer(1, 0, bytes), start), end - start);
        }
    }
}

TEST(Bus, AllDestinationsGetItAtItsEnd)
{
    Recorder chip(bus_chip());
    chip.send_at(0, {4, NodeId(1), {NodeId(0), NodeId(2), NodeId(4)}, 96});
    chip.wheel().run();
    for (std::size_t i = 0; i < 3; ++i)
    {
        EXPECT_EQ(chip.delivered_at(4, i), 3000U);
    }
    EXPECT_EQ(chip.deliveries(), 3U);
}

TEST(Bus, SameRoundGoesBySource)
{
    Recorder chip(bus_chip());
    chip.send_at(500, transfer(1, 3, 32));
    chip.send_at(500, transfer(2, 1, 32));
    chip.send_at(500, transfer(3, 2, 32));
    chip.wheel().run();
    EXPECT_EQ(chip.sent_log(), (Log{{2, 2000}, {3, 3000}, {1, 4000}}));
}

TEST(Bus, EarlierTickAndRoundGoFirst)
{
    Recorder chip(bus_chip());
    chip.send_at(100, transfer(1, 3, 32));
    chip.send_at(101, transfer(2, 0, 32));
    chip.wheel().run();
    EXPECT_EQ(chip.sent_log(), (Log{{1, 2000}, {2, 3000}}));

    // Tag 3 ends in the round after it was sent (0 bytes); its follower asks a round later than
    // tag 4.
    Recorder rounds(bus_chip());
    rounds.send_at(1000, transfer(3, 1, 0));
    rounds.send_at(1000, transfer(4, 2, 32));
    rounds.send_after(3, transfer(5, 1, 32));
    rounds.wheel().run();
    EXPECT_EQ(rounds.sent_log(), (Log{{3, 1000}, {4, 2000}, {5, 3000}}));
}

TEST(Bus, NextOneStartsWhereTheLastOneEnded)
{
    Recorder chip(bus_chip());
    chip.send_at(0, transfer(1, 0, 33));
    chip.send_at(1999, transfer(2, 1, 32)); // while 1 is on the bus
    chip.send_at(2000, transfer(3, 2, 32)); // as it ends: 2 goes first
    chip.wheel().run();
    EXPECT_EQ(chip.sent_log(), (Log{{1, 2000}, {2, 3000}, {3, 4000}}));
    const LinkSummary link = chip.fabric().links(chip.wheel().now()).at(0);
    EXPECT_EQ(link.flits, 97U);
    EXPECT_EQ(link.busy, 4000U);
    EXPECT_EQ(link.stalled, 1U + 1000U);
}

TEST(Bus, ATransferThatGoesOnHasCarriedTheCyclesThatAreOver)
{
    struct Expected
    {
        Tick at;
        std::uint64_t bytes;
        Tick busy;
    };
    Recorder chip(bus_chip());
    chip.send_at(500, transfer(1, 0, 65)); // on the bus from 1000 to 4000
    for (const Expected& expected : std::vector<Expected>{{999, 0, 0},
                                                          {1000, 0, 0},
                                                          {1001, 0, 1},
                                                          {1999, 0, 999},
                                                          {2000, 32, 1000},
                                                          {2001, 32, 1001},
                                                          {3999, 64, 2999},
                                                          {4000, 65, 3000},
                                                          {9000, 65, 3000}})
    {
        chip.wheel().run_until(expected.at);
        const LinkSummary link = chip.fabric().links(expected.at).at(0);
        EXPECT_EQ(link.flits, expected.bytes) << expected.at;
        EXPECT_EQ(link.busy, expected.busy) << expected.at;
    }
}

TEST(Bus, RationalClockDoesNotDrift)
{
    config::ChipConfig config = bus_chip(1);
    config.noc.clock = Clock::from_hertz(1'280'000'000);
    Recorder chip(config);
    chip.send_at(1, transfer(1, 0, 3)); // edge 1 = 781, edge 4 = 3125
    chip.wheel().run();
    EXPECT_EQ(chip.delivered_at(1), 3125U);
}

TEST(Bus, NoWidthIsAnInputError)
{
    EXPECT_THROW(Recorder chip(bus_chip(0)), InputError);
}

} // namespace
} // namespace tessera::noc
