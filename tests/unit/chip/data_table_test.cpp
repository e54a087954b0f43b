// SPDX-License-Identifier: Apache-2.0
#include "chip/data_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace tessera::chip
{
namespace
{

class Listener : public OperandListener
{
public:
    void arrived(std::uint32_t slot) override { slots.push_back(slot); }
    std::vector<std::uint32_t> slots;
};

TEST(DataTable, ADatumLivesUntilItsLastUse)
{
    DataTable table;
    Listener listener;
    table.produce(OpId(3), NodeId(1), 100, 100, 2);
    EXPECT_EQ(table.await(OpId(3), NodeId(1), listener, 7), DataTable::Lookup::pending);
    EXPECT_EQ(table.make_available(OpId(3), NodeId(1)), 0U);
    EXPECT_EQ(listener.slots, std::vector<std::uint32_t>{7});
    EXPECT_EQ(table.await(OpId(3), NodeId(1), listener, 8), DataTable::Lookup::available);
    EXPECT_EQ(table.use(OpId(3), NodeId(1)), std::uint64_t{0});
    EXPECT_EQ(table.use(OpId(3), NodeId(1)), std::uint64_t{100});
    EXPECT_EQ(table.use(OpId(3), NodeId(1)), std::nullopt);
    EXPECT_EQ(table.live(), 0U);
}

TEST(DataTable, ADatumWithoutUsesIsFreedWhenItArrives)
{
    DataTable table;
    table.produce(OpId(3), NodeId(1), 100, 100, 0);
    EXPECT_EQ(table.make_available(OpId(3), NodeId(1)), 100U);
    EXPECT_EQ(table.live(), 0U);
}

TEST(DataTable, TheSameOperationHasOneDatumPerNode)
{
    DataTable table;
    Listener listener;
    table.produce(OpId(3), NodeId(1), 10, 10, 1);
    table.produce(OpId(3), NodeId(2), 10, 10, 1);
    static_cast<void>(table.make_available(OpId(3), NodeId(2)));
    EXPECT_EQ(table.await(OpId(3), NodeId(1), listener, 0), DataTable::Lookup::pending);
    EXPECT_EQ(table.await(OpId(3), NodeId(2), listener, 1), DataTable::Lookup::available);
}

TEST(DataTable, WhatEndedWithoutLeavingAnythingHereIsGone)
{
    DataTable table;
    Listener listener;
    table.end(OpId(0));
    EXPECT_EQ(table.await(OpId(0), NodeId(4), listener, 0), DataTable::Lookup::gone);
    EXPECT_TRUE(table.await_end(OpId(0), listener, 1));
    EXPECT_FALSE(table.await_end(OpId(1), listener, 2));
    table.end(OpId(1));
    EXPECT_EQ(listener.slots, std::vector<std::uint32_t>{2});
}

TEST(DataTable, TakenFootprintFreesNothing)
{
    DataTable table;
    table.produce(OpId(3), NodeId(1), 100, 100, 1);
    static_cast<void>(table.make_available(OpId(3), NodeId(1)));
    EXPECT_EQ(table.take_footprint(OpId(3), NodeId(1)), 100U);
    EXPECT_EQ(table.use(OpId(3), NodeId(1)), std::uint64_t{0});
}

TEST(CompletedOperations, RemembersAnyOrderOfEnding)
{
    std::vector<std::uint64_t> ids(5000);
    for (std::size_t i = 0; i < ids.size(); ++i)
    {
        ids[i] = i;
    }
    std::mt19937_64 random(1);
    std::shuffle(ids.begin(), ids.end(), random);
    CompletedOperations completed;
    for (std::size_t i = 0; i < ids.size(); ++i)
    {
        EXPECT_FALSE(completed.contains(OpId(ids[i])));
        completed.insert(OpId(ids[i]));
        EXPECT_TRUE(completed.contains(OpId(ids[i])));
    }
    EXPECT_FALSE(completed.contains(OpId(5000)));
    for (const std::uint64_t id : ids)
    {
        EXPECT_TRUE(completed.contains(OpId(id)));
    }
}

TEST(CompletedOperations, SparseIds)
{
    CompletedOperations completed;
    completed.insert(OpId(std::uint64_t{1} << 40U));
    EXPECT_TRUE(completed.contains(OpId(std::uint64_t{1} << 40U)));
    EXPECT_FALSE(completed.contains(OpId((std::uint64_t{1} << 40U) - 1)));
    EXPECT_FALSE(completed.contains(OpId(0)));
}

} // namespace
} // namespace tessera::chip
