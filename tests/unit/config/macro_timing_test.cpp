// SPDX-License-Identifier: Apache-2.0
#include "config/macro_timing.h"

#include <gtest/gtest.h>

namespace tessera::config
{
namespace
{

/// One 128 x 128 array: 128 one-bit DACs, crossbar 30 cycles, sample-and-hold 1, 2 ADCs of 10
/// cycles, shift-and-add 1, output buffer 1, 8 input slices.
ChipConfig::Macro published_macro()
{
    ChipConfig::Macro macro;
    macro.rows = 128;
    macro.columns = 128;
    macro.dac.count = 128;
    return macro;
}

TEST(MacroTiming, EveryStageItsOwnResource)
{
    const MacroTiming timing = macro_timing(published_macro());
    EXPECT_EQ(timing.slices, 8U);
    EXPECT_EQ(timing.slice_interval, Duration::of_cycles(640)); // 128 columns / 2 ADCs x 10
    EXPECT_EQ(timing.latency, Duration::of_cycles(5154));
    EXPECT_EQ(timing.interval, Duration::of_cycles(5120));
    EXPECT_EQ(timing.total(1), Duration::of_cycles(5154));
    EXPECT_EQ(timing.total(3), Duration::of_cycles(5154 + 2 * 5120));
}

TEST(MacroTiming, AReferenceColumnIsConvertedToo)
{
    auto macro = published_macro();
    const auto interval = [&](std::uint32_t columns, const char* signs)
    {
        macro.columns = columns;
        macro.cell.signs = signs;
        return macro_timing(macro).slice_interval;
    };
    // Two ADCs of 10 cycles share 126 to 130 columns of cells.
    EXPECT_EQ(interval(126, "differential"), Duration::of_cycles(630));
    EXPECT_EQ(interval(126, "offset"), Duration::of_cycles(640));
    EXPECT_EQ(interval(127, "differential"), Duration::of_cycles(640));
    EXPECT_EQ(interval(127, "offset"), Duration::of_cycles(640));
    EXPECT_EQ(interval(128, "differential"), Duration::of_cycles(640));
    EXPECT_EQ(interval(128, "offset"), Duration::of_cycles(650));
    EXPECT_EQ(interval(129, "offset"), Duration::of_cycles(650));
    macro.cells_per_weight = 4; // one reference column for all of them
    EXPECT_EQ(interval(128, "offset"), Duration::of_cycles(2570));
    macro.kind = "digital";
    EXPECT_EQ(macro.reference_columns(), 0U);
    macro.kind = "aidac"; // has references of its own
    EXPECT_EQ(macro.reference_columns(), 0U);
}

TEST(MacroTiming, GroupsAdvanceTogether)
{
    auto macro = published_macro();
    macro.pipeline.groups = {{"drive", "crossbar", "hold"}, {"convert", "shift_add", "output"}};
    const MacroTiming timing = macro_timing(macro);
    EXPECT_EQ(timing.slice_interval, Duration::of_cycles(642));
    EXPECT_EQ(timing.latency, Duration::of_cycles(5168));
    EXPECT_EQ(timing.interval, Duration::of_cycles(8 * 642));
}

TEST(MacroTiming, WithoutSampleAndHoldTheArrayIsHeldThroughConversion)
{
    auto macro = published_macro();
    macro.sample_hold.present = false;
    const MacroTiming timing = macro_timing(macro);
    EXPECT_EQ(timing.slice_interval, Duration::of_cycles(1 + 30 + 640));
    EXPECT_EQ(timing.latency, Duration::of_cycles(1 + 30 + 640 + 1 + 1 + 7 * 671));
}

struct Edge
{
    const char* name;
    void (*set)(ChipConfig::Macro&, std::uint64_t);
    std::uint64_t n;
    std::uint64_t below; ///< latency at n - 1
    std::uint64_t at;    ///< latency at n

