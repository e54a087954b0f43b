// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chip/dram.h"
#include "chip/external.h"
#include "chip/issue_unit.h"

#include <cstdint>
#include <vector>

namespace tessera::chip
{

/// What network interfaces and memory ports have in common: a reservation is confirmed, then bytes
/// go into the interconnect, and the unit is free for its next operation when the last one has
/// left.
class InterfaceUnit : public IssueUnit
{
public:
    InterfaceUnit(UnitPlace place, const config::ChipConfig::Noc& config, Wheel& wheel,
                  Sequencer& sequencer, noc::Fabric& fabric)
        : IssueUnit(std::move(place), config.clock, wheel, sequencer),
          reserve_(config.reserve),
          fabric_(fabric)
    {
    }
    [[nodiscard]] Parameters parameters() const override;
    void sent(Flight& flight) override;
    void delivered(Flight& flight, std::size_t destination) override;

protected:
    [[nodiscard]] Present present(const Flight& flight) const final;
    [[nodiscard]] Tick waiting(const Flight& flight, Tick at) const final;
    /// Phase traverse: hands the flight's bytes to the interconnect.
    void send(Flight& flight);
    /// Phase traverse: the destinations are waited for; then traverse() is called.
    void reserve(Flight& flight);
    /// What the last arrival took beyond the time it takes when nothing else moves.
    void note_contention(Flight& flight);

private:
    Duration reserve_;
    noc::Fabric& fabric_;
};

/// External memory behind one port of the interconnect: issues loads, serves stores.
class MemoryPort final : public InterfaceUnit
{
public:
    /// With an `outbox`, the memory is outside the chip; otherwise it is a DRAM of `config`.
    MemoryPort(UnitPlace place, const config::ChipConfig& config, Wheel& wheel,
               Sequencer& sequencer, noc::Fabric& fabric, Outbox* outbox)
        : InterfaceUnit(std::move(place), config.noc, wheel, sequencer, fabric),
          dram_(config.memory, config.noc.clock),
          outbox_(outbox),
          free_(outbox == nullptr && config.memory.channels == config::kUnlimited),
          capacity_(config.memory.capacity)
    {
    }
    /// The memory takes no time at all.
    [[nodiscard]] bool free() const { return free_; }
    /// Asks for the access of a load of this port, or of a store whose bytes are here.
    void access(Flight& flight, InterfaceUnit& issuer);
    void answered(Flight& flight, Tick waited, Tick end) override;

protected:
    void begin(Flight& flight) override;
    void traverse(Flight& flight) override;
    void allocate() override;

private:
    struct Request
    {
        Flight* flight;
        InterfaceUnit* issuer; ///< this port for a load
    };
    [[nodiscard]] std::uint64_t next_address(const trace::Operation& op);

    Dram dram_;
    Outbox* outbox_;
    bool free_;
    std::uint64_t capacity_;
    std::uint64_t following_ = 0; ///< address after the last access
    std::vector<Request> asking_;
};

/// Moves data out of its tile's buffer: to other tiles, or to memory.
class NetworkInterface final : public InterfaceUnit
{
public:
    NetworkInterface(UnitPlace place, const config::ChipConfig::Noc& config, Wheel& wheel,
                     Sequencer& sequencer, noc::Fabric& fabric, std::uint32_t tiles,
                     const std::vector<MemoryPort*>& memory_ports)
        : InterfaceUnit(std::move(place), config, wheel, sequencer, fabric),
          tiles_(tiles),
          memory_ports_(memory_ports)
    {
    }
    void delivered(Flight& flight, std::size_t destination) override;
    void answered(Flight& flight, Tick waited, Tick end) override;

protected:
    void begin(Flight& flight) override;
    void arrive(Flight& flight) override;
    void traverse(Flight& flight) override;

private:
    std::uint32_t tiles_;
    const std::vector<MemoryPort*>& memory_ports_;
};

} // namespace tessera::chip
