// SPDX-License-Identifier: Apache-2.0
#include "compiler/placement.h"

#include "compiler/compiler.h"
#include "config/load.h"
#include "network/network.h"
#include "tessera/error.h"
#include "trace_checks.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <set>

namespace tessera::compiler
{
namespace
{

config::ChipConfig grid(std::uint32_t rows, std::uint32_t columns, const std::string& policy)
{
    config::ChipConfig chip;
    chip.tiles = {rows, columns, 3};
    chip.mapping.placement = policy;
    return chip;
}

std::vector<std::uint32_t> numbers(const TileOrder& order)
{
    std::vector<std::uint32_t> result;
    for (const NodeId tile : order)
    {
        result.push_back(tile.value());
    }
    return result;
}

/// The same flows with the parts on their tiles.
std::vector<Flow> moved(std::vector<Flow> flows, const TileOrder& order)
{
    const auto place = [&order](NodeId node)
    { return node.index() < order.size() ? order[node.index()] : node; };
    for (Flow& flow : flows)
    {
        flow = {place(flow.from), place(flow.to), flow.bytes};
    }
    return flows;
}

std::vector<Flow> random_flows(const config::ChipConfig& chip, std::mt19937& random)
{
    std::vector<Flow> flows;
    const std::uint32_t tiles = chip.tile_count();
    const auto count = 1 + random() % (2 * tiles);
    for (std::uint32_t i = 0; i < count; ++i)
    {
        const auto from = static_cast<std::uint32_t>(random() % (tiles + chip.memory.ports));
        const auto to = static_cast<std::uint32_t>(random() % tiles);
        flows.push_back({NodeId(from), NodeId(to), random() % 1000});
    }
    return flows;
}

TEST(Placement, RowMajorAndSnakeFillRowAfterRow)
{
    const config::ChipConfig rows = grid(3, 3, "row-major");
    EXPECT_EQ(numbers(placement(rows).order(rows, {})),
              (std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}));
    const config::ChipConfig snake = grid(3, 3, "snake");
    const TileOrder order = placement(snake).order(snake, {});
    EXPECT_EQ(numbers(order), (std::vector<std::uint32_t>{0, 1, 2, 5, 4, 3, 6, 7, 8}));
    for (std::size_t i = 1; i < order.size(); ++i)
    {
        EXPECT_EQ(hops(grid_place(snake, order[i - 1]), grid_place(snake, order[i])), 1U);
    }
}

TEST(Placement, HopsAreLinksOfTheMesh)
{
    config::ChipConfig chip = grid(4, 5, "traffic");
    chip.memory.ports = 2; // in rows 1 and 3
    const auto between = [&chip](std::uint32_t a, std::uint32_t b)
    { return hops(grid_place(chip, NodeId(a)), grid_place(chip, NodeId(b))); };
    EXPECT_EQ(between(0, 0), 0U);
    EXPECT_EQ(between(0, 19), 7U);
    EXPECT_EQ(between(20, 5), 0U);
    EXPECT_EQ(between(20, 0), 1U);
    EXPECT_EQ(between(4, 21), 7U);
}

TEST(Placement, UnknownPoliciesAreRefused)
{
    const config::ChipConfig chip = grid(2, 2, "random");
    EXPECT_THROW((void)placement(chip), InputError);
}

TEST(Placement, TrafficIsAsGoodAsTryingAllOnSmallGrids)
{
    std::mt19937 random(3);
    for (int i = 0; i < 40; ++i)
    {
        config::ChipConfig chip = grid(2, 1 + static_cast<std::uint32_t>(random() % 3), "traffic");
        chip.memory.ports = 1 + static_cast<std::uint32_t>(random() % 2);
        const std::vector<Flow> flows = random_flows(chip, random);
        TileOrder all;
        for (std::uint32_t tile = 0; tile < chip.tile_count(); ++tile)
        {
            all.emplace_back(tile);
        }
        std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
        do
        {
            least = std::min(least, byte_hops(moved(flows, all), chip));
        } while (std::next_permutation(all.begin(), all.end()));
        const TileOrder order = placement(chip).order(chip, flows);
        EXPECT_EQ(std::set<NodeId>(order.begin(), order.end()).size(), chip.tile_count());
        EXPECT_EQ(byte_hops(moved(flows, order), chip), least) << "case " << i;
    }
}

TEST(Placement, TrafficIsNeverWorseThanAnOrderByRows)
{
    std::mt19937 random(5);
    std::uint64_t gained = 0;
    for (int i = 0; i < 40; ++i)
    {
        const config::ChipConfig chip =
            grid(1 + static_cast<std::uint32_t>(random() % 7),
                 1 + static_cast<std::uint32_t>(random() % 7), "traffic");
        const std::vector<Flow> flows = random_flows(chip, random);
        const TileOrder order = placement(chip).order(chip, flows);
        EXPECT_EQ(order, placement(chip).order(chip, flows)) << "not deterministic";
        const std::uint64_t its = byte_hops(moved(flows, order), chip);
        for (const char* other : {"row-major", "snake"})
        {
            config::ChipConfig same = chip;
            same.mapping.placement = other;
            const std::uint64_t theirs =
                byte_hops(moved(flows, placement(same).order(same, {})), chip);
            EXPECT_LE(its, theirs);
            gained += theirs - its;
        }
    }
    EXPECT_GT(gained, 0U);
}

class Shipped : public testing::TestWithParam<const char*>
{
};

/// The bytes are the same wherever they go.
TEST_P(Shipped, PlacementsDifferInHopsOnly)
{
    config::ChipConfig chip = config::load("clsa-256");
    const network::Network network = network::load(network::find(GetParam()));
    const auto flows_with = [&](const char* policy)
    {
        chip.mapping.placement = policy;
        const trace::Trace trace = compile(network, chip);
        test::TraceChecks(trace, network, chip).structure();
        return traffic(trace);
    };
    const auto bytes = [](const std::vector<Flow>& flows)
    {
        std::multiset<std::uint64_t> all;
        for (const Flow& flow : flows)
        {
            all.insert(flow.bytes);
        }
        return all;
    };
    const std::vector<Flow> by_rows = flows_with("row-major");
    const std::vector<Flow> snake = flows_with("snake");
    const std::vector<Flow> best = flows_with("traffic");
    EXPECT_EQ(bytes(by_rows), bytes(snake));
    EXPECT_EQ(bytes(by_rows), bytes(best));
    EXPECT_LE(byte_hops(best, chip), byte_hops(by_rows, chip));
    EXPECT_LE(byte_hops(best, chip), byte_hops(snake, chip));
    RecordProperty("row-major", std::to_string(byte_hops(by_rows, chip)));
    RecordProperty("snake", std::to_string(byte_hops(snake, chip)));
    RecordProperty("traffic", std::to_string(byte_hops(best, chip)));
}

INSTANTIATE_TEST_SUITE_P(Networks, Shipped,
                         testing::Values("tinyyolov3", "tinyyolov4", "vgg16", "vgg19", "resnet18",
                                         "resnet34", "resnet50", "resnet101", "resnet152",
                                         "mobilenetv2", "lenet5", "bert-base", "vit-b16"),
                         [](const auto& info)
                         {
                             std::string name = info.param;
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

} // namespace
} // namespace tessera::compiler
