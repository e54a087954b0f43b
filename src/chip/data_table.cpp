// SPDX-License-Identifier: Apache-2.0
#include "chip/data_table.h"

#include <utility>

namespace tessera::chip
{

void DataTable::add_waiter(std::uint32_t& head, OperandListener& listener, std::uint32_t slot)
{
    std::uint32_t index = free_waiter_;
    if (index == kNoWaiter)
    {
        index = static_cast<std::uint32_t>(waiters_.size());
        waiters_.push_back({&listener, slot, head});
    }
    else
    {
        free_waiter_ = waiters_[index].next;
        waiters_[index] = {&listener, slot, head};
    }
    head = index;
}

void DataTable::tell(std::uint32_t head)
{
    while (head != kNoWaiter)
    {
        const Waiter waiter = waiters_[head];
        waiters_[head].next = free_waiter_;
        free_waiter_ = std::exchange(head, waiter.next);
        waiter.listener->arrived(waiter.slot);
    }
}

DataTable::Lookup DataTable::await(OpId operation, NodeId node, OperandListener& listener,
                                   std::uint32_t slot)
{
    const auto found = data_.find(key(operation, node));
    if (found != data_.end() && found->second.datum.available)
    {
        return found->second.datum.uses_left == 0 ? Lookup::gone : Lookup::available;
    }
    if (found == data_.end() && completed_.contains(operation))
    {
        return Lookup::gone;
    }
    Entry& entry = found == data_.end() ? data_[key(operation, node)] : found.value();
    add_waiter(entry.waiters, listener, slot);
    return Lookup::pending;
}

bool DataTable::await_end(OpId operation, OperandListener& listener, std::uint32_t slot)
{
    if (completed_.contains(operation))
    {
        return true;
    }
    add_waiter(ends_.try_emplace(operation.value(), kNoWaiter).first.value(), listener, slot);
    return false;
}

void DataTable::produce(OpId operation, NodeId node, std::uint64_t bytes, std::uint64_t footprint,
                        std::uint32_t uses, bool padding)
{
    Datum& datum = data_[key(operation, node)].datum;
    datum.bytes = bytes;
    datum.footprint = footprint;
    datum.uses_left = uses;
    datum.produced = true;
    datum.padding = padding;
}

std::uint64_t DataTable::make_available(OpId operation, NodeId node)
{
    const auto found = data_.find(key(operation, node));
    Entry& entry = found.value();
    entry.datum.available = true;
    const std::uint32_t waiters = std::exchange(entry.waiters, kNoWaiter);
    std::uint64_t freed = 0;
    if (entry.datum.uses_left == 0)
    {
        freed = entry.datum.footprint;
        data_.erase(found);
    }
    tell(waiters);
    return freed;
}

std::optional<std::uint64_t> DataTable::use(OpId operation, NodeId node)
{
    const auto found = data_.find(key(operation, node));
    if (found == data_.end())
    {
        return std::nullopt;
    }
    Datum& datum = found.value().datum;
    if (--datum.uses_left != 0)
    {
        return std::uint64_t{0};
    }
    const std::uint64_t freed = datum.footprint;
    data_.erase(found);
    return freed;
}

std::uint64_t DataTable::take_footprint(OpId operation, NodeId node)
{
    return std::exchange(data_.find(key(operation, node)).value().datum.footprint, 0);
}

void DataTable::end(OpId operation)
{
    completed_.insert(operation);
    const auto found = ends_.find(operation.value());
    if (found != ends_.end())
    {
        const std::uint32_t waiters = found->second;
        ends_.erase(found);
        tell(waiters);
    }
}

const DataTable::Datum* DataTable::find(OpId operation, NodeId node) const
{
    const auto found = data_.find(key(operation, node));
    return found == data_.end() || !found->second.datum.produced ? nullptr : &found->second.datum;
}

} // namespace tessera::chip
