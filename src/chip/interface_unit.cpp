// SPDX-License-Identifier: Apache-2.0
#include "chip/interface_unit.h"

#include "base/quantity.h"
#include "tessera/error.h"

#include <algorithm>

namespace tessera::chip
{

Parameters InterfaceUnit::parameters() const
{
    return {{"reserve", print_duration(reserve_)}};
}

void InterfaceUnit::reserve(Flight& flight)
{
    const Tick end = work_end(clock(), wheel().now(), reserve_);
    flight.spend(Stage::reserve, end);
    if (end == wheel().now())
    {
        traverse(flight);
    }
    else
    {
        schedule(flight, Step::send, end);
    }
}

void InterfaceUnit::send(Flight& flight)
{
    noc::Transfer& transfer = flight.transfer;
    transfer.tag = flight.tag;
    transfer.from = place().node;
    transfer.bytes = flight.op.bytes;
    transfer.to.clear();
    for (const trace::Destination& destination : flight.op.to)
    {
        transfer.to.push_back(destination.at);
    }
    flight.arrivals_left = static_cast<std::uint32_t>(transfer.to.size());
    flight.begun = wheel().now();
    flight.unloaded = fabric_.zero_load(transfer, flight.begun);
    if (Log* const log = wheel().log(Topic::noc))
    {
        std::string to;
        for (const NodeId node : transfer.to)
        {
            to += (to.empty() ? "" : ", ") + trace::node_name(node, sequencer().header().tiles);
        }
        log->write(flight.begun, Topic::noc, place().name,
                   "operation " + std::to_string(flight.op.id.value()) + " sends " +
                       std::to_string(transfer.bytes) + " B to " + to);
    }
    fabric_.send(transfer);
}

void InterfaceUnit::sent(Flight& flight)
{
    const Tick now = wheel().now();
    // Zero load counts to the last delivery, which is never before the last byte leaves: whatever
    // leaving took beyond it was certainly spent waiting.
    const Tick taken = now - flight.begun;
    const Tick waited = taken > flight.unloaded ? taken - flight.unloaded : 0;
    flight.spend(Stage::wait_noc, flight.begun + waited);
    flight.spend(Stage::transfer, now);
    account(flight);
    free_slot(flight);
}

InterfaceUnit::Present InterfaceUnit::present(const Flight& flight) const
{
    // Whatever goes beyond the time of an empty interconnect will turn out to be waiting.
    return flight.arrivals_left != 0
               ? Present{Stage::transfer, flight.begun + flight.unloaded, Stage::wait_noc}
               : Present{Stage::memory, kNever, Stage::no_work};
}

Tick InterfaceUnit::waiting(const Flight& flight, Tick at) const
{
    const Tick unloaded = flight.begun + flight.unloaded;
    return flight.arrivals_left != 0 && at > unloaded ? at - unloaded : 0;
}

void InterfaceUnit::note_contention(Flight& flight)
{
    const Tick taken = wheel().now() - flight.begun;
    flight.wait += taken > flight.unloaded ? taken - flight.unloaded : 0;
}

void InterfaceUnit::delivered(Flight& flight, std::size_t destination)
{
    sequencer().deliver(flight.op.id, flight.op.to[destination].at);
    if (--flight.arrivals_left == 0)
    {
        note_contention(flight);
        finish(flight);
    }
}

void NetworkInterface::begin(Flight& flight)
{
    if (flight.op.kind == trace::OpKind::move)
    {
        reserve(flight);
    }
    else
    {
        send(flight);
    }
}

void NetworkInterface::traverse(Flight& flight)
{
    send(flight);
}

void NetworkInterface::delivered(Flight& flight, std::size_t destination)
{
    if (flight.op.kind == trace::OpKind::move)
    {
        InterfaceUnit::delivered(flight, destination);
        return;
    }
    note_contention(flight);
    flight.arrivals_left = 0;
    MemoryPort& port = *memory_ports_[flight.op.to[destination].at.index() - tiles_];
    if (port.free() || flight.op.bytes == 0)
    {
        finish(flight);
    }
    else
    {
        port.access(flight, *this);
    }
}

void NetworkInterface::answered(Flight& flight, Tick waited, Tick end)
{
    flight.wait += waited;
    flight.waiting_until = flight.begun + waited;
    schedule(flight, Step::write_done, end);
}

void NetworkInterface::arrive(Flight& flight)
{
    finish(flight); // the memory has written a store
}

void MemoryPort::begin(Flight& flight)
{
    flight.fetched = free_ || flight.op.bytes == 0;
    reserve(flight);
}

void MemoryPort::traverse(Flight& flight)
{
    if (flight.fetched)
    {
        send(flight);
    }
    else
    {
        access(flight, *this);
    }
}

void MemoryPort::access(Flight& flight, InterfaceUnit& issuer)
{
    asking_.push_back({&flight, &issuer});
    wheel().wake_now(place().id.value(), Phase::allocate);
}

void MemoryPort::answered(Flight& flight, Tick waited, Tick end)
{
    flight.wait += waited;
    flight.waiting_until = flight.begun + waited;
    flight.spend(Stage::wait_memory, flight.begun + waited);
    flight.spend(Stage::memory, end);
    flight.fetched = true;
    schedule(flight, Step::send, end);
}

void MemoryPort::allocate()
{
    std::sort(asking_.begin(), asking_.end(),
              [](const Request& a, const Request& b) { return unit_order(*a.flight, *b.flight); });
    const Tick now = wheel().now();
    for (const Request& request : asking_)
    {
        Flight& flight = *request.flight;
        const trace::Operation& op = flight.op;
        const std::uint64_t address = next_address(op);
        const Tick from = clock().align(now);
        flight.begun = now;
        if (Log* const log = wheel().log(Topic::memory))
        {
            log->write(now, Topic::memory, place().name,
                       "operation " + std::to_string(op.id.value()) +
                           (op.kind == trace::OpKind::store ? " writes " : " reads ") +
                           std::to_string(op.bytes) + " B at " + std::to_string(address));
        }
        if (outbox_ != nullptr)
        {
            outbox_->put({place().id, flight.tag, from, &op, address});
            continue;
        }
        const Tick alone = dram_.unloaded(address, op.bytes, from);
        const Tick end = dram_.access(from, address, op.bytes, op.kind == trace::OpKind::store).end;
        request.issuer->answered(flight, end - from - std::min(end - from, alone), end);
    }
    asking_.clear();
}

std::uint64_t MemoryPort::next_address(const trace::Operation& op)
{
    // What says neither address nor tensor follows the access before it, round and round.
    const std::uint64_t next = following_ + op.bytes <= capacity_ ? following_ : 0;
    const std::uint64_t address = sequencer().address(op, next);
    if (address > capacity_ || op.bytes > capacity_ - address)
    {
        throw InputError(
            {sequencer().source().name(), 0, "operation " + std::to_string(op.id.value())},
            "its " + std::to_string(op.bytes) + " bytes at address " + std::to_string(address) +
                " lie beyond the memory of " + place().name + " (" + std::to_string(capacity_) +
                " bytes)",
            "check the address, or give the chip a larger memory.capacity");
    }
    following_ = address + op.bytes;
    return address;
}

} // namespace tessera::chip
