// SPDX-License-Identifier: Apache-2.0
#include "chip/sequencer.h"

#include "base/time_limit.h"
#include "chip/issue_unit.h"
#include "tessera/error.h"

#include <algorithm>

namespace tessera::chip
{
namespace
{

constexpr std::uint32_t kNoLayer = ~std::uint32_t{0};
constexpr const char* kMacrosOfLayer = "the macros of a layer";
/// Ranges of images that somebody who wants the run to end waits for: much less than a second.
constexpr std::uint64_t kQuickLooks = std::uint64_t{1} << 20U;

std::uint32_t layer_of(const trace::Header& header, const trace::Operation& op)
{
    if (op.block.valid() && op.block.index() < header.blocks.size())
    {
        return header.blocks[op.block.index()].layer.value();
    }
    return op.layer.valid() ? op.layer.value() : kNoLayer;
}

/// Weights are written for all images.
bool counts_for_image(const trace::Operation& op)
{
    return op.kind != trace::OpKind::program;
}

bool is_wait(Stage stage)
{
    return stage >= Stage::wait_input;
}

} // namespace

Sequencer::Sequencer(Wheel& wheel, WakeIndex index, const Clock& reference,
                     trace::OperationSource& source, ActivitySink& sink)
    : wheel_(wheel), index_(index), reference_(reference), source_(source), sink_(sink)
{
    const trace::Header& header = source.header();
    for (const trace::TracedLayer& layer : header.layers)
    {
        LayerSummary summary;
        summary.name = layer.name;
        summary.kind = layer.kind;
        layers_.push_back(std::move(summary));
    }
    padding_starts_.assign(layers_.size(), kNever);
    tells_inputs_ = !header.tensors.empty();
    constexpr std::uint64_t line = 64; // tensors lie one behind the other, each from a new burst on
    std::uint64_t base = 0;
    for (const trace::Tensor& tensor : header.tensors)
    {
        tensor_bases_.push_back(base);
        base += (tensor.bytes() + line - 1) / line * line;
    }
}

void Sequencer::connect(std::vector<IssueUnit*> units, SpaceAllocator& space)
{
    units_ = std::move(units);
    streams_.assign(units_.size(), UnitId::none());
    space_ = &space;
}

void Sequencer::assign(UnitId unit, UnitId stream)
{
    streams_[unit.index()] = stream;
    wheel_.wake_at(unit.value(), Phase::arrive, 0);
}

bool Sequencer::next(UnitId unit, trace::Operation& operation)
{
    operation.clear();
    if (!source_.next(streams_[unit.index()], operation))
    {
        return false;
    }
    if (operation.id.value() >= DataTable::kMaxOperation)
    {
        throw InputError({source_.name(), 0, "operation " + std::to_string(operation.id.value())},
                         "the id is too large", "number operations from 0");
    }
    if (images_.expecting() && counts_for_image(operation))
    {
        const Tick arrival = images_.meet(operation.image);
        if (arrival > kLatestTime)
        {
            throw UsageError("image " + std::to_string(operation.image) +
                             " arrives after the end of simulated time, " + latest_time_text() +
                             "; give fewer images, or less time between them");
        }
        operation.release = std::max(operation.release, arrival);
    }
    return true;
}

Flight& Sequencer::take_off()
{
    if (parked_.empty())
    {
        parked_.push_back(static_cast<std::uint32_t>(flights_.size()));
        flights_.push_back(std::make_unique<Flight>());
    }
    Flight& flight = *flights_[parked_.back()];
    flight.tag = parked_.back();
    parked_.pop_back();
    flight.step = Step::idle;
    flight.due = kNever;
    flight.wait = 0;
    flight.waiting_until = 0;
    flight.slot_free_at = kNever;
    flight.booked = false;
    flight.arrivals_left = 0;
    flight.work.clear();
    flight.stalls.clear();
    flight.pipeline.clear();
    return flight;
}

bool Sequencer::reads_padding(const trace::Operation& op, NodeId node)
{
    using trace::OpKind;
    if (!tells_inputs_ || op.kind == OpKind::load || op.kind == OpKind::program)
    {
        return false;
    }
    const auto is_padding = [&](OpId operand)
    {
        const DataTable::Datum* const datum = data_.find(operand, node);
        return datum != nullptr && datum->padding;
    };
    padding_seen_ = padding_seen_ || op.in.empty();
    return padding_seen_ && std::all_of(op.in.begin(), op.in.end(), is_padding);
}

void Sequencer::start(const Flight& flight)
{
    if (counts_for_image(flight.op))
    {
        images_.start(flight.op.image, wheel_.now(), flight.padding);
    }
    if (follower_ != nullptr)
    {
        follower_->started(flight.op, units_[flight.unit.index()]->place().node, wheel_.now());
    }
}

void Sequencer::deliver(OpId operation, NodeId node)
{
    if (follower_ != nullptr)
    {
        follower_->arrived(operation, node);
    }
    const std::uint64_t freed = data_.make_available(operation, node);
    if (freed != 0)
    {
        space_->give_back(node, freed, operation);
    }
}

void Sequencer::land(Flight& flight)
{
    const trace::Operation& op = flight.op;
    const NodeId node = units_[flight.unit.index()]->place().node;
    flight.end = wheel_.now();
    if (op.kind == trace::OpKind::mvm || op.kind == trace::OpKind::vec)
    {
        deliver(op.id, node);
    }
    for (const OpId operand : op.in)
    {
        const auto freed = data_.use(operand, node);
        if (!freed)
        {
            reject_over_read(op, operand);
        }
        if (*freed != 0)
        {
            space_->give_back(node, *freed, op.id);
        }
    }
    if (follower_ != nullptr)
    {
        follower_->ended(op, node);
    }
    data_.end(op.id);
    landed_.push_back(&flight);
    wheel_.wake_now(index_, Phase::complete);
}

void Sequencer::reject_over_read(const trace::Operation& op, OpId operand) const
{
    throw InputError({source_.name(), 0, "operation " + std::to_string(op.id.value())},
                     "operand " + std::to_string(operand.value()) +
                         " is read more often than its `uses` says",
                     "count one use for every `in` that names it");
}

void Sequencer::sent(std::uint32_t tag)
{
    Flight& flight = *flights_[tag];
    if (Log* const log = wheel_.log(Topic::noc))
    {
        log->write(wheel_.now(), Topic::noc, units_[flight.unit.index()]->place().name,
                   "operation " + std::to_string(flight.op.id.value()) + " has left");
    }
    units_[flight.unit.index()]->sent(flight);
}

void Sequencer::delivered(std::uint32_t tag, std::size_t index)
{
    Flight& flight = *flights_[tag];
    if (Log* const log = wheel_.log(Topic::noc))
    {
        log->write(wheel_.now(), Topic::noc, units_[flight.unit.index()]->place().name,
                   "operation " + std::to_string(flight.op.id.value()) + " arrives at " +
                       trace::node_name(flight.op.to[index].at, header().tiles));
    }
    units_[flight.unit.index()]->delivered(flight, index);
}

void Sequencer::busy(trace::UnitKind kind, int change)
{
    busy_[static_cast<unsigned>(kind)] += change;
    busy_changed_ = true;
    wheel_.wake_now(index_, Phase::complete);
}

void Sequencer::wake(Phase /*phase*/)
{
    // Everything that ended in this round is there: by id, the records do not depend on the order
    // in which the units were looked at.
    std::sort(landed_.begin(), landed_.end(),
              [](const Flight* a, const Flight* b) { return a->op.id < b->op.id; });
    for (Flight* const flight : landed_)
    {
        commit(*flight);
    }
    landed_.clear();
    if (busy_changed_)
    {
        busy_changed_ = false;
        const Tick now = wheel_.now();
        if (cycle_pending_ && cycle_.tick != now)
        {
            sink_.cycles.append(cycle_);
        }
        cycle_pending_ = true;
        const auto count = [&](trace::UnitKind kind)
        { return static_cast<std::uint32_t>(busy_[static_cast<unsigned>(kind)]); };
        cycle_ = {now,
                  reference_.edge_at_or_after(now),
                  count(trace::UnitKind::macro),
                  count(trace::UnitKind::vector_unit),
                  count(trace::UnitKind::network_interface),
                  count(trace::UnitKind::memory_port)};
    }
}

void Sequencer::commit(Flight& flight)
{
    ++ended_;
    makespan_ = std::max(makespan_, flight.end);
    count(flight);
    if (sink_.at(ActivityLevel::unit))
    {
        record(flight, false);
    }
    parked_.push_back(flight.tag);
}

void Sequencer::count(const Flight& flight)
{
    computed_ = computed_ || flight.op.kind == trace::OpKind::mvm;
    const bool writes_weights =
        flight.op.kind == trace::OpKind::program && !flight.op.tensor.valid();
    in_turns_ = in_turns_ || (computed_ && writes_weights);
    if (counts_for_image(flight.op))
    {
        images_.end(flight.op.image, flight.end);
    }
    count_time(flight);
    const auto index = layer_of(flight.op);
    if (!index)
    {
        return;
    }
    LayerSummary& layer = layers_[*index];
    const trace::Operation& op = flight.op;
    ++layer.operations;
    switch (op.kind)
    {
    case trace::OpKind::mvm:
        layer.vectors += op.n;
        break;
    case trace::OpKind::move:
        layer.moved_bytes += op.bytes * op.to.size();
        break;
    case trace::OpKind::load:
    case trace::OpKind::store:
        layer.memory_bytes += op.bytes;
        break;
    case trace::OpKind::program:
    case trace::OpKind::vec:
        break;
    }
}

void Sequencer::count_time(const Flight& flight)
{
    const auto index = layer_of(flight.op);
    if (!index)
    {
        return;
    }
    LayerSummary& layer = layers_[*index];
    Tick& start = flight.padding ? padding_starts_[*index] : layer.start;
    start = std::min(start, flight.start);
    layer.end = std::max(layer.end, flight.end);
    if (on_macro(flight.op.kind))
    {
        layer.macro_time = added(layer.macro_time, flight.end - flight.start, kMacrosOfLayer);
    }
}

void Sequencer::computed(const trace::Operation& op, Tick length)
{
    if (const auto index = layer_of(op))
    {
        Tick& time = layers_[*index].compute_time;
        time = added(time, length, kMacrosOfLayer);
    }
}

std::optional<std::size_t> Sequencer::layer_of(const trace::Operation& op) const
{
    const std::uint32_t index = chip::layer_of(header(), op);
    return index < layers_.size() ? std::optional<std::size_t>(index) : std::nullopt;
}

void Sequencer::record(const Flight& flight, bool unfinished)
{
    const trace::Operation& op = flight.op;
    OpRecord record{};
    record.id = op.id.value();
    record.ready = flight.ready;
    record.start = flight.start;
    record.end = flight.end;
    record.because = flight.because.value();
    record.wait = flight.wait;
    record.unit = flight.unit.value();
    record.layer = chip::layer_of(header(), op);
    record.image = op.image;
    record.kind = static_cast<std::uint8_t>(op.kind);
    record.cause = static_cast<std::uint8_t>(flight.cause);
    record.unfinished = unfinished ? 1 : 0;
    record.padding = flight.padding ? 1 : 0;
    sink_.operations.append(record);
    for (const OpId on : op.in)
    {
        sink_.dependencies.append({record.id, on.value(), 0, {}});
    }
    for (const OpId on : op.after)
    {
        sink_.dependencies.append({record.id, on.value(), 1, {}});
    }
    if (!sink_.at(ActivityLevel::stage))
    {
        return;
    }
    const auto interval = [&](const Segment& s)
    {
        sink_.intervals.append({record.id,
                                s.begin,
                                s.end,
                                s.period,
                                s.count,
                                record.unit,
                                static_cast<std::uint8_t>(s.stage),
                                {}});
    };
    record_stalls(op.id, flight.unit, flight.stalls);
    const bool staged = !flight.pipeline.empty();
    for (const Segment& stretch : flight.work)
    {
        if (is_wait(stretch.stage))
        {
            record_stalls(op.id, flight.unit, {stretch});
        }
        else if (!staged || stretch.stage == Stage::read || stretch.stage == Stage::write)
        {
            interval(stretch);
        }
    }
    std::for_each(flight.pipeline.begin(), flight.pipeline.end(), interval);
}

void Sequencer::record_stalls(OpId operation, UnitId unit, const std::vector<Segment>& stalls)
{
    for (const Segment& stall : stalls)
    {
        sink_.stalls.append({operation.value(),
                             stall.begin,
                             stall.end,
                             unit.value(),
                             static_cast<std::uint8_t>(stall.stage),
                             {}});
    }
}

void Sequencer::cut(Tick at)
{
    std::vector<Flight*> in_flight;
    for (IssueUnit* const unit : units_)
    {
        unit->cut(at);
        in_flight.insert(in_flight.end(), unit->flights().begin(), unit->flights().end());
    }
    std::sort(in_flight.begin(), in_flight.end(),
              [](const Flight* a, const Flight* b) { return a->op.id < b->op.id; });
    unfinished_ = in_flight.size();
    for (Flight* const flight : in_flight)
    {
        flight->end = at;
        count_time(*flight);
        if (sink_.at(ActivityLevel::unit))
        {
            record(*flight, true);
        }
    }
    if (sink_.at(ActivityLevel::stage))
    {
        for (const IssueUnit* const unit : units_)
        {
            if (unit->head() != nullptr)
            {
                record_stalls(unit->head()->id, unit->place().id, unit->last_stalls());
            }
        }
    }
}

/// An image has ended when none of its operations is left, wherever it is.
void Sequencer::leave_images(bool patient)
{
    const auto leave = [this](const trace::Operation& op)
    {
        if (counts_for_image(op))
        {
            images_.leave(op.image, op.image);
        }
    };
    for (const IssueUnit* const unit : units_)
    {
        if (unit->head() != nullptr)
        {
            leave(*unit->head());
        }
        for (const Flight* const flight : unit->flights())
        {
            leave(flight->op);
        }
    }
    std::uint64_t looks = 0;
    const auto tell = [&](std::uint32_t first, std::uint32_t last)
    {
        images_.leave(first, last);
        return patient || ++looks < kQuickLooks;
    };
    bool known = false;
    try
    {
        known = source_.images_left(tell);
    }
    catch (const Error&) // NOLINT(bugprone-empty-catch): the run did not get to what is wrong there
    {
    }
    if (!known)
    {
        images_.leave_all();
    }
}

void Sequencer::settle()
{
    if (!landed_.empty())
    {
        wake(Phase::complete);
    }
}

void Sequencer::close(Tick at, bool patient)
{
    settle();
    if (cycle_pending_)
    {
        sink_.cycles.append(cycle_);
        cycle_pending_ = false;
    }
    if (ended_ != total())
    {
        images_.stop(at);
        leave_images(patient);
    }
    if (sink_.at(ActivityLevel::unit))
    {
        images_.for_each([this](const ImageRecord& image) { sink_.images.append(image); });
    }
}

std::uint64_t Sequencer::address(const trace::Operation& op, std::uint64_t following) const
{
    if (op.address)
    {
        return *op.address;
    }
    if (!op.tensor.valid() || op.tensor.index() >= tensor_bases_.size())
    {
        return following;
    }
    const trace::Tensor& tensor = header().tensors[op.tensor.index()];
    const trace::Box box = op.box.value_or(trace::Box{});
    const std::uint64_t element =
        (std::uint64_t{box.bounds[0]} * tensor.width + box.bounds[2]) * tensor.channels +
        box.bounds[4];
    return tensor_bases_[op.tensor.index()] + element * tensor.bits / 8;
}

std::uint32_t Sequencer::input_bits(const trace::Operation& op) const
{
    const std::uint32_t layer = chip::layer_of(header(), op);
    return layer < header().layers.size() ? header().layers[layer].input_bits : 8;
}

} // namespace tessera::chip
