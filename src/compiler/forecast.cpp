// SPDX-License-Identifier: Apache-2.0
#include "compiler/forecast.h"

#include "base/integer.h"
#include "base/interrupt.h"
#include "compiler/traffic.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <stdexcept>
#include <utility>

namespace tessera::compiler
{
namespace
{

using Operation = trace::CompactOperation;
using trace::OpKind;

/// The operations of every unit, in order.
class Queues
{
public:
    Queues(const trace::CompactTrace& operations, std::size_t units)
        : begin_(units + 1, 0), operations_(operations.size())
    {
        for (const Operation& operation : operations)
        {
            ++begin_[operation.at.index() + 1];
        }
        for (std::size_t unit = 0; unit < units; ++unit)
        {
            begin_[unit + 1] += begin_[unit];
        }
        next_.assign(begin_.begin(), begin_.end() - 1);
        for (const Operation& operation : operations)
        {
            operations_[next_[operation.at.index()]++] =
                static_cast<std::uint32_t>(operation.id.value());
        }
        next_.assign(begin_.begin(), begin_.end() - 1);
    }
    [[nodiscard]] bool empty(std::size_t unit) const { return next_[unit] == begin_[unit + 1]; }
    [[nodiscard]] std::uint32_t front(std::size_t unit) const { return operations_[next_[unit]]; }
    void pop(std::size_t unit) { ++next_[unit]; }

private:
    std::vector<std::size_t> begin_; ///< by unit
    std::vector<std::size_t> next_;  ///< by unit
    std::vector<std::uint32_t> operations_;
};

constexpr std::uint32_t kNone = ~std::uint32_t{0};

/// Units that wait for an operation to start, by operation: each waits for one at most.
class Waiting
{
public:
    Waiting(std::size_t operations, std::size_t units)
        : first_(operations, kNone), next_(units, kNone)
    {
    }
    void add(OpId id, std::uint32_t unit) { next_[unit] = std::exchange(first_[id.index()], unit); }
    [[nodiscard]] std::uint32_t take(OpId id)
    {
        const std::uint32_t unit = first_[id.index()];
        if (unit != kNone)
        {
            first_[id.index()] = next_[unit];
        }
        return unit;
    }

private:
    std::vector<std::uint32_t> first_; ///< by operation
    std::vector<std::uint32_t> next_;  ///< by unit
};

} // namespace

Forecast::Forecast(const Emitter& emitter)
    : chip_(emitter.plan().chip()),
      emitter_(emitter),
      operations_(emitter.operations()),
      crossbar_(emitter.plan().crossbars()),
      digital_(config::macro_timing(chip_.digital.macro)),
      weights_(emitter.plan().block_count()),
      nodes_(std::size_t{chip_.tile_count()} + chip_.memory.ports),
      memory_(chip_.memory.ports, 0),
      end_(operations_.size(), kNever),
      arrivals_(operations_.arrivals(), kNever),
      work_(emitter.unit_count(), 0)
{
    const Plan& plan = emitter.plan();
    for (const trace::Function& function : trace::functions())
    {
        const auto found = chip_.vector.cost.find(function.name);
        cost_.push_back(found == chip_.vector.cost.end() ? 1 : found->second);
    }
    for (std::uint32_t i = 0; i < plan.graph().size(); ++i)
    {
        for (const PlacedBlock& block : plan[LayerId(i)].blocks)
        {
            weights_[block.id.index()] = {block.rows.size(), plan[LayerId(i)].replicas};
        }
    }
    const bool ports_take_time = chip_.buffer.ports != config::kUnlimited &&
                                 chip_.buffer.bytes_per_cycle != config::kUnlimited;
    for (std::uint32_t tile = 0; ports_take_time && tile < chip_.tile_count(); ++tile)
    {
        nodes_[tile].ports.assign(chip_.buffer.ports, 0);
    }
    run();
}

/// Operations start in the order of the times at which they can: whose operands have all started
/// knows when, since ends follow from starts.
void Forecast::run()
{
    const std::size_t units = emitter_.unit_count();
    Queues queues(operations_, units);
    Waiting waiting(operations_.size(), units);
    std::vector<Tick> free(units, 0);
    using Turn = std::pair<Tick, std::uint32_t>; // when, which unit
    std::priority_queue<Turn, std::vector<Turn>, std::greater<>> turns;
    const auto consider = [&](std::uint32_t unit)
    {
        if (queues.empty(unit))
        {
            return;
        }
        const Operation& next = operations_[OpId(queues.front(unit))];
        const NodeId tile = emitter_.node_of(next.at);
        Tick ready = free[unit];
        OpId unknown;
        const auto wait_for = [&](OpId id, auto when)
        {
            if (!unknown.valid() && !known(id))
            {
                unknown = id;
            }
            else if (!unknown.valid())
            {
                ready = std::max(ready, when(id));
            }
        };
        operations_.for_each_operand(
            next, [&](OpId id) { wait_for(id, [&](OpId it) { return available(it, tile); }); });
        operations_.for_each_after(next, [&](OpId id)
                                   { wait_for(id, [&](OpId it) { return end_[it.index()]; }); });
        if (unknown.valid())
        {
            waiting.add(unknown, unit);
            return;
        }
        turns.emplace(ready, unit);
    };
    for (std::uint32_t unit = 0; unit < units; ++unit)
    {
        consider(unit);
    }
    std::size_t started = 0;
    for (; !turns.empty(); ++started)
    {
        throw_if_interrupted();
        const auto [ready, unit] = turns.top();
        turns.pop();
        const Operation& operation = operations_[OpId(queues.front(unit))];
        queues.pop(unit);
        const Span span = start(operation, ready);
        end_[operation.id.index()] = span.end;
        makespan_ = std::max(makespan_, span.end);
        free[unit] = span.free;
        consider(unit);
        for (std::uint32_t other = waiting.take(operation.id); other != kNone;
             other = waiting.take(operation.id))
        {
            consider(other);
        }
    }
    if (started != operations_.size())
    {
        throw std::logic_error("operations of a program wait for each other");
    }
}

UnitId Forecast::busiest() const
{
    return UnitId(
        static_cast<std::uint32_t>(std::max_element(work_.begin(), work_.end()) - work_.begin()));
}

/// When a tile has what an operation makes or brings.
Tick Forecast::available(OpId id, NodeId tile) const
{
    const Operation& operation = operations_[id];
    const Tick arrival = operations_.arrives_at(operation, tile)
                             ? arrivals_[operations_.arrival(operation, tile)]
                             : kNever;
    return arrival == kNever ? end_[id.index()] : arrival;
}

std::size_t Forecast::destinations(const Operation& operation) const
{
    std::size_t count = 0;
    operations_.for_each_arrival(operation, [&](auto /*arrival*/) { ++count; });
    return count;
}

Forecast::Span Forecast::start(const Operation& operation, Tick from)
{
    switch (operation.kind)
    {
    case OpKind::mvm:
    case OpKind::vec:
    case OpKind::program:
        return compute(operation, from);
    case OpKind::move:
    case OpKind::load:
    case OpKind::store:
        break;
    }
    return transfer(operation, from);
}

std::uint64_t Forecast::bytes_read(const Operation& operation) const
{
    if (operation.kind == OpKind::mvm)
    {
        const std::uint64_t bits = std::uint64_t{weights_[operation.block.index()].rows} *
                                   emitter_.plan().graph().network().activation_bits;
        return operation.n * ceil_div(bits, 8);
    }
    std::uint64_t bytes = 0;
    operations_.for_each_operand(operation, [&](OpId id) { bytes += operations_[id].bytes; });
    return bytes;
}

/// From the operands in the buffer to the result in the buffer.
Forecast::Span Forecast::compute(const Operation& operation, Tick from)
{
    std::vector<Tick>& ports = nodes_[emitter_.node_of(operation.at).index()].ports;
    const Clock& clock = chip_.buffer.clock;
    Tick begin = from;
    Tick writing = 0;
    Tick& work = work_[operation.at.index()];
    if (!ports.empty())
    {
        const std::uint64_t width = chip_.buffer.bytes_per_cycle;
        const std::uint64_t reading = ceil_div(bytes_read(operation), width);
        const std::uint64_t result = ceil_div(operation.bytes, width);
        Tick& port = *std::min_element(ports.begin(), ports.end());
        if (reading != 0)
        {
            begin = clock.after(std::max(from, port), reading);
        }
        port = clock.after(std::max(from, port), reading + result);
        work += clock.tick_of(reading);
        writing = clock.tick_of(result);
    }
    Span span = calculate(operation, begin);
    const bool overlaps = operation.kind == OpKind::mvm; // with the macro's next one
    if (writing != 0)
    {
        span.end = clock.align(span.end) + writing;
        span.free = overlaps ? span.free : span.end;
        work += overlaps ? 0 : writing;
    }
    work += (overlaps || writing == 0 ? span.free : span.end - writing) - begin;
    return span;
}

Forecast::Span Forecast::calculate(const Operation& operation, Tick begin) const
{
    const NodeId tile = emitter_.node_of(operation.at);
    if (operation.kind == OpKind::vec)
    {
        if (chip_.vector.lanes == config::kUnlimited)
        {
            return {begin, begin};
        }
        const std::uint64_t cycles =
            ceil_div(std::uint64_t{operation.n} * cost_[operation.function], chip_.vector.lanes);
        const Tick end =
            work_end(chip_.vector.clock, begin, chip_.vector.startup + Duration::of_cycles(cycles));
        return {end, end};
    }
    const config::ChipConfig::Macro& its = macro(tile);
    if (operation.kind == OpKind::program)
    {
        const Tick end = work_end(its.clock, begin, operation.n * its.program.row_time);
        return {end, end};
    }
    const config::MacroTiming& timing = chip_.is_digital(tile.value()) ? digital_ : crossbar_;
    if (operation.n == 0 || timing.latency.zero())
    {
        return {begin, begin};
    }
    const std::uint64_t steps = ceil_div(operation.n, weights_[operation.block.index()].replicas);
    const Tick edge = its.clock.align(begin);
    return {(steps * timing.interval).end(its.clock, edge),
            timing.total(steps).end(its.clock, edge)};
}

Forecast::Span Forecast::transfer(const Operation& operation, Tick from)
{
    if (!operations_.arrives(operation))
    {
        return {from, from}; // only a plan has such: nobody reads it elsewhere
    }
    if (operation.kind == OpKind::store)
    {
        Span span = travel(operation, from);
        operations_.for_each_arrival(operation,
                                     [&](trace::CompactTrace::Arrival arrival)
                                     {
                                         const NodeId port = operations_.destination(arrival).at;
                                         span.end = access_memory(port, operation.bytes, span.end);
                                     });
        return span;
    }
    Tick sent = work_end(chip_.noc.clock, from, chip_.noc.reserve);
    Tick& work = work_[operation.at.index()];
    work += sent - from;
    if (operation.kind == OpKind::load)
    {
        const Tick time = memory_time(operation.bytes);
        work += time == 0 ? 0 : time + chip_.memory.latency.length(chip_.noc.clock);
        sent = access_memory(emitter_.node_of(operation.at), operation.bytes, sent);
    }
    return travel(operation, sent);
}

/// Through the interconnect, to every destination.
Forecast::Span Forecast::travel(const Operation& operation, Tick from)
{
    const Clock& clock = chip_.noc.clock;
    if (chip_.noc.kind == "ideal")
    {
        return {from, work_end(clock, from, chip_.noc.latency)};
    }
    if (chip_.noc.kind == "bus")
    {
        const std::uint64_t cycles = ceil_div(operation.bytes, chip_.noc.bytes_per_cycle);
        bus_ = clock.after(std::max(from, bus_), cycles);
        work_[operation.at.index()] += clock.tick_of(cycles);
        return {bus_, bus_};
    }
    return cross_mesh(operation, from);
}

/// Destinations are served one after the other; the way of a flit is that of an empty mesh up to
/// the last link, which takes one a cycle.
Forecast::Span Forecast::cross_mesh(const Operation& operation, Tick from)
{
    const Clock& clock = chip_.noc.clock;
    const std::uint64_t its = flits(operation.bytes);
    const GridPlace source = grid_place(chip_, emitter_.node_of(operation.at));
    const Tick edge = clock.align(from);
    Span span{clock.after(edge, its * destinations(operation)), 0};
    std::uint64_t before = 0;
    operations_.for_each_arrival(
        operation,
        [&](trace::CompactTrace::Arrival arrival)
        {
            const NodeId to = operations_.destination(arrival).at;
            const std::uint64_t routers = hops(source, grid_place(chip_, to)) + 1;
            const std::uint64_t way = (4 + chip_.noc.routing_delay) * routers + 1;
            Tick& entry = nodes_[to.index()].entry;
            entry = clock.after(std::max(entry, clock.after(edge, before + way)), its);
            span.end = std::max(span.end, entry);
            arrivals_[arrival] = entry;
            before += its;
        });
    work_[operation.at.index()] += span.free - edge;
    return span;
}

std::uint64_t Forecast::flits(std::uint64_t bytes) const
{
    const config::ChipConfig::Noc& noc = chip_.noc;
    if (bytes == 0)
    {
        return std::max(noc.header_flits, 1U);
    }
    const std::uint64_t data = ceil_div(8 * bytes, noc.flit_bits);
    return data + ceil_div(data, noc.packet_flits - noc.header_flits) * noc.header_flits;
}

/// How long the channels of a memory port work on an access; its latency apart.
Tick Forecast::memory_time(std::uint64_t bytes) const
{
    const config::ChipConfig::Memory& memory = chip_.memory;
    if (memory.channels == config::kUnlimited || bytes == 0)
    {
        return 0;
    }
    const std::uint64_t channels =
        std::min<std::uint64_t>(ceil_div(bytes, memory.interleave), memory.channels);
    const std::uint64_t share = ceil_div(bytes, channels);
    constexpr Wide second = 1'000'000'000'000; // ps
    const auto moving =
        static_cast<Tick>((share * second + memory.bytes_per_second - 1) / memory.bytes_per_second);
    return moving + ceil_div(share, memory.row_bytes) * memory.row_miss.length(chip_.noc.clock);
}

Tick Forecast::access_memory(NodeId port, std::uint64_t bytes, Tick from)
{
    const Tick time = memory_time(bytes);
    if (time == 0)
    {
        return from;
    }
    const Clock& clock = chip_.noc.clock;
    Tick& free = memory_[port.index() - chip_.tile_count()];
    free = std::max(free, clock.align(from)) + time;
    return chip_.memory.latency.end(clock, free);
}

} // namespace tessera::compiler
