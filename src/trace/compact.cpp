// SPDX-License-Identifier: Apache-2.0
#include "trace/compact.h"

#include "base/interrupt.h"
#include "tessera/error.h"
#include "trace/header.h"
#include "trace/rules.h"
#include "trace/text.h"

#include <algorithm>
#include <stdexcept>

namespace tessera::trace
{
namespace
{

/// The next free position of a pool that 32 bits number.
std::uint32_t position(std::size_t size)
{
    if (size >= 0xffff'ffffU)
    {
        throw std::length_error("a trace in memory has more than 2^32 operands, destinations or "
                                "edges of one kind");
    }
    return static_cast<std::uint32_t>(size);
}

} // namespace

void CompactTrace::clear()
{
    operations_.clear();
    of_operations_.clear();
    lists_.resize(1);
    ids_.clear();
    destinations_.clear();
    edges_.clear();
    arguments_.resize(1);
}

CompactTrace::List CompactTrace::add_list(const std::vector<OpId>& ids)
{
    const std::uint32_t list = position(lists());
    for (const OpId id : ids)
    {
        ids_.push_back(static_cast<std::uint32_t>(id.value()));
    }
    lists_.push_back(ids_.size());
    return List(list);
}

std::uint32_t CompactTrace::add_arguments(const std::map<std::string, std::int64_t>& arguments)
{
    const auto found = std::find(arguments_.begin(), arguments_.end(), arguments);
    if (found != arguments_.end())
    {
        return static_cast<std::uint32_t>(found - arguments_.begin());
    }
    arguments_.push_back(arguments);
    return static_cast<std::uint32_t>(arguments_.size() - 1);
}

OpId CompactTrace::push(CompactOperation operation, const List* lists, std::size_t count)
{
    operation.id = OpId(position(operations_.size()));
    operation.lists_begin = position(of_operations_.size());
    operation.lists = position(count);
    for (std::size_t i = 0; i < count; ++i)
    {
        of_operations_.push_back(lists[i].value());
    }
    operations_.push_back(operation);
    return operation.id;
}

void CompactTrace::add_destination(OpId id, NodeId at)
{
    const std::uint32_t fresh = position(destinations_.size());
    std::uint32_t& last = operations_[id.index()].last_destination;
    destinations_.push_back({{at, 0}, last == kNone ? fresh : destinations_[last].next});
    if (last != kNone)
    {
        destinations_[last].next = fresh;
    }
    last = fresh;
}

void CompactTrace::add_after(OpId id, OpId before)
{
    const std::uint32_t fresh = position(edges_.size());
    std::uint32_t& last = operations_[id.index()].last_after;
    edges_.push_back(
        {static_cast<std::uint32_t>(before.value()), last == kNone ? fresh : edges_[last].next});
    if (last != kNone)
    {
        edges_[last].next = fresh;
    }
    last = fresh;
}

void CompactTrace::set_after(OpId id, const std::vector<OpId>& before)
{
    std::uint32_t& last = operations_[id.index()].last_after;
    if (before.empty())
    {
        last = kNone;
        return;
    }
    if (last == kNone)
    {
        throw std::length_error("an operation has fewer edges than are to be set");
    }
    const std::uint32_t end = last;
    const std::uint32_t first = edges_[end].next;
    std::uint32_t edge = first;
    for (std::size_t i = 0; i < before.size(); ++i)
    {
        edges_[edge].before = static_cast<std::uint32_t>(before[i].value());
        if (i + 1 == before.size())
        {
            edges_[edge].next = first;
            last = edge;
        }
        else if (edge == end)
        {
            throw std::length_error("an operation has fewer edges than are to be set");
        }
        else
        {
            edge = edges_[edge].next;
        }
    }
}

CompactTrace::Arrival CompactTrace::arrival(const CompactOperation& operation, NodeId at) const
{
    const std::uint32_t last = operation.last_destination;
    const std::uint32_t first = destinations_[last].next;
    for (std::uint32_t arrival = first;; arrival = destinations_[arrival].next)
    {
        if (destinations_[arrival].to.at == at)
        {
            return arrival;
        }
        if (arrival == last)
        {
            return first;
        }
    }
}

void CompactTrace::expand(OpId id, Operation& operation) const
{
    const CompactOperation& its = operations_[id.index()];
    operation.clear();
    operation.id = its.id;
    operation.kind = its.kind;
    operation.at = its.at;
    operation.bytes = its.bytes;
    operation.uses = its.uses;
    operation.n = its.n;
    operation.block = its.block;
    operation.layer = its.layer;
    operation.image = its.image;
    operation.bits = its.bits;
    operation.function = its.function;
    operation.tensor = its.tensor;
    if (its.has_ofm)
    {
        operation.ofm = its.box;
    }
    if (its.has_box)
    {
        operation.box = its.box;
    }
    if (its.arguments != 0)
    {
        operation.arguments = arguments_[its.arguments];
    }
    for_each_operand(its, [&](OpId operand) { operation.in.push_back(operand); });
    for_each_after(its, [&](OpId before) { operation.after.push_back(before); });
    for_each_arrival(its, [&](Arrival arrival) { operation.to.push_back(destination(arrival)); });
}

Trace CompactTrace::expanded() const
{
    Trace trace;
    trace.header = header;
    trace.operations.resize(size());
    for (std::size_t i = 0; i < size(); ++i)
    {
        expand(OpId(i), trace.operations[i]);
    }
    return trace;
}

CompactSource::CompactSource(std::shared_ptr<const CompactTrace> trace) : trace_(std::move(trace))
{
    std::size_t begin = 0;
    for (const TracedUnit& unit : trace_->header.units)
    {
        next_.push_back(begin);
        begin += unit.operations;
        end_.push_back(begin);
    }
    order_.resize(trace_->size());
    std::vector<std::size_t> fill = next_;
    std::uint64_t line = 1;
    try
    {
        check_header(header());
        Rules rules(header());
        Tally tally(header());
        Operation scratch;
        for (const CompactOperation& operation : *trace_)
        {
            ++line;
            throw_if_interrupted();
            trace_->expand(operation.id, scratch);
            rules.check(scratch);
            tally.add(scratch);
            order_[fill[operation.at.index()]++] = static_cast<std::uint32_t>(operation.id.value());
        }
    }
    catch (const Malformed& problem)
    {
        throw InputError({"", line, problem.pointer}, problem.problem, problem.remedy);
    }
}

bool CompactSource::next(UnitId unit, Operation& operation)
{
    std::size_t& next = next_[unit.index()];
    if (next == end_[unit.index()])
    {
        return false;
    }
    trace_->expand(OpId(order_[next++]), operation);
    if (operation.block.valid())
    {
        operation.layer = header().blocks[operation.block.index()].layer;
    }
    return true;
}

} // namespace tessera::trace
