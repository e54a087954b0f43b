// SPDX-License-Identifier: Apache-2.0
#include "values/machine.h"

#include "chip/chip.h"
#include "compiler/compiler.h"
#include "config/load.h"
#include "random_integers.h"
#include "tessera/error.h"
#include "trace/reader.h"
#include "unit/effort.h"
#include "values/calibrate.h"
#include "values/comparison.h"
#include "values/reference.h"

#include <array>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <set>

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
    std::set<LayerId> grouped; ///< layers of several groups, of which one macro or more holds two
};

std::vector<Piece> pieces_of(const trace::Trace& trace, const IntegerNetwork& integers,
                             const config::ChipConfig& config)
{
    semantics::Effort effort;
    const semantics::Naming naming(trace.header, integers.network, effort);
    return values::pieces_of(trace.header, naming, config);
}

/// What is left after a run to the end.
std::unique_ptr<const Machine> machine_after(const config::ChipConfig& config,
                                             const trace::Trace& trace,
                                             const IntegerNetwork& integers,
                                             const Crossbars& crossbars,
                                             const std::vector<Map<std::int32_t>>& inputs)
{
    auto machine = std::make_unique<Machine>(trace.header, integers, config, crossbars, inputs);
    trace::MemorySource source(trace);
    ActivitySink sink;
    chip::Chip chip(config, source, sink);
    chip.follow(*machine);
    EXPECT_TRUE(chip::run_native(chip, [](const Progress&) { return true; }));
    return machine;
}

