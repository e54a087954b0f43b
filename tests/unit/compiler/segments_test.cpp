// SPDX-License-Identifier: Apache-2.0
#include "compiler/segments.h"

#include "compiler/compiler.h"
#include "compiler/report.h"
#include "config/load.h"
#include "network/network.h"
#include "tessera/error.h"
#include "trace_checks.h"

#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <string>

namespace tessera::compiler
{
namespace
{

constexpr Tick kNothing = std::numeric_limits<Tick>::max();

TEST(Segments, AreAsCheapAsTheBestOfAllCuts)
{
    std::mt19937 random(17);
    std::size_t impossible = 0;
    for (int i = 0; i < 300; ++i)
    {
        const std::size_t layers = 1 + random() % 9;
        std::vector<std::uint64_t> size(layers);
        for (std::uint64_t& its : size)
        {
            its = 1 + random() % 11;
        }
        const std::uint64_t room = 10;
        std::vector<Tick> price(layers * (layers + 1));
        for (Tick& its : price)
        {
            its = random() % 100;
        }
        const auto cost = [&](const Segment& segment) -> std::optional<Tick>
        {
            std::uint64_t sum = 0;
            for (std::size_t layer = segment.begin; layer < segment.end; ++layer)
            {
                sum += size[layer];
            }
            return sum > room
                       ? std::nullopt
                       : std::optional(price[segment.begin * (layers + 1) + segment.end - 1]);
        };
        Tick least = kNothing;
        for (std::uint32_t cuts = 0; cuts < 1U << (layers - 1); ++cuts)
        {
            Tick sum = 0;
            std::size_t begin = 0;
            for (std::size_t end = 1; end <= layers && sum != kNothing; ++end)
            {
                if (end == layers || (cuts >> (end - 1) & 1U) != 0)
                {
                    const auto its = cost({begin, end});
                    sum = its ? sum + *its : kNothing;
                    begin = end;
                }
            }
            least = std::min(least, sum);
        }
        const auto found = cut_into_segments(layers, cost);
        ASSERT_EQ(found.has_value(), least != kNothing);
        impossible += found ? 0 : 1;
        Tick sum = 0;
        std::size_t next = 0;
        for (const Segment& segment : found.value_or(std::vector<Segment>{}))
        {
            EXPECT_EQ(segment.begin, next);
            next = segment.end;
            sum += cost(segment).value();
        }
        EXPECT_TRUE(!found || (next == layers && sum == least));
    }
    EXPECT_GT(impossible, 10U);
    EXPECT_LT(impossible, 290U);
}

/// `count` convolutions of 9 x 8 x 8 weights, each of which takes half of a macro of 72 x 16.
network::Network chain(int count)
{
    std::string layers = R"({"name":"image","kind":"input","shape":[6,6,8]})";
    for (int i = 0; i < count; ++i)
    {
        layers += R"(,{"name":"conv)" + std::to_string(i) +
                  R"(","kind":"conv2d","channels":8,"kernel":3,"padding":"same"})";
    }
    return network::parse(R"({"name":"chain","layers":[)" + layers + "]}", "chain.json");
}

config::ChipConfig small_chip()
{
    config::ChipConfig chip;
    chip.name = "small";
    chip.tiles = {1, 2, 1};
    chip.macro.rows = 72;
    chip.macro.columns = 16;
    return chip;
}

TEST(TimeMultiplex, ShortfallIsNamedUnlessSegmentsTakeTurns)
{
    const network::Network network = chain(5);
    const config::ChipConfig chip = small_chip();
    try
    {
        (void)compile(network, chip);
        FAIL() << "accepted";
    }
    catch (const InputError& error)
    {
        EXPECT_EQ(error.place().pointer, "/tiles");
        EXPECT_NE(std::string(error.what()).find("3 are missing"), std::string::npos);
        EXPECT_NE(std::string(error.what()).find("--time-multiplex"), std::string::npos);
    }
    Options options;
    options.plan.time_multiplex = true;
    const trace::Trace trace = compile(network, chip, options);
    const MappingReport its = report(trace, network, chip);
    EXPECT_EQ(its.segments, 3U);
    EXPECT_EQ(its.writes, 3U);
    // Weights of 8 bits in pairs of cells of 2.
    EXPECT_EQ(its.cells_written, 5U * 72 * 8 * 8);
    EXPECT_EQ(its.write_energy, 5U * 72 * 8 * 8 * chip.macro.program.cell_energy);
    EXPECT_EQ(its.crossbars, 2U);
}

