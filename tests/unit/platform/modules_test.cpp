// SPDX-License-Identifier: Apache-2.0
// One process, one elaboration: all that is said about the SystemC side is said of one chip.
#include "unit/chip_fixture.h"

#include "chip/deadlock.h"
#include "platform/modules.h"

#include <gtest/gtest.h>

namespace tessera::platform
{
namespace
{

using chip::Chip;
namespace testing = chip::testing;

std::string attribute(const char* object, const char* name)
{
    sc_core::sc_object* const found = sc_core::sc_find_object(object);
    if (found == nullptr)
    {
        return std::string("no object ") + object;
    }
    const auto* const value =
        dynamic_cast<sc_core::sc_attribute<std::string>*>(found->get_attribute(name));
    return value == nullptr ? std::string("no attribute ") + name : value->value;
}

TEST(SystemC, TheHierarchyNamesEveryUnitAndTheResultsAreTheWheels)
{
    const config::ChipConfig config = testing::small_chip();
    testing::TraceBuilder trace(config);
    trace::Operation& load = trace.load(0, {{NodeId(0), 1}});
    load.bytes = 640;
    trace::Operation& mvm = trace.mvm(0, 1, 2);
    mvm.bytes = 100;
    mvm.uses = 1;
    mvm.in = {OpId(0)};
    trace::Operation& move = trace.move(0, {{NodeId(3), 1}});
    move.bytes = 100;
    move.in = {OpId(1)};
    trace::Operation& vec = trace.vec(3, 100);
    vec.in = {OpId(2)};
    const auto built = trace.build();
    const testing::Outcome native = testing::simulate(config, built);

    ActivitySink sink;
    testing::RecordKeeper keeper(sink);
    trace::MemorySource source(built);
    Chip chip(config, source, sink);
    const ChipModule module("chip", chip, nullptr);
    EXPECT_EQ(attribute("chip.t0.m1", "rows"), "128");
    EXPECT_EQ(attribute("chip.t0.m1", "latency"), "5154 cycles");
    EXPECT_EQ(attribute("chip.t3.vec", "lanes"), "32");
    EXPECT_EQ(attribute("chip.t3.ni", "reserve"), "3 cycles");
    EXPECT_EQ(attribute("chip.t2.buffer", "capacity"), "64 KiB");
    EXPECT_NE(sc_core::sc_find_object("chip.mem0"), nullptr);
    EXPECT_NE(sc_core::sc_find_object("chip.r3"), nullptr);
    EXPECT_NE(sc_core::sc_find_object("chip.bridge"), nullptr);

    EXPECT_TRUE(run_systemc(chip, module));
    chip.close();
    EXPECT_EQ(chip.summary().span, native.summary.span);
    EXPECT_EQ(sc_core::sc_time_stamp().value(), native.summary.span);
    ASSERT_EQ(keeper.records.size(), native.records.size());
    for (std::size_t i = 0; i < native.records.size(); ++i)
    {
        EXPECT_EQ(keeper.records[i].start, native.records[i].start);
        EXPECT_EQ(keeper.records[i].end, native.records[i].end);
    }
}

} // namespace
} // namespace tessera::platform
