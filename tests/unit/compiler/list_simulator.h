// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chip/follower.h"
#include "tessera/tick.h"
#include "tessera/trace.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <queue>
#include <vector>

/// The README's "How a chip executes a trace", without clocks, ports and contention: every
/// operation takes the time that a function gives it. Small, slow and independent of the real
/// simulator.
namespace tessera::test
{

struct Simulated
{
    std::vector<Tick> start; ///< by operation; kNever: never started
    std::vector<Tick> end;
    std::vector<std::vector<Tick>> arrived; ///< by operation and destination
    Tick makespan = 0;
    bool finished = false;
    std::uint64_t waits = 0;              ///< requests for space that were not granted at once
    std::map<NodeId, std::uint64_t> peak; ///< bytes
    std::map<NodeId, std::uint64_t> left; ///< bytes still taken at the end
};

class ListSimulator
{
public:
    /// `duration(operation, k)`: from start to the end of `operation` (to arrival k of a transfer).
    using Duration = std::function<Tick(const trace::Operation&, std::size_t)>;

    /// `follower`: who is told about all data; null: nobody.
    ListSimulator(const trace::Trace& trace, std::uint64_t capacity, Duration duration,
                  chip::Follower* follower = nullptr)
        : trace_(trace), capacity_(capacity), duration_(std::move(duration)), follower_(follower)
    {
        const std::size_t n = trace.operations.size();
        result_.start.assign(n, kNever);
        result_.end.assign(n, kNever);
        arrived_.resize(n);
        result_.arrived.resize(n);
        left_uses_.resize(n);
        missing_.assign(n, 0);
        waiting_.resize(n);
        pending_arrivals_.assign(n, 0);
        queue_of_unit_.resize(trace.header.units.size());
        busy_.assign(trace.header.units.size(), false);
        for (const trace::Operation& op : trace.operations)
        {
            const std::size_t i = op.id.index();
            arrived_[i].assign(std::max<std::size_t>(op.to.size(), 1), false);
            result_.arrived[i].assign(arrived_[i].size(), kNever);
            left_uses_[i].assign(1, op.uses);
            if (transfers(op))
            {
                left_uses_[i].clear();
                for (const auto& to : op.to)
                {
                    left_uses_[i].push_back(to.uses);
                }
            }
            queue_of_unit_[op.at.index()].push_back(op.id);
            for (const OpId in : op.in)
            {
                ++missing_[i];
                waiting_[in.index()].push_back({op.id, slot(in, node(op))});
            }
            for (const OpId after : op.after)
            {
                ++missing_[i];
                waiting_[after.index()].push_back({op.id, kWholeEnd});
            }
        }
    }

    Simulated run()
    {
        for (std::size_t unit = 0; unit < busy_.size(); ++unit)
        {
            look(unit);
        }
        grant();
        while (!events_.empty())
        {
            now_ = events_.top().at;
            // Everything that ends at this tick is handled before new requests are granted.
            std::vector<std::size_t> units;
            while (!events_.empty() && events_.top().at == now_)
            {
                const Event event = events_.top();
                events_.pop();
                handle(event, units);
            }
            for (const std::size_t unit : units)
            {
                busy_[unit] = false;
            }
            for (std::size_t unit = 0; unit < busy_.size(); ++unit)
            {
                if (!busy_[unit])
                {
                    look(unit);
                }
            }
            grant();
        }
        result_.finished = std::none_of(result_.end.begin(), result_.end.end(),
                                        [](Tick end) { return end == kNever; });
        for (const auto& [tile, bytes] : used_)
        {
            result_.left[tile] = bytes;
        }
        return result_;
    }

private:
    static constexpr std::size_t kWholeEnd = ~std::size_t{0};
    struct Event
    {
        Tick at;
        std::uint64_t sequence;
        OpId operation;
        std::size_t arrival;
        bool operator<(const Event& other) const
        {
            return at != other.at ? at > other.at : sequence > other.sequence;
        }
    };
    struct Waiter
    {
        OpId operation;
        std::size_t slot;
    };

