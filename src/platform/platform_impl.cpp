// SPDX-License-Identifier: Apache-2.0
#include "platform/platform_impl.h"

#include "chip/deadlock.h"
#include "platform/time.h"
#include "record/statistics.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace tessera
{
namespace
{

constexpr std::uint64_t kIdentityValue = 0x0141'5245'5353'4554; // "TESSERA", 1
constexpr unsigned kMostHosts = 1024;
constexpr std::uint64_t kMostProgram = std::uint64_t{1} << 30U;
constexpr std::uint64_t kControlBits = host::start | host::abort;

/// "load operation 3 of 64 bytes"
std::string describe(const trace::Operation& op)
{
    return std::string(trace::name_of(op.kind)) + " operation " + std::to_string(op.id.value()) +
           " of " + std::to_string(op.bytes) + " bytes";
}

/// Throws UsageError for a macro that the chip does not have, or one that is named twice.
std::vector<UnitId> foreign_units(const chip::Chip& chip, const std::string& model,
                                  const std::vector<std::string>& names)
{
    std::vector<UnitId> found;
    for (const std::string& wanted : names)
    {
        const auto& units = chip.units();
        const auto unit = std::find_if(units.begin(), units.end(),
                                       [&](const chip::IssueUnit* candidate) {
                                           return candidate->place().name == wanted &&
                                                  candidate->place().kind == trace::UnitKind::macro;
                                       });
        if (unit == units.end())
        {
            throw UsageError("the chip " + model + " has no macro '" + wanted +
                             "'; name one like t0.m1");
        }
        const UnitId id = (*unit)->place().id;
        if (std::find(found.begin(), found.end(), id) != found.end())
        {
            throw UsageError("foreign macro '" + wanted + "' is named twice");
        }
        found.push_back(id);
    }
    return found;
}

/// A trace without operations, for the chip between jobs.
trace::Trace nothing_for(const config::ChipConfig& config)
{
    trace::Trace trace;
    trace.header.tiles = config.tile_count();
    trace.header.memory_ports = config.memory.ports;
    return trace;
}

} // namespace

PlatformChip::Impl::Idle::Idle(const config::ChipConfig& config)
    : trace(std::make_shared<trace::Trace>(nothing_for(config))),
      source(trace),
      chip(config, source, sink)
{
}

PlatformChip::Impl::Impl(const sc_core::sc_module_name& name, PlatformChip& module,
                         const ChipModel& model, const PlatformOptions& options)
    : WheelBridge(name),
      module_(module),
      model_(model),
      options_(options),
      hosts_(options.hosts, options.program_capacity, *this),
      idle_(std::make_unique<Idle>(config()))
{
    platform::AnswerListener& listener = *this;
    unsigned number = 0;
    const auto& units = idle_->chip.units();
    for (std::uint32_t port = 0; port < config().memory.ports; ++port)
    {
        const std::string& unit = units[idle_->chip.memory_port(port).index()]->place().name;
        memories_.push_back(
            std::make_unique<MemoryLink>(unit, number++, options.blocking, listener));
    }
    external_ = foreign_units(idle_->chip, model.name(), options.foreign_macros);
    macro_of_.resize(units.size());
    for (const UnitId unit : external_)
    {
        const std::string& wanted = units[unit.index()]->place().name;
        std::string socket = wanted;
        std::replace(socket.begin(), socket.end(), '.', '_');
        auto link = std::make_unique<MacroLink>(socket, number++, options.blocking, listener);
        macro_of_[unit.index()] = link.get();
        macros_.emplace(wanted, std::move(link));
    }
}

const PlatformOptions& PlatformChip::Impl::checked(const ChipModel& model,
                                                   const PlatformOptions& options)
{
    if (options.hosts > kMostHosts)
    {
        throw UsageError(std::to_string(options.hosts) + " host sockets are more than " +
                         std::to_string(kMostHosts) + "; set PlatformOptions::hosts");
    }
    if (options.program_capacity > kMostProgram)
    {
        throw UsageError("a program window of " + std::to_string(options.program_capacity) +
                         " bytes is more than 1 GiB; set PlatformOptions::program_capacity");
    }
    if (!options.foreign_macros.empty())
    {
        const Idle idle(model.config());
        static_cast<void>(foreign_units(idle.chip, model.name(), options.foreign_macros));
    }
    return options;
}

PlatformChip::Impl::~Impl()
{
    if (!driving())
    {
        return;
    }
    halt();
    try
    {
        end_run(WheelBridge::failure());
    }
    catch (const std::exception&)
    {
        // The folder says what it can. Nobody is left to be told: the interrupt's signal may be
        // gone already.
    }
}

std::vector<std::string> PlatformChip::Impl::memories() const
{
    std::vector<std::string> names;
    for (const std::unique_ptr<MemoryLink>& memory : memories_)
    {
        names.emplace_back(memory->socket.basename());
    }
    return names;
}

std::vector<std::string> PlatformChip::Impl::macros() const
{
    std::vector<std::string> names;
    for (const auto& [unit, link] : macros_)
    {
        names.push_back(unit);
    }
    return names;
}

void PlatformChip::Impl::build_modules()
{
    modules_ = std::make_unique<platform::ChipModules>(idle_->chip);
    modules_->adopt(idle_->chip);
}

void PlatformChip::Impl::end_of_elaboration()
{
    for (std::uint32_t port = 0; port < memories_.size(); ++port)
    {
        if (memories_[port]->socket.size() != 0)
        {
            external_.push_back(latest().memory_port(port));
        }
    }
    if (module_.reset.size() != 0)
    {
        sc_core::sc_spawn_options method;
        method.spawn_method();
        method.set_sensitivity(&module_.reset->value_changed_event());
        sc_core::sc_spawn([this] { watch_reset(); }, "watch_reset", &method);
    }
}

/// Only notes it: the bridge is the one process that writes irq.
void PlatformChip::Impl::watch_reset()
{
    reset_asked_ = reset_asked_ || module_.reset->read();
    wake();
}

void PlatformChip::Impl::hear_reset()
{
    if (reset_asked_)
    {
        if (driving())
        {
            halt();
            finish_run(nullptr);
        }
        image_.reset();
        status_ = 0;
        irq_enable_ = 0;
        irq_pending_ = 0;
        program_length_ = 0;
        total_ = 0;
        summary_ = Summary();
        failure_.clear();
        report_.clear();
        raise();
    }
    reset_asked_ = false;
    in_reset_ = module_.reset.size() != 0 && module_.reset->read();
}

/// After sc_stop() nothing moves any more. Signals do not change either.
void PlatformChip::Impl::end_of_simulation()
{
    simulation_over_ = true;
    if (driving())
    {
        halt();
        finish_run(nullptr, "the simulation was stopped while the job ran");
    }
}

void PlatformChip::Impl::hear(Answer answer)
{
    answers_.push_back(std::move(answer));
    wake();
}

void PlatformChip::Impl::hear_answers()
{
    std::stable_sort(answers_.begin(), answers_.end(),
                     [](const Answer& a, const Answer& b) { return a.socket < b.socket; });
    for (const Answer& answer : std::exchange(answers_, {}))
    {
        if (answer.job != jobs_)
        {
            continue; // of a job that was aborted
        }
        switch (answer.kind)
        {
        case Answer::Kind::accepted:
            chip()->accept(answer.tag, answer.at - origin());
            break;
        case Answer::Kind::done:
            chip()->answer(answer.tag, answer.waited, answer.at - origin());
            break;
        case Answer::Kind::failed:
            throw SimulationError(describe(chip()->sequencer().flight(answer.tag).op) + " got " +
                                  answer.problem);
        }
    }
}

void PlatformChip::Impl::ask(const chip::ExternalRequest& request)
{
    const trace::Operation& op = *request.operation;
    const auto fill = [&](auto& transaction)
    {
        transaction.job = jobs_;
        transaction.tag = request.tag;
        transaction.extension().operation = op.id.value();
        transaction.extension().image = op.image;
    };
    if (MacroLink* const link = macro_of_[request.unit.index()]; link != nullptr)
    {
        MacroLink::Request& transaction = link->make();
        fill(transaction);
        transaction.set_command(tlm::TLM_IGNORE_COMMAND);
        transaction.set_data_length(0);
        MvmRequest& mvm = transaction.extension();
        const trace::Header& header = chip()->sequencer().header();
        mvm.kind = op.kind;
        mvm.vectors = op.n;
        mvm.interval = sc_core::SC_ZERO_TIME;
        mvm.weights =
            op.block.valid() ? std::optional(header.blocks[op.block.index()]) : std::nullopt;
        mvm.layer = mvm.weights ? mvm.weights->layer : op.layer;
        link->send(transaction);
        return;
    }
    const bool writing = op.kind == trace::OpKind::store;
    MemoryLink& link = *memories_[request.unit.value() - chip()->memory_port(0).value()];
    MemoryLink::Request& transaction = link.make();
    fill(transaction);
    if (op.bytes > std::numeric_limits<unsigned>::max())
    {
        throw SimulationError(describe(op) + ": TLM-2.0 carries less than 4 GiB at a time");
    }
    const auto bytes = static_cast<unsigned>(op.bytes);
    static const unsigned char disabled = TLM_BYTE_DISABLED;
    transaction.data.assign(bytes, 0);
    transaction.set_command(writing ? tlm::TLM_WRITE_COMMAND : tlm::TLM_READ_COMMAND);
    transaction.set_address(request.address);
    transaction.set_data_ptr(transaction.data.data());
    transaction.set_data_length(bytes);
    transaction.set_streaming_width(bytes);
    transaction.set_byte_enable_ptr(writing ? const_cast<unsigned char*>(&disabled) : nullptr);
    transaction.set_byte_enable_length(writing ? 1 : 0);
    link.send(transaction);
}

Program PlatformChip::Impl::program()
{
    image_.reset();
    if (program_length_ == 0)
    {
        if (!options_.resident)
        {
            throw InputError({"program window", 0, ""}, "there is no program",
                             "write a trace and its length, or give a resident program");
        }
        return *options_.resident;
    }
    image_ = std::make_unique<platform::ProgramImage>(hosts_.program().data(), program_length_);
    return Program::open(image_->path());
}

bool PlatformChip::Impl::start()
{
    if (driving())
    {
        return false;
    }
    ++jobs_;
    answers_.clear();
    failure_.clear();
    report_.clear();
    summary_ = Summary();
    total_ = 0;
    try
    {
        simulation::RunIdentity identity;
        identity.command_line = {module_.name()};
        identity.kernel = "systemc";
        identity.external = external_;
        RunOptions options = options_.run;
        if (!options.folder.empty())
        {
            options.folder /= "job" + std::to_string(jobs_ - 1);
        }
        auto run = std::make_unique<simulation::Run>(model_, program(), std::move(options),
                                                     std::move(identity));
        chip::Monitor monitor = run->begin();
        modules_->adopt(run->chip());
        run_ = std::move(run);
        total_ = run_->chip().sequencer().total();
        idle_.reset();
        status_ = host::running;
        drive(run_->chip(), std::move(monitor),
              config().clock.align(platform::tick_of(sc_core::sc_time_stamp())));
    }
    catch (const std::exception& error)
    {
        conclude(host::failed, error.what()); // nothing may pass through the kernel
    }
    return true;
}

void PlatformChip::Impl::ended(chip::Chip& chip)
{
    try
    {
        if (WheelBridge::failure() == nullptr && !stopped() && !chip.done())
        {
            chip::throw_deadlock(chip);
        }
        finish_run(WheelBridge::failure());
    }
    catch (const chip::DeadlockError&)
    {
        finish_run(std::current_exception());
    }
}

/// All is done, and sc_time has come to it: the wheel may have gone ahead.
bool PlatformChip::Impl::reached_end() const
{
    chip::Chip& chip = run_->chip();
    return !stopped() && chip.done() &&
           origin() + chip.wheel().now() <= platform::tick_of(sc_core::sc_time_stamp());
}

/// Writes what the run leaves behind. Throws what Run::fail() and Run::end() throw.
RunResult PlatformChip::Impl::end_run(const std::exception_ptr& failure)
{
    return failure == nullptr ? run_->end(reached_end()) : run_->fail(failure);
}

void PlatformChip::Impl::forget_requests()
{
    for (const std::unique_ptr<MemoryLink>& memory : memories_)
    {
        memory->forget();
    }
    for (const auto& [unit, macro] : macros_)
    {
        macro->forget();
    }
}

/// `interruption`: what ended the job when nothing else did.
void PlatformChip::Impl::finish_run(const std::exception_ptr& failure,
                                    const std::string& interruption)
{
    forget_requests();
    try
    {
        const RunResult result = end_run(failure);
        summary_ = result.summary;
        if (result.end == RunEnd::complete)
        {
            conclude(host::done, "");
        }
        else
        {
            conclude(host::aborted,
                     result.end == RunEnd::until ? "ended at its limit of time" : interruption);
        }
    }
    catch (const std::exception& error)
    {
        summary_ = run_->chip().summary();
        conclude(host::failed, error.what());
    }
}

void PlatformChip::Impl::conclude(std::uint64_t status, const std::string& problem)
{
    status_ = status;
    failure_ = image_ == nullptr ? problem : image_->explain(problem);
    report_ = failure_.empty() ? record::statistics_json(record::statistics(summary_)) : failure_;
    irq_pending_ |= status;
    raise();
}

void PlatformChip::Impl::raise()
{
    if (module_.irq.size() != 0 && !simulation_over_)
    {
        module_.irq->write((irq_pending_ & irq_enable_) != 0);
    }
}

std::uint64_t PlatformChip::Impl::read(std::uint64_t address) const
{
    const bool now = driving();
    chip::Chip& chip = latest();
    const Tick span = now ? chip.span() : summary_.span;
    switch (address)
    {
    case host::kIdentity:
        return kIdentityValue;
    case host::kStatus:
        return status_;
    case host::kIrqEnable:
        return irq_enable_;
    case host::kIrqPending:
        return irq_pending_;
    case host::kProgramLength:
        return program_length_;
    case host::kProgramCapacity:
        return hosts_.program().size();
    case host::kJobs:
        return jobs();
    case host::kMakespan:
        return span;
    case host::kCycles:
        return config().clock.edge_at_or_after(span);
    case host::kOperations:
        return now ? chip.sequencer().ended() : summary_.operations;
    case host::kTotal:
        return total_;
    case host::kEvents:
        return now ? chip.wheel().delivered() : summary_.events;
    case host::kReportLength:
        return report_.size();
    default:
        return 0;
    }
}

bool PlatformChip::Impl::write(std::uint64_t address, std::uint64_t value)
{
    switch (address)
    {
    case host::kControl:
        if ((value & ~kControlBits) != 0)
        {
            return false;
        }
        if ((value & host::abort) != 0 && driving())
        {
            halt();
            finish_run(nullptr);
        }
        return (value & host::start) == 0 || start();
    case host::kIrqEnable:
        irq_enable_ = value;
        raise();
        return true;
    case host::kIrqPending:
        irq_pending_ &= ~value;
        raise();
        return true;
    case host::kProgramLength:
        if (value > hosts_.program().size())
        {
            return false;
        }
        program_length_ = value;
        return true;
    default:
        return false;
    }
}

} // namespace tessera
