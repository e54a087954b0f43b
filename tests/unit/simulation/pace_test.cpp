// SPDX-License-Identifier: Apache-2.0
#include "chip/chip.h"
#include "compiler/compiler.h"
#include "config/load.h"
#include "network/network.h"
#include "trace/reader.h"
#include "unit/compiler/random_network.h"
#include "unit/effort.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <string>

namespace tessera::compiler
{
namespace
{

using test::Dice;

Summary simulated(const network::Network& network, const config::ChipConfig& chip,
                  const Options& options)
{
    trace::MemorySource source(
        std::make_shared<const trace::Trace>(compile(network, chip, options)));
    ActivitySink sink;
    chip::Chip hardware(chip, source, sink);
    EXPECT_TRUE(chip::run_native(hardware, nullptr));
    hardware.close();
    return hardware.summary();
}

/// Time that the busiest unit works on one image: no interval is less in the long run.
double work(const Summary& summary)
{
    Tick most = 0;
    for (const UnitSummary& unit : summary.units)
    {
        Tick busy = 0;
        for (unsigned stage = 0; stage < static_cast<unsigned>(tessera::Stage::wait_input); ++stage)
        {
            busy += unit.time[stage];
        }
        most = std::max(most, busy);
    }
    return static_cast<double>(most) / summary.images.count;
}

Options across_layers(std::uint32_t images)
{
    Options options;
    options.schedule = "xinf";
    options.images = images;
    return options;
}

/// The port that loads the images is the busiest unit; nothing else delays them.
TEST(Pace, OfADenseChainIsTheBusiestUnitsWork)
{
    const config::ChipConfig chip = config::load("clsa-256");
    for (const char* more : {"", R"(,{"name":"b","kind":"dense","channels":256})"})
    {
        const network::Network network = network::parse(
            std::string(R"({"name":"chain","layers":[{"name":"x","kind":"input","shape":[1,1,4096]},
                {"name":"a","kind":"dense","channels":4096})") +
                more + "]}",
            "chain.json");
        const Summary summary = simulated(network, chip, across_layers(16));
        // 2'420'000 in an empty mesh; moves of the second layer cross the way of the loads.
        EXPECT_NEAR(work(summary), 2'420'000, 0.005 * 2'420'000);
        EXPECT_NEAR(summary.images.interval, work(summary), 0.001 * work(summary));
    }
}

/// Whatever the network: with unlimited buffers, images follow each other nearly as fast as the
/// busiest unit works. (What keeps that from being exact: units issue in the order of a plan.)
TEST(Pace, OfAnyNetworkIsAboutTheBusiestUnitsWork)
{
    constexpr std::uint32_t networks = test::effort(120U);
    constexpr double most = 1.35;
    double sum = 0;
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_network(dice);
        config::ChipConfig chip = test::random_chip(dice);
        SCOPED_TRACE("seed " + std::to_string(seed) + '\n' + test::describe(network));
        const Summary summary = simulated(network, chip, across_layers(24));
        const double ratio = summary.images.interval / work(summary);
        sum += ratio;
        EXPECT_LE(ratio, most);
    }
    EXPECT_LE(sum / networks, 1.05);
}

/// The sizes of sets that are planned best run best, or nearly: plans leave contention out.
TEST(Sets, AutoIsAsFastAsRows)
{
    for (const char* name : {"clsa-256", "clsa-256-ideal"})
    {
        for (const char* net : {"lenet5", "resnet18"})
        {
            for (const char* schedule : {"layer-by-layer", "xinf"})
            {
                const network::Network network = network::load(network::find(net));
                const config::ChipConfig chip = config::load(name);
                Options options;
                options.schedule = schedule;
                options.plan.duplicate = "greedy";
                const Tick rows = simulated(network, chip, options).span;
                options.plan.sets = "auto";
                const Tick chosen = simulated(network, chip, options).span;
                EXPECT_LE(chosen, rows + rows / 200) << net << ' ' << name << ' ' << schedule;
            }
        }
    }
}

} // namespace
} // namespace tessera::compiler