    static bool transfers(const trace::Operation& op)
    {
        return op.kind == trace::OpKind::move || op.kind == trace::OpKind::load;
    }
    [[nodiscard]] const trace::Operation& op(OpId id) const
    {
        return trace_.operations[id.index()];
    }
    [[nodiscard]] NodeId node(const trace::Operation& operation) const
    {
        return trace_.header.units[operation.at.index()].node;
    }
    [[nodiscard]] std::size_t slot(OpId producer, NodeId reader) const
    {
        const trace::Operation& made = op(producer);
        for (std::size_t k = 0; transfers(made) && k < made.to.size(); ++k)
        {
            if (made.to[k].at == reader)
            {
                return k;
            }
        }
        return 0;
    }
    [[nodiscard]] std::vector<NodeId> space_of(const trace::Operation& operation) const
    {
        if (operation.kind == trace::OpKind::mvm || operation.kind == trace::OpKind::vec)
        {
            return {node(operation)};
        }
        std::vector<NodeId> tiles;
        if (transfers(operation))
        {
            for (const auto& to : operation.to)
            {
                tiles.push_back(to.at);
            }
        }
        return tiles;
    }
    void look(std::size_t unit)
    {
        if (queue_of_unit_[unit].empty() || missing_[queue_of_unit_[unit].front().index()] != 0)
        {
            return;
        }
        const OpId id = queue_of_unit_[unit].front();
        queue_of_unit_[unit].pop_front();
        busy_[unit] = true;
        requests_.push_back(id);
        for (const NodeId tile : space_of(op(id)))
        {
            queues_[tile].push_back(id);
        }
        fresh_.push_back(id);
    }
    void grant()
    {
        bool again = true;
        while (again)
        {
            again = false;
            for (std::size_t r = 0; r < requests_.size(); ++r)
            {
                const trace::Operation& operation = op(requests_[r]);
                const std::vector<NodeId> tiles = space_of(operation);
                const bool fits = std::all_of(tiles.begin(), tiles.end(),
                                              [&](NodeId tile) {
                                                  return queues_[tile].front() == operation.id &&
                                                         operation.bytes <= capacity_ - used_[tile];
                                              });
                if (!fits)
                {
                    continue;
                }
                for (const NodeId tile : tiles)
                {
                    queues_[tile].pop_front();
                    used_[tile] += operation.bytes;
                    result_.peak[tile] = std::max(result_.peak[tile], used_[tile]);
                }
                requests_.erase(requests_.begin() + static_cast<std::ptrdiff_t>(r));
                start(operation);
                again = true;
                break;
            }
        }
        for (const OpId id : fresh_)
        {
            result_.waits += result_.start[id.index()] == kNever ? 1 : 0;
        }
        fresh_.clear();
    }
    void start(const trace::Operation& operation)
    {
        const std::size_t i = operation.id.index();
        result_.start[i] = now_;
        if (follower_ != nullptr)
        {
            follower_->started(operation, node(operation), now_);
        }
        pending_arrivals_[i] = transfers(operation) ? operation.to.size() : 1;
        for (std::size_t k = 0; k < pending_arrivals_[i]; ++k)
        {
            events_.push({now_ + duration_(operation, k), sequence_++, operation.id, k});
        }
    }
    void handle(const Event& event, std::vector<std::size_t>& units)
    {
        const trace::Operation& operation = op(event.operation);
        const std::size_t i = operation.id.index();
        available(operation, event.arrival);
        if (--pending_arrivals_[i] != 0)
        {
            return;
        }
        result_.end[i] = now_;
        result_.makespan = std::max(result_.makespan, now_);
        units.push_back(operation.at.index());
        wake(i, kWholeEnd);
        if (follower_ != nullptr)
        {
            follower_->ended(operation, node(operation));
        }
        for (const OpId in : operation.in)
        {
            use(in, slot(in, node(operation)));
        }
    }
    void available(const trace::Operation& operation, std::size_t arrival)
    {
        const std::size_t i = operation.id.index();
        if (operation.kind == trace::OpKind::store || operation.kind == trace::OpKind::program)
        {
            return; // nothing in a buffer
        }
        arrived_[i][arrival] = true;
        result_.arrived[i][arrival] = now_;
        if (follower_ != nullptr)
        {
            follower_->arrived(operation.id, space_of(operation)[arrival]);
        }
        wake(i, arrival);
        if (left_uses_[i][arrival] == 0)
        {
            release(operation, arrival);
        }
    }
    void use(OpId id, std::size_t arrival)
    {
        if (--left_uses_[id.index()][arrival] == 0)
        {
            release(op(id), arrival);
        }
    }
    void release(const trace::Operation& operation, std::size_t arrival)
    {
        used_[space_of(operation)[arrival]] -= operation.bytes;
    }
    void wake(std::size_t i, std::size_t slot)
    {
        for (const Waiter& waiter : waiting_[i])
        {
            missing_[waiter.operation.index()] -= waiter.slot == slot ? 1 : 0;
        }
    }

    const trace::Trace& trace_;
    std::uint64_t capacity_;
    Duration duration_;
    chip::Follower* follower_;
    Simulated result_;
    Tick now_ = 0;
    std::uint64_t sequence_ = 0;
    std::priority_queue<Event> events_;
    std::vector<std::vector<bool>> arrived_;
    std::vector<std::vector<std::uint32_t>> left_uses_;
    std::vector<std::uint32_t> missing_;
    std::vector<std::vector<Waiter>> waiting_;
    std::vector<std::size_t> pending_arrivals_;
    std::vector<std::deque<OpId>> queue_of_unit_;
    std::vector<bool> busy_;
    std::vector<OpId> requests_;
    std::vector<OpId> fresh_;
    std::map<NodeId, std::deque<OpId>> queues_;
    std::map<NodeId, std::uint64_t> used_;
};

} // namespace tessera::test
