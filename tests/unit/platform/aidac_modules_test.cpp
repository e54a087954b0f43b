// SPDX-License-Identifier: Apache-2.0
// The parts of AiDAC macros as SystemC modules. One process, one elaboration.
#include "unit/aidac_fixture.h"

#include "platform/modules.h"

namespace tessera::platform
{
namespace
{

using chip::Chip;
namespace testing = chip::testing;

class AidacModules : public testing::AidacFile
{
};

template <class Part> const Part& part_of(const std::string& name)
{
    const auto* const part = dynamic_cast<const Part*>(sc_core::sc_find_object(name.c_str()));
    if (part == nullptr)
    {
        throw std::runtime_error("there is no such module as " + name);
    }
    return *part;
}

std::string attribute(const sc_core::sc_object& object, const char* name)
{
    const auto* const value =
        dynamic_cast<const sc_core::sc_attribute<std::string>*>(object.get_attribute(name));
    return value == nullptr ? "nothing" : value->value;
}

TEST_F(AidacModules, PartsWorkWhileTheirPhasesLastAndCountAsTheWheelAloneDoes)
{
    const config::ChipConfig config = chip({{"charge_ns", 3.499}, {"digitise_ns", 0.901}});
    testing::TraceBuilder builder(config);
    builder.mvm(0, 0, 5);
    builder.mvm(0, 0, 2);
    builder.mvm(3, 1, 4);
    const auto trace = builder.build();
    const testing::Outcome native = testing::simulate(config, trace);

    ActivitySink sink;
    testing::RecordKeeper keeper(sink);
    trace::MemorySource source(trace);
    Chip chip(config, source, sink);
    const ChipModule module("chip", chip, nullptr);
    for (const char* macro : {"chip.t0.m0", "chip.t0.m1", "chip.t3.m1"})
    {
        const std::string name = macro;
        EXPECT_STREQ(part_of<AidacModule>(name).kind(), "tessera_aidac");
        EXPECT_STREQ(part_of<RowDriver>(name + ".row_driver").kind(), "tessera_row_driver");
        EXPECT_STREQ(part_of<CapacitorArray>(name + ".capacitor_array").kind(),
                     "tessera_capacitor_array");
        EXPECT_STREQ(part_of<ColumnTimeAccumulator>(name + ".column_time_accumulator").kind(),
                     "tessera_column_time_accumulator");
        EXPECT_STREQ(part_of<Tdc>(name + ".tdc").kind(), "tessera_tdc");
    }
    const auto& row_driver = part_of<RowDriver>("chip.t0.m0.row_driver");
    EXPECT_EQ(attribute(row_driver, "rows"), "512");
    EXPECT_EQ(attribute(part_of<CapacitorArray>("chip.t0.m0.capacitor_array"), "arrays"), "4");
    EXPECT_EQ(
        attribute(part_of<ColumnTimeAccumulator>("chip.t0.m0.column_time_accumulator"), "chains"),
        "66");
    EXPECT_EQ(attribute(part_of<Tdc>("chip.t0.m0.tdc"), "converters"), "64");
    EXPECT_EQ(attribute(part_of<AidacModule>("chip.t0.m0"), "model"), "variant");
    EXPECT_EQ(attribute(part_of<AidacModule>("chip.t0.m0"), "interval"), "17499 ps");
    EXPECT_EQ(row_driver.products(), 0U);

    EXPECT_TRUE(run_systemc(chip, module));
    chip.close();

    const auto counted = [](const std::string& macro, std::uint64_t products)
    {
        const auto expect = [products](const AidacPartModule& part, Tick length)
        {
            EXPECT_EQ(part.products(), products) << part.name();
            EXPECT_EQ(part.busy(), products * length) << part.name();
        };
        expect(part_of<RowDriver>(macro + ".row_driver"), 3'499);
        expect(part_of<CapacitorArray>(macro + ".capacitor_array"), 5'500);
        expect(part_of<ColumnTimeAccumulator>(macro + ".column_time_accumulator"), 8'500);
        expect(part_of<Tdc>(macro + ".tdc"), 901);
    };
    counted("chip.t0.m0", 7);
    counted("chip.t0.m1", 0);
    counted("chip.t3.m1", 4);
    // 512 rows of 40 fJ, 132 conversions of 250 and 80 fJ, 64 of 1 pJ.
    EXPECT_EQ(row_driver.energy(), 7U * 512 * 40'000);
    EXPECT_EQ(part_of<ColumnTimeAccumulator>("chip.t3.m1.column_time_accumulator").energy(),
              4U * 132 * 330'000);
    EXPECT_EQ(part_of<Tdc>("chip.t0.m0.tdc").energy(), 7U * 64 * 1'000'000);
    EXPECT_EQ(part_of<CapacitorArray>("chip.t0.m1.capacitor_array").energy(), 0U);
    // 5 intervals of 17.499 ns, to the next edge; then one interval, and the last product's
    // latency.
    EXPECT_EQ(sc_core::sc_time_stamp().value(), 88'000U + 17'499 + 18'400);
    EXPECT_EQ(chip.summary().span, native.summary.span);
    ASSERT_EQ(keeper.records.size(), native.records.size());
    for (std::size_t i = 0; i < native.records.size(); ++i)
    {
        EXPECT_EQ(keeper.records[i].start, native.records[i].start);
        EXPECT_EQ(keeper.records[i].end, native.records[i].end);
    }
}

} // namespace
} // namespace tessera::platform
