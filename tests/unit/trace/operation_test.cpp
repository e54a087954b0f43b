// SPDX-License-Identifier: Apache-2.0
#include "trace_fixture.h"

#include <set>

namespace tessera::trace
{
namespace
{

TEST(UnitNames, AreReadAndWrittenAlike)
{
    for (const char* name : {"t0.m0", "t3.m4294967295", "t3.vec", "t1.ni", "mem0", "mem1"})
    {
        const auto unit = parse_unit(name, 4, 2);
        ASSERT_TRUE(unit) << name;
        EXPECT_EQ(unit->name(4), name);
    }
    EXPECT_EQ(parse_unit("mem1", 4, 2)->node, NodeId(5));
    EXPECT_EQ(parse_unit("t3.m12", 4, 2)->position, 12U);
}

TEST(UnitNames, OfOtherChipsAndOtherTextsAreNone)
{
    for (const char* name : {"",        "t",
                             "t0",      "t4.m0",
                             "t00.m0",  "t01.m0",
                             "t0.m",    "t0.m01",
                             "t0.m0 ",  " t0.m0",
                             "t-1.m0",  "t0.m4294967296",
                             "t0.vec0", "t0.nix",
                             "t0.mem0", "mem2",
                             "mem",     "mem00",
                             "mem0.m0", "T0.m0",
                             "t0,m0",   "t99999999999999999999.m0"})
    {
        EXPECT_FALSE(parse_unit(name, 4, 2)) << name;
    }
    EXPECT_FALSE(parse_unit("t0.m0", 0, 0));
}

TEST(NodeNames, AtTheEdgesOfTheChip)
{
    EXPECT_EQ(parse_node("t3", 4, 1), NodeId(3));
    EXPECT_FALSE(parse_node("t4", 4, 1));
    EXPECT_EQ(parse_node("mem0", 4, 1), NodeId(4));
    EXPECT_FALSE(parse_node("mem1", 4, 1));
    EXPECT_FALSE(parse_node("t3.ni", 4, 1));
    EXPECT_EQ(node_name(NodeId(3), 4), "t3");
    EXPECT_EQ(node_name(NodeId(4), 4), "mem0");
}

TEST(Functions, AreFoundByName)
{
    std::set<std::string> names;
    for (std::size_t i = 0; i < functions().size(); ++i)
    {
        EXPECT_EQ(find_function(functions()[i].name), i);
        names.insert(functions()[i].name);
    }
    EXPECT_EQ(names.size(), functions().size());
    EXPECT_FALSE(find_function("x"));
    for (const char* name : {"accumulate", "relu", "mish", "concat", "softmax", "requantize"})
    {
        EXPECT_TRUE(find_function(name)) << name;
    }
}

TEST(Kinds, AreFoundByName)
{
    for (unsigned kind = 0; kind < kOpKinds; ++kind)
    {
        EXPECT_EQ(find_kind(name_of(static_cast<OpKind>(kind))), static_cast<OpKind>(kind));
    }
    EXPECT_FALSE(find_kind("mov"));
}

TEST(Clear, ForgetsEverything)
{
    Trace trace = random_trace(3);
    for (Operation& operation : trace.operations)
    {
        operation.clear();
        const Operation fresh;
        EXPECT_FALSE(operation.id.valid());
        EXPECT_TRUE(operation.in.empty() && operation.after.empty() && operation.to.empty());
        EXPECT_EQ(operation.bytes + operation.uses + operation.n + operation.release, 0U);
        EXPECT_EQ(operation.into, -1);
        EXPECT_FALSE(operation.start_hint || operation.ofm || operation.box || operation.address);
        EXPECT_FALSE(operation.block.valid() || operation.layer.valid() ||
                     operation.tensor.valid());
        EXPECT_TRUE(operation.arguments.empty());
        EXPECT_EQ(operation.image + operation.bits + operation.function, 0U);
    }
}

TEST(Finalize, SortsUnitsAndRenumbers)
{
    Trace trace;
    trace.header.tiles = 2;
    trace.header.memory_ports = 1;
    trace.header.units = {{UnitKind::memory_port, NodeId(2), 0, 9},
                          {UnitKind::network_interface, NodeId(0), 0, 9},
                          {UnitKind::macro, NodeId(1), 3, 9},
                          {UnitKind::macro, NodeId(0), 1, 9},
                          {UnitKind::vector_unit, NodeId(0), 0, 9}};
    trace.header.blocks.push_back({LayerId(), 0, 0, 1, 0, 1, UnitId(2)});
    for (const std::uint32_t at : {4U, 2U, 2U, 4U, 0U, 4U})
    {
        trace.operations.emplace_back();
        trace.operations.back().at = UnitId(at);
    }
    finalize(trace);
    std::string names;
    for (const TracedUnit& unit : trace.header.units)
    {
        names += unit.name(2) + "=" + std::to_string(unit.operations) + " ";
    }
    EXPECT_EQ(names, "t0.m1=0 t0.vec=3 t0.ni=0 t1.m3=2 mem0=1 ");
    EXPECT_EQ(trace.header.blocks[0].at, UnitId(3));
    EXPECT_EQ(trace.operations[0].at, UnitId(1));
    EXPECT_EQ(trace.operations[4].at, UnitId(4));
    EXPECT_EQ(trace.header.operations, 6U);
    EXPECT_EQ(trace.header.window, 5U); // mem0: from the header line to the fifth operation
}

TEST(Finalize, RefusesUnitsThatAreNotListed)
{
    Trace trace;
    trace.operations.emplace_back();
    trace.operations.back().at = UnitId(0);
    EXPECT_THROW(finalize(trace), InputError);
}

} // namespace
} // namespace tessera::trace
