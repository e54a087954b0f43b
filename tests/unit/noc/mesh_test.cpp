// SPDX-License-Identifier: Apache-2.0
#include "recorder.h"
#include "traffic.h"

#include "tessera/error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

namespace tessera::noc
{
namespace
{

using testing::Arrival;
using testing::Load;
using testing::mesh_chip;
using testing::Recorder;
using testing::Traffic;

constexpr Tick kCycle = 1000;

std::uint64_t bytes_of(std::uint64_t packet_flits)
{
    return (packet_flits - 1) * 8;
}

/// Cycles from the send of one transfer, at an edge, to its last delivery.
std::uint64_t lone_cycles(Recorder& chip, const Transfer& transfer)
{
    const Tick start = chip.wheel().clock(0).align(chip.wheel().now() + 100 * kCycle);
    chip.send_at(start, transfer);
    chip.wheel().run();
    Tick last = 0;
    for (std::size_t i = 0; i < transfer.to.size(); ++i)
    {
        last = std::max(last, chip.delivered_at(transfer.tag, i));
    }
    EXPECT_EQ((last - start) % kCycle, 0U);
    return (last - start) / kCycle;
}

std::uint64_t routers(std::uint32_t a, std::uint32_t b, std::uint32_t columns)
{
    const auto apart = [](std::uint32_t x, std::uint32_t y) { return x < y ? y - x : x - y; };
    return apart(a / columns, b / columns) + apart(a % columns, b % columns) + 1;
}

class ZeroLoad
    : public ::testing::TestWithParam<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>>
{
};

TEST_P(ZeroLoad, IsTheClosedFormForAllPairsAndLengths)
{
    const auto [routing_delay, vcs, depth] = GetParam();
    config::ChipConfig config = mesh_chip(4, 4);
    config.noc.routing_delay = routing_delay;
    config.noc.vcs = vcs;
    config.noc.vc_depth = depth;
    Recorder chip(config);
    std::uint32_t tag = 0;
    for (std::uint32_t from = 0; from < 16; ++from)
    {
        for (std::uint32_t to = 0; to < 16; ++to)
        {
            for (std::uint64_t flits = 1; flits <= 17; ++flits)
            {
                const Transfer transfer{++tag, NodeId(from), {NodeId(to)}, bytes_of(flits)};
                const std::uint64_t expected =
                    (4 + routing_delay) * routers(from, to, 4) + 2 + (flits - 1);
                ASSERT_EQ(lone_cycles(chip, transfer), expected)
                    << from << " to " << to << ", " << flits << " flits";
                ASSERT_EQ(chip.fabric().zero_load(transfer), expected * kCycle);
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Mesh, ZeroLoad,
                         ::testing::Combine(::testing::Values(0U, 1U), ::testing::Values(1U, 4U),
                                            ::testing::Values(5U, 8U)));

TEST(Mesh, ShallowBuffersAddBubbles)
{
    // The credit loop is 5 cycles: with d < 5 places, every d flits wait 5 - d cycles.
    for (const std::uint32_t depth : {1U, 2U, 3U, 4U, 5U})
    {
        for (const std::uint32_t routing_delay : {0U, 1U})
        {
            config::ChipConfig config = mesh_chip(4, 4);
            config.noc.vc_depth = depth;
            config.noc.routing_delay = routing_delay;
            Recorder chip(config);
            std::uint32_t tag = 0;
            for (std::uint64_t flits = 1; flits <= 17; ++flits)
            {
                const Transfer transfer{++tag, NodeId(0), {NodeId(11)}, bytes_of(flits)};
                const std::uint64_t expected =
                    (4 + routing_delay) * 6 + 2 + (flits - 1) + (5 - depth) * ((flits - 1) / depth);
                EXPECT_EQ(lone_cycles(chip, transfer), expected)
                    << flits << " flits, depth " << depth << ", RC " << routing_delay;
                EXPECT_EQ(chip.fabric().zero_load(transfer), expected * kCycle);
                const Transfer local{++tag, NodeId(5), {NodeId(5)}, bytes_of(flits)};
                EXPECT_EQ(lone_cycles(chip, local) * kCycle, chip.fabric().zero_load(local))
                    << flits << " flits, depth " << depth << ", RC " << routing_delay;
            }
        }
    }
}

TEST(Mesh, PacketsOfATransferFollowBackToBack)
{
    for (const std::uint32_t packet : {4U, 8U, 16U})
    {
        for (const std::uint32_t routing_delay : {0U, 1U})
        {
            config::ChipConfig config = mesh_chip(4, 4);
            config.noc.packet_flits = packet;
            config.noc.routing_delay = routing_delay;
            Recorder chip(config);
            std::uint32_t tag = 0;
            for (const std::uint64_t payload : {1U, 2U, 3U, 4U, 14U, 15U, 16U, 100U, 1000U})
            {
                const std::uint64_t flits = payload + (payload + packet - 2) / (packet - 1);
                const Transfer transfer{++tag, NodeId(1), {NodeId(14)}, payload * 8};
                const std::uint64_t expected = (4 + routing_delay) * 5 + 2 + flits - 1;
                EXPECT_EQ(lone_cycles(chip, transfer), expected) << payload << ", " << packet;
                EXPECT_EQ(chip.fabric().zero_load(transfer), expected * kCycle);
                // The source is busy for as many cycles as flits leave.
                EXPECT_EQ(chip.sent_log().back().second,
                          chip.delivered_at(tag) - (expected - flits) * kCycle);
            }
        }
    }
}

TEST(Mesh, ZeroLoadIsNeverTooLongAndExactWithTwoDeepChannels)
{
    for (const std::uint32_t vcs : {1U, 2U, 3U})
    {
        for (const std::uint32_t depth : {1U, 4U, 5U, 6U, 7U, 9U})
        {
            for (const std::uint32_t routing_delay : {0U, 1U})
            {
                for (const std::uint32_t packet : {1U, 2U, 5U, 16U})
                {
                    config::ChipConfig config = mesh_chip(4, 4);
                    config.noc.vcs = vcs;
                    config.noc.vc_depth = depth;
                    config.noc.routing_delay = routing_delay;
                    config.noc.packet_flits = packet;
                    config.noc.header_flits = packet == 1 ? 0 : 1;
                    Recorder chip(config);
                    for (const std::uint32_t payload : {1U, 4U, 5U, 30U, 100U})
                    {
                        for (const std::uint32_t to : {0U, 1U, 14U})
                        {
                            const Transfer transfer{
                                payload * 16 + to, NodeId(0), {NodeId(to)}, payload * 8};
                            const Tick taken = lone_cycles(chip, transfer) * kCycle;
                            const Tick predicted = chip.fabric().zero_load(transfer);
                            ASSERT_LE(predicted, taken);
                            if (vcs >= 2 && packet >= 2 && depth >= 6 + routing_delay)
                            {
                                ASSERT_EQ(predicted, taken)
                                    << vcs << " VCs, depth " << depth << ", packets of " << packet;
                            }
                        }
                    }
                }
            }
        }
    }
}

TEST(Mesh, DestinationsAreServedOneAfterAnother)
{
    Recorder chip(mesh_chip(4, 4));
    const Transfer transfer{9, NodeId(0), {NodeId(15), NodeId(1), NodeId(4)}, bytes_of(8)};
    chip.send_at(kCycle, transfer);
    chip.wheel().run();
    EXPECT_EQ(chip.delivered_at(9, 0), kCycle * (1 + 5 * 7 + 2 + 7));
    EXPECT_EQ(chip.delivered_at(9, 1), kCycle * (1 + 8 + 5 * 2 + 2 + 7));
    EXPECT_EQ(chip.delivered_at(9, 2), kCycle * (1 + 16 + 5 * 2 + 2 + 7));
    EXPECT_EQ(chip.sent_log().at(0).second, kCycle * (1 + 24));
    EXPECT_EQ(chip.fabric().zero_load(transfer), kCycle * (5 * 7 + 2 + 7));
}

TEST(Mesh, NothingToCarryIsOneHeader)
{
    Recorder chip(mesh_chip(4, 4));
    EXPECT_EQ(lone_cycles(chip, {1, NodeId(0), {NodeId(1)}, 0}), 5U * 2 + 2);
}

TEST(Mesh, SendsBetweenEdgesLeaveAtTheNextOne)
{
    for (const Tick start : {1, 999, 1000})
    {
        Recorder chip(mesh_chip(4, 4));
        const Transfer transfer{1, NodeId(0), {NodeId(1)}, bytes_of(3)};
        chip.send_at(start, transfer);
        chip.wheel().run();
        EXPECT_EQ(chip.delivered_at(1), 1000U + 14 * kCycle) << start;
        EXPECT_EQ(chip.sent_log().at(0).second, 1000U + 3 * kCycle);
        EXPECT_EQ(chip.fabric().zero_load(transfer, start), 1000U - start + 14 * kCycle);
    }
}

TEST(Mesh, MemoryPortsAreLocalPortsOfTheWestColumn)
{
    config::ChipConfig config = mesh_chip(4, 4);
    config.memory.ports = 2; // on routers 4 and 12
    Recorder chip(config);
    EXPECT_EQ(lone_cycles(chip, {1, NodeId(16), {NodeId(4)}, bytes_of(2)}), 5U * 1 + 2 + 1);
    EXPECT_EQ(lone_cycles(chip, {2, NodeId(0), {NodeId(17)}, bytes_of(2)}), 5U * 4 + 2 + 1);
    EXPECT_EQ(lone_cycles(chip, {3, NodeId(16), {NodeId(17)}, bytes_of(1)}), 5U * 3 + 2);
}

TEST(Mesh, RoutesAlongTheChosenDimensionFirst)
{
    for (const char* routing : {"xy", "yx"})
    {
        config::ChipConfig config = mesh_chip(2, 2);
        config.noc.routing = routing;
        Recorder chip(config);
        (void)lone_cycles(chip, {1, NodeId(0), {NodeId(3)}, bytes_of(8)});
        for (const LinkSummary& link : chip.fabric().links(chip.wheel().now()))
        {
            const bool used = link.name == "t0->r0" || link.name == "r3->t3" ||
                              (routing[0] == 'x' ? link.name == "r0->r1" || link.name == "r1->r3"
                                                 : link.name == "r0->r2" || link.name == "r2->r3");
            EXPECT_EQ(link.flits, used ? 8U : 0U) << link.name;
            EXPECT_EQ(link.busy, used ? 8 * kCycle : 0U);
            EXPECT_EQ(link.stalled, 0U) << link.name;
        }
    }
}

/// Cycles per flit of an endless stream of long packets from one end of a row to the other.
double stream_cycles_per_flit(std::uint32_t vcs, std::uint32_t depth, std::uint32_t packet_flits)
{
    config::ChipConfig config = mesh_chip(1, 2);
    config.noc.vcs = vcs;
    config.noc.vc_depth = depth;
    config.noc.packet_flits = packet_flits;
    Recorder chip(config);
    constexpr std::uint64_t payload = 100'000;
    const std::uint64_t flits = payload + (payload + packet_flits - 2) / (packet_flits - 1);
    return static_cast<double>(lone_cycles(chip, {1, NodeId(0), {NodeId(1)}, payload * 8})) /
           static_cast<double>(flits);
}

TEST(Mesh, ALinkIsFullWithFivePlacesAndAtFourFifthsWithFour)
{
    constexpr std::uint32_t endless = 200'000;
    EXPECT_NEAR(stream_cycles_per_flit(1, 8, endless), 1.0, 0.001);
    EXPECT_NEAR(stream_cycles_per_flit(1, 5, endless), 1.0, 0.001);
    EXPECT_NEAR(stream_cycles_per_flit(1, 4, endless), 1.25, 0.001);
    EXPECT_NEAR(stream_cycles_per_flit(1, 1, endless), 5.0, 0.001);
    EXPECT_NEAR(stream_cycles_per_flit(4, 8, 8), 1.0, 0.001);
}

TEST(Mesh, SharedLinkCountsStalls)
{
    // Two streams meet on r1->r2: the link never idles, and its sources wait in turn.
    config::ChipConfig config = mesh_chip(1, 3);
    config.noc.vcs = 2;
    Recorder chip(config);
    chip.send_at(0, {1, NodeId(0), {NodeId(2)}, bytes_of(60)});
    chip.send_at(0, {2, NodeId(1), {NodeId(2)}, bytes_of(60)});
    chip.wheel().run();
    const Tick last = std::max(chip.delivered_at(1), chip.delivered_at(2));
    // Tag 2 is first at r1; from its first flit on 120 flits follow each other.
    EXPECT_EQ(last, kCycle * (5 * 2 + 2 + 119));
    std::uint64_t stalled = 0;
    for (const LinkSummary& link : chip.fabric().links(chip.wheel().now()))
    {
        if (link.name == "r1->r2")
        {
            EXPECT_EQ(link.flits, 120U);
            EXPECT_EQ(link.stalled, 0U);
        }
        stalled += link.stalled;
    }
    EXPECT_GT(stalled, 40 * kCycle);
}

TEST(Mesh, ChangesOfWindowsAreThoseOfTheTotals)
{
    // Cycles of 781 and 782 ps, and windows that begin anywhere in them.
    for (const Tick window : {Tick{1}, Tick{781}, Tick{782}, Tick{1999}})
    {
        config::ChipConfig config = mesh_chip(2, 2);
        config.noc.clock = Clock(3125, 4);
        config.noc.vcs = 2;
        config.noc.vc_depth = 2;
        Recorder chip(config);
        chip.fabric().watch();
        chip.send_at(0, {1, NodeId(0), {NodeId(3)}, bytes_of(9)});
        chip.send_at(100, {2, NodeId(1), {NodeId(3)}, bytes_of(7)});
        chip.send_at(1562, {3, NodeId(2), {NodeId(3), NodeId(1)}, bytes_of(3)});
        std::vector<Fabric::LinkFigures> told(chip.fabric().links(0).size());
        for (Tick end = window; end < 60'000; end += window)
        {
            chip.wheel().run_until(end);
            chip.fabric().changes(end,
                                  [&](std::size_t link, const Fabric::LinkFigures& now)
                                  {
                                      ASSERT_GE(now.busy, told[link].busy);
                                      ASSERT_LE(now.busy - told[link].busy, window);
                                      ASSERT_GE(now.stalled, told[link].stalled);
                                      ASSERT_LE(now.stalled - told[link].stalled, window);
                                      told[link] = now;
                                  });
            const std::vector<LinkSummary> links = chip.fabric().links(end);
            for (std::size_t i = 0; i < links.size(); ++i)
            {
                ASSERT_EQ(links[i].flits, told[i].flits) << links[i].name << " at " << end;
                ASSERT_EQ(links[i].busy, told[i].busy) << links[i].name << " at " << end;
                ASSERT_EQ(links[i].stalled, told[i].stalled) << links[i].name << " at " << end;
            }
        }
        EXPECT_EQ(chip.deliveries(), 4U);
        for (const Fabric::LinkFigures& link : told)
        {
            EXPECT_GE(link.busy, link.flits * 3125 / 4 - link.flits);
            EXPECT_LE(link.busy, link.flits * 3125 / 4 + link.flits);
        }
    }
}

TEST(Mesh, ConservesFlitsAndDrainsUnderHeavyLoad)
{
    for (const std::uint32_t vcs : {1U, 2U, 4U})
    {
        for (const std::uint32_t depth : {1U, 4U, 8U})
        {
            for (const char* routing : {"xy", "yx"})
            {
                config::ChipConfig config = mesh_chip(4, 5);
                config.noc.vcs = vcs;
                config.noc.vc_depth = depth;
                config.noc.routing = routing;
                config.noc.packet_flits = 5; // a load's packets become one or two
                Load load;
                load.flits_per_node_and_cycle = 0.9;
                load.packet_flits = 7;
                load.measured = 500;
                Traffic traffic(config, load, vcs * depth);
                ASSERT_FALSE(traffic.wheel().run_until(kCycle * 10'000'000));
                ASSERT_GT(traffic.arrivals().size(), 1000U);
                EXPECT_EQ(traffic.delivered_count(), traffic.arrivals().size());
                std::uint64_t injected = 0;
                std::uint64_t ejected = 0;
                for (const LinkSummary& link : traffic.fabric().links(traffic.wheel().now()))
                {
                    injected += link.name.front() == 't' ? link.flits : 0;
                    ejected += link.name.find("->t") != std::string::npos ? link.flits : 0;
                }
                EXPECT_EQ(injected, traffic.arrivals().size() * 8); // 6 of data in two packets
                EXPECT_EQ(ejected, injected);
            }
        }
    }
}

using Outcome = std::vector<std::tuple<std::uint32_t, Tick, std::uint32_t, Tick, Tick>>;

Outcome outcome(std::uint64_t shuffle)
{
    config::ChipConfig config = mesh_chip(4, 4);
    config.noc.vcs = 2;
    config.noc.vc_depth = 4;
    Load load;
    load.flits_per_node_and_cycle = 0.35;
    load.warm_up = 0;
    load.measured = 2000;
    Traffic traffic(config, load, shuffle);
    traffic.wheel().run();
    Outcome all;
    for (const Arrival& arrival : traffic.arrivals())
    {
        all.emplace_back(arrival.from, arrival.created, arrival.to, arrival.sent,
                         arrival.delivered);
    }
    std::sort(all.begin(), all.end());
    return all;
}

TEST(Mesh, ResultsDoNotDependOnTheOrderOfWakes)
{
    const Outcome reference = outcome(0);
    ASSERT_GT(reference.size(), 1000U);
    EXPECT_EQ(outcome(0), reference);
    for (const std::uint64_t seed : {1U, 77U, 12345U})
    {
        EXPECT_EQ(outcome(seed), reference) << seed;
    }
}

TEST(Mesh, LatencyUnderLoadAgreesWithBookSim)
{
    // 8x8, 4 VCs of 8 flits, packets of 8 flits, uniform traffic: published curve of the reference.
    const std::vector<std::pair<double, double>> points = {{0.05, 41.7}, {0.2, 48.2}};
    for (const auto& [rate, reference] : points)
    {
        Load load;
        load.flits_per_node_and_cycle = rate;
        Traffic traffic(mesh_chip(8, 8), load);
        traffic.wheel().run();
        EXPECT_NEAR(traffic.mean_latency() / reference, 1.0, 0.02) << rate;
    }
}

TEST(Mesh, UnitsAreNamedInTheOrderOfWakeIndices)
{
    config::ChipConfig config = mesh_chip(2, 2);
    config.memory.ports = 1;
    Recorder chip(config);
    const std::vector<FabricUnit> units = chip.fabric().units();
    ASSERT_EQ(units.size(), fabric_wake_count(config));
    EXPECT_EQ(units.front().name, "r0");
    EXPECT_EQ(units.at(4).name, "t0.port");
    EXPECT_EQ(units.back().name, "mem0.port");
    EXPECT_EQ(units.at(1).parameters.at(1), (std::pair<std::string, std::string>{"column", "1"}));
}

std::string pointer_of(const config::ChipConfig& config)
{
    try
    {
        Recorder chip(config);
    }
    catch (const InputError& error)
    {
        return error.place().pointer;
    }
    return "";
}

TEST(Mesh, ConfigurationsThatCannotBeBuiltAreInputErrors)
{
    const auto with = [](auto change)
    {
        config::ChipConfig config = mesh_chip(2, 2);
        change(config);
        return pointer_of(config);
    };
    EXPECT_EQ(with([](auto& c) { c.noc.vcs = 0; }), "/noc/vcs");
    EXPECT_EQ(with([](auto& c) { c.noc.vcs = 32; }), "");
    EXPECT_EQ(with([](auto& c) { c.noc.vcs = 33; }), "/noc/vcs");
    EXPECT_EQ(with([](auto& c) { c.noc.vc_depth = 0; }), "/noc/vc_depth");
    EXPECT_EQ(with([](auto& c) { c.noc.flit_bits = 0; }), "/noc/flit_bits");
    EXPECT_EQ(with([](auto& c) { c.noc.packet_flits = 1; }), "/noc/packet_flits");
    EXPECT_EQ(with([](auto& c) { c.noc.packet_flits = 2; }), "");
    EXPECT_EQ(with([](auto& c) { c.noc.routing_delay = 2; }), "/noc/routing_delay");
    EXPECT_EQ(with([](auto& c) { c.noc.routing = "?"; }), "/noc/routing");
    EXPECT_EQ(with([](auto& c) { c.memory.ports = 54; }), ""); // 27 each on routers 0 and 2
    EXPECT_EQ(with([](auto& c) { c.memory.ports = 55; }), "/memory/ports");
}

TEST(Mesh, ManyVirtualChannelsAndPortsWork)
{
    config::ChipConfig config = mesh_chip(2, 2);
    config.noc.vcs = 32;
    config.memory.ports = 54;
    Load load;
    load.measured = 200;
    Traffic traffic(config, load);
    traffic.wheel().run();
    EXPECT_EQ(traffic.delivered_count(), traffic.arrivals().size());
}

} // namespace
} // namespace tessera::noc
