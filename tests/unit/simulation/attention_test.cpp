// SPDX-License-Identifier: Apache-2.0
#include "chip/chip.h"
#include "compiler/compiler.h"
#include "compiler/explain.h"
#include "compiler/report.h"
#include "compiler/set_order.h"
#include "compiler/timetable.h"
#include "config/load.h"
#include "network/network.h"
#include "tessera/error.h"
#include "trace/reader.h"
#include "unit/compiler/random_network.h"
#include "unit/compiler/trace_checks.h"
#include "unit/effort.h"

#include <algorithm>
#include <functional>
#include <gtest/gtest.h>
#include <memory>

namespace tessera::compiler
{
namespace
{

using test::Dice;
using trace::Operation;
using trace::OpKind;

/// Two heads of depth 3; `keys` tokens are looked at by 20.
network::Network small(std::uint32_t keys = 20)
{
    const std::string length = std::to_string(keys);
    return network::parse(
        R"({"name":"small","layers":[
            {"name":"x","kind":"input","shape":[20,1,4]},
            {"name":"y","kind":"input","shape":[)" +
            length + R"(,1,4]},
            {"name":"q","kind":"dense","inputs":["x"],"channels":6},
            {"name":"k","kind":"dense","inputs":["y"],"channels":6},
            {"name":"v","kind":"dense","inputs":["y"],"channels":6},
            {"name":"scores","kind":"matmul","inputs":["q","k"],"heads":2,"transpose_second":true},
            {"name":"softmax","kind":"softmax"},
            {"name":"context","kind":"matmul","inputs":["softmax","v"],"heads":2},
            {"name":"out","kind":"dense","channels":4}]})",
        "small.json");
}

/// Only MVMs and writes take time.
config::ChipConfig ideal(const std::string& attention)
{
    config::ChipConfig chip = config::load("clsa-256-ideal");
    chip.mapping.on_crossbar = {"conv2d", "dense"};
    chip.mapping.attention = attention;
    chip.digital.tile_columns = attention == "digital" ? 2 : 0;
    return chip;
}

std::vector<Operation> of_kind(const trace::Trace& trace, OpKind kind, const std::string& layer)
{
    std::vector<Operation> found;
    for (const Operation& operation : trace.operations)
    {
        if (operation.kind == kind && trace.header.layers[operation.layer.index()].name == layer)
        {
            found.push_back(operation);
        }
    }
    return found;
}

Tick simulated(const trace::Trace& trace, const config::ChipConfig& chip)
{
    trace::MemorySource source(std::make_shared<const trace::Trace>(trace));
    ActivitySink sink;
    chip::Chip hardware(chip, source, sink);
    EXPECT_TRUE(chip::run_native(hardware, nullptr));
    return hardware.summary().span;
}

Tick planned(const network::Network& network, const config::ChipConfig& chip,
             const Options& options)
{
    const Graph graph(network, chip);
    const Schedule& policy = schedule(options.schedule);
    const Plan plan(graph, chip, policy, settled(graph, chip, policy, options.plan));
    return Timetable(plan, pipelined(plan, options.images)).makespan();
}

void expect_sound(const network::Network& network, const config::ChipConfig& chip,
                  const Options& options, Dice& dice)
{
    const trace::Trace trace = compile(network, chip, options);
    const test::TraceChecks checks(trace, network, chip);
    checks.structure();
    checks.values();
    for (int i = 0; i < 2; ++i)
    {
        const auto duration = [&dice](const Operation& /*operation*/, std::size_t /*k*/)
        { return Tick{dice(0, 5) == 0 ? dice(0, 300) : dice(0, 3)}; };
        checks.run(test::ListSimulator(trace, chip.buffer.capacity, duration).run(),
                   chip.buffer.capacity, options.schedule);
    }
}

