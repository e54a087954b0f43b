// SPDX-License-Identifier: Apache-2.0
#include "base/integer.h"
#include "compiler/compiler.h"
#include "compiler/set_order.h"
#include "compiler/timetable.h"
#include "config/load.h"
#include "network/network.h"
#include "tessera/error.h"
#include "trace_checks.h"
#include "unit/effort.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace tessera::compiler
{
namespace
{

constexpr Tick kStep = 1'400'000; ///< t_mvm of clsa-256

/// Only MVMs take time.
Tick only_mvm(const trace::Operation& operation, std::size_t /*arrival*/)
{
    return operation.kind == trace::OpKind::mvm ? kStep * operation.n : 0;
}

struct Case
{
    const char* network;
    std::uint64_t extra;
    std::uint64_t steps;
};

/// A reference model of CLSA-CIM's accounting (greedy duplication, row sets, copies round robin),
/// made apart from this compiler; not the paper's figures.
const std::vector<Case> kReferenceModel = {
    {"tinyyolov3", 0, 174148}, {"tinyyolov3", 4, 44564}, {"tinyyolov3", 8, 22932},
    {"tinyyolov3", 16, 13572}, {"tinyyolov3", 32, 8060}, {"tinyyolov3", 64, 4836},
    {"tinyyolov4", 0, 44837},  {"tinyyolov4", 4, 12493}, {"tinyyolov4", 8, 12493},
    {"tinyyolov4", 16, 7709},  {"tinyyolov4", 32, 5109}, {"tinyyolov4", 64, 4173},
    {"vgg16", 0, 51660},       {"vgg16", 4, 26572},      {"vgg16", 8, 18172},
    {"vgg16", 16, 13916},      {"vgg16", 32, 8540},      {"vgg16", 64, 5460},
    {"resnet50", 0, 13986},    {"resnet50", 4, 4634},    {"resnet50", 8, 4634},
    {"resnet50", 16, 4578},    {"resnet50", 32, 3010},   {"resnet50", 64, 2226},
    {"vgg19", 0, 51856},       {"resnet101", 0, 14938},  {"resnet152", 0, 16114},
};

class ReferenceModel : public testing::TestWithParam<Case>
{
};

TEST_P(ReferenceModel, PlanAndTraceTakeAsManySteps)
{
    const Case& its = GetParam();
    const config::ChipConfig chip = config::load("clsa-256-ideal");
    const network::Network network = network::load(network::find(its.network));
    Options options;
    options.schedule = "xinf";
    options.plan.duplicate = "greedy";
    options.plan.extra_pes = its.extra;
    const Graph graph(network, chip);
    const Plan plan(graph, chip, schedule(options.schedule), options.plan);
    EXPECT_EQ(Timetable(plan).makespan(), its.steps * kStep);
    const trace::Trace trace = compile(network, chip, options);
    EXPECT_EQ(test::ListSimulator(trace, config::kUnlimited, only_mvm).run().makespan,
              its.steps * kStep);
}

INSTANTIATE_TEST_SUITE_P(Shipped, ReferenceModel, testing::ValuesIn(test::effort(kReferenceModel)),
                         [](const auto& info) {
                             return std::string(info.param.network) + "_" +
                                    std::to_string(info.param.extra);
                         });

struct Choice
{
    const char* network;
    const char* schedule;
    const char* duplicate;
    const char* sets;
    const char* order = "raster";
    bool replicate = false;
};

std::vector<Choice> choices()
{
    std::vector<Choice> all;
    for (const char* network : {"lenet5", "tinyyolov4", "resnet18", "mobilenetv2", "vit-b16"})
    {
        for (const char* schedule : {"layer-by-layer", "xinf"})
        {
            for (const char* duplicate : {"none", "greedy", "optimal", "balanced"})
            {
                all.push_back({network, schedule, duplicate, "row"});
            }
        }
    }
    for (const char* sets : {"pixel", "3x5", "2x7"})
    {
        for (const char* schedule : {"layer-by-layer", "xinf"})
        {
            all.push_back({"lenet5", schedule, "balanced", sets});
            all.push_back({"mobilenetv2", schedule, "greedy", sets});
        }
    }
    for (const char* order : {"demand", "demand:0", "demand:100"})
    {
        all.push_back({"lenet5", "xinf", "balanced", "pixel", order});
        all.push_back({"tinyyolov4", "xinf", "balanced", "1x8", order});
        all.push_back({"resnet18", "xinf", "greedy", "row", order});
        all.push_back({"vit-b16", "xinf", "none", "row", order});
        all.push_back({"tinyyolov4", "xinf", "balanced", "1x9", order, true});
    }
    for (const char* schedule : {"layer-by-layer", "xinf"})
    {
        all.push_back({"lenet5", schedule, "none", "row", "raster", true});
        all.push_back({"lenet5", schedule, "optimal", "2x7", "raster", true});
        all.push_back({"tinyyolov3", schedule, "greedy", "row", "raster", true});
    }
    return all;
}

class Planned : public testing::TestWithParam<Choice>
{
};

TEST_P(Planned, IsSimulated)
{
    const Choice& its = GetParam();
    const config::ChipConfig chip = config::load("clsa-256-ideal");
    const network::Network network = network::load(network::find(its.network));
    Options options;
    options.schedule = its.schedule;
    options.plan = {its.duplicate, 40, its.sets, its.order};
    options.plan.replicate_in_crossbar = its.replicate;
    const Graph graph(network, chip);
    const Schedule& policy = schedule(its.schedule);
    const Plan plan(graph, chip, policy, settled(graph, chip, policy, options.plan));
    const trace::Trace trace = compile(network, chip, options);
    const test::TraceChecks checks(trace, network, chip);
    checks.structure();
    const auto mvms = [&](const trace::Operation& operation, std::size_t /*k*/)
    {
        return operation.kind == trace::OpKind::mvm
                   ? kStep * ceil_div(operation.n,
                                      trace.header.blocks[operation.block.index()].replicas)
                   : 0;
    };
    const test::Simulated run = test::ListSimulator(trace, config::kUnlimited, mvms).run();
    EXPECT_EQ(run.makespan, Timetable(plan).makespan());
    EXPECT_GE(run.makespan, least_steps(plan.demands(), plan.extra_crossbars()) * kStep);
}

INSTANTIATE_TEST_SUITE_P(Shipped, Planned, testing::ValuesIn(test::effort(choices())),
                         [](const auto& info)
                         {
                             const Choice& its = info.param;
                             std::string name = std::string(its.network) + "_" + its.schedule +
                                                "_" + its.duplicate + "_" + its.sets + "_" +
                                                its.order + (its.replicate ? "_replicas" : "");
                             std::replace(name.begin(), name.end(), '-', '_');
                             std::replace(name.begin(), name.end(), ':', '_');
                             return name;
                         });

struct Several
{
    const char* network;
    const char* duplicate;
    const char* sets;
    std::uint32_t images;
};

class Pipelined : public testing::TestWithParam<Several>
{
};

/// Images overlap; each enters and leaves as planned, and as fast as the busiest macro allows.
TEST_P(Pipelined, ImagesFollowEachOtherAsPlanned)
{
    const Several& its = GetParam();
    const config::ChipConfig chip = config::load("clsa-256-ideal");
    const network::Network network = network::load(network::find(its.network));
    Options options;
    options.schedule = "xinf";
    options.plan = {its.duplicate, 32, its.sets};
    options.images = its.images;
    const Graph graph(network, chip);
    const Plan plan(graph, chip, schedule("xinf"), options.plan);
    const Pipeline pipeline = pipelined(plan, its.images);
    const Timetable timetable(plan, pipeline);
    ASSERT_LT(pipeline.in_flight, its.images) << "nothing is held back";

    const Compiled compiled = compile_and_plan(network, chip, options);
    const trace::Trace trace = compiled.trace.expanded();
    const test::TraceChecks checks(trace, network, chip);
    checks.structure();
    const test::Simulated run = test::ListSimulator(trace, config::kUnlimited, only_mvm).run();
    ASSERT_TRUE(run.finished);
    std::vector<Passage> images(its.images);
    for (const trace::Operation& operation : trace.operations)
    {
        Passage& image = images[operation.image];
        image.begin = std::min(image.begin, run.start[operation.id.index()]);
        image.end = std::max(image.end, run.end[operation.id.index()]);
    }
    for (std::uint32_t image = 0; image < its.images; ++image)
    {
        EXPECT_EQ(images[image].begin, timetable.images(0)[image].begin) << image;
        EXPECT_EQ(images[image].end, timetable.images(0)[image].end) << image;
    }
    EXPECT_LT(images[1].begin, images[0].end) << "no overlap";

    ASSERT_TRUE(compiled.pipeline);
    EXPECT_EQ(compiled.pipeline->in_flight, pipeline.in_flight);
    EXPECT_EQ(compiled.pipeline->planned.first_latency, Timetable(plan).makespan());
    EXPECT_EQ(compiled.pipeline->least_interval, timetable.busiest(0));
    EXPECT_EQ(compiled.pipeline->planned.interval, static_cast<double>(timetable.busiest(0)));
}

INSTANTIATE_TEST_SUITE_P(Shipped, Pipelined,
                         testing::Values(Several{"lenet5", "none", "row", 12},
                                         Several{"lenet5", "balanced", "pixel", 20},
                                         Several{"tinyyolov4", "none", "row", 12},
                                         Several{"tinyyolov4", "balanced", "row", 12},
                                         Several{"resnet18", "greedy", "row", 16},
                                         Several{"mobilenetv2", "balanced", "2x7", 24},
                                         Several{"resnet50", "balanced", "row", 32}),
                         [](const auto& info)
                         {
                             const Several& its = info.param;
                             return std::string(its.network) + "_" + its.duplicate + "_" + its.sets;
                         });

/// Whatever the durations are, few images are on the chip at once and buffers suffice.
TEST(CrossLayer, ImagesAreHeldBackWhereBuffersAreSmall)
{
    const config::ChipConfig chip = config::load("clsa-256");
    const network::Network network = network::load(network::find("lenet5"));
    Options options;
    options.schedule = "xinf";
    options.plan = {"balanced", 32, "row"};
    options.images = 10;
    for (const std::uint64_t capacity : {std::uint64_t{512 * 1024}, std::uint64_t{16 * 1024}})
    {
        config::ChipConfig small = chip;
        small.buffer.capacity = capacity;
        const Compiled compiled = compile_and_plan(network, small, options);
        const trace::Trace trace = compiled.trace.expanded();
        const test::TraceChecks checks(trace, network, small);
        checks.structure();
        std::mt19937 random(5);
        const auto duration = [&random](const trace::Operation& /*operation*/, std::size_t /*k*/)
        { return Tick{random() % 8 == 0 ? random() % 1000 : random() % 10}; };
        const test::Simulated run = test::ListSimulator(trace, capacity, duration).run();
        checks.run(run, capacity, "xinf");
        std::vector<Passage> images(options.images);
        for (const trace::Operation& operation : trace.operations)
        {
            Passage& image = images[operation.image];
            image.begin = std::min(image.begin, run.start[operation.id.index()]);
            image.end = std::max(image.end, run.end[operation.id.index()]);
        }
        const std::uint32_t in_flight = compiled.pipeline.value().in_flight;
        for (std::uint32_t image = in_flight; image < options.images; ++image)
        {
            EXPECT_GE(images[image].begin, images[image - in_flight].end);
        }
    }
}

/// In finite buffers, whatever the operations' durations are.
TEST(CrossLayer, FitsIntoFiniteBuffers)
{
    for (const char* name : {"lenet5", "mobilenetv2"})
    {
        for (const char* duplicate : {"none", "greedy"})
        {
            const config::ChipConfig chip = config::load("clsa-256");
            const network::Network network = network::load(network::find(name));
            Options options;
            options.schedule = "xinf";
            options.plan = {duplicate, 16, "row",
                            std::string(name) == "lenet5" ? "demand" : "raster"};
            const trace::Trace trace = compile(network, chip, options);
            std::mt19937 random(3);
            const auto duration =
                [&random](const trace::Operation& /*operation*/, std::size_t /*arrival*/)
            { return Tick{random() % 8 == 0 ? random() % 1000 : random() % 10}; };
            test::TraceChecks(trace, network, chip)
                .run(test::ListSimulator(trace, chip.buffer.capacity, duration).run(),
                     chip.buffer.capacity, options.schedule);
        }
    }
}

/// In these, whole tensors wait for attention in a few tiles.
class Transformer : public testing::TestWithParam<const char*>
{
};

TEST_P(Transformer, WhatWaitsLongFindsRefuge)
{
    const config::ChipConfig chip = config::load("clsa-256");
    const network::Network network = network::load(network::find(GetParam()));
    Options options;
    options.schedule = "xinf";
    const Compiled compiled = compile_and_plan(network, chip, options);
    const trace::Trace trace = compiled.trace.expanded();
    ASSERT_TRUE(compiled.buffers);
    EXPECT_TRUE(compiled.buffers->held_back || !compiled.buffers->refuges.empty());
    EXPECT_GE(compiled.buffers->bounded, compiled.buffers->unbounded);
    const test::TraceChecks checks(trace, network, chip);
    checks.structure();
    std::mt19937 random(11);
    const auto duration = [&random](const trace::Operation& /*operation*/, std::size_t /*k*/)
    { return Tick{random() % 8 == 0 ? random() % 1000 : random() % 10}; };
    checks.run(test::ListSimulator(trace, chip.buffer.capacity, duration).run(),
               chip.buffer.capacity, options.schedule);
    const test::Simulated run = test::ListSimulator(trace, chip.buffer.capacity, only_mvm).run();
    EXPECT_EQ(run.makespan, compiled.buffers->bounded);
}

INSTANTIATE_TEST_SUITE_P(Shipped, Transformer,
                         testing::ValuesIn(test::effort(std::vector<const char*>{"bert-base",
                                                                                 "vit-b16"})),
                         [](const auto& info) {
                             return std::string(info.param).substr(0, info.param[0] == 'b' ? 4 : 3);
                         });

TEST(CrossLayer, TooManyCopiesAndUnknownSetsAreRefused)
{
    const config::ChipConfig chip = config::load("clsa-256-ideal");
    const network::Network network = network::load(network::find("lenet5"));
    Options options;
    options.plan.extra_pes = 100000;
    EXPECT_THROW((void)compile(network, chip, options), InputError);
    for (const char* sets :
         {"", "rows", "0x4", "4x", "x4", "4x4x4", "-1x2", "4 x 4", "99999999999x1"})
    {
        options.plan = {"none", std::nullopt, sets};
        EXPECT_THROW((void)compile(network, chip, options), UsageError) << sets;
    }
}

} // namespace
} // namespace tessera::compiler
