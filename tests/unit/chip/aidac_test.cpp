// SPDX-License-Identifier: Apache-2.0
#include "unit/chip_fixture.h"

#include "chip/aidac.h"
#include "tessera/error.h"

#include <gtest/gtest.h>

namespace tessera::chip
{
namespace
{

config::ChipConfig::Macro grid()
{
    config::ChipConfig::Macro macro;
    macro.kind = "aidac";
    macro.rows = 1024;
    macro.columns = 256;
    return macro;
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
    auto macro = grid();
    macro.rows = 896;
    EXPECT_EQ(macro_timing(aidac_design(macro)).interval, Duration::of_ticks(18'750));
    macro.rows = 897;
    EXPECT_EQ(macro_timing(aidac_design(macro)).interval, Duration::of_ticks(19'000));
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
    auto macro = grid();
    macro.aidac.model = "aidac-29nm";
    EXPECT_THROW(static_cast<void>(aidac_design(macro)), InputError);
    macro = grid();
    macro.weight_bits = 4;
    EXPECT_THROW(static_cast<void>(aidac_design(macro)), InputError);
    macro = grid();
    macro.aidac.signs = "paired";
    EXPECT_EQ(aidac_design(macro).cost.beside, 16U);
}

} // namespace
} // namespace tessera::chip