TEST(Attention, OperandsAreWrittenHeadByHead)
{
    const network::Network network = small(18);
    config::ChipConfig chip = ideal("crossbar");
    chip.macro.rows = 16;
    const trace::Trace trace = compile(network, chip);
    test::TraceChecks(trace, network, chip).structure();
    test::TraceChecks(trace, network, chip).values();

    // K^T: one block of 3 rows and 18 columns for each head, written when all keys are there.
    const auto keys = of_kind(trace, OpKind::program, "scores");
    ASSERT_EQ(keys.size(), 2U);
    EXPECT_EQ(keys[1].n, 3U);
    EXPECT_EQ(keys[1].tensor, TensorId(3));
    EXPECT_EQ(*keys[1].box, (trace::Box{{0, 18, 0, 1, 3, 6}}));
    const trace::Block& block = trace.header.blocks[keys[1].block.index()];
    EXPECT_EQ(block.row_begin, 3U);
    EXPECT_EQ(block.row_end, 6U);
    EXPECT_EQ(block.column_begin, 18U);
    EXPECT_EQ(block.column_end, 36U);
    // V: 18 rows in two blocks for each head; 16 tokens at once.
    const auto values = of_kind(trace, OpKind::program, "context");
    ASSERT_EQ(values.size(), 4U);
    EXPECT_EQ(values[0].n, 16U);
    EXPECT_EQ(values[2].n, 2U);
    EXPECT_EQ(*values[3].box, (trace::Box{{16, 18, 0, 1, 3, 6}}));
    // Queries go through 16 at a time, for all heads.
    const auto products = of_kind(trace, OpKind::mvm, "scores");
    ASSERT_EQ(products.size(), 4U);
    EXPECT_EQ(products[1].n, 16U);
    EXPECT_EQ(*products[1].ofm, (trace::Box{{0, 16, 1, 2, 0, 18}}));
    EXPECT_EQ(trace.header.layers[5].vectors, 20U);
}

