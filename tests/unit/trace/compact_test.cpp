// SPDX-License-Identifier: Apache-2.0
#include "trace/compact.h"

#include "tessera/error.h"
#include "trace/line_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace tessera::trace
{
namespace
{

/// Two units of a tile, not sorted.
Header two_units()
{
    Header header;
    header.tiles = 4;
    header.memory_ports = 1;
    header.units = {{UnitKind::network_interface, NodeId(2), 0, 0},
                    {UnitKind::vector_unit, NodeId(2), 0, 0}};
    header.tensors = {{"t", 8, 8, 8, 8}};
    header.layers = {{"l", "add", TensorId(0), 0, 8}};
    return header;
}

std::vector<std::string> lines(const Header& header, const std::vector<Operation>& operations)
{
    LineFormat format(header);
    std::vector<std::string> result;
    for (const Operation& operation : operations)
    {
        std::string text;
        format.append(text, operation);
        result.push_back(text);
    }
    return result;
}

/// The same trace made in both ways, from dice: lists are shared, destinations and edges come late.
class Pair
{
public:
    explicit Pair(std::uint32_t seed) : random_(seed)
    {
        full_.header = compact_.header = two_units();
        for (int i = 0; i < 200; ++i)
        {
            add();
        }
        for (int i = 0; i < 300; ++i)
        {
            add_late();
        }
        finalize(full_);
        finalize(compact_);
    }
    [[nodiscard]] const Trace& full() const { return full_; }
    [[nodiscard]] const CompactTrace& compact() const { return compact_; }

private:
    std::uint32_t dice(std::uint32_t below)
    {
        return static_cast<std::uint32_t>(random_() % below);
    }
    void add()
    {
        Operation whole;
        CompactOperation part;
        whole.id = OpId(full_.operations.size());
        whole.kind = part.kind = dice(2) == 0 ? OpKind::vec : OpKind::move;
        whole.at = part.at = UnitId(whole.kind == OpKind::vec ? 1 : 0);
        whole.layer = part.layer = LayerId(0);
        whole.bytes = part.bytes = 1 + dice(100);
        whole.n = part.n = whole.kind == OpKind::vec ? 1 + dice(9) : 0;
        whole.bits = part.bits = 8;
        whole.image = part.image = dice(3);
        if (dice(3) != 0)
        {
            part.box = {{0, 1 + dice(8), 0, 1, 0, 8}};
            part.has_ofm = true;
            whole.ofm = part.box;
        }
        if (whole.kind == OpKind::vec && dice(2) == 0)
        {
            whole.function = part.function = *find_function("softmax");
            whole.arguments = {{"axis", dice(3)}};
            part.arguments = compact_.add_arguments(whole.arguments);
        }
        std::vector<CompactTrace::List> read;
        for (std::uint32_t k = dice(3); k > 0; --k)
        {
            read.push_back(list());
            const std::vector<OpId>& ids = lists_[read.back().index()];
            whole.in.insert(whole.in.end(), ids.begin(), ids.end());
        }
        full_.operations.push_back(whole);
        EXPECT_EQ(compact_.push(part, read.data(), read.size()), whole.id);
    }
    /// An old one or a new one.
    CompactTrace::List list()
    {
        if (!lists_.empty() && dice(2) == 0)
        {
            return CompactTrace::List(dice(static_cast<std::uint32_t>(lists_.size())));
        }
        std::vector<OpId> ids;
        const auto made = static_cast<std::uint32_t>(full_.operations.size());
        for (std::uint32_t k = made == 0 ? 0 : dice(5); k > 0; --k)
        {
            ids.emplace_back(dice(made));
        }
        lists_.push_back(ids);
        return compact_.add_list(ids);
    }
    void add_late()
    {
        const OpId id(dice(200));
        if (dice(2) == 0)
        {
            const NodeId at(dice(4));
            EXPECT_EQ(compact_.arrives_at(compact_[id], at), arrives_at(id, at));
            full_.operations[id.index()].to.push_back({at, 0});
            compact_.add_destination(id, at);
        }
        else
        {
            const OpId before(dice(200));
            full_.operations[id.index()].after.push_back(before);
            compact_.add_after(id, before);
        }
    }
    [[nodiscard]] bool arrives_at(OpId id, NodeId at) const
    {
        const auto& to = full_.operations[id.index()].to;
        return std::any_of(to.begin(), to.end(), [at](const Destination& d) { return d.at == at; });
    }

    std::mt19937 random_;
    Trace full_;
    CompactTrace compact_;
    std::vector<std::vector<OpId>> lists_;
};

TEST(CompactTrace, ExpandsToWhatWasPutIn)
{
    for (std::uint32_t seed = 0; seed < 20; ++seed)
    {
        const Pair pair(seed);
        const Trace expanded = pair.compact().expanded();
        EXPECT_EQ(lines(expanded.header, expanded.operations),
                  lines(pair.full().header, pair.full().operations));
        EXPECT_EQ(expanded.header.operations, pair.full().header.operations);
        EXPECT_EQ(expanded.header.window, pair.full().header.window);
        for (std::size_t unit = 0; unit < expanded.header.units.size(); ++unit)
        {
            EXPECT_EQ(expanded.header.units[unit].operations,
                      pair.full().header.units[unit].operations);
        }
    }
}

/// Every second operation adds up what the ones before it have made.
CompactTrace sums(std::size_t operations)
{
    CompactTrace trace;
    trace.header = two_units();
    std::vector<OpId> made;
    for (std::size_t i = 0; i < operations; ++i)
    {
        CompactOperation operation;
        operation.kind = made.empty() || i % 2 == 0 ? OpKind::vec : OpKind::move;
        operation.at = UnitId(operation.kind == OpKind::vec ? 1 : 0);
        operation.n = operation.kind == OpKind::vec ? 1 : 0;
        operation.layer = LayerId(0);
        operation.bytes = 8;
        const std::vector<OpId> in =
            operation.kind == OpKind::vec ? made : std::vector<OpId>{made.back()};
        const OpId id = trace.push(operation, trace.add_list(in));
        if (operation.kind == OpKind::move)
        {
            trace.add_destination(id, NodeId(3));
        }
        else
        {
            made.push_back(id);
        }
    }
    finalize(trace);
    return trace;
}

TEST(CompactTrace, ASourceGivesEachUnitItsOperationsInOrderAndAgainAfterARewind)
{
    const CompactTrace trace = sums(40);
    const Trace full = trace.expanded();
    CompactSource source(std::make_shared<const CompactTrace>(trace));
    for (std::uint32_t unit = 0; unit < 2; ++unit)
    {
        std::vector<Operation> wanted;
        std::copy_if(full.operations.begin(), full.operations.end(), std::back_inserter(wanted),
                     [unit](const Operation& operation) { return operation.at == UnitId(unit); });
        ASSERT_EQ(wanted.size(), 20U);
        for (int round = 0; round < 2; ++round)
        {
            std::vector<Operation> read;
            for (Operation operation; source.next(UnitId(unit), operation);)
            {
                read.push_back(operation);
            }
            EXPECT_EQ(lines(source.header(), read), lines(source.header(), wanted)) << round;
            source.rewind(UnitId(unit));
        }
    }
}

TEST(CompactTrace, ASourceRefusesWhatAReaderWould)
{
    CompactTrace trace = sums(3);
    EXPECT_NO_THROW(CompactSource(std::make_shared<const CompactTrace>(trace)));
    trace.add_after(OpId(1), OpId(2)); // that comes later
    EXPECT_THROW(CompactSource(std::make_shared<const CompactTrace>(trace)), InputError);
}

TEST(CompactTrace, EdgesAreReplacedByAsManyOrFewer)
{
    CompactTrace trace;
    const auto after = [&trace](OpId id)
    {
        std::vector<OpId> result;
        trace.for_each_after(trace[id], [&](OpId before) { result.push_back(before); });
        return result;
    };
    for (int i = 0; i < 6; ++i)
    {
        (void)trace.push({});
    }
    for (std::uint32_t before = 0; before < 3; ++before)
    {
        trace.add_after(OpId(4), OpId(before));
        trace.add_after(OpId(5), OpId(before)); // their edges lie between those of the other
    }
    EXPECT_THROW(trace.set_after(OpId(4), {OpId(0), OpId(1), OpId(2), OpId(3)}), std::length_error);
    EXPECT_THROW(trace.set_after(OpId(3), {OpId(0)}), std::length_error);
    trace.set_after(OpId(4), {OpId(3), OpId(1), OpId(0)});
    EXPECT_EQ(after(OpId(4)), (std::vector<OpId>{OpId(3), OpId(1), OpId(0)}));
    trace.set_after(OpId(4), {OpId(2)});
    EXPECT_EQ(after(OpId(4)), std::vector<OpId>{OpId(2)});
    trace.set_after(OpId(4), {});
    EXPECT_TRUE(after(OpId(4)).empty());
    EXPECT_EQ(after(OpId(5)), (std::vector<OpId>{OpId(0), OpId(1), OpId(2)}));
}

TEST(CompactTrace, ArrivalsAreFoundByPlaceElseTheFirst)
{
    CompactTrace trace;
    const OpId move = trace.push({});
    EXPECT_FALSE(trace.arrives(trace[move]));
    EXPECT_FALSE(trace.arrives_at(trace[move], NodeId(0)));
    trace.add_destination(move, NodeId(3));
    EXPECT_TRUE(trace.arrives(trace[move]));
    EXPECT_FALSE(trace.arrives_often(trace[move]));
    trace.add_destination(move, NodeId(1));
    EXPECT_TRUE(trace.arrives_often(trace[move]));
    EXPECT_EQ(trace.destination(trace.arrival(trace[move], NodeId(1))).at, NodeId(1));
    EXPECT_EQ(trace.destination(trace.arrival(trace[move], NodeId(7))).at, NodeId(3));
    EXPECT_FALSE(trace.arrives_at(trace[move], NodeId(7)));
}

TEST(CompactTrace, IsEmptyWhenCleared)
{
    CompactTrace trace;
    const CompactTrace::List list = trace.add_list({OpId(0)});
    (void)trace.push({});
    (void)trace.push({}, list);
    trace.add_after(OpId(1), OpId(0));
    trace.clear();
    EXPECT_EQ(trace.size(), 0U);
    EXPECT_EQ(trace.lists(), 0U);
    EXPECT_EQ(trace.arrivals(), 0U);
    EXPECT_EQ(trace.push({}), OpId(0));
    EXPECT_TRUE(trace.expanded().operations.at(0).after.empty());
}

} // namespace
} // namespace tessera::trace
