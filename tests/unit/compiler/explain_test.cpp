// SPDX-License-Identifier: Apache-2.0
#include "compiler/explain.h"
#include "compiler/timetable.h"
#include "config/load.h"
#include "network/network.h"
#include "tessera/error.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace tessera::compiler
{
namespace
{

using Json = nlohmann::ordered_json;

constexpr Tick kStep = 1'400'000; ///< t_mvm of clsa-256-ideal

/// Two ways from `a` to `sum`: directly, and over two convolutions.
network::Network two_ways()
{
    return network::parse(
        R"({"name": "n", "layers": [{"name": "in", "kind": "input", "shape": [8, 8, 3]},
            {"name": "a", "kind": "conv2d", "channels": 4, "kernel": 1},
            {"name": "b", "kind": "conv2d", "channels": 4, "kernel": 3, "padding": "same"},
            {"name": "c", "kind": "conv2d", "channels": 4, "kernel": 3, "padding": "same"},
            {"name": "sum", "kind": "add", "inputs": ["c", "a"]}]})",
        "n.json");
}

/// Every crossbar in a tile of its own.
config::ChipConfig wide_chip()
{
    config::ChipConfig chip = config::load("clsa-256-ideal");
    chip.tiles.macros = 1;
    return chip;
}

Options across_layers(PlanOptions plan = {})
{
    Options options;
    options.schedule = "xinf";
    options.plan = std::move(plan);
    return options;
}

const Json& named(const Json& list, const char* key, const std::string& name)
{
    for (const Json& entry : list)
    {
        if (entry.at(key) == name)
        {
            return entry;
        }
    }
    throw std::logic_error("there is no " + name);
}

const Json& edge(const Json& plan, const std::string& from, const std::string& to)
{
    for (const Json& entry : plan.at("edges"))
    {
        if (entry.at("from") == from && entry.at("to") == to)
        {
            return entry;
        }
    }
    throw std::logic_error("there is no edge");
}

TEST(Explain, TellsThePlan)
{
    const Json plan = explain(two_ways(), wide_chip(), across_layers(), "b");
    // Rows of 8 steps; a convolution of 3 x 3 is two rows behind what it reads.
    EXPECT_EQ(plan.at("makespan"), (8 + 4) * 8 * kStep);
    ASSERT_EQ(plan.at("layers").size(), 4U);
    const Json& a = named(plan.at("layers"), "name", "a");
    EXPECT_EQ(a.at("start"), 0);
    EXPECT_EQ(a.at("end"), 8 * 8 * kStep);
    EXPECT_EQ(a.at("sets"), 8);
    EXPECT_EQ(a.at("reads"), 0) << "inputs are not computed";
    const Json& b = named(plan.at("layers"), "name", "b");
    EXPECT_EQ(b.at("start"), 2 * 8 * kStep);
    EXPECT_EQ(b.at("reads"), 2 + 6 * 3 + 2);
    ASSERT_EQ(plan.at("sets").size(), 8U);
    const Json& third = plan.at("sets")[2];
    EXPECT_EQ(third.at("start"), 4 * 8 * kStep);
    EXPECT_EQ(third.at("ofm"), (Json{2, 3, 0, 8, 0, 4}));
    EXPECT_EQ(third.at("reads"), (Json{{{"layer", "a"}, {"set", 1}},
                                       {{"layer", "a"}, {"set", 2}},
                                       {{"layer", "a"}, {"set", 3}}}));
}

TEST(Explain, TheShorterWayWaitsForTheLonger)
{
    constexpr std::uint64_t row = 8 * 4;
    const Json plan = explain(two_ways(), wide_chip(), across_layers(), "");
    EXPECT_FALSE(plan.contains("sets"));
    EXPECT_EQ(edge(plan, "a", "b").at("least"), 3 * row) << "the rows of a window";
    // Row r of c needs row r + 2 of a; rows r, r + 1, r + 2 wait.
    EXPECT_EQ(edge(plan, "a", "sum").at("least"), 3 * row);
    EXPECT_EQ(edge(plan, "c", "sum").at("least"), row);
    for (const Json& its : plan.at("edges"))
    {
        EXPECT_EQ(its.at("bytes"), 8 * row);
        EXPECT_LE(its.at("least"), its.at("planned"));
        EXPECT_LE(its.at("planned"), its.at("bytes"));
    }
    // Where all of a is needed for anything, all of it waits.
    const network::Network pooled = network::parse(
        R"({"name": "n", "layers": [{"name": "in", "kind": "input", "shape": [8, 8, 3]},
            {"name": "a", "kind": "conv2d", "channels": 4, "kernel": 1},
            {"name": "p", "kind": "global_average_pool"},
            {"name": "m", "kind": "mul", "inputs": ["a", "p"]}]})",
        "n.json");
    const Json whole = explain(pooled, wide_chip(), across_layers(), "");
    EXPECT_EQ(edge(whole, "a", "m").at("least"), 8 * row);
}