/// In a run of one block alone: `change` adds a nanosecond per unit of what it changes.
TEST(Attention, EveryTimeOfADigitalMacroCounts)
{
    const network::Network network = network::parse(
        R"({"name":"one","layers":[
            {"name":"q","kind":"input","shape":[5,1,6]},{"name":"k","kind":"input","shape":[7,1,6]},
            {"name":"scores","kind":"matmul","inputs":["q","k"],"transpose_second":true}]})",
        "one.json");
    // 6 rows are written, 5 vectors go through in 8 steps each, and the last one drains.
    const auto makespan = [&network](const std::function<void(config::ChipConfig&)>& change)
    {
        config::ChipConfig chip = ideal("digital");
        chip.digital.macro.program.row_time = Duration::of_ticks(2'000);
        chip.digital.macro.digital.step_time = Duration::of_ticks(3'000);
        chip.digital.macro.digital.drain_time = Duration::of_ticks(4'000);
        change(chip);
        return simulated(compile(network, chip), chip);
    };
    const auto expected = [](Tick row, Tick step, Tick drain, Tick steps = 8)
    // The result is stored at an edge.
    { return (6 * row + 5 * steps * step + drain + 999) / 1'000 * 1'000; };
    EXPECT_EQ(makespan([](auto&) {}), expected(2'000, 3'000, 4'000));
    for (const Tick n : {6'000U, 7'000U, 8'000U})
    {
        const Duration time = Duration::of_ticks(n);
        // A macro takes its next operation at an edge of its clock.
        const Tick written = (6 * n + 999) / 1'000 * 1'000;
        EXPECT_EQ(makespan([&](auto& c) { c.digital.macro.program.row_time = time; }),
                  written + expected(0, 3'000, 4'000));
        EXPECT_EQ(makespan([&](auto& c) { c.digital.macro.digital.step_time = time; }),
                  expected(2'000, n, 4'000));
        EXPECT_EQ(makespan([&](auto& c) { c.digital.macro.digital.drain_time = time; }),
                  expected(2'000, 3'000, n));
    }
    for (const std::uint32_t bits : {1U, 2U, 3U, 7U, 8U, 9U})
    {
        EXPECT_EQ(makespan([&](auto& c) { c.digital.macro.digital.step_bits = bits; }),
                  expected(2'000, 3'000, 4'000, (8 + bits - 1) / bits));
    }
}

/// The same for crossbars, where row_time and t_mvm are all there is.
TEST(Attention, WritesOfCrossbarsTakeTheirTime)
{
    const network::Network network = small();
    for (const Tick n : {998'000U, 999'000U, 1'000'000U})
    {
        config::ChipConfig chip = ideal("crossbar");
        chip.macro.program.row_time = Duration::of_ticks(n);
        // Layer by layer: q, k, v, then 3 rows of K^T and scores, 20 rows of V and context, out.
        const Tick vectors = (3 * 20 + 20 + 20 + 20) * Tick{1'400'000};
        EXPECT_EQ(simulated(compile(network, chip), chip), vectors + (3 + 20) * n);
    }
}

TEST(Attention, ValuesAreWrittenWhileTheyCome)
{
    const network::Network network = small(64);
    const config::ChipConfig chip = ideal("crossbar");
    Options options;
    options.schedule = "xinf";
    const Graph graph(network, chip);
    const Plan plan(graph, chip, schedule("xinf"), options.plan);
    const Timetable timetable(plan);
    const LayerId context(7);
    ASSERT_EQ(plan[context].portions.size(), 4U);
    ASSERT_EQ(plan[LayerId(5)].portions.size(), 1U);
    constexpr Tick kMvm = 1'400'000;
    for (std::uint32_t i = 0; i < 4; ++i)
    {
        // 16 tokens take 22.4 us to be made and 16 us to be written.
        EXPECT_EQ((timetable[{context, i, 0, true}].end), (i + 1) * 16 * kMvm + 16'000'000);
    }
    EXPECT_EQ((timetable[{LayerId(5), 0, 0, true}].start), 64 * kMvm);
    EXPECT_EQ(simulated(compile(network, chip, options), chip), timetable.makespan());
}

struct Way
{
    const char* network;
    const char* schedule;
    const char* attention;
    const char* sets = "row";
    const char* order = "raster";
};

class Planned : public testing::TestWithParam<Way>
{
};

TEST_P(Planned, IsSimulated)
{
    const Way& its = GetParam();
    const network::Network network = network::load(network::find(its.network));
    const config::ChipConfig chip = ideal(its.attention);
    Options options;
    options.schedule = its.schedule;
    options.plan.sets = its.sets;
    options.plan.order = its.order;
    options.plan.duplicate = "balanced";
    options.plan.extra_pes = 100;
    const trace::Trace trace = compile(network, chip, options);
    test::TraceChecks(trace, network, chip).structure();
    EXPECT_EQ(simulated(trace, chip), planned(network, chip, options));
}

INSTANTIATE_TEST_SUITE_P(
    Shipped, Planned,
    testing::Values(Way{"bert-base", "layer-by-layer", "crossbar"},
                    Way{"bert-base", "xinf", "crossbar"}, Way{"bert-base", "xinf", "digital"},
                    Way{"bert-base", "xinf", "vector"}, Way{"vit-b16", "layer-by-layer", "digital"},
                    Way{"vit-b16", "xinf", "crossbar", "4x8"},
                    Way{"vit-b16", "xinf", "digital", "row", "demand:50"}),
    [](const auto& info)
    {
        const Way& its = info.param;
        std::string name = std::string(its.network) + "_" + its.schedule + "_" + its.attention +
                           "_" + its.sets + "_" + its.order;
        std::replace_if(
            name.begin(), name.end(), [](char c) { return c == '-' || c == ':'; }, '_');
        return name;
    });

/// One portion of values may be written into one block of a macro and the next into another: those
/// for the same macro must come in their order. Times of digital macros need not fall on edges.
TEST(Attention, RandomNetworksArePlannedAsTheyRun)
{
    constexpr std::uint32_t networks = tessera::test::effort(600U);
    std::uint32_t in_macros = 0;
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_attention(dice);
        config::ChipConfig chip = ideal("vector");
        chip.macro.rows = dice(3, 20);
        chip.macro.columns = dice(2, 12);
        test::choose_attention(dice, chip);
        chip.macro.program.row_time = Duration::of_ticks(dice(0, 5'000'000));
        chip.digital.macro.program.row_time = Duration::of_ticks(dice(0, 500'000));
        chip.digital.macro.digital.step_time = Duration::of_ticks(dice(0, 500'000));
        chip.digital.macro.digital.drain_time = Duration::of_ticks(dice(0, 500'000));
        Options options;
        options.schedule = dice(0, 3) == 0 ? "layer-by-layer" : "xinf";
        options.plan.sets = dice.pick(std::vector<std::string>{"row", "pixel", "3x2"});
        options.images = options.schedule == "xinf" ? dice(1, 3) : 1;
        in_macros += chip.mapping.attention != "vector" ? 1 : 0;
        SCOPED_TRACE("seed " + std::to_string(seed) + '\n' + test::describe(network));
        EXPECT_EQ(simulated(compile(network, chip, options), chip),
                  planned(network, chip, options));
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(in_macros, networks / 2);
}

TEST(Attention, RandomNetworksInBuffersOfAnySize)
{
    constexpr std::uint32_t networks = tessera::test::effort(200U);
    std::uint32_t fitted = 0;
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_attention(dice);
        config::ChipConfig chip = test::random_chip(dice);
        test::choose_attention(dice, chip);
        SCOPED_TRACE("seed " + std::to_string(seed) + ' ' + chip.mapping.attention + '\n' +
                     test::describe(network));
        Options options;
        options.images = dice(1, 2);
        options.schedule = dice(0, 1) == 0 ? "layer-by-layer" : "xinf";
        options.plan.pack = dice(0, 2) == 0;
        options.plan.time_multiplex = true;
        expect_sound(network, chip, options, dice);
        for (chip.buffer.capacity = 20'000; chip.buffer.capacity > 0;
             chip.buffer.capacity = chip.buffer.capacity * 2 / 3)
        {
            try
            {
                expect_sound(network, chip, options, dice);
                ++fitted;
            }
            catch (const InputError& error)
            {
                EXPECT_EQ(error.place().pointer, "/buffer/capacity") << error.what();
                break;
            }
            ASSERT_FALSE(HasFailure());
        }
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(fitted, 3 * networks) << "hardly anything was tested with finite buffers";
}

TEST(Attention, TakesTurnsWithSegmentsOfWeights)
{
    const network::Network network = network::load(network::find("bert-base"));
    config::ChipConfig chip = ideal("crossbar");
    chip.tiles = {4, 12, 16};
    Options options;
    options.images = 2;
    options.plan.time_multiplex = true;
    const trace::Trace trace = compile(network, chip, options);
    test::TraceChecks(trace, network, chip).structure();
    const MappingReport its = report(trace, network, chip);
    EXPECT_GE(its.segments, 3U); // of 1593 crossbars, 768 are there
    EXPECT_EQ(its.attention.macros, 288U);
    EXPECT_EQ(its.cells_written - its.weights_written, 2 * its.attention.cells);
    EXPECT_GE(its.writes, 2U); // an operand for each image
}

TEST(Attention, ReportsWritesAndLifetimes)
{
    const network::Network network = network::load(network::find("bert-base"));
    const std::uint64_t written = 24ULL * 128 * 768; // keys and values of 12 layers
    for (const char* way : {"vector", "crossbar", "digital"})
    {
        const config::ChipConfig chip = ideal(way);
        const MappingReport its = report(compile(network, chip), network, chip);
        const bool vector = std::string(way) == "vector";
        const bool crossbar = std::string(way) == "crossbar";
        EXPECT_EQ(its.attention.way, way);
        EXPECT_EQ(its.attention.products, 24U);
        EXPECT_EQ(its.attention.macs, 24ULL * 128 * 128 * 768);
        EXPECT_EQ(its.attention.macros, vector ? 0U : 288U);
        EXPECT_EQ(its.attention.weights, vector ? 0 : written);
        EXPECT_EQ(its.attention.energy, vector     ? 0
                                        : crossbar ? 8 * written * 10'000'000
                                                   : written * 3'200'000);
        EXPECT_EQ(its.attention.lifetime(), crossbar ? 1'000'000U : 0U);
        EXPECT_EQ(its.writes, crossbar ? 1U : 0U);
        EXPECT_EQ(its.cells_written, crossbar ? 8 * written : 0U); // 4 pairs of cells a weight
        EXPECT_EQ(its.weights_written, 0U);

        const Graph graph(network, chip);
        const Plan plan(graph, chip, schedule("xinf"), {});
        EXPECT_EQ(attention_json(attention(plan)), attention_json(its.attention));
    }
}

TEST(Attention, WhatTheChipLacksIsNamed)
{
    const network::Network network = small();
    const auto refused = [&network](const config::ChipConfig& chip)
    {
        try
        {
            (void)compile(network, chip);
        }
        catch (const InputError& error)
        {
            return error.place().pointer + ": " + error.what();
        }
        return std::string("accepted");
    };
    config::ChipConfig chip = ideal("digital");
    chip.digital.tile_columns = 0;
    EXPECT_NE(refused(chip).find("/digital/tile_columns"), std::string::npos);
    EXPECT_NE(refused(chip).find("needs 4 digital macros of 256x256, the chip has none"),
              std::string::npos)
        << refused(chip);
    EXPECT_NE(refused(chip).find("digital.tile_columns=1"), std::string::npos) << refused(chip);
    chip = ideal("digital");
    chip.tiles = {1, 2, 1};
    chip.digital.tile_columns = 1;
    EXPECT_NE(refused(chip).find("/tiles"), std::string::npos) << refused(chip);
    chip = ideal("digital");
    chip.digital.macro.weight_bits = 7;
    EXPECT_NE(refused(chip).find("/digital/weight_bits"), std::string::npos) << refused(chip);
    chip.digital.macro.weight_bits = 8;
    EXPECT_EQ(refused(chip), "accepted");
    chip.digital.macro.input_bits = 7;
    EXPECT_NE(refused(chip).find("/digital/input_bits"), std::string::npos) << refused(chip);
}

TEST(Attention, TrafficAwarePlacementKeepsKindsOfTilesApart)
{
    const network::Network network = network::load(network::find("bert-base"));
    config::ChipConfig chip = config::load("clsa-256-hybrid");
    const std::uint64_t before = report(compile(network, chip), network, chip).byte_hops;
    chip.mapping.placement = "traffic";
    const trace::Trace trace = compile(network, chip);
    test::TraceChecks(trace, network, chip).structure();
    EXPECT_LT(report(trace, network, chip).byte_hops, before);
}

} // namespace
} // namespace tessera::compiler