Run run_on(const config::ChipConfig& config, const trace::Trace& trace,
           const IntegerNetwork& integers, const Analogue& analogue,
           const std::vector<Map<std::int32_t>>& inputs)
{
    const std::vector<Piece> pieces = pieces_of(trace, integers, config);
    const Crossbars crossbars(integers, pieces, analogue, 1, 1);
    const auto done = machine_after(config, trace, integers, crossbars, inputs);
    const Machine& machine = *done;
    Run result;
    result.layers = compare(machine, integers, inputs,
                            [&](const Map<std::int32_t>& input)
                            {
                                auto maps = finite_noiseless(integers, pieces, analogue, input);
                                EXPECT_EQ(run(integers, input, &crossbars), maps)
                                    << "without the clock";
                                return maps;
                            });
    for (const Piece& piece : pieces)
    {
        const IntegerLayer& its = integers[piece.layer];
        if (piece.rows.size() > its.weights.rows() && its.weights.rows() != 0)
        {
            result.grouped.insert(piece.layer);
        }
    }
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
    std::uint64_t grouped = 0; ///< layers
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
    totals.grouped += run.grouped.size();
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

/// Some convolutions with groups on crossbars that have room for several groups, for one, or only
/// for a part of one.
TEST(Machine, ComputesGroupsAlongDiagonals)
{
    constexpr std::uint32_t networks = tessera::test::effort(60U);
    Totals exact;
    Totals finite;
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_grouped_network(dice);
        const IntegerNetwork integers = test::random_integers(dice, network);
        config::ChipConfig chip = a_chip(dice);
        chip.mapping.depthwise = "crossbar";
        chip.mapping.on_crossbar = {"conv2d", "dense"};
        chip.macro.rows = dice(2, 50);
        chip.macro.columns = dice(1, 12);
        const compiler::Options options = random_options(dice);
        SCOPED_TRACE("seed " + std::to_string(seed) + ' ' + options.schedule + '\n' +
                     test::describe(network));
        const trace::Trace trace = compiler::compile(network, chip, options);
        const std::vector<Map<std::int32_t>> inputs(options.images,
                                                    test::random_input(dice, integers));
        expect_right(run_on(chip, trace, integers, lossless(analogue_of(chip)), inputs), true,
                     exact);
        chip.macro.adc.range = dice.pick(std::vector<std::string>{"full", "granular"});
        chip.macro.adc.bits = dice(2, 6);
        expect_right(run_on(chip, trace, integers, noiseless(analogue_of(chip)), inputs), false,
                     finite);
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(exact.grouped, networks / 2);
    EXPECT_GT(finite.lossy, 20 * networks);
}

/// Two blocks of 4 x 3 weights in one macro.
TEST(Machine, BlocksThatShareWiresAreRefused)
{
    const auto refused =
        [](std::uint32_t row, std::uint32_t column, std::uint32_t references, bool wires)
    {
        const config::ChipConfig chip =
            config::load("tiny", wires ? std::vector<std::string>{"macro.cell.device=generic",
                                                                  "macro.cell.row_ohm=1",
                                                                  "macro.cell.column_ohm=1"}
                                       : std::vector<std::string>{});
        trace::Header header;
        header.tiles = 4;
        header.units = {{trace::UnitKind::macro, NodeId(0), 0, 0}};
        trace::Block block;
        block.row_end = 4;
        block.column_end = 3;
        block.references = references;
        block.at = UnitId(0);
        header.blocks = {block, block};
        header.blocks[1].row_at = row;
        header.blocks[1].column_at = column;
        try
        {
            check_apart(header, chip, analogue_of(chip), "a.trace.jsonl");
            return false;
        }
        catch (const InputError& error)
        {
            EXPECT_EQ(error.place().pointer, "/placement/blocks/1");
            return true;
        }
    };
    EXPECT_TRUE(refused(0, 3, 0, true));
    EXPECT_TRUE(refused(3, 3, 0, true));
    EXPECT_FALSE(refused(4, 3, 0, true)) << "along the diagonal";
    EXPECT_TRUE(refused(4, 3, 1, true));
    EXPECT_FALSE(refused(4, 4, 1, true));
    EXPECT_TRUE(refused(4, 2, 0, true));
    EXPECT_FALSE(refused(0, 2, 0, true)) << "in turns";
    EXPECT_FALSE(refused(0, 3, 0, false));
}

/// Products of two feature maps on vector units, in crossbars that the second is written into, or
/// in digital macros.
TEST(Machine, ComputesAttentionWithWrittenOperands)
{
    constexpr std::uint32_t networks = tessera::test::effort(48U);
    Totals exact;
    Totals finite;
    std::map<std::string, std::uint32_t> places;
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_attention(dice);
        config::ChipConfig chip = a_chip(dice);
        test::choose_attention(dice, chip);
        compiler::Options options = random_options(dice);
        options.plan.pack = dice(0, 2) == 0;
        if (network.layers[1].kind == network::LayerKind::input)
        {
            continue; // values go through networks with one input
        }
        SCOPED_TRACE("seed " + std::to_string(seed) + ' ' + options.schedule + ' ' +
                     chip.mapping.attention + '\n' + test::describe(network));
        ++places[chip.mapping.attention];
        const IntegerNetwork integers = test::random_integers(dice, network);
        const trace::Trace trace = compiler::compile(network, chip, options);
        std::vector<Map<std::int32_t>> inputs;
        for (std::uint32_t image = 0; image < options.images; ++image)
        {
            inputs.push_back(test::random_input(dice, integers));
        }
        expect_right(run_on(chip, trace, integers, lossless(analogue_of(chip)), inputs), true,
                     exact);
        chip.macro.adc.range =
            dice.pick(std::vector<std::string>{"full", "granular", "calibrated"});
        chip.macro.adc.bits = dice(2, 6);
        Analogue analogue = noiseless(analogue_of(chip));
        if (analogue.needs_calibration())
        {
            analogue = calibrated(analogue, integers, values::pieces_of(integers, chip),
                                  {test::random_input(dice, integers)}, 1, 1);
        }
        expect_right(run_on(chip, trace, integers, analogue, inputs), false, finite);
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(exact.elements, 300 * networks);
    EXPECT_GT(finite.lossy, 20 * networks);
    EXPECT_GE(places.size(), networks < 48 ? 1U : 3U);
    EXPECT_GT(places["crossbar"], networks / 8);
}

TEST(Machine, WrittenOperandsHaveErrorsOfTheirImageOnEverySchedule)
{
    std::uint32_t other = 0; // networks in which a second write of the same codes made a difference
    constexpr std::uint32_t networks = 12;
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        Dice dice(seed);
        network::Network network = test::random_attention(dice);
        config::ChipConfig chip = a_chip(dice);
        test::choose_attention(dice, chip);
        if (network.layers[1].kind == network::LayerKind::input)
        {
            continue;
        }
        chip.mapping.attention = "crossbar";
        chip.mapping.on_crossbar = {};
        chip.macro.cell.device = "generic";
        chip.macro.cell.bits = 2;
        SCOPED_TRACE("seed " + std::to_string(seed) + '\n' + test::describe(network));
        const IntegerNetwork integers = test::random_integers(dice, network);
        const std::vector<Map<std::int32_t>> inputs(2, test::random_input(dice, integers));
        Analogue analogue = analogue_of(chip);
        for (const numerics::Step step :
             {numerics::Step::read_noise, numerics::Step::flicker, numerics::Step::telegraph})
        {
            analogue.steps.erase(step); // of an image or time, whatever was written
        }
        std::vector<std::vector<std::int64_t>> before;
        for (const char* schedule : {"layer-by-layer", "xinf"})
        {
            compiler::Options options;
            options.schedule = schedule;
            options.plan.duplicate = "none";
            options.images = 2;
            const trace::Trace trace = compiler::compile(network, chip, options);
            const Crossbars crossbars(integers, pieces_of(trace, integers, chip), analogue, 7, 1);
            const auto machine = machine_after(chip, trace, integers, crossbars, inputs);
            std::vector<std::vector<std::int64_t>> made;
            for (std::uint32_t image = 0; image < 2; ++image)
            {
                const auto clockless = run(integers, inputs[image], &crossbars, image);
                const LayerId output = network.outputs.front();
                made.push_back(*machine->made(image, output));
                EXPECT_TRUE(std::equal(made.back().begin(), made.back().end(),
                                       clockless[output.index()].begin()))
                    << schedule << ", image " << image;
            }
            EXPECT_TRUE(before.empty() || before == made) << schedule;
            before = made;
        }
        other += before[0] != before[1] ? 1 : 0;
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(other, networks / 4);
}

/// Noise that is too slow to move is the same with and without the clock; of what moves, the time
/// of a read decides: images that are alike are computed at different times.
TEST(Machine, CellsFluctuateWithSimulatedTime)
{
    std::uint32_t moved = 0;
    std::uint32_t disturbed = 0;
    constexpr std::uint32_t networks = tessera::test::effort(16U);
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_countable_network(dice);
        const IntegerNetwork integers = test::random_integers(dice, network);
        config::ChipConfig chip = a_chip(dice);
        chip.mapping.on_crossbar = {"conv2d", "dense"};
        chip.macro.cell.device = "generic";
        chip.macro.cell.bits = 2;
        chip.macro.cell.steps = {"flicker", "telegraph"};
        SCOPED_TRACE("seed " + std::to_string(seed) + '\n' + test::describe(network));
        const std::vector<Map<std::int32_t>> inputs(2, test::random_input(dice, integers));
        compiler::Options options;
        options.schedule = dice.pick(std::vector<std::string>{"layer-by-layer", "xinf"});
        options.images = 2;
        const trace::Trace trace = compiler::compile(network, chip, options);
        const std::vector<Piece> pieces = pieces_of(trace, integers, chip);
        // Of all layers that the chip makes, image by image; then without the clock.
        const auto results = [&](double constant)
        {
            Analogue analogue = analogue_of(chip);
            analogue.device->slow.flicker = numerics::Flicker{0.2, constant, constant, 1};
            analogue.device->slow.telegraph = numerics::Telegraph{0.1, constant, constant};
            const Crossbars crossbars(integers, pieces, analogue, 7, 1);
            const auto maps = run(integers, inputs[0], &crossbars, 0);
            const auto machine = machine_after(chip, trace, integers, crossbars, inputs);
            const auto again = machine_after(chip, trace, integers, crossbars, inputs);
            std::array<std::vector<std::int64_t>, 3> all;
            for (std::uint32_t i = 0; i < integers.layers.size(); ++i)
            {
                if (machine->made(0, LayerId(i)) == nullptr)
                {
                    continue;
                }
                for (std::uint32_t image = 0; image < 2; ++image)
                {
                    const std::vector<std::int64_t>& made = *machine->made(image, LayerId(i));
                    EXPECT_EQ(*again->made(image, LayerId(i)), made) << "the second time";
                    all[image].insert(all[image].end(), made.begin(), made.end());
                }
                all[2].insert(all[2].end(), maps[i].begin(), maps[i].end());
            }
            return all;
        };
        const auto frozen = results(1e9);
        EXPECT_EQ(frozen[0], frozen[1]);
        EXPECT_EQ(frozen[0], frozen[2]);
        const auto quick = results(1e-9);
        moved += quick[0] != quick[1] ? 1 : 0;
        disturbed += frozen[0] != quick[0] ? 1 : 0;
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(disturbed, networks / 4);
    EXPECT_GT(moved, networks / 4);
}

/// A row of an operand that no one writes into its crossbar is poison for what multiplies with it.
TEST(Machine, NamesWhatWasNotWritten)
{
    std::uint32_t named = 0;
    constexpr std::uint32_t networks = 20;
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_attention(dice);
        config::ChipConfig chip = a_chip(dice);
        test::choose_attention(dice, chip);
        chip.mapping.attention = dice.pick(std::vector<std::string>{"crossbar", "digital"});
        chip.digital.tile_columns = 6;
        if (network.layers[1].kind == network::LayerKind::input)
        {
            continue;
        }
        SCOPED_TRACE("seed " + std::to_string(seed) + '\n' + test::describe(network));
        const IntegerNetwork integers = test::random_integers(dice, network);
        trace::Trace trace = compiler::compile(network, chip, {});
        const auto shorter =
            std::find_if(trace.operations.begin(), trace.operations.end(),
                         [&](const trace::Operation& operation)
                         {
                             return operation.kind == trace::OpKind::program && operation.box &&
                                    operation.box->bounds[5] - operation.box->bounds[4] > 1;
                         });
        if (shorter == trace.operations.end())
        {
            continue;
        }
        const std::uint32_t left_out = --shorter->box->bounds[5];
        const LayerId product = trace.header.blocks[shorter->block.index()].layer;
        const Crossbars crossbars(integers, pieces_of(trace, integers, chip),
                                  lossless(analogue_of(chip)), 1, 1);
        const auto machine =
            machine_after(chip, trace, integers, crossbars, {test::random_input(dice, integers)});
        ASSERT_FALSE(machine->poison().empty());
        const Poison& first = machine->poison().front();
        EXPECT_EQ(first.tensor, network[product].inputs[1]);
        EXPECT_EQ(first.missing.channel, left_out);
        EXPECT_EQ(first.layer, product);
        EXPECT_EQ(trace.operations[first.operation.index()].kind, trace::OpKind::mvm);
        ++named;
    }
    EXPECT_GT(named, networks / 4);
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
        chip.mapping.depthwise = dice.pick(std::vector<std::string>{"vector", "crossbar"});
        chip.mapping.attention = dice.pick(std::vector<std::string>{"vector", "crossbar"});
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
            analogue = calibrated(analogue, integers, values::pieces_of(integers, chip),
                                  {test::random_input(dice, integers)}, 1, 1);
        }
        expect_right(run_on(chip, trace, integers, analogue, inputs), false, finite);
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(exact.elements, 300 * networks);
    EXPECT_GT(finite.lossy, 20 * networks);
}

} // namespace
} // namespace tessera::values