/// Which tiles need a row: those of all the copies whose windows it is in.
TEST(Explain, HaloRowsTileByTile)
{
    const Options options = across_layers({"greedy", 5, "row"});
    const Json makers = explain(two_ways(), wide_chip(), options, "a");
    std::map<std::uint32_t, std::set<std::uint32_t>> readers;
    std::size_t halo = 0;
    for (const char* reader : {"b", "sum"})
    {
        const Json plan = explain(two_ways(), wide_chip(), options, reader);
        ASSERT_GT(named(plan.at("layers"), "name", "b").at("copies"), 1);
        for (const Json& set : plan.at("sets"))
        {
            for (const Json& read : set.at("reads"))
            {
                if (read.at("layer") == "a")
                {
                    readers[read.at("set")].insert(set.at("tile").get<std::uint32_t>());
                }
            }
        }
    }
    for (const Json& set : makers.at("sets"))
    {
        const auto tiles = set.at("read_in").get<std::set<std::uint32_t>>();
        EXPECT_EQ(tiles, readers[set.at("set")]);
        halo += tiles.size() > 2 ? 1 : 0;
    }
    EXPECT_GT(halo, 0U) << "no row is read by several copies of b";
}

TEST(Explain, SeveralImagesAndSmallBuffers)
{
    Options options = across_layers();
    options.images = 20;
    const Json plan = explain(two_ways(), wide_chip(), options, "");
    EXPECT_EQ(plan.at("pipeline").at("least_interval"), 64 * kStep);
    EXPECT_EQ(plan.at("pipeline").at("interval"), 64.0 * kStep);
    config::ChipConfig chip = wide_chip();
    chip.buffer.capacity = 512 * 1024;
    const Json roomy = explain(two_ways(), chip, across_layers(), "");
    EXPECT_EQ(roomy.at("buffers").at("bounded"), roomy.at("makespan"));
    EXPECT_TRUE(roomy.at("buffers").at("refuges").empty());
    chip.buffer.capacity = 40;
    const Json tight = explain(two_ways(), chip, across_layers(), "");
    EXPECT_NE(tight.at("buffers").at("problem").get<std::string>().find("are missing"),
              std::string::npos);
}

/// Layer by layer one image follows the other, and each takes as long as one alone.
TEST(Explain, ImagesLayerByLayerTakeTurns)
{
    Options options;
    options.images = 9;
    const Json plan = explain(two_ways(), wide_chip(), options, "");
    EXPECT_EQ(plan.at("pipeline").at("images"), 9);
    EXPECT_EQ(plan.at("pipeline").at("interval"), plan.at("makespan"));
}

/// Layers in one crossbar wait for each other: the plan says that it leaves this out.
TEST(Explain, SharedCrossbarsAreTold)
{
    Options options = across_layers();
    EXPECT_FALSE(explain(two_ways(), wide_chip(), options, "").at("shared"));
    options.plan.pack = true;
    const Json plan = explain(two_ways(), wide_chip(), options, "");
    EXPECT_TRUE(plan.at("shared"));
    EXPECT_NE(explain_text(plan).find("wait for each other, which is left out"), std::string::npos);
}

TEST(Explain, TheTextHasTheFigures)
{
    Options options = across_layers();
    options.images = 20;
    const std::string text = explain_text(explain(two_ways(), wide_chip(), options, "b"));
    for (const char* part :
         {"planned makespan of one image 134400000 ps", "read in", "least", "planned", "20 images",
          "one every 89600000 ps (at least 89600000)", "a 1,2,3"})
    {
        EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
    }
}

TEST(Explain, AnUnknownLayerIsAUsageError)
{
    EXPECT_THROW((void)explain(two_ways(), wide_chip(), across_layers(), "d"), UsageError);
}

} // namespace
} // namespace tessera::compiler
