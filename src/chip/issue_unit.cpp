// SPDX-License-Identifier: Apache-2.0
#include "chip/issue_unit.h"

#include "base/time_limit.h"
#include "tessera/error.h"

#include <algorithm>
#include <utility>

namespace tessera::chip
{
namespace
{

constexpr double kEndOfTime = 2 * (static_cast<double>(kLatestTime) + 1);
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 32U; ///< of one result

} // namespace

IssueUnit::IssueUnit(UnitPlace place, const Clock& clock, Wheel& wheel, Sequencer& sequencer)
    : place_(std::move(place)), clock_(clock), wheel_(wheel), sequencer_(sequencer)
{
}

void IssueUnit::wake(Phase phase)
{
    switch (phase)
    {
    case Phase::arrive:
        arrive_all();
        return;
    case Phase::allocate:
        allocate();
        return;
    case Phase::traverse:
        if (starting_ != nullptr)
        {
            sequencer_.start(*starting_);
            begin(*std::exchange(starting_, nullptr));
        }
        for (Flight* const flight : flights_)
        {
            if (flight->due == wheel_.now() && flight->step == Step::send)
            {
                flight->due = kNever;
                flight->step = Step::idle;
                traverse(*flight);
            }
        }
        return;
    case Phase::complete:
        return;
    }
}

void IssueUnit::arrive_all()
{
    const Tick now = wheel_.now();
    if (!started_up_)
    {
        started_up_ = true;
        fetch(now);
        return;
    }
    for (std::size_t i = 0; i < flights_.size();)
    {
        Flight& flight = *flights_[i];
        if (flight.due == now && flight.step != Step::send)
        {
            flight.due = kNever;
            arrive(flight);
        }
        // arrive() may have ended the flight, which takes it out of the list.
        i += i < flights_.size() && flights_[i] == &flight ? 1 : 0;
    }
    if (slot_holder_ != nullptr && slot_holder_->slot_free_at == now)
    {
        free_slot(*slot_holder_);
    }
    if (stage_of_head_ == Head::armed && ask_at_ == now)
    {
        ask();
    }
}

/// Takes the next operation, which may not start before `turn`, now or later.
void IssueUnit::fetch(Tick turn)
{
    touch();
    has_head_ = sequencer_.next(place_.id, head_);
    if (!has_head_)
    {
        stage_of_head_ = Head::none;
        return;
    }
    if (head_.bytes > kMostBytes)
    {
        reject(head_, "a result of " + std::to_string(head_.bytes) + " bytes is too large",
               "split it into results of at most 4 GiB");
    }
    if (head_.release > kLatestTime)
    {
        reject(head_, "it is released after the end of simulated time",
               "check `release`: at most " + latest_time_text());
    }
    stage_of_head_ = Head::waiting;
    missing_ = 0;
    dependencies_met_ = turn;
    cause_ = previous_.valid() ? Cause::unit : Cause::none;
    because_ = previous_;
    for (std::size_t i = 0; i < head_.in.size(); ++i)
    {
        switch (
            sequencer_.data().await(head_.in[i], place_.node, *this, static_cast<std::uint32_t>(i)))
        {
        case DataTable::Lookup::available:
            break;
        case DataTable::Lookup::pending:
            ++missing_;
            break;
        case DataTable::Lookup::gone:
            reject(head_,
                   "operand " + std::to_string(head_.in[i].value()) +
                       " is not in its tile (any more)",
                   "an operand must be made in, or moved to, the tile that reads it, with as many "
                   "uses as it is read; see trace check");
        }
    }
    for (std::size_t i = 0; i < head_.after.size(); ++i)
    {
        const auto slot = static_cast<std::uint32_t>(i) | kAfter;
        missing_ += sequencer_.data().await_end(head_.after[i], *this, slot) ? 0 : 1;
    }
    if (missing_ == 0)
    {
        arm();
    }
}

void IssueUnit::arrived(std::uint32_t slot)
{
    // The unit's own turn wins ties, then the first operand, then the first `after`: what is named
    // as the cause must not depend on the order in which simultaneous arrivals are looked at.
    const Tick now = wheel_.now();
    if (now > dependencies_met_ ||
        (now == dependencies_met_ && (cause_ == Cause::input || cause_ == Cause::after) &&
         slot < decisive_slot_))
    {
        dependencies_met_ = now;
        decisive_slot_ = slot;
        cause_ = (slot & kAfter) == 0 ? Cause::input : Cause::after;
        because_ = (slot & kAfter) == 0 ? head_.in[slot] : head_.after[slot & ~kAfter];
    }
    if (--missing_ == 0)
    {
        arm();
    }
}

void IssueUnit::arm()
{
    touch();
    ready_ = dependencies_met_;
    if (head_.release > ready_)
    {
        ready_ = head_.release;
        cause_ = Cause::release;
        because_ = OpId::none();
    }
    ask_at_ = clock_.align(ready_);
    stage_of_head_ = Head::armed;
    log_op(head_, "is ready");
    if (ask_at_ == wheel_.now())
    {
        ask();
    }
    else
    {
        wheel_.wake_at(place_.id.value(), Phase::arrive, ask_at_);
    }
}

void IssueUnit::ask()
{
    stage_of_head_ = Head::asked;
    sequencer_.space().ask(place_.id);
}

void IssueUnit::describe(SpaceRequest& request)
{
    using trace::OpKind;
    takes_over_ = false;
    if (head_.kind == OpKind::store || head_.kind == OpKind::program)
    {
        return;
    }
    request.bytes = head_.bytes;
    if (head_.kind == OpKind::move || head_.kind == OpKind::load)
    {
        for (const trace::Destination& destination : head_.to)
        {
            request.tiles.push_back(destination.at);
        }
    }
    else
    {
        if (head_.into >= 0)
        {
            const OpId operand = head_.in[static_cast<std::size_t>(head_.into)];
            const DataTable::Datum* const datum = sequencer_.data().find(operand, place_.node);
            if (datum != nullptr && datum->uses_left == 1)
            {
                if (datum->footprint < head_.bytes)
                {
                    reject(head_,
                           "the result (" + std::to_string(head_.bytes) +
                               " bytes) does not fit into the space of operand " +
                               std::to_string(operand.value()) + " (" +
                               std::to_string(datum->footprint) + " bytes)",
                           "leave `into` out");
                }
                takes_over_ = true;
                request.bytes = 0;
            }
        }
        request.tiles.push_back(place_.node);
    }
    for (const NodeId tile : request.tiles)
    {
        if (request.bytes > sequencer_.space().capacity(tile))
        {
            reject(head_,
                   "the result (" + std::to_string(request.bytes) +
                       " bytes) is larger than the buffer of t" + std::to_string(tile.value()) +
                       " (" + std::to_string(sequencer_.space().capacity(tile)) + " bytes)",
                   "split it, or give the chip a larger buffer.capacity");
        }
    }
}

void IssueUnit::granted(OpId because)
{
    touch();
    const Tick now = wheel_.now();
    Flight& flight = sequencer_.take_off();
    std::swap(flight.op, head_);
    has_head_ = false;
    stage_of_head_ = Head::none;
    flight.unit = place_.id;
    flight.dependencies_met = dependencies_met_;
    flight.ready = ready_;
    flight.asked = ask_at_;
    flight.start = now;
    flight.cause = because.valid() ? Cause::space : cause_;
    flight.because = because.valid() ? because : because_;
    flight.padding = sequencer_.reads_padding(flight.op, place_.node);

    DataTable& data = sequencer_.data();
    const trace::Operation& op = flight.op;
    switch (op.kind)
    {
    case trace::OpKind::mvm:
    case trace::OpKind::vec:
    {
        const std::uint64_t footprint =
            takes_over_ ? data.take_footprint(op.in[static_cast<std::size_t>(op.into)], place_.node)
                        : op.bytes;
        data.produce(op.id, place_.node, op.bytes, footprint, op.uses, flight.padding);
        break;
    }
    case trace::OpKind::move:
    case trace::OpKind::load:
        for (const trace::Destination& destination : op.to)
        {
            data.produce(op.id, destination.at, op.bytes, op.bytes, destination.uses,
                         flight.padding);
        }
        break;
    case trace::OpKind::store:
    case trace::OpKind::program:
        break;
    }

    log_op(op, "starts");
    flights_.push_back(&flight);
    flight.slot_held = true;
    slot_holder_ = &flight;
    if (!busy_)
    {
        busy_ = true;
        sequencer_.busy(place_.kind, +1);
    }
    starting_ = &flight;
    wheel_.wake_now(place_.id.value(), Phase::traverse);
}

void IssueUnit::schedule(Flight& flight, Step step, Tick due)
{
    flight.step = step;
    flight.due = due;
    wheel_.wake_at(place_.id.value(), step == Step::send ? Phase::traverse : Phase::arrive, due);
}

void IssueUnit::hold_slot_until(Flight& flight, Tick tick)
{
    flight.slot_free_at = tick;
    wheel_.wake_at(place_.id.value(), Phase::arrive, tick);
}

void IssueUnit::free_slot(Flight& flight, Tick turn)
{
    flight.slot_held = false;
    flight.slot_free_at = kNever;
    slot_holder_ = nullptr;
    previous_ = flight.op.id;
    const bool interface = place_.kind == trace::UnitKind::network_interface ||
                           place_.kind == trace::UnitKind::memory_port;
    if (interface)
    {
        busy_ = false;
        sequencer_.busy(place_.kind, -1);
    }
    fetch(std::max(turn, wheel_.now()));
}

void IssueUnit::finish(Flight& flight)
{
    flights_.erase(std::find(flights_.begin(), flights_.end(), &flight));
    ++operations_;
    if (flight.op.kind == trace::OpKind::mvm)
    {
        vectors_ += flight.op.n;
    }
    log_op(flight.op, "ends");
    sequencer_.land(flight);
    if (busy_ && flights_.empty() &&
        (place_.kind == trace::UnitKind::macro || place_.kind == trace::UnitKind::vector_unit))
    {
        busy_ = false;
        sequencer_.busy(place_.kind, -1);
    }
}

void IssueUnit::account(Flight& flight)
{
    flight.booked = true;
    share(flight, kNever, accounted_,
          [&](const Segment& stretch, bool idle)
          {
              const Tick length = stretch.end - stretch.begin;
              time_[static_cast<unsigned>(stretch.stage)] += length;
              if (idle)
              {
                  flight.stalls.push_back(stretch);
              }
              else if (place_.crossbar && computes(stretch.stage))
              {
                  sequencer_.computed(flight.op, length);
              }
          });
}

namespace
{

/// How many stretches of a record have ended by tick `at`.
std::uint32_t ended_by(const Segment& record, Tick at)
{
    if (record.end > at)
    {
        return 0;
    }
    return record.period == 0 ? record.count
                              : static_cast<std::uint32_t>(std::min<Tick>(
                                    record.count, (at - record.end) / record.period + 1));
}

/// What of `records` lies before tick `at`.
void clip(std::vector<Segment>& records, Tick at)
{
    std::vector<Segment> before;
    for (const Segment& record : records)
    {
        const std::uint32_t ended = ended_by(record, at);
        if (ended != 0)
        {
            before.push_back(record);
            before.back().count = ended;
        }
        for (std::uint32_t i = ended; i < record.count && record.begin + i * record.period < at;
             ++i)
        {
            before.push_back({record.stage, record.begin + i * record.period, at});
        }
    }
    records = std::move(before);
}

} // namespace

void IssueUnit::cut(Tick at)
{
    for (Flight* const flight : flights_)
    {
        const Tick to_come = flight->waiting_until > at ? flight->waiting_until - at : 0;
        flight->wait += waiting(*flight, at) - to_come;
        if (!flight->booked)
        {
            const Present its = present(*flight);
            flight->spend(its.stage, std::min(its.until, at));
            flight->spend(its.after, at);
            clip(flight->work, at);
            clip(flight->pipeline, at);
            account(*flight);
        }
    }
    share_head(at, accounted_,
               [&](const Segment& stretch)
               {
                   time_[static_cast<unsigned>(stretch.stage)] += stretch.end - stretch.begin;
                   last_stalls_.push_back(stretch);
               });
}

void IssueUnit::arrive(Flight& /*flight*/) {}
void IssueUnit::traverse(Flight& /*flight*/) {}
void IssueUnit::sent(Flight& /*flight*/) {}
void IssueUnit::delivered(Flight& /*flight*/, std::size_t /*destination*/) {}
void IssueUnit::answered(Flight& /*flight*/, Tick /*waited*/, Tick /*end*/) {}
void IssueUnit::accepted(Flight& /*flight*/, Tick /*tick*/) {}

UnitSummary IssueUnit::summary(Tick at) const
{
    return {
        place_.name, place_.kind,
        place_.node, operations_,
        vectors_,    times(at, [](const Flight& /*flight*/, Stage /*stage*/, Tick /*length*/) {})};
}

std::optional<Stage> IssueUnit::steady() const
{
    if (!flights_.empty() || stage_of_head_ == Head::armed)
    {
        return std::nullopt;
    }
    return !has_head_                        ? Stage::no_work
           : stage_of_head_ == Head::waiting ? Stage::wait_input
                                             : Stage::wait_space;
}

void IssueUnit::log_op(const trace::Operation& op, const char* what)
{
    if (Log* const log = wheel_.log(Topic::op))
    {
        log->write(wheel_.now(), Topic::op, place_.name,
                   "operation " + std::to_string(op.id.value()) + " (" + name_of(op.kind) + ") " +
                       what);
    }
}

void IssueUnit::check_end(const trace::Operation& op, double ticks) const
{
    if (static_cast<double>(wheel_.now()) + ticks >= kEndOfTime)
    {
        reject(op, "it would end after the end of simulated time, 2^63 ps",
               "check n, and the durations of the chip");
    }
}

void IssueUnit::reject(const trace::Operation& op, const std::string& problem,
                       const std::string& remedy) const
{
    throw InputError({sequencer_.source().name(), 0, "operation " + std::to_string(op.id.value())},
                     "on " + place_.name + ": " + problem, remedy);
}

} // namespace tessera::chip
