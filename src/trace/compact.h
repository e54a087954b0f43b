// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "trace/reader.h"

#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tessera::trace
{

/// An operation without what varies in length, which its CompactTrace holds.
struct CompactOperation
{
    OpId id; ///< given by CompactTrace::push()
    std::uint64_t bytes = 0;
    Box box; ///< `ofm`, `box` or both, as has_ofm and has_box say
    UnitId at;
    LayerId layer;
    BlockId block;
    TensorId tensor;
    std::uint32_t image = 0;
    std::uint32_t n = 0;
    std::uint32_t uses = 0;
    std::uint32_t arguments = 0; ///< CompactTrace::add_arguments()
    std::uint16_t function = 0;
    OpKind kind = OpKind::mvm;
    std::uint8_t bits = 0;
    bool has_ofm = false;
    bool has_box = false;

private:
    friend class CompactTrace;
    std::uint32_t lists_begin = 0; ///< of its operands
    std::uint32_t lists = 0;
    std::uint32_t last_destination = 0xffff'ffffU; ///< whose next is the first
    std::uint32_t last_after = 0xffff'ffffU;       ///< whose next is the first
};

/// A whole trace in memory, about a third of what Operations take and less where operations read
/// the same: lists of operands are held once, however many operations read them. Operations are
/// numbered from 0 as they are pushed; destinations and edges of order may be added later.
/// Contract: what reads a list is in one tile.
class CompactTrace
{
public:
    using List = Id<struct OperandListTag>; ///< operands of one or of many operations
    using Arrival = std::uint32_t;          ///< of a datum in a tile: one destination

    Header header;

    [[nodiscard]] std::size_t size() const { return operations_.size(); }
    [[nodiscard]] const CompactOperation& operator[](OpId id) const
    {
        return operations_[id.index()];
    }
    [[nodiscard]] CompactOperation& operator[](OpId id) { return operations_[id.index()]; }
    [[nodiscard]] std::vector<CompactOperation>::const_iterator begin() const
    {
        return operations_.begin();
    }
    [[nodiscard]] std::vector<CompactOperation>::const_iterator end() const
    {
        return operations_.end();
    }
    [[nodiscard]] std::vector<CompactOperation>::iterator begin() { return operations_.begin(); }
    [[nodiscard]] std::vector<CompactOperation>::iterator end() { return operations_.end(); }
    [[nodiscard]] const CompactOperation& back() const { return operations_.back(); }

    void reserve(std::size_t operations) { operations_.reserve(operations); }
    /// As if nothing had been pushed or added; memory is kept.
    void clear();

    /// A list that operations may name. Throws std::length_error beyond 2^32 lists.
    List add_list(const std::vector<OpId>& ids);
    /// Arguments that operations may name: the same for the same arguments.
    std::uint32_t add_arguments(const std::map<std::string, std::int64_t>& arguments);
    /// The next operation, which reads these lists one after the other.
    OpId push(CompactOperation operation, const List* lists, std::size_t count);
    OpId push(const CompactOperation& operation) { return push(operation, nullptr, 0); }
    OpId push(const CompactOperation& operation, List list) { return push(operation, &list, 1); }
    void add_destination(OpId id, NodeId at);
    void add_after(OpId id, OpId before);
    /// Replaces the edges of order by as many or fewer. Throws std::length_error for more.
    void set_after(OpId id, const std::vector<OpId>& before);

    /// How many lists, and destinations, there are.
    [[nodiscard]] std::size_t lists() const { return lists_.size() - 1; }
    [[nodiscard]] std::size_t arrivals() const { return destinations_.size(); }
    /// The operations in a list: from .first to before .second.
    [[nodiscard]] std::pair<const std::uint32_t*, const std::uint32_t*> ids(List list) const
    {
        return {ids_.data() + lists_[list.index()], ids_.data() + lists_[list.index() + 1]};
    }
    [[nodiscard]] bool arrives(const CompactOperation& operation) const
    {
        return operation.last_destination != kNone;
    }
    /// True for a transfer to more than one place.
    [[nodiscard]] bool arrives_often(const CompactOperation& operation) const
    {
        return arrives(operation) &&
               destinations_[operation.last_destination].next != operation.last_destination;
    }
    /// The arrival at this place; the first one where there is none. Contract: arrives().
    [[nodiscard]] Arrival arrival(const CompactOperation& operation, NodeId at) const;
    [[nodiscard]] bool arrives_at(const CompactOperation& operation, NodeId at) const
    {
        return arrives(operation) && destinations_[arrival(operation, at)].to.at == at;
    }
    [[nodiscard]] const Destination& destination(Arrival arrival) const
    {
        return destinations_[arrival].to;
    }
    [[nodiscard]] Destination& destination(Arrival arrival) { return destinations_[arrival].to; }

    /// Calls visit(List).
    template <typename Visit>
    void for_each_list(const CompactOperation& operation, Visit visit) const
    {
        for (std::uint32_t i = 0; i < operation.lists; ++i)
        {
            visit(List(of_operations_[operation.lists_begin + i]));
        }
    }
    /// Calls visit(OpId), operand by operand.
    template <typename Visit>
    void for_each_operand(const CompactOperation& operation, Visit visit) const
    {
        for_each_list(operation,
                      [&](List list)
                      {
                          const auto [first, last] = ids(list);
                          for (const std::uint32_t* id = first; id != last; ++id)
                          {
                              visit(OpId(*id));
                          }
                      });
    }
    /// Calls visit(OpId) for the edges of order as they were added.
    template <typename Visit>
    void for_each_after(const CompactOperation& operation, Visit visit) const
    {
        if (operation.last_after == kNone)
        {
            return;
        }
        std::uint32_t edge = operation.last_after;
        do
        {
            edge = edges_[edge].next;
            visit(OpId(edges_[edge].before));
        } while (edge != operation.last_after);
    }
    /// Calls visit(Arrival) for the destinations as they were added.
    template <typename Visit>
    void for_each_arrival(const CompactOperation& operation, Visit visit) const
    {
        if (!arrives(operation))
        {
            return;
        }
        std::uint32_t arrival = operation.last_destination;
        do
        {
            arrival = destinations_[arrival].next;
            visit(Arrival{arrival});
        } while (arrival != operation.last_destination);
    }

    /// Fills in the whole operation.
    void expand(OpId id, Operation& operation) const;
    /// All of them.
    [[nodiscard]] Trace expanded() const;

private:
    static constexpr std::uint32_t kNone = 0xffff'ffffU;
    struct Arriving
    {
        Destination to;
        std::uint32_t next; ///< of the same operation; the first one behind the last
    };
    struct Edge
    {
        std::uint32_t before;
        std::uint32_t next; ///< of the same operation; the first one behind the last
    };

    std::vector<CompactOperation> operations_;
    std::vector<std::uint32_t> of_operations_; ///< lists, operation by operation
    std::vector<std::size_t> lists_{0};        ///< by list: its first in ids_; and the end
    std::vector<std::uint32_t> ids_;
    std::vector<Arriving> destinations_;
    std::vector<Edge> edges_;
    std::vector<std::map<std::string, std::int64_t>> arguments_{{}};
};

/// As finalize() for a trace in full: sorts the units and renumbers what refers to them; fills in
/// counts and window.
void finalize(CompactTrace& trace);

/// An operation source over a compact trace. Contract: the trace is finalized. Checks it as readers
/// of files do.
class CompactSource final : public RewindableSource
{
public:
    /// Throws InputError.
    explicit CompactSource(std::shared_ptr<const CompactTrace> trace);

    [[nodiscard]] const Header& header() const override { return trace_->header; }
    bool next(UnitId unit, Operation& operation) override;
    void rewind(UnitId unit) override
    {
        next_[unit.index()] = unit.index() == 0 ? 0 : end_[unit.index() - 1];
    }

private:
    std::shared_ptr<const CompactTrace> trace_;
    std::vector<std::uint32_t> order_; ///< positions of operations, grouped by unit
    std::vector<std::size_t> next_;    ///< by unit: where it is in order_
    std::vector<std::size_t> end_;
};

} // namespace tessera::trace
