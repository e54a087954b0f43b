// SPDX-License-Identifier: Apache-2.0
#include "compiler/compiler.h"
#include "config/load.h"
#include "network/network.h"
#include "trace_checks.h"

#include <gtest/gtest.h>
#include <random>

namespace tessera::compiler
{
namespace
{

struct Case
{
    const char* network;
    std::size_t crossbars; ///< of 256 x 256 for convolutions
    std::uint64_t vectors; ///< MVMs one after the other, layer by layer
};

/// Counts that follow from the published definitions of the networks; see models/networks.
constexpr Case kCases[] = {
    {"tinyyolov3", 142, 232882}, {"tinyyolov4", 117, 113061}, {"vgg16", 233, 137788},
    {"vgg19", 314, 141904},      {"resnet50", 390, 58310},    {"resnet101", 679, 68306},
    {"resnet152", 936, 85358},
};

constexpr const char* kAll[] = {"tinyyolov3", "tinyyolov4", "vgg16",     "vgg19",     "resnet18",
                                "resnet34",   "resnet50",   "resnet101", "resnet152", "mobilenetv2",
                                "lenet5",     "bert-base",  "vit-b16"};

network::Network load(const std::string& name)
{
    return network::load(network::find(name));
}

/// 1400 ns per input vector; nothing else takes time.
Tick only_mvm(const trace::Operation& operation, std::size_t /*arrival*/)
{
    return operation.kind == trace::OpKind::mvm ? Tick{1'400'000} * operation.n : 0;
}

class Ideal : public testing::TestWithParam<Case>
{
};

TEST_P(Ideal, MakespanIsTheSumOverTheConvolutions)
{
    const config::ChipConfig chip = config::load("clsa-256-ideal");
    const network::Network network = load(GetParam().network);
    const trace::Trace trace = compile(network, chip);
    EXPECT_EQ(trace.header.blocks.size(), GetParam().crossbars);

    const test::TraceChecks checks(trace, network, chip);
    checks.structure();
    const test::Simulated run = test::ListSimulator(trace, config::kUnlimited, only_mvm).run();
    checks.run(run, config::kUnlimited);
    EXPECT_EQ(run.makespan, GetParam().vectors * 1'400'000);
}

INSTANTIATE_TEST_SUITE_P(Shipped, Ideal, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.network); });

class Finite : public testing::TestWithParam<const char*>
{
};

TEST_P(Finite, NeverWaitsForSpaceWhateverTheTiming)
{
    const config::ChipConfig chip = config::load("clsa-256");
    const network::Network network = load(GetParam());
    const trace::Trace trace = compile(network, chip);
    const test::TraceChecks checks(trace, network, chip);
    checks.structure();
    for (const std::uint32_t seed : {1U, 2U})
    {
        std::mt19937 random(seed);
        const auto duration = [&random](const trace::Operation& /*operation*/, std::size_t /*k*/)
        { return Tick{random() % 8 == 0 ? random() % 1000 : random() % 10}; };
        checks.run(test::ListSimulator(trace, chip.buffer.capacity, duration).run(),
                   chip.buffer.capacity);
    }
}

INSTANTIATE_TEST_SUITE_P(Shipped, Finite, testing::ValuesIn(kAll),
                         [](const auto& info)
                         {
                             std::string name = info.param;
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

TEST(Shipped, DenseLayersOnCrossbarsCountToo)
{
    const trace::Trace trace = compile(load("vgg16"), config::load("clsa-256"));
    // 233 for the convolutions; 25088 x 4096, 4096 x 4096 and 4096 x 1000 weights
    EXPECT_EQ(trace.header.blocks.size(), 233U + 98 * 16 + 16 * 16 + 16 * 4);
}

TEST(Shipped, CompilingTwiceGivesTheSame)
{
    const config::ChipConfig chip = config::load("clsa-256");
    const trace::Trace a = compile(load("tinyyolov4"), chip);
    const trace::Trace b = compile(load("tinyyolov4"), chip);
    ASSERT_EQ(a.operations.size(), b.operations.size());
    for (std::size_t i = 0; i < a.operations.size(); ++i)
    {
        ASSERT_EQ(a.operations[i].in, b.operations[i].in);
        ASSERT_EQ(a.operations[i].after, b.operations[i].after);
        ASSERT_EQ(a.operations[i].to, b.operations[i].to);
        ASSERT_EQ(a.operations[i].at, b.operations[i].at);
        ASSERT_EQ(a.operations[i].bytes, b.operations[i].bytes);
    }
}

} // namespace
} // namespace tessera::compiler