    friend void PrintTo(const Edge& edge, std::ostream* out) { *out << edge.name; }
};

class MacroTimingEdge : public testing::TestWithParam<Edge>
{
};

TEST_P(MacroTimingEdge, OneStepChangesTheLatencyByItsShare)
{
    const Edge& edge = GetParam();
    auto macro = published_macro();
    edge.set(macro, edge.n - 1);
    EXPECT_EQ(macro_timing(macro).latency, Duration::of_cycles(edge.below));
    edge.set(macro, edge.n);
    EXPECT_EQ(macro_timing(macro).latency, Duration::of_cycles(edge.at));
}

using Macro = ChipConfig::Macro;
INSTANTIATE_TEST_SUITE_P(
    AllParameters, MacroTimingEdge,
    testing::Values(
        // 127 DACs drive 128 rows in two steps.
        Edge{"dac_count",
             [](Macro& m, std::uint64_t v) { m.dac.count = static_cast<std::uint32_t>(v); }, 128,
             5155, 5154},
        Edge{"dac_time", [](Macro& m, std::uint64_t v) { m.dac.time = Duration::of_cycles(v); }, 2,
             5154, 5155},
        // 8 bits are 3 slices of 3 bits, 2 of 4.
        Edge{"dac_bits",
             [](Macro& m, std::uint64_t v) { m.dac.bits = static_cast<std::uint32_t>(v); }, 4,
             674 + 2 * 640, 674 + 640},
        Edge{"input_bits",
             [](Macro& m, std::uint64_t v) { m.input_bits = static_cast<std::uint32_t>(v); }, 8,
             5154 - 640, 5154},
        Edge{"crossbar",
             [](Macro& m, std::uint64_t v) { m.crossbar.time = Duration::of_cycles(v); }, 30, 5153,
             5154},
        // From 641 cycles on the array, not the converters, is the bottleneck.
        Edge{"crossbar_bottleneck",
             [](Macro& m, std::uint64_t v) { m.crossbar.time = Duration::of_cycles(v); }, 641,
             1 + 640 + 1 + 640 + 2 + 7 * 640, 1 + 641 + 1 + 640 + 2 + 7 * 641},
        Edge{"hold", [](Macro& m, std::uint64_t v) { m.sample_hold.time = Duration::of_cycles(v); },
             2, 5154, 5155},
        Edge{"adc_count",
             [](Macro& m, std::uint64_t v) { m.adc.count = static_cast<std::uint32_t>(v); }, 3,
             5154, 34 + 8 * 430},
        Edge{"adc_time", [](Macro& m, std::uint64_t v) { m.adc.time = Duration::of_cycles(v); }, 10,
             34 + 8 * 576, 5154},
        Edge{"shift_add",
             [](Macro& m, std::uint64_t v) { m.shift_add.time = Duration::of_cycles(v); }, 2, 5154,
             5155},
        Edge{"output", [](Macro& m, std::uint64_t v) { m.output.time = Duration::of_cycles(v); }, 2,
             5154, 5155},
        // 129 cell columns need a 65th conversion of each ADC.
        Edge{"columns",
             [](Macro& m, std::uint64_t v) { m.columns = static_cast<std::uint32_t>(v); }, 129,
             5154, 34 + 8 * 650},
        Edge{"rows", [](Macro& m, std::uint64_t v) { m.rows = static_cast<std::uint32_t>(v); }, 129,
             5154, 5155}),
    [](const auto& info) { return info.param.name; });

TEST(MacroTiming, WholeTime)
{
    ChipConfig::Macro macro;
    macro.timed_as_whole = true;
    macro.t_mvm = Duration::of_ticks(1'400'000);
    const MacroTiming timing = macro_timing(macro);
    EXPECT_EQ(timing.latency, Duration::of_ticks(1'400'000));
    EXPECT_EQ(timing.interval, Duration::of_ticks(1'400'000));
    EXPECT_EQ(timing.total(7).ticks, 9'800'000U);
}

TEST(MacroTiming, IsaacConvertsAColumnIn781250Femtoseconds)
{
    ChipConfig::Macro macro;
    macro.clock = Clock::from_hertz(1'280'000'000);
    macro.rows = 128;
    macro.columns = 16;
    macro.cells_per_weight = 8;
    macro.input_bits = 16;
    macro.dac.count = 128;
    macro.adc.count = 1;
    macro.adc.time = Duration::of_cycles(1);
    const MacroTiming timing = macro_timing(macro);
    EXPECT_EQ(timing.slice_interval.length(macro.clock), 100'000U);
    EXPECT_EQ(timing.interval.length(macro.clock), 1'600'000U);
}

} // namespace
} // namespace tessera::config
