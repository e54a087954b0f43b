// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chip/external.h"
#include "chip/issue_unit.h"
#include "config/macro_timing.h"

#include <cstdint>
#include <vector>

namespace tessera::chip
{

/// What macros and vector units have in common: operands are read through a buffer port, then comes
/// the computation, then the result is written through a port.
class ComputeUnit : public IssueUnit, public PortClient
{
public:
    ComputeUnit(UnitPlace place, const Clock& clock, Wheel& wheel, Sequencer& sequencer,
                Ports& ports)
        : IssueUnit(std::move(place), clock, wheel, sequencer), ports_(ports)
    {
    }
    void port_granted(Flight& flight) override;

protected:
    void begin(Flight& flight) final;
    void arrive(Flight& flight) final;
    [[nodiscard]] Present present(const Flight& flight) const final;
    [[nodiscard]] Tick waiting(const Flight& flight, Tick at) const final;
    /// The operands are there. Unless the derived class does otherwise, compute() says when the
    /// computation ends.
    virtual void start_compute(Flight& flight);
    /// Notes the stretches of the computation in flight.work and returns its end.
    virtual Tick compute(Flight& flight, Tick from) = 0;
    /// Bytes read before computing: every operand once, unless the derived class knows better.
    [[nodiscard]] virtual std::uint64_t bytes_read(const trace::Operation& op);

private:
    /// The result is in the buffer; a slot that is still held will be free at the time that the
    /// derived class set for it, or now.
    void complete(Flight& flight);

    Ports& ports_;
};

/// An array with its periphery, as far as time is concerned; itself it is kind `adc` or
/// `digital`.
class Macro : public ComputeUnit
{
public:
    Macro(UnitPlace place, const config::ChipConfig::Macro& config, config::MacroTiming timing,
          Wheel& wheel, Sequencer& sequencer, Ports& ports);
    [[nodiscard]] Parameters parameters() const override;

protected:
    Tick compute(Flight& flight, Tick from) override;
    [[nodiscard]] std::uint64_t bytes_read(const trace::Operation& op) override;
    /// Times that something enters the array: as many vectors together as it holds replicas.
    [[nodiscard]] std::uint64_t entries(const trace::Operation& op);

private:
    void note_stages(Flight& flight, std::uint64_t entries, Tick begin, Tick end) const;

    std::uint32_t rows_;
    std::uint32_t columns_;
    config::MacroTiming timing_;
    Duration row_time_;
};

/// A macro that somebody outside the chip models: it asks, and waits for the answer.
class ForeignMacro final : public Macro
{
public:
    ForeignMacro(UnitPlace place, const config::ChipConfig::Macro& config,
                 config::MacroTiming timing, Wheel& wheel, Sequencer& sequencer, Ports& ports,
                 Outbox& outbox)
        : Macro(std::move(place), config, std::move(timing), wheel, sequencer, ports),
          outbox_(outbox)
    {
    }
    [[nodiscard]] Parameters parameters() const override;
    void answered(Flight& flight, Tick waited, Tick end) override;
    void accepted(Flight& flight, Tick tick) override;

protected:
    void start_compute(Flight& flight) override;

private:
    Outbox& outbox_;
};

/// The general-purpose lanes of a tile: bias, activation, pooling, additions, softmax, ...
class VectorUnit final : public ComputeUnit
{
public:
    VectorUnit(UnitPlace place, const config::ChipConfig::Vector& config, Wheel& wheel,
               Sequencer& sequencer, Ports& ports);
    [[nodiscard]] Parameters parameters() const override;

protected:
    Tick compute(Flight& flight, Tick from) override;

private:
    std::uint64_t lanes_;
    Duration startup_;
    std::vector<std::uint32_t> cost_; ///< by function: cycles per element and lane
};

} // namespace tessera::chip