/// Of every row of cells the weights are written, and the reference column that they have; not what
/// lies beside replicas.
TEST(TimeMultiplex, RowsAreWrittenWithTheirReferences)
{
    const network::Network network = chain(5); // a row of outputs holds six vectors
    Options options;
    options.plan.time_multiplex = true;
    options.plan.replicate_in_crossbar = true;
    const auto cells = [&](std::uint32_t columns, const char* signs)
    {
        config::ChipConfig chip = small_chip();
        chip.macro.rows = 144;
        chip.macro.columns = columns;
        chip.macro.cells_per_weight = 5; // conversions, which are no writes
        chip.macro.cell.bits = 3;
        chip.macro.cell.signs = signs;
        const trace::Trace trace = compile(network, chip, options);
        const MappingReport its = report(trace, network, chip);
        EXPECT_EQ(its.write_energy, its.cells_written * chip.macro.program.cell_energy);
        return its.cells_written;
    };
    EXPECT_EQ(cells(15, "differential"), 5U * 72 * 8 * 6);
    EXPECT_EQ(cells(16, "differential"), 5U * 144 * 8 * 6);
    EXPECT_EQ(cells(15, "differential-separate"), 5U * 72 * 8 * 6);
    EXPECT_EQ(cells(15, "sign-magnitude"), 5U * 72 * 8 * 3);
    EXPECT_EQ(cells(16, "offset"), 5U * 72 * (8 * 3 + 1));
    EXPECT_EQ(cells(17, "offset"), 5U * 144 * (8 * 3 + 1));
    EXPECT_EQ(cells(18, "offset"), 5U * 144 * (8 * 3 + 1));
}

TEST(TimeMultiplex, WhatFitsIsNotWritten)
{
    Options options;
    options.plan.time_multiplex = true;
    const network::Network network = chain(2);
    const trace::Trace trace = compile(network, small_chip(), options);
    const MappingReport its = report(trace, network, small_chip());
    EXPECT_EQ(its.segments, 1U);
    EXPECT_EQ(its.cells_written, 0U);
    EXPECT_EQ(its.writes, 0U);
}

TEST(TimeMultiplex, ALayerThatDoesNotFitAloneIsRefused)
{
    Options options;
    options.plan.time_multiplex = true;
    config::ChipConfig chip = small_chip();
    chip.macro.rows = 8; // 9 blocks each
    try
    {
        (void)compile(chain(2), chip, options);
        FAIL() << "accepted";
    }
    catch (const InputError& error)
    {
        EXPECT_NE(std::string(error.what()).find("7 are missing"), std::string::npos)
            << error.what();
    }
}

TEST(TimeMultiplex, BatchesAmortiseWriting)
{
    const network::Network network = chain(5);
    const config::ChipConfig chip = small_chip();
    Options options;
    options.plan.time_multiplex = true;
    const auto duration = [](const trace::Operation& op, std::size_t /*k*/) -> Tick
    {
        return op.kind == trace::OpKind::program ? Tick{1000} * op.n
               : op.kind == trace::OpKind::mvm   ? Tick{10} * op.n
                                                 : 1;
    };
    const auto makespan = [&](std::uint32_t images)
    {
        options.images = images;
        const trace::Trace trace = compile(network, chip, options);
        const test::TraceChecks checks(trace, network, chip);
        checks.structure();
        checks.values();
        const test::Simulated run =
            test::ListSimulator(trace, chip.buffer.capacity, duration).run();
        checks.run(run, chip.buffer.capacity);
        const MappingReport its = report(trace, network, chip);
        EXPECT_EQ(its.images, images);
        EXPECT_EQ(its.cells_written, 5U * 72 * 8 * 8);
        return run.makespan;
    };
    EXPECT_LT(makespan(4), 2 * makespan(1));
}

struct Choice
{
    const char* network;
    std::uint32_t tiles;
    const char* schedule;
    const char* duplicate;
    bool pack;
};

class Shipped : public testing::TestWithParam<Choice>
{
};

TEST_P(Shipped, SegmentsTakeTurns)
{
    const Choice& its = GetParam();
    config::ChipConfig chip = config::load("clsa-256");
    chip.tiles.rows = 4;
    chip.tiles.columns = its.tiles / 4;
    chip.mapping.on_crossbar = {"conv2d"};
    const network::Network network = network::load(network::find(its.network));
    Options options;
    options.schedule = its.schedule;
    options.plan.duplicate = its.duplicate;
    options.plan.time_multiplex = true;
    options.plan.pack = its.pack;
    options.images = 2;
    const trace::Trace trace = compile(network, chip, options);
    EXPECT_GT(report(trace, network, chip).segments, 1U);
    const test::TraceChecks checks(trace, network, chip);
    checks.structure();
    std::mt19937 random(1);
    const auto duration = [&random](const trace::Operation& /*operation*/, std::size_t /*k*/)
    { return Tick{random() % 8 == 0 ? random() % 1000 : random() % 10}; };
    checks.run(test::ListSimulator(trace, chip.buffer.capacity, duration).run(),
               chip.buffer.capacity);
}

INSTANTIATE_TEST_SUITE_P(Networks, Shipped,
                         testing::Values(Choice{"resnet18", 8, "layer-by-layer", "none", false},
                                         Choice{"resnet18", 8, "layer-by-layer", "greedy", true},
                                         Choice{"resnet50", 12, "layer-by-layer", "none", true},
                                         Choice{"tinyyolov4", 4, "layer-by-layer", "none", false},
                                         Choice{"tinyyolov4", 4, "xinf", "balanced", false}),
                         [](const auto& info)
                         {
                             return std::string(info.param.network) + "_" +
                                    (std::string(info.param.schedule) == "xinf" ? "xinf"
                                                                                : "layers") +
                                    "_" + info.param.duplicate + (info.param.pack ? "_packed" : "");
                         });

} // namespace
} // namespace tessera::compiler
