// SPDX-License-Identifier: Apache-2.0
#include "compiler/set_order.h"
#include "compiler/timetable.h"
#include "config/load.h"
#include "network/network.h"
#include "tessera/error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

namespace tessera::compiler
{
namespace
{

constexpr Tick kStep = 1'400'000; ///< t_mvm of clsa-256-ideal

class Planned
{
public:
    Planned(network::Network network, PlanOptions options)
        : chip_(config::load("clsa-256-ideal")),
          network_(std::move(network)),
          graph_(network_, chip_),
          plan_(graph_, chip_, schedule("xinf"),
                settled(graph_, chip_, schedule("xinf"), std::move(options)))
    {
    }
    Planned(const char* name, PlanOptions options)
        : Planned(network::load(network::find(name)), std::move(options))
    {
    }
    [[nodiscard]] const Graph& graph() const { return graph_; }
    [[nodiscard]] const Plan& plan() const { return plan_; }

private:
    config::ChipConfig chip_;
    network::Network network_;
    Graph graph_;
    Plan plan_;
};

TEST(SetOrder, OutputsGoByRowsAndAtTheEndByColumns)
{
    const network::Network network = network::parse(
        R"({"name": "n", "layers": [{"name": "in", "kind": "input", "shape": [4, 3, 2]},
            {"name": "out", "kind": "conv2d", "channels": 2, "kernel": 1}]})",
        "n.json");
    const Planned half(network, {"none", 0, "pixel", "demand:50"});
    EXPECT_EQ(half.plan()[LayerId(1)].grid.rank_of_set,
              (std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 8, 10, 7, 9, 11}));
    EXPECT_EQ(half.plan()[LayerId(1)].grid.sequence(),
              (std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 9, 7, 10, 8, 11}));
    const Planned copies(network, {"greedy", 1, "pixel", "demand:50"});
    EXPECT_EQ(copies.plan()[LayerId(1)].grid.copy_of_set,
              (std::vector<std::uint32_t>{0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 1, 1}));
}

/// What the first outputs read, directly or not, comes first in every layer.
TEST(SetOrder, EveryLayerMakesFirstWhatTheFirstOutputsNeed)
{
    const network::Network network = network::parse(
        R"({"name": "n", "layers": [{"name": "in", "kind": "input", "shape": [24, 24, 3]},
            {"name": "a", "kind": "conv2d", "channels": 4, "kernel": 3, "padding": "same"},
            {"name": "p", "kind": "max_pool", "kernel": 2},
            {"name": "b", "kind": "conv2d", "channels": 4, "kernel": 3, "padding": "same"},
            {"name": "s", "kind": "conv2d", "channels": 4, "kernel": 3, "stride": 2, "padding": "same"},
            {"name": "u", "kind": "upsample", "scale": 2},
            {"name": "c", "kind": "concat", "inputs": ["u", "b"]},
            {"name": "out", "kind": "conv2d", "channels": 2, "kernel": 3, "padding": "same"}]})",
        "n.json");
    for (const char* order : {"demand:0", "demand:40", "demand:100"})
    {
        for (const char* sets : {"pixel", "row", "2x3"})
        {
            SCOPED_TRACE(std::string(order) + ' ' + sets);
            const Planned planned(network, {"none", 0, sets, order});
            const LayerId sink(static_cast<std::uint32_t>(planned.graph().size() - 1));
            std::vector<std::set<std::uint32_t>> needed(planned.graph().size()); // by layer: tasks
            for (const std::uint32_t output : planned.plan()[sink].grid.sequence())
            {
                std::vector<Task> open = {{sink, output}};
                while (!open.empty())
                {
                    const Task task = open.back();
                    open.pop_back();
                    if (needed[task.layer.index()].insert(task.index).second)
                    {
                        append_dependencies(planned.plan(), task, open);
                    }
                }
                for (std::uint32_t i = 0; i < needed.size(); ++i)
                {
                    const std::vector<std::uint32_t>& ranks =
                        planned.plan()[LayerId(i)].grid.rank_of_set;
                    for (const std::uint32_t task : needed[i])
                    {
                        ASSERT_LT(ranks[task], needed[i].size()) << "layer " << i;
                    }
                }
            }
        }
    }
}

/// T* is the least largest ceil(t / d): 6923 and 3606 steps with 32 crossbars for copies.
TEST(SetOrder, DemandComesCloseToTheBound)
{
    const Planned yolo3("tinyyolov3", {"balanced", 32, "pixel", "demand"});
    ASSERT_EQ(least_steps(yolo3.plan().demands(), 32), 6923U);
    EXPECT_LE(static_cast<double>(Timetable(yolo3.plan()).makespan()), 1.04 * 6923 * kStep);
    const Planned yolo4("tinyyolov4", {"balanced", 32, "pixel", "demand"});
    ASSERT_EQ(least_steps(yolo4.plan().demands(), 32), 3606U);
    EXPECT_LE(static_cast<double>(Timetable(yolo4.plan()).makespan()), 1.10 * 3606 * kStep);
}

TEST(SetOrder, IsNoLongerThanItsCandidates)
{
    for (const char* name : {"lenet5", "resnet18"})
    {
        const char* sets = std::string(name) == "lenet5" ? "pixel" : "1x7";
        const Planned chosen(name, {"balanced", 20, sets, "demand"});
        for (const char* order : {"raster", "demand:0", "demand:20", "demand:60", "demand:100"})
        {
            const Planned other(name, {"balanced", 20, sets, order});
            EXPECT_LE(Timetable(chosen.plan()).makespan(), Timetable(other.plan()).makespan())
                << name << ' ' << order;
        }
    }
}

TEST(SetOrder, WhatMeansNothingIsRefused)
{
    for (const char* order :
         {"", "rows", "demand:", "demand:-1", "demand:101", "demand:5x", "demand50", "raster:5"})
    {
        EXPECT_THROW(SetOrder{order}, UsageError) << order;
    }
    const config::ChipConfig chip = config::load("clsa-256-ideal");
    const network::Network network = network::load(network::find("lenet5"));
    const Graph graph(network, chip);
    EXPECT_THROW(Plan(graph, chip, schedule("layer-by-layer"), {"none", 0, "row", "demand:0"}),
                 UsageError);
}

} // namespace
} // namespace tessera::compiler
