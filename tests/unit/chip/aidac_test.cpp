// SPDX-License-Identifier: Apache-2.0
#include "unit/aidac_fixture.h"

#include "config/cells.h"
#include "tessera/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace tessera::chip
{
namespace
{

config::ChipConfig grid()
{
    config::ChipConfig chip;
    chip.name = "grid";
    chip.macro.kind = "aidac";
    chip.macro.rows = 1024;
    chip.macro.columns = 256;
    return chip;
}

TEST(AidacMacro, StagesFollowEachOtherAndTheIntervalIsWhatHoldsTheCapacitors)
{
    const config::MacroTiming timing = macro_timing(aidac_design(grid()));
    ASSERT_EQ(timing.stages.size(), 6U);
    EXPECT_EQ(timing.stages[4].stage, Stage::chain);
    EXPECT_EQ(timing.stages[4].begin, Duration::of_ticks(9'000));
    EXPECT_EQ(timing.stages[4].length, Duration::of_ticks(10'000));
    EXPECT_EQ(timing.latency, Duration::of_ticks(19'900));
    EXPECT_EQ(timing.interval, Duration::of_ticks(19'000));
}

TEST(AidacMacro, OneRowMoreThanTheArraysHoldLengthensTheChain)
{
    auto chip = grid();
    chip.macro.rows = 896;
    EXPECT_EQ(macro_timing(aidac_design(chip)).interval, Duration::of_ticks(18'750));
    chip.macro.rows = 897;
    EXPECT_EQ(macro_timing(aidac_design(chip)).interval, Duration::of_ticks(19'000));
}

TEST(AidacMacro, EveryStageAtOnePicosecondLessAndAsItIs)
{
    using Model = numerics::AidacModel;
    AidacDesign design = aidac_design(grid());
    const auto timed = [&](double Model::*stage, double less)
    {
        Model model = design.model;
        model.*stage -= less;
        AidacDesign other = design;
        other.timing = numerics::aidac_timing(model, design.cost.chained);
        return macro_timing(other);
    };
    for (double Model::*stage : {&Model::charge_ns, &Model::multiply_ns, &Model::share_ns,
                                 &Model::weigh_ns, &Model::window_ns, &Model::digitise_ns})
    {
        EXPECT_EQ(timed(stage, 0.001).latency, Duration::of_ticks(19'899));
        EXPECT_EQ(timed(stage, 0).latency, Duration::of_ticks(19'900));
        const Tick held = stage == &Model::digitise_ns ? 19'000 : 18'999;
        EXPECT_EQ(timed(stage, 0.001).interval, Duration::of_ticks(held));
    }
}

TEST(AidacMacro, AModelThatDoesNotFitIsRefused)
{
    auto chip = grid();
    chip.macro.aidac.model = "aidac-29nm";
    try
    {
        static_cast<void>(aidac_design(chip));
        ADD_FAILURE() << "took an unknown model";
    }
    catch (const InputError& error)
    {
        EXPECT_EQ(std::string(error.what()),
                  "grid: /macro/aidac/model: there is no AiDAC model 'aidac-29nm'; did you mean "
                  "'aidac-28nm'? known: aidac-28nm, yoco-28nm; or give the path of a file");
    }
    chip = grid();
    chip.macro.weight_bits = 4;
    EXPECT_THROW(static_cast<void>(aidac_design(chip)), InputError);
    chip = grid();
    chip.macro.aidac.signs = "paired";
    EXPECT_EQ(aidac_design(chip).cost.beside, 16U);
}

using testing::AidacFile;

constexpr Tick kLatency = 3500 + 1500 + 2000 + 2000 + 8500 + 900; // two arrays in a chain
constexpr Tick kInterval = 17'500;

/// One after the other on macro 0 of tile 0: operations of so many vectors.
std::shared_ptr<const trace::Trace> products(const config::ChipConfig& chip,
                                             const std::vector<std::uint32_t>& counts)
{
    testing::TraceBuilder trace(chip);
    for (const std::uint32_t count : counts)
    {
        trace.mvm(0, 0, count);
    }
    return trace.build();
}

class AidacRun : public AidacFile
{
protected:
    /// With constants of aidac-28nm replaced.
    testing::Outcome run(const Constants& constants, const std::vector<std::uint32_t>& counts)
    {
        const config::ChipConfig chip = this->chip(constants);
        return testing::simulate(chip, products(chip, counts));
    }
    Tick makespan(const Constants& constants, std::uint32_t vectors)
    {
        return run(constants, {vectors}).summary.span;
    }
};

TEST_F(AidacRun, EveryPhaseOnePicosecondShorterAndAsItIs)
{
    struct Phase
    {
        const char* name;
        double value;
        bool holds; ///< the capacitors
    };
    EXPECT_EQ(makespan({}, 1), kLatency);
    EXPECT_EQ(makespan({}, 4), kLatency + 3 * kInterval);
    for (const auto& [name, value, holds] :
         {Phase{"charge_ns", 3.5, true}, Phase{"multiply_ns", 1.5, true},
          Phase{"share_ns", 2, true}, Phase{"weigh_ns", 2, true}, Phase{"window_ns", 8, true},
          Phase{"digitise_ns", 0.9, false}})
    {
        EXPECT_EQ(makespan({{name, value}}, 4), kLatency + 3 * kInterval) << name;
        EXPECT_EQ(makespan({{name, value - 0.001}}, 1), kLatency - 1) << name;
        EXPECT_EQ(makespan({{name, value - 0.001}}, 4), kLatency + 3 * kInterval - (holds ? 4 : 1))
            << name;
    }
    // Each of the two arrays adds its delay to the chain.
    EXPECT_EQ(makespan({{"vtc_delay_ns", 0.249}}, 4), kLatency + 3 * kInterval - 2 * 4);
}

TEST_F(AidacRun, EveryArrayDownTheGridAddsItsDelayToTheChain)
{
    for (std::uint32_t chained = 1; chained <= 8; ++chained)
    {
        for (const std::uint32_t rows : {128 * chained - 127, 128 * chained})
        {
            config::ChipConfig chip = this->chip({});
            chip.macro.rows = rows;
            EXPECT_EQ(testing::simulate(chip, products(chip, {1})).summary.span,
                      kLatency - 500 + 250 * chained);
        }
    }
    // A grid that is wider takes no longer.
    config::ChipConfig chip = this->chip({});
    chip.macro.columns = 1024;
    EXPECT_EQ(testing::simulate(chip, products(chip, {4})).summary.span, kLatency + 3 * kInterval);
}

TEST_F(AidacRun, ConvertersThatSampleLetTheNextProductIn)
{
    const auto sampled = [&](double weigh, double digitise)
    {
        const Constants constants{
            {"vtc_samples", 1}, {"weigh_ns", weigh}, {"digitise_ns", digitise}};
        return makespan(constants, 3) - makespan(constants, 1);
    };
    // Capacitors are held for 7 ns and weigh, the chain for 8.5 ns, whichever is longer.
    EXPECT_EQ(sampled(1.499, 0.9), 2 * 8'500U);
    EXPECT_EQ(sampled(1.5, 0.9), 2 * 8'500U);
    EXPECT_EQ(sampled(1.501, 0.9), 2 * 8'501U);
    EXPECT_EQ(sampled(1.5, 8.499), 2 * 8'500U);
    EXPECT_EQ(sampled(1.5, 8.5), 2 * 8'500U);
    EXPECT_EQ(sampled(1.5, 8.501), 2 * 8'501U);
    // Without, the chain holds them too, and only digitising goes on beside the next product.
    EXPECT_EQ(makespan({{"digitise_ns", 17.5}}, 3) - makespan({{"digitise_ns", 17.5}}, 1),
              2 * 17'500U);
    EXPECT_EQ(makespan({{"digitise_ns", 17.501}}, 3) - makespan({{"digitise_ns", 17.501}}, 1),
              2 * 17'501U);
}

TEST_F(AidacRun, TheNextOperationEntersAtTheFirstEdgeAfterTheLastInterval)
{
    const auto second = [&](double charge)
    {
        const testing::Outcome outcome = run({{"charge_ns", charge}}, {2, 1});
        EXPECT_EQ(outcome[0].start, 0U);
        EXPECT_EQ(outcome[0].end,
                  2 * kInterval + 900 + static_cast<Tick>(std::lround(2e3 * charge)) - 7000);
        return outcome[1].start;
    };
    EXPECT_EQ(second(3.499), 35'000U); // 34 998, at 1 GHz
    EXPECT_EQ(second(3.5), 35'000U);
    EXPECT_EQ(second(3.501), 36'000U);
}

TEST_F(AidacRun, EveryPartCountsItsProductsAndItsTime)
{
    const config::ChipConfig config = chip({});
    trace::MemorySource source(products(config, {5, 2}));
    ActivitySink sink;
    sink.level = ActivityLevel::stage;
    testing::Keeper<IntervalRecord> intervals(sink.intervals);
    Chip chip(config, source, sink);
    run_native(chip, nullptr);
    chip.close();

    const auto& macro = dynamic_cast<const AidacMacro&>(*chip.units()[0]);
    const Tick lengths[] = {3500, 1500 + 2000 + 2000, 8500, 900};
    for (std::size_t i = 0; i < 4; ++i)
    {
        EXPECT_EQ(macro.parts()[i].products, 7U);
        EXPECT_EQ(macro.parts()[i].busy(), 7 * lengths[i]);
    }
    EXPECT_EQ(dynamic_cast<const AidacMacro&>(*chip.units()[1]).parts()[0].products, 0U);

    // What the parts count is what the records of stages say.
    for (const AidacPart& part : macro.parts())
    {
        Tick busy = 0;
        for (const IntervalRecord& record : intervals.records)
        {
            const auto stage = static_cast<Stage>(record.stage);
            const bool its = std::count(part.stages.begin(), part.stages.end(), stage) != 0;
            busy += its && record.unit == 0 ? record.count * (record.end - record.begin) : 0;
        }
        EXPECT_EQ(busy, part.busy()) << part.name;
    }
    // Stages of one product follow each other without a gap, products one interval apart.
    Tick at = 0;
    for (const Stage stage : {Stage::charge, Stage::multiply, Stage::share, Stage::weigh,
                              Stage::chain, Stage::digitise})
    {
        const auto found = std::find_if(intervals.records.begin(), intervals.records.end(),
                                        [&](const IntervalRecord& record) {
                                            return record.operation == 0 &&
                                                   record.stage == static_cast<int>(stage);
                                        });
        ASSERT_NE(found, intervals.records.end());
        EXPECT_EQ(found->begin, at);
        EXPECT_EQ(found->count, 5U);
        EXPECT_EQ(found->period, kInterval);
        at = found->end;
    }
    EXPECT_EQ(at, kLatency);
}

TEST_F(AidacRun, VectorsThatPassReplicasTogetherAreOneProduct)
{
    config::ChipConfig config = chip({});
    config.buffer.bytes_per_cycle = config::kUnlimited; // the vectors are read all the same
    trace::Trace trace = *products(config, {7});
    trace::Block block;
    block.layer = LayerId(0);
    block.at = UnitId(0);
    block.row_end = 30;
    block.column_end = 10;
    block.replicas = 3;
    trace.header.blocks = {block};
    trace.header.tensors.push_back({});
    trace.header.layers.push_back({"layer", "dense", TensorId(0), 7});
    trace.operations[0].block = BlockId(0);
    trace::finalize(trace);
    trace::MemorySource source(std::make_shared<const trace::Trace>(trace));
    ActivitySink sink;
    Chip chip(config, source, sink);
    run_native(chip, nullptr);
    EXPECT_EQ(dynamic_cast<const AidacMacro&>(*chip.units()[0]).parts()[3].products, 3U);
    EXPECT_EQ(chip.summary().span, kLatency + 2 * kInterval);
}

std::uint64_t joules_of(const std::vector<EnergySummary>& energy)
{
    std::uint64_t sum = 0;
    for (const EnergySummary& term : energy)
    {
        sum += term.attojoules;
    }
    return sum;
}

TEST_F(AidacRun, EnergiesOfPartsAddUpToThoseOfTheChip)
{
    const config::ChipConfig config = chip({});
    testing::TraceBuilder builder(config);
    builder.mvm(0, 0, 5);
    builder.mvm(0, 0, 2);
    builder.mvm(3, 1, 4);
    trace::MemorySource source(builder.build());
    ActivitySink sink;
    Chip chip(config, source, sink);
    EXPECT_EQ(joules_of(chip.summary(0).energy), 0U);
    run_native(chip, nullptr);

    const std::vector<EnergySummary> energy = chip.summary().energy;
    ASSERT_EQ(energy.size(), 8U);
    const auto term = [&](const std::string& component)
    {
        const auto found =
            std::find_if(energy.begin(), energy.end(),
                         [&](const EnergySummary& one) { return one.component == component; });
        return found == energy.end() ? 0 : found->attojoules;
    };
    // 4 arrays of 128 rows and 33 groups of 8 columns; 40 fJ a row and so on, in aJ.
    EXPECT_EQ(term("row_drivers"), 11U * 512 * 40'000);
    EXPECT_EQ(term("voltage_to_time"), 11U * 4 * 33 * 250'000);
    EXPECT_EQ(term("accumulators"), 11U * 4 * 33 * 80'000);
    EXPECT_EQ(term("time_to_digital"), 11U * 64 * 1'000'000);
    EXPECT_EQ(term("control"), 11U * 4 * 2'000'000);
    EXPECT_EQ(term("static_while_computing"), 11U * 4 * 875'000); // 50 uW for 17.5 ns
    EXPECT_EQ(term("switches"), 11U * 512 * 264 * 243);           // 0.3 fF at 0.9 V
    // 256 cells a row but the first unit, at half of full scale: 2.65 fF at 0.9 V each.
    EXPECT_NEAR(static_cast<double>(term("capacitors")), 11.0 * 512 * 255 * 0.5 * 2.65e3 * 0.81,
                11);

    std::uint64_t parts = 0;
    for (const UnitId macro : {chip.macro(TileId(0), 0), chip.macro(TileId(3), 1)})
    {
        for (const AidacPart& part :
             dynamic_cast<const AidacMacro&>(*chip.units()[macro.index()]).parts())
        {
            EXPECT_GT(part.energy(), 0U) << part.name;
            parts += part.energy();
        }
    }
    EXPECT_EQ(parts + term("control") + term("static_while_computing"), joules_of(energy));
}

TEST_F(AidacRun, EnergyGrowsWithTheConstantsOfItsComponentOnly)
{
    const auto energy = [&](const Constants& constants)
    { return run(constants, {3}).summary.energy; };
    const std::vector<EnergySummary> before = energy({});
    for (const auto& [constant, value, component] :
         {std::tuple("driver_fJ", 80.0, "row_drivers"), std::tuple("switch_fF", 0.6, "switches"),
          std::tuple("unit_fF", 5.3, "capacitors"), std::tuple("vtc_fJ", 500.0, "voltage_to_time"),
          std::tuple("accumulator_fJ", 160.0, "accumulators"),
          std::tuple("tdc_fJ", 2000.0, "time_to_digital"),
          std::tuple("control_fJ", 4000.0, "control"),
          std::tuple("static_uW", 100.0, "static_while_computing")})
    {
        const std::vector<EnergySummary> after = energy({{constant, value}});
        ASSERT_EQ(after.size(), before.size());
        for (std::size_t i = 0; i < after.size(); ++i)
        {
            const std::uint64_t factor = after[i].component == component ? 2 : 1;
            EXPECT_NEAR(static_cast<double>(after[i].attojoules),
                        static_cast<double>(factor * before[i].attojoules), 3)
                << constant << ' ' << after[i].component;
        }
    }
    EXPECT_TRUE(testing::simulate(testing::small_chip(), products(testing::small_chip(), {3}))
                    .summary.energy.empty());
}

TEST_F(AidacRun, PartsSayHowManyThereAre)
{
    const config::ChipConfig config = chip({});
    trace::MemorySource source(products(config, {1}));
    ActivitySink sink;
    Chip chip(config, source, sink);
    const auto& parts = dynamic_cast<const AidacMacro&>(*chip.units()[0]).parts();
    using ::testing::Contains;
    using ::testing::Pair;
    // 2 arrays on top of each other, 2 beside; 33 groups of 8 bit columns in each.
    EXPECT_THAT(parts[0].parameters, Contains(Pair("rows", "512")));
    EXPECT_THAT(parts[1].parameters, Contains(Pair("arrays", "4")));
    EXPECT_THAT(parts[1].parameters, Contains(Pair("cells", std::to_string(512 * 33 * 8))));
    EXPECT_THAT(parts[2].parameters, Contains(Pair("chains", "66")));
    EXPECT_THAT(parts[2].parameters, Contains(Pair("conversions", "132")));
    EXPECT_THAT(parts[3].parameters, Contains(Pair("converters", "64")));
    EXPECT_THAT(parts[3].parameters, Contains(Pair("bits", "8")));
}

/// What writes count and what the model's arrays have, but for a reference of each array.
TEST(AidacCells, AreThoseThatAreWrittenAndReferences)
{
    for (const char* const signs : {"offset", "paired"})
    {
        config::ChipConfig chip = grid();
        chip.macro.aidac.signs = signs;
        const AidacDesign design = aidac_design(chip);
        const std::uint64_t written =
            chip.macro.rows * config::cells_in_row(chip.macro, chip.macro.columns);
        EXPECT_EQ(written + design.cost.rows * chip.macro.weight_bits, design.cost.cells) << signs;
    }
}

} // namespace
} // namespace tessera::chip
