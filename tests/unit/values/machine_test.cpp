// SPDX-License-Identifier: Apache-2.0
#include "values/machine.h"

#include "chip/chip.h"
#include "compiler/compiler.h"
#include "config/load.h"
#include "random_integers.h"
#include "trace/reader.h"
#include "unit/effort.h"
#include "values/comparison.h"
#include "values/reference.h"

#include <gtest/gtest.h>

/// Numbers that travel through simulated chips are those that whole-number arithmetic and a slow
/// reference say.
namespace tessera::values
{
namespace
{

using test::Dice;

config::ChipConfig a_chip(Dice& dice)
{
    config::ChipConfig chip = test::random_chip(dice);
    chip.mapping.depthwise = "vector";
    chip.macro.cell.bits = dice(1, 4);
    chip.macro.dac.bits = dice(1, 2);
    chip.macro.cell.signs = dice.pick(std::vector<std::string>{
        "differential", "differential-separate", "offset", "sign-magnitude"});
    if (chip.macro.dac.bits == 1)
    {
        chip.macro.cell.signed_inputs =
            dice.pick(std::vector<std::string>{"two-pass", "twos-complement"});
    }
    return chip;
}

compiler::Options random_options(Dice& dice)
{
    compiler::Options options;
    options.schedule = dice.pick(std::vector<std::string>{"layer-by-layer", "xinf"});
    options.plan.sets = dice.pick(std::vector<std::string>{"row", "pixel", "2x3"});
    options.plan.duplicate = dice.pick(std::vector<std::string>{"none", "greedy"});
    options.plan.extra_pes = dice(0, 8);
    options.plan.replicate_in_crossbar = dice(0, 1) == 0;
    options.images = dice(1, 2);
    return options;
}

/// What a chip did, and what it should have done.
struct Run
{
    std::vector<LayerComparison> layers;
    std::vector<std::string> poison;
    std::uint64_t outputs_missing = 0;
};

Run run_on(const config::ChipConfig& config, const trace::Trace& trace,
           const IntegerNetwork& integers, const Analogue& analogue,
           const std::vector<Map<std::int32_t>>& inputs)
{
    semantics::Effort effort;
    const std::vector<Piece> pieces =
        pieces_of(trace.header, semantics::Naming(trace.header, integers.network, effort));
    const Crossbars crossbars(integers, pieces, analogue, 1, 1);
    Machine machine(trace.header, integers, crossbars, inputs);
    trace::MemorySource source(trace);
    ActivitySink sink;
    chip::Chip chip(config, source, sink);
    chip.follow(machine);
    EXPECT_TRUE(chip::run_native(chip, [](const Progress&) { return true; }));
    Run result;
    result.layers = compare(machine, integers, inputs,
                            [&](const Map<std::int32_t>& input)
                            { return finite_noiseless(integers, pieces, analogue, input); });
    for (const Poison& poison : machine.poison())
    {
        result.poison.push_back(machine.text_of(poison));
    }
    for (const LayerComparison& its : result.layers)
    {
        const auto& outputs = integers.network.outputs;
        result.outputs_missing +=
            std::count(outputs.begin(), outputs.end(), its.layer) != 0 ? its.missing : 0;
    }
    return result;
}

struct Totals
{
    std::uint64_t elements = 0;
    std::uint64_t lossy = 0;
};

void expect_right(const Run& run, bool exact, Totals& totals)
{
    EXPECT_EQ(run.poison, std::vector<std::string>());
    EXPECT_EQ(run.outputs_missing, 0U);
    for (const LayerComparison& its : run.layers)
    {
        EXPECT_TRUE(its.from_reference && its.from_reference->equal()) << its.layer.value();
        if (exact)
        {
            EXPECT_EQ(its.from_integers.different, 0U) << its.layer.value();
        }
        totals.elements += its.elements;
        totals.lossy += its.from_integers.different;
    }
}

TEST(Machine, ComputesRandomNetworksOnCrossbars)
{
    constexpr std::uint32_t networks = tessera::test::effort(240U);
    Totals exact;
    Totals finite;
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_countable_network(dice);
        const IntegerNetwork integers = test::random_integers(dice, network);
        config::ChipConfig chip = a_chip(dice);
        const compiler::Options options = random_options(dice);
        SCOPED_TRACE("seed " + std::to_string(seed) + ' ' + options.schedule + ' ' +
                     options.plan.sets + '\n' + test::describe(network));
        const trace::Trace trace = compiler::compile(network, chip, options);
        std::vector<Map<std::int32_t>> inputs;
        for (std::uint32_t image = 0; image < options.images; ++image)
        {
            inputs.push_back(test::random_input(dice, integers));
        }
        expect_right(run_on(chip, trace, integers, lossless(analogue_of(chip)), inputs), true,
                     exact);
        chip.macro.adc.range = dice.pick(std::vector<std::string>{"full", "granular"});
        chip.macro.adc.bits = dice(2, 6);
        expect_right(run_on(chip, trace, integers, noiseless(analogue_of(chip)), inputs), false,
                     finite);
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(exact.elements, 300 * networks);
    EXPECT_GT(finite.lossy, 50 * networks) << "converters of few bits must lose something";
}

TEST(Machine, ComputesRandomNetworksInChargeAndTime)
{
    constexpr std::uint32_t networks = tessera::test::effort(48U);
    Totals exact;
    Totals finite;
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_countable_network(dice);
        const IntegerNetwork integers = test::random_integers(dice, network);
        config::ChipConfig chip = config::load("aidac");
        chip.macro.aidac.signs = dice.pick(std::vector<std::string>{"offset", "paired"});
        const compiler::Options options = random_options(dice);
        SCOPED_TRACE("seed " + std::to_string(seed) + ' ' + options.schedule + '\n' +
                     test::describe(network));
        const trace::Trace trace = compiler::compile(network, chip, options);
        std::vector<Map<std::int32_t>> inputs(options.images, test::random_input(dice, integers));
        Analogue analogue = lossless(analogue_of(chip));
        expect_right(run_on(chip, trace, integers, analogue, inputs), true, exact);
        analogue = noiseless(analogue_of(chip));
        if (dice(0, 1) == 0)
        {
            analogue = calibrated(analogue, integers, pieces_of(integers, chip),
                                  {test::random_input(dice, integers)});
        }
        expect_right(run_on(chip, trace, integers, analogue, inputs), false, finite);
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(exact.elements, 300 * networks);
    EXPECT_GT(finite.lossy, 20 * networks);
}

} // namespace
} // namespace tessera::values
