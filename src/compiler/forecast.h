// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/emit.h"
#include "config/macro_timing.h"
#include "tessera/tick.h"
#include "tessera/trace.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera::compiler
{

/// When the operations of a program start and end on the chip that it is for, planned with all that
/// takes time: macros, vector units, ports of buffers, interfaces, the interconnect and the memory.
///
/// Units issue in order and wait for what their operations read and follow, as the chip does. What
/// several units share is asked for in the order of time: the ports of a buffer (results are
/// written right behind what is read), the channels of a memory port (each access opens a row), a
/// bus, and on a mesh the link into every tile. Between them the links of a mesh are taken to be
/// free, and nothing waits for space.
class Forecast
{
public:
    /// Of all operations emitted so far.
    explicit Forecast(const Emitter& emitter);

    [[nodiscard]] Tick end(OpId id) const { return end_[id.index()]; }
    [[nodiscard]] Tick makespan() const { return makespan_; }
    /// How long a unit works, waiting for others apart, on all operations.
    [[nodiscard]] Tick work(UnitId unit) const { return work_[unit.index()]; }
    /// The unit that works longest; the first of several.
    [[nodiscard]] UnitId busiest() const;

private:
    /// One operation of a unit.
    struct Span
    {
        Tick free = 0; ///< the unit takes its next one
        Tick end = 0;
    };
    struct Tile
    {
        std::vector<Tick> ports; ///< when each is free; none: ports take no time
        Tick entry = 0;          ///< the link into it is free
    };
    struct Weights
    {
        std::uint32_t rows = 0;
        std::uint32_t replicas = 1;
    };

    void run();
    [[nodiscard]] bool known(OpId id) const { return end_[id.index()] != kNever; }
    [[nodiscard]] Tick available(OpId id, NodeId tile) const;
    [[nodiscard]] std::size_t destinations(const trace::CompactOperation& operation) const;
    [[nodiscard]] Span start(const trace::CompactOperation& operation, Tick from);
    [[nodiscard]] Span compute(const trace::CompactOperation& operation, Tick from);
    [[nodiscard]] Span calculate(const trace::CompactOperation& operation, Tick begin) const;
    [[nodiscard]] Span transfer(const trace::CompactOperation& operation, Tick from);
    [[nodiscard]] Span travel(const trace::CompactOperation& operation, Tick from);
    [[nodiscard]] Span cross_mesh(const trace::CompactOperation& operation, Tick from);
    [[nodiscard]] Tick memory_time(std::uint64_t bytes) const;
    [[nodiscard]] Tick access_memory(NodeId port, std::uint64_t bytes, Tick from);
    [[nodiscard]] std::uint64_t bytes_read(const trace::CompactOperation& operation) const;
    [[nodiscard]] std::uint64_t flits(std::uint64_t bytes) const;
    [[nodiscard]] const config::ChipConfig::Macro& macro(NodeId tile) const
    {
        return chip_.is_digital(tile.value()) ? chip_.digital.macro : chip_.macro;
    }

    const config::ChipConfig& chip_;
    const Emitter& emitter_;
    const trace::CompactTrace& operations_;
    config::MacroTiming crossbar_;
    config::MacroTiming digital_;
    std::vector<std::uint32_t> cost_; ///< of a vector function: cycles per element and lane
    std::vector<Weights> weights_;    ///< by block
    std::vector<Tile> nodes_;         ///< tiles, then memory ports
    std::vector<Tick> memory_;        ///< by port: its channels are free
    Tick bus_ = 0;                    ///< it is free
    std::vector<Tick> end_;           ///< by operation; kNever: not started yet
    std::vector<Tick> arrivals_;      ///< by destination of an operation; kNever: its end
    std::vector<Tick> work_;          ///< by unit
    Tick makespan_ = 0;
};

} // namespace tessera::compiler
