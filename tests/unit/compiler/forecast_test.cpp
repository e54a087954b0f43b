// SPDX-License-Identifier: Apache-2.0
#include "compiler/compiler.h"
#include "compiler/forecast.h"
#include "compiler/in_flight.h"
#include "compiler/set_sizes.h"
#include "compiler/timetable.h"
#include "config/load.h"
#include "network/network.h"
#include "tessera/error.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace tessera::compiler
{
namespace
{

/// A chain of dense layers; `outputs` in crossbars side by side.
network::Network dense(std::uint32_t inputs, const std::vector<std::uint32_t>& outputs)
{
    std::string layers =
        R"({"name":"x","kind":"input","shape":[1,1,)" + std::to_string(inputs) + "]}";
    for (std::size_t i = 0; i < outputs.size(); ++i)
    {
        layers += R"(,{"name":"w)" + std::to_string(i) +
                  R"(","kind":"dense","bias":false,"channels":)" +
                  std::to_string(256 * outputs[i]) + "}";
    }
    return network::parse(R"({"name":"dense","layers":[)" + layers + "]}", "dense.json");
}

Compiled several(const network::Network& network, const config::ChipConfig& chip)
{
    Options options;
    options.schedule = "xinf";
    options.images = 16;
    return compile_and_plan(network, chip, options);
}

/// Where only MVMs take time, so it does in the timetable.
TEST(Forecast, IsTheTimetableWhereOnlyMvmsTakeTime)
{
    const config::ChipConfig chip = config::load("clsa-256-ideal");
    for (const char* name : {"lenet5", "mobilenetv2"})
    {
        const network::Network network = network::load(network::find(name));
        const Graph graph(network, chip);
        Plan plan(graph, chip, schedule("xinf"), {"balanced", 32});
        for (const std::uint32_t level : {0U, 2U})
        {
            plan.set_level(0, level);
            Emitter emitter(plan, nullptr);
            emitter.emit(0, Pipeline{});
            const Forecast forecast(emitter);
            const Timetable timetable(plan);
            EXPECT_EQ(forecast.makespan(), timetable.makespan()) << name << " at level " << level;
            EXPECT_EQ(forecast.work(forecast.busiest()), timetable.busiest(0)) << name;
        }
    }
}

/// 4096 inputs go to the 16 tiles that hold the weights, one after the other: 128 flits of data and
/// 9 headers each. Before that the port reserves the space, and its two channels open a row and
/// read half each.
TEST(Forecast, OfAMemoryPortThatIsBusiest)
{
    const config::ChipConfig chip = config::load("clsa-256");
    const Compiled compiled = several(dense(4096, {16}), chip);
    ASSERT_TRUE(compiled.pipeline);
    const Tick reading = 8'000 + 2048 * 1'000'000 / 12'800 + 30'000 + 30'000;
    EXPECT_EQ(compiled.pipeline->busiest, "mem0");
    EXPECT_EQ(compiled.pipeline->work, reading + 16 * (128 + 9) * 1'000);
}

/// As few images as cover the way of one: an interval of two thirds of its latency needs two.
TEST(Forecast, ImagesInFlightCoverTheWayOfOne)
{
    const config::ChipConfig chip = config::load("clsa-256");
    using Outputs = std::vector<std::uint32_t>;
    for (const Outputs& outputs : {Outputs{8}, Outputs{1}, Outputs{1, 1, 1}, Outputs{2, 4, 8, 1}})
    {
        const network::Network network = dense(4096, outputs);
        const Graph graph(network, chip);
        Plan plan(graph, chip, schedule("xinf"));
        const SingleImage one = alone(plan, 0);
        const Compiled compiled = several(network, chip);
        ASSERT_TRUE(compiled.pipeline);
        const std::uint32_t in_flight = compiled.pipeline->in_flight;
        EXPECT_GE(in_flight * one.work, one.latency) << outputs.size();
        EXPECT_LT((in_flight - 1) * one.work, one.latency) << outputs.size();
    }
}

/// A plan of a layer with rows of 64 (and one that has nothing to divide).
class Sizes : public testing::Test
{
protected:
    Sizes()
        : chip_(config::load("clsa-256")),
          network_(network::parse(
              R"({"name":"rows","layers":[{"name":"x","kind":"input","shape":[8,64,3]},
                  {"name":"wide","kind":"conv2d","channels":4,"kernel":1},
                  {"name":"narrow","kind":"conv2d","channels":4,"kernel":[8,64]}]})",
              "rows.json")),
          graph_(network_, chip_)
    {
    }
    /// Searches as if all in one stage took times[level of `wide`].
    [[nodiscard]] SetSizes search(const std::vector<Tick>& times, std::size_t operations = 100)
    {
        const Plan plan(graph_, chip_, schedule("xinf"));
        return choose_set_sizes(
            plan,
            [&](const Fineness& fineness)
            {
                const std::uint32_t level = fineness[1];
                asked_.push_back(level);
                return Outlook{times.at(level), {times.at(level)}, operations << level, fineness};
            });
    }
    config::ChipConfig chip_;
    network::Network network_;
    Graph graph_;
    std::vector<std::uint32_t> asked_;
};

