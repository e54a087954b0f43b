// SPDX-License-Identifier: Apache-2.0
#include "chip/compute_unit.h"

#include "base/integer.h"
#include "base/quantity.h"

#include <algorithm>

namespace tessera::chip
{

void ComputeUnit::begin(Flight& flight)
{
    flight.begun = wheel().now();
    const std::uint64_t bytes = bytes_read(flight.op);
    if (ports_.needed(bytes))
    {
        flight.unloaded = bytes;
        flight.step = Step::read_done;
        ports_.ask(flight, *this);
        return;
    }
    start_compute(flight);
}

std::uint64_t ComputeUnit::bytes_read(const trace::Operation& op)
{
    std::uint64_t bytes = 0;
    for (const OpId operand : op.in)
    {
        const DataTable::Datum* const datum = sequencer().data().find(operand, place().node);
        if (datum == nullptr)
        {
            sequencer().reject_over_read(op, operand);
        }
        bytes += datum->bytes;
    }
    return bytes;
}

void ComputeUnit::port_granted(Flight& flight)
{
    const Tick now = wheel().now();
    const bool reading = flight.step == Step::read_done;
    const std::uint64_t bytes = reading ? flight.unloaded : flight.op.bytes;
    flight.wait += now - flight.begun;
    flight.spend(Stage::wait_port, now);
    const Tick end = ports_.end(now, bytes);
    flight.spend(reading ? Stage::read : Stage::write, end);
    schedule(flight, flight.step, end);
}

void ComputeUnit::start_compute(Flight& flight)
{
    schedule(flight, Step::compute_done, compute(flight, wheel().now()));
}

void ComputeUnit::arrive(Flight& flight)
{
    switch (flight.step)
    {
    case Step::read_done:
        ports_.release();
        start_compute(flight);
        return;
    case Step::compute_done:
        if (ports_.needed(flight.op.bytes))
        {
            flight.begun = wheel().now();
            flight.step = Step::write_done;
            ports_.ask(flight, *this);
            return;
        }
        complete(flight);
        return;
    case Step::write_done:
        ports_.release();
        complete(flight);
        return;
    case Step::idle:
    case Step::send:
        return;
    }
}

namespace
{

/// It has asked for a port, or holds one.
bool at_port(const Flight& flight)
{
    return flight.step == Step::read_done || flight.step == Step::write_done;
}

} // namespace

ComputeUnit::Present ComputeUnit::present(const Flight& flight) const
{
    const Stage work = flight.op.kind == trace::OpKind::program ? Stage::program
                       : flight.op.kind == trace::OpKind::vec   ? Stage::vector
                                                                : Stage::mvm;
    return {at_port(flight) ? Stage::wait_port : work, kNever, Stage::no_work};
}

Tick ComputeUnit::waiting(const Flight& flight, Tick at) const
{
    // Whose port is granted has an end.
    return at_port(flight) && flight.due == kNever ? at - flight.begun : 0;
}

void ComputeUnit::complete(Flight& flight)
{
    // One that started later may end earlier, its result being shorter to write: its time lies
    // within that of the earlier one, which will be booked.
    if (flights().front() == &flight)
    {
        account(flight);
    }
    // Who takes longer for the next operation than for the result has one in line by then: the
    // flight will be used for something else.
    const Tick turn = flight.slot_free_at == kNever ? wheel().now() : flight.slot_free_at;
    finish(flight);
    if (flight.slot_held)
    {
        free_slot(flight, turn);
    }
}

Macro::Macro(UnitPlace place, const config::ChipConfig::Macro& config, config::MacroTiming timing,
             Wheel& wheel, Sequencer& sequencer, Ports& ports)
    : ComputeUnit(std::move(place), config.clock, wheel, sequencer, ports),
      rows_(config.rows),
      columns_(config.columns),
      timing_(std::move(timing)),
      row_time_(config.program.row_time)
{
}

Parameters Macro::parameters() const
{
    return {{"rows", std::to_string(rows_)},
            {"columns", std::to_string(columns_)},
            {"latency", print_duration(timing_.latency)},
            {"interval", print_duration(timing_.interval)}};
}

std::uint64_t Macro::bytes_read(const trace::Operation& op)
{
    const trace::Header& header = sequencer().header();
    if (op.kind != trace::OpKind::mvm || !op.block.valid())
    {
        return ComputeUnit::bytes_read(op);
    }
    const trace::Block& block = header.blocks[op.block.index()];
    const std::uint64_t bits =
        std::uint64_t{block.row_end - block.row_begin} * sequencer().input_bits(op);
    return op.n * ((bits + 7) / 8);
}

std::uint64_t Macro::entries(const trace::Operation& op)
{
    return op.block.valid() ? ceil_div(op.n, sequencer().header().blocks[op.block.index()].replicas)
                            : op.n;
}

Tick Macro::compute(Flight& flight, Tick from)
{
    const trace::Operation& op = flight.op;
    const Duration one = op.kind == trace::OpKind::program ? row_time_ : timing_.interval;
    check_end(op, (op.n + 1.0) * static_cast<double>(one.length(clock())));
    if (op.kind == trace::OpKind::program)
    {
        const Tick end = work_end(clock(), from, op.n * row_time_);
        flight.spend(Stage::program, end);
        return end;
    }
    if (op.n == 0 || timing_.latency.zero())
    {
        return from;
    }
    const Tick begin = clock().align(from);
    const std::uint64_t entering = entries(op);
    const Tick end = timing_.total(entering).end(clock(), begin);
    note_stages(flight, entering, begin, end);
    hold_slot_until(flight, (entering * timing_.interval).end(clock(), begin));
    return end;
}

void Macro::note_stages(Flight& flight, std::uint64_t entries, Tick begin, Tick end) const
{
    const std::uint64_t slices = entries * timing_.slices;
    const auto at = [&](Duration offset) { return offset.end(clock(), begin); };
    for (std::size_t i = 0; i < timing_.stages.size(); ++i)
    {
        const config::StageTiming& stage = timing_.stages[i];
        const Duration skipped =
            i < timing_.bottleneck ? Duration{} : (slices - 1) * timing_.slice_interval;
        flight.spend(stage.stage, std::min(end, at(skipped + stage.begin + stage.length)));
    }
    if (!sequencer().sink().at(ActivityLevel::stage))
    {
        return;
    }
    for (const config::StageTiming& stage : timing_.stages)
    {
        flight.pipeline.push_back(
            {stage.stage, at(stage.begin), at(stage.begin + stage.length),
             timing_.slice_interval.length(clock()),
             static_cast<std::uint32_t>(std::min<std::uint64_t>(slices, ~std::uint32_t{0}))});
    }
}

Parameters ForeignMacro::parameters() const
{
    Parameters parameters = Macro::parameters();
    parameters.resize(2); // rows and columns; who answers knows its own times
    parameters.emplace_back("model", "foreign");
    return parameters;
}

void ForeignMacro::start_compute(Flight& flight)
{
    if (flight.op.n == 0)
    {
        Macro::start_compute(flight);
        return;
    }
    outbox_.put({place().id, flight.tag, clock().align(wheel().now()), &flight.op, 0});
}

void ForeignMacro::accepted(Flight& flight, Tick tick)
{
    hold_slot_until(flight, tick);
}

void ForeignMacro::answered(Flight& flight, Tick waited, Tick end)
{
    flight.wait += waited;
    flight.spend(flight.op.kind == trace::OpKind::program ? Stage::program : Stage::mvm, end);
    if (flight.slot_held && flight.slot_free_at == kNever)
    {
        hold_slot_until(flight, end);
    }
    schedule(flight, Step::compute_done, end);
}

VectorUnit::VectorUnit(UnitPlace place, const config::ChipConfig::Vector& config, Wheel& wheel,
                       Sequencer& sequencer, Ports& ports)
    : ComputeUnit(std::move(place), config.clock, wheel, sequencer, ports),
      lanes_(config.lanes),
      startup_(config.startup)
{
    for (const trace::Function& function : trace::functions())
    {
        const auto found = config.cost.find(function.name);
        cost_.push_back(found == config.cost.end() ? 1 : found->second);
    }
}

Parameters VectorUnit::parameters() const
{
    return {{"lanes", lanes_ == config::kUnlimited ? "unlimited" : std::to_string(lanes_)},
            {"startup", print_duration(startup_)}};
}

Tick VectorUnit::compute(Flight& flight, Tick from)
{
    if (lanes_ == config::kUnlimited)
    {
        return from;
    }
    const std::uint64_t cycles =
        ceil_div(std::uint64_t{flight.op.n} * cost_[flight.op.function], lanes_);
    check_end(flight.op, static_cast<double>(Duration::of_cycles(1).length(clock())) *
                             (static_cast<double>(cycles) + 1));
    const Tick end = work_end(clock(), from, startup_ + Duration::of_cycles(cycles));
    flight.spend(Stage::vector, end);
    return end;
}

} // namespace tessera::chip
