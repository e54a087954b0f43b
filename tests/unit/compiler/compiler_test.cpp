// SPDX-License-Identifier: Apache-2.0
#include "compiler/compiler.h"

#include "compiler/graph.h"
#include "network/network.h"
#include "tessera/error.h"
#include "trace_checks.h"

#include <algorithm>
#include <functional>
#include <gtest/gtest.h>

namespace tessera::compiler
{
namespace
{

using trace::Operation;
using trace::OpKind;

/// `layers`: JSON objects without the brackets around them.
network::Network network_of(const std::string& layers)
{
    return network::parse(R"({"name":"small","layers":[)" + layers + "]}", "small.json");
}

constexpr const char* kImage = R"({"name":"image","kind":"input","shape":[4,4,3]},)";
constexpr const char* kConv =
    R"({"name":"conv","kind":"conv2d","channels":8,"kernel":3,"padding":"same"})";

config::ChipConfig chip_of(std::uint32_t rows, std::uint32_t columns, std::uint32_t macros)
{
    config::ChipConfig chip;
    chip.name = "chip";
    chip.tiles = {2, 2, macros};
    chip.macro.rows = rows;
    chip.macro.columns = columns;
    chip.buffer.capacity = config::kUnlimited;
    return chip;
}

std::vector<Operation> of_kind(const trace::Trace& trace, OpKind kind)
{
    std::vector<Operation> found;
    for (const Operation& operation : trace.operations)
    {
        if (operation.kind == kind)
        {
            found.push_back(operation);
        }
    }
    return found;
}

std::string unit_of(const trace::Trace& trace, const Operation& operation)
{
    return trace.header.units[operation.at.index()].name(trace.header.tiles);
}

void expect_sound(const trace::Trace& trace, const network::Network& network,
                  const config::ChipConfig& chip)
{
    const test::TraceChecks checks(trace, network, chip);
    checks.structure();
    checks.values();
    const auto duration = [](const Operation& operation, std::size_t k)
    { return Tick{1 + (operation.id.value() * 7 + k * 3) % 11}; };
    checks.run(test::ListSimulator(trace, chip.buffer.capacity, duration).run(),
               chip.buffer.capacity);
}

/// Expects `call` to throw an InputError at `pointer` whose message contains all of `parts`.
void expect_refused(const std::function<void()>& call, const std::string& pointer,
                    const std::vector<std::string>& parts)
{
    try
    {
        call();
        FAIL() << "accepted";
    }
    catch (const InputError& error)
    {
        EXPECT_EQ(error.place().pointer, pointer);
        for (const std::string& part : parts)
        {
            EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
        }
    }
}

TEST(Compiler, OneLayerByHand)
{
    // 27 x 8 weights in 16 x 4 macros: blocks of 16 and 11 rows for each half of the channels.
    const network::Network network = network_of(std::string(kImage) + kConv);
    const config::ChipConfig chip = chip_of(16, 4, 2);
    const trace::Trace trace = compile(network, chip);
    expect_sound(trace, network, chip);

    ASSERT_EQ(trace.header.blocks.size(), 4U);
    EXPECT_EQ(trace.header.units[trace.header.blocks[3].at.index()].name(4), "t1.m1");
    EXPECT_EQ(trace.header.layers[1].vectors, 16U);
    EXPECT_EQ(trace.header.tensors[1].bytes(), 128U);

    const auto loads = of_kind(trace, OpKind::load);
    ASSERT_EQ(loads.size(), 4U); // rows of the image
    EXPECT_EQ(loads[0].bytes, 12U);
    // Row 0: both blocks for result row 0, the first (kernel rows 0 and 1) for row 1.
    // Row 1: the second for row 0, both for row 1, the first for row 2.
    ASSERT_EQ(loads[0].to.size(), 2U);
    EXPECT_EQ(loads[0].to[0].uses, 3U);
    EXPECT_EQ(loads[1].to[1].uses, 4U);

    const auto mvms = of_kind(trace, OpKind::mvm);
    ASSERT_EQ(mvms.size(), 16U);
    EXPECT_EQ(mvms[0].n, 4U);
    EXPECT_EQ(mvms[0].bits, 8 + 8 + 4); // sum of 16 products
    EXPECT_EQ(mvms[0].bytes, 4U * 4 * 20 / 8);
    EXPECT_EQ(mvms[0].uses, 1U);

    const auto sums = of_kind(trace, OpKind::vec);
    ASSERT_EQ(sums.size(), 8U);
    EXPECT_EQ(unit_of(trace, sums[1]), "t1.vec");
    EXPECT_EQ(sums[0].in.size(), 2U);
    EXPECT_EQ(sums[0].n, 4U * 4 * 2);
    EXPECT_EQ(sums[0].bytes, 16U);
    EXPECT_EQ(sums[0].bits, 8);

    EXPECT_EQ(of_kind(trace, OpKind::store).size(), 8U);
    EXPECT_EQ(of_kind(trace, OpKind::move).size(), 0U);
    EXPECT_EQ(trace.operations.size(), 4U + 16 + 8 + 8);
}

TEST(Compiler, PartialSumsOfAnotherTileAreAddedUpThereAndTravelOnce)
{
    // 27 rows in blocks of 7: two of them in tile 0, two in tile 1.
    const network::Network network = network_of(std::string(kImage) + kConv);
    const config::ChipConfig chip = chip_of(7, 8, 2);
    const trace::Trace trace = compile(network, chip);
    expect_sound(trace, network, chip);

    const auto moves = of_kind(trace, OpKind::move);
    ASSERT_EQ(moves.size(), 4U); // one per row
    EXPECT_EQ(unit_of(trace, moves[0]), "t1.ni");
    EXPECT_EQ(moves[0].to[0].at, NodeId(0));
    EXPECT_EQ(moves[0].bits, 8 + 8 + 3 + 1); // two sums of 7 products
    EXPECT_EQ(moves[0].bytes, 4U * 8 * 20 / 8);
    const auto sums = of_kind(trace, OpKind::vec);
    ASSERT_EQ(sums.size(), 8U);
    EXPECT_EQ(unit_of(trace, sums[0]), "t1.vec");
    EXPECT_EQ(sums[0].bits, 20);
    EXPECT_EQ(unit_of(trace, sums[1]), "t0.vec");
    EXPECT_EQ(sums[1].in.size(), 3U);
    EXPECT_EQ(sums[1].bits, 8);
}

TEST(Compiler, ASinglePartialSumTravelsAsItIs)
{
    const network::Network network = network_of(std::string(kImage) + kConv);
    const config::ChipConfig chip = chip_of(14, 8, 1);
    const trace::Trace trace = compile(network, chip);
    expect_sound(trace, network, chip);
    EXPECT_EQ(of_kind(trace, OpKind::vec).size(), 4U);
    const auto moves = of_kind(trace, OpKind::move);
    ASSERT_EQ(moves.size(), 4U);
    EXPECT_EQ(trace.operations[moves[0].in[0].index()].kind, OpKind::mvm);
}

TEST(Compiler, ResultsGoToEveryTileThatReadsThemInOneMove)
{
    // The second convolution has one block in each of tiles 1, 2 and 3.
    const network::Network network =
        network_of(std::string(kImage) + kConv +
                   R"(,{"name":"next","kind":"conv2d","channels":24,"kernel":1,"stride":[2,1]})");
    const config::ChipConfig chip = chip_of(27, 8, 1);
    const trace::Trace trace = compile(network, chip);
    expect_sound(trace, network, chip);
    const auto moves = of_kind(trace, OpKind::move);
    ASSERT_EQ(moves.size(), 2U); // the stride skips every other row
    for (std::size_t i = 0; i < 2; ++i)
    {
        EXPECT_EQ(moves[i].ofm->bounds[0], 2 * i);
        ASSERT_EQ(moves[i].to.size(), 3U);
        for (std::uint32_t k = 0; k < 3; ++k)
        {
            EXPECT_EQ(moves[i].to[k].at, NodeId(k + 1));
            EXPECT_EQ(moves[i].to[k].uses, 1U);
        }
    }
}

TEST(Compiler, ActivationAndBatchNormAreFusedOnlyIntoAConvolutionThatNobodyElseReads)
{
    const config::ChipConfig chip = chip_of(32, 8, 2);
    const std::string relu = R"(,{"name":"relu","kind":"activation","function":"relu"})";
    const network::Network fused = network_of(std::string(kImage) + kConv + relu);
    EXPECT_EQ(Graph(fused, chip).role(LayerId(2)), Role::fused);
    const trace::Trace trace = compile(fused, chip);
    expect_sound(trace, fused, chip);
    EXPECT_EQ(of_kind(trace, OpKind::vec).size(), 4U);
    // What is stored is the activation's output.
    EXPECT_EQ(of_kind(trace, OpKind::store).front().tensor, TensorId(2));
    EXPECT_EQ(trace.header.layers[1].output, TensorId(2));

    const network::Network shared =
        network_of(std::string(kImage) + kConv + relu +
                   R"(,{"name":"sum","kind":"add","inputs":["relu","conv"]})");
    EXPECT_EQ(Graph(shared, chip).role(LayerId(2)), Role::vector);
    expect_sound(compile(shared, chip), shared, chip);
}

TEST(Compiler, ViewsMakeNoOperations)
{
    const network::Network network = network_of(std::string(kImage) + kConv +
                                                R"(,{"name":"half","kind":"split","range":[4,8]},
            {"name":"both","kind":"concat","inputs":["half","conv"]},
            {"name":"wide","kind":"pad","padding":1},
            {"name":"flat","kind":"reshape","shape":[1,1,432]},
            {"name":"fc","kind":"dense","channels":2})");
    const config::ChipConfig chip = chip_of(64, 8, 8);
    const trace::Trace trace = compile(network, chip);
    expect_sound(trace, network, chip);
    for (const Operation& operation : trace.operations)
    {
        EXPECT_TRUE(operation.layer == LayerId(1) || operation.layer == LayerId(6));
    }
}

TEST(Compiler, GroupedConvolutionsRunOnVectorUnits)
{
    const network::Network network =
        network_of(std::string(kImage) + kConv +
                   R"(,{"name":"depthwise","kind":"conv2d","channels":8,"kernel":3,
                        "padding":"same","groups":8})");
    const config::ChipConfig chip = chip_of(32, 8, 2);
    const trace::Trace trace = compile(network, chip);
    expect_sound(trace, network, chip);
    EXPECT_EQ(trace.header.blocks.size(), 1U);
    EXPECT_EQ(trace.header.layers[2].vectors, 0U);
    const auto vecs = of_kind(trace, OpKind::vec);
    ASSERT_EQ(vecs.size(), 8U);
    EXPECT_EQ(vecs.back().n, 4U * 8 * 9); // multiply-accumulates of a row
    EXPECT_STREQ(trace::functions()[vecs.back().function].name, "conv2d");
}

TEST(Compiler, NetworksWithoutCrossbarLayersRunOnVectorUnits)
{
    const network::Network network =
        network_of(std::string(kImage) + R"({"name":"pool","kind":"max_pool","kernel":2})");
    const config::ChipConfig chip = chip_of(32, 8, 2);
    const trace::Trace trace = compile(network, chip);
    expect_sound(trace, network, chip);
    EXPECT_EQ(of_kind(trace, OpKind::vec).size(), 2U);
    EXPECT_EQ(of_kind(trace, OpKind::vec)[0].n, 2U * 3 * 4);
}

TEST(Compiler, ImagesFollowOneAnother)
{
    const network::Network network = network_of(std::string(kImage) + kConv);
    const config::ChipConfig chip = chip_of(16, 4, 2);
    Options options;
    options.images = 3;
    const trace::Trace trace = compile(network, chip, options);
    expect_sound(trace, network, chip);
    const trace::Trace one = compile(network, chip);
    EXPECT_EQ(trace.operations.size(), 3 * one.operations.size());
    EXPECT_EQ(trace.operations.back().image, 2U);
}

TEST(Compiler, RowsTakeTurnsAtTheMemoryPorts)
{
    const network::Network network = network_of(std::string(kImage) + kConv);
    config::ChipConfig chip = chip_of(32, 8, 1);
    chip.memory.ports = 3;
    const trace::Trace trace = compile(network, chip);
    expect_sound(trace, network, chip);
    const auto loads = of_kind(trace, OpKind::load);
    const auto stores = of_kind(trace, OpKind::store);
    ASSERT_EQ(loads.size(), 4U);
    ASSERT_EQ(stores.size(), 4U);
    for (std::size_t row = 0; row < 4; ++row)
    {
        EXPECT_EQ(unit_of(trace, loads[row]), "mem" + std::to_string(row % 3));
        EXPECT_EQ(stores[row].to[0].at, NodeId(4 + static_cast<std::uint32_t>(row % 3)));
    }
}

TEST(Compiler, TensorsStayOnTheChipWhereThereIsSpaceForThem)
{
    const network::Network network =
        network_of(R"({"name":"image","kind":"input","shape":[16,16,4]},
                      {"name":"a","kind":"conv2d","channels":4,"kernel":3,"padding":"same"},
                      {"name":"b","kind":"conv2d","channels":4,"kernel":3,"padding":"same"})");
    config::ChipConfig chip = chip_of(36, 4, 1);
    // The output of a is 1024 bytes; the stages themselves take a few rows of 64.
    chip.buffer.capacity = 4096;
    const trace::Trace roomy = compile(network, chip);
    expect_sound(roomy, network, chip);
    EXPECT_EQ(of_kind(roomy, OpKind::store).size(), 16U); // rows of the result only
    EXPECT_EQ(of_kind(roomy, OpKind::move).size(), 16U);
    EXPECT_EQ(of_kind(roomy, OpKind::load).size(), 16U);

    chip.buffer.capacity = 1024;
    const trace::Trace tight = compile(network, chip);
    expect_sound(tight, network, chip);
    const auto of_first = [](const std::vector<Operation>& operations)
    {
        return std::count_if(operations.begin(), operations.end(),
                             [](const Operation& operation)
                             { return operation.tensor == TensorId(1); });
    };
    EXPECT_GE(of_first(of_kind(tight, OpKind::store)), 16);
    EXPECT_EQ(of_first(of_kind(tight, OpKind::load)), of_first(of_kind(tight, OpKind::store)));
    EXPECT_EQ(of_kind(tight, OpKind::move).size(), 0U);
}

TEST(Compiler, TheSmallestBufferThatIsAcceptedIsEnough)
{
    const network::Network network = network_of(std::string(kImage) + kConv +
                                                R"(,{"name":"pool","kind":"max_pool","kernel":2},
                       {"name":"fc","kind":"dense","channels":5})");
    config::ChipConfig chip = chip_of(16, 4, 3);
    const auto accepted = [&](std::uint64_t capacity)
    {
        chip.buffer.capacity = capacity;
        try
        {
            (void)compile(network, chip);
            return true;
        }
        catch (const InputError&)
        {
            return false;
        }
    };
    std::uint64_t smallest = 1;
    while (!accepted(smallest))
    {
        ++smallest;
        ASSERT_LT(smallest, 10'000U);
    }
    chip.buffer.capacity = smallest;
    expect_sound(compile(network, chip), network, chip);
    chip.buffer.capacity = smallest - 1;
    expect_refused([&] { (void)compile(network, chip); }, "/buffer/capacity",
                   {std::to_string(smallest - 1) + " bytes", "takes " + std::to_string(smallest),
                    "layer '", "raise it"});
}

TEST(Compiler, TooFewMacrosAreReportedWithTheShortfall)
{
    const network::Network network = network_of(std::string(kImage) + kConv);
    EXPECT_NO_THROW((void)compile(network, chip_of(27, 2, 1))); // 4 blocks, 4 macros
    expect_refused(
        [&] { (void)compile(network, chip_of(26, 2, 1)); }, "/tiles",
        {"chip: /tiles", "'small' needs 8 macros of 26x2, the chip has 4", "4 are missing"});
}

TEST(Compiler, AVectorOperationOfMoreThan32BitsIsRefused)
{
    config::ChipConfig chip = chip_of(27, 8, 1);
    chip.mapping.on_crossbar = {"conv2d"};
    const auto dense = [&](const std::string& channels)
    {
        const network::Network network =
            network_of(R"({"name":"image","kind":"input","shape":[1,1,65536]},
                          {"name":"fc","kind":"dense","channels":)" +
                       channels + "}");
        (void)compile(network, chip);
    };
    EXPECT_NO_THROW(dense("65535"));
    expect_refused([&] { dense("65536"); }, "/layers/fc", {"4294967296 elements", "crossbars"});
}

TEST(Compiler, WhatItCannotDoIsRefused)
{
    const network::Network network = network_of(std::string(kImage) + kConv);
    const auto with = [&](const std::function<void(config::ChipConfig&)>& change)
    {
        config::ChipConfig chip = chip_of(27, 8, 1);
        change(chip);
        return [chip, &network] { (void)compile(network, chip); };
    };
    expect_refused(with(
                       [](auto& chip) {
                           chip.mapping.on_crossbar = {"conv2d", "matmul"};
                       }),
                   "/mapping/on_crossbar/1", {"'matmul'", "list conv2d, dense or both"});
    expect_refused(with([](auto& chip) { chip.mapping.placement = "spiral"; }),
                   "/mapping/placement", {"'spiral'", "use row-major"});
    expect_refused(with([](auto& chip) { chip.macro.input_bits = 7; }), "/macro/input_bits",
                   {"is 7", "8 bits", "raise it"});
    expect_refused(with([](auto& chip) { chip.macro.weight_bits = 4; }), "/macro/weight_bits",
                   {"is 4"});
    Options options;
    options.schedule = "backwards";
    EXPECT_THROW((void)compile(network, chip_of(27, 8, 1), options), UsageError);
    options = {};
    options.images = 0;
    EXPECT_THROW((void)compile(network, chip_of(27, 8, 1), options), UsageError);
}

TEST(Compiler, DeepChainsOfViewsAndVectorLayersAreNoProblem)
{
    std::string layers = R"({"name":"image","kind":"input","shape":[1,1,1]})";
    std::string before = "image";
    for (int i = 0; i < 30'000; ++i)
    {
        const std::string name = "l" + std::to_string(i);
        layers += ",{\"name\":\"" + name + "\",";
        if (i < 10'000)
        {
            layers += R"("kind":"pad","padding":0})";
        }
        else if (i < 20'000)
        {
            layers += R"("kind":"concat","inputs":["image",")" + before + "\"]}";
        }
        else
        {
            layers += R"("kind":"upsample","scale":1})";
        }
        before = name;
    }
    const network::Network network = network_of(layers);
    const config::ChipConfig chip = chip_of(27, 8, 1);
    const trace::Trace trace = compile(network, chip);
    EXPECT_EQ(of_kind(trace, OpKind::vec).size(), 10'000U);
    EXPECT_EQ(of_kind(trace, OpKind::load).size(), 1U);
}

} // namespace
} // namespace tessera::compiler