TEST_F(Sizes, GoOnUntilTwoLevelsGainNothing)
{
    const SetSizes sizes = search({10'000, 9'998, 9'995, 1, 1, 1, 1});
    EXPECT_EQ(sizes.fineness[1], 0) << "one part in 1000 is not worth twice the operations";
    EXPECT_EQ(asked_, (std::vector<std::uint32_t>{0, 1, 2}));
    EXPECT_EQ(sizes.plans, 3U);
}

TEST_F(Sizes, TakeTheBestThatWasTried)
{
    const SetSizes sizes = search({10'000, 10'000, 9'000, 8'000, 8'100, 8'050, 1});
    EXPECT_EQ(sizes.fineness[1], 3);
    EXPECT_EQ(std::vector<std::uint32_t>(asked_.begin(), asked_.begin() + 5),
              (std::vector<std::uint32_t>{0, 1, 2, 3, 4}));
}

TEST_F(Sizes, TakeWhatFits)
{
    EXPECT_EQ(search({kNever, 5'000, 4'999, 4'998, 4'997, 4'996, 4'995}).fineness[1], 1);
    EXPECT_EQ(search({kNever, kNever, 1, 1, 1, 1, 1}).fineness[1], 0) << "nothing was found";
}

/// Every level is tried that gains something, however many operations it has; layers are made
/// coarser again only where planning that is quick.
TEST_F(Sizes, AreMadeCoarserAgainWhereThatIsQuick)
{
    const std::vector<Tick> times{100, 90, 80, 70, 60, 50, 40};
    const std::vector<std::uint32_t> all{0, 1, 2, 3, 4, 5, 6};
    EXPECT_EQ(search(times, 15'626).fineness[1], 6); // 64 times so many are more than a million
    EXPECT_EQ(asked_, all);
    asked_.clear();
    EXPECT_EQ(search(times, 15'625).fineness[1], 6);
    EXPECT_EQ(asked_.size(), all.size() + 1);
}

TEST(SetSizes, AutoIsNeverPlannedLonger)
{
    for (const char* name : {"clsa-256", "clsa-256-ideal"})
    {
        const config::ChipConfig chip = config::load(name);
        const network::Network network = network::load(network::find("lenet5"));
        Options options;
        options.schedule = "xinf";
        options.plan.duplicate = "greedy";
        const Graph graph(network, chip);
        options.plan.sets = "auto";
        const Decided decided = decide(graph, chip, options);
        EXPECT_GT(decided.plans, 1U);
        const Plan whole(graph, chip, schedule("xinf"), options.plan);
        Plan divided(graph, chip, schedule("xinf"), decided.options.plan);
        divided.set_level(0, 0);
        EXPECT_LT(Timetable(divided).makespan(), Timetable(whole).makespan());
        const Compiled compiled = compile_and_plan(network, chip, options);
        ASSERT_FALSE(compiled.divided.empty());
        for (const MappingReport::Divided& its : compiled.divided)
        {
            EXPECT_TRUE(its.chosen) << its.layer;
            EXPECT_LT(its.part_rows * its.part_columns, its.rows * its.columns) << its.layer;
        }
    }
}

/// More copies than rows: they take turns with pixels where that makes the plan shorter.
TEST(SetSizes, CopiesMayTakeTurnsWithPixels)
{
    const config::ChipConfig chip = config::load("clsa-256-ideal");
    const network::Network network = network::load(network::find("lenet5"));
    const auto makespan = [&](const char* sets, const char* duplicate)
    {
        Options options;
        options.schedule = "xinf";
        options.plan.duplicate = duplicate;
        options.plan.sets = sets;
        const Graph graph(network, chip);
        return Timetable(
                   Plan(graph, chip, schedule("xinf"), decide(graph, chip, options).options.plan))
            .makespan();
    };
    EXPECT_EQ(makespan("auto", "greedy"), makespan("pixel", "greedy"));
    EXPECT_LT(makespan("auto", "greedy"), makespan("row", "greedy") / 10);
    EXPECT_LE(makespan("auto", "none"), makespan("row", "none"));
}

/// What buffers divide is told apart from what was chosen.
TEST(SetSizes, FullBuffersAreTold)
{
    config::ChipConfig chip = config::load("clsa-256");
    const network::Network network = network::load(network::find("resnet18"));
    EXPECT_TRUE(compile_and_plan(network, chip).divided.empty());
    chip.buffer.capacity = 64 * 1024;
    const Compiled compiled = compile_and_plan(network, chip);
    ASSERT_FALSE(compiled.divided.empty());
    for (const MappingReport::Divided& its : compiled.divided)
    {
        EXPECT_FALSE(its.chosen) << its.layer;
    }
    EXPECT_EQ(compiled.plans, 0U);
}

} // namespace
} // namespace tessera::compiler
