// SPDX-License-Identifier: Apache-2.0
#include "chip/chip.h"
#include "chip/deadlock.h"
#include "platform/bridge.h"
#include "platform/host_port.h"
#include "platform/modules.h"
#include "platform/program_image.h"
#include "platform/requester.h"
#include "platform/time.h"
#include "record/statistics.h"
#include "simulation/run.h"
#include "tessera/platform.h"
#include "trace/reader.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

namespace tessera
{
namespace
{

using platform::Answer;

constexpr std::uint64_t kIdentityValue = 0x0141'5245'5353'4554; // "TESSERA", 1
constexpr std::uint64_t kMostProgram = std::uint64_t{1} << 30U;
constexpr std::uint64_t kControlBits = host::start | host::abort;

/// "load operation 3 of 64 bytes"
std::string describe(const trace::Operation& op)
{
    return std::string(trace::name_of(op.kind)) + " operation " + std::to_string(op.id.value()) +
           " of " + std::to_string(op.bytes) + " bytes";
}

std::uint64_t checked_capacity(std::uint64_t bytes)
{
    if (bytes > kMostProgram)
    {
        throw UsageError("a program window of " + std::to_string(bytes) +
                         " bytes is more than 1 GiB; set PlatformOptions::program_capacity");
    }
    return bytes;
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

/// The chip behind the sockets: drives the wheel, hears hosts, asks memories and macros.
class PlatformChip::Impl : public platform::WheelBridge,
                           private platform::AnswerListener,
                           private platform::HostDevice
{
public:
    Impl(const sc_core::sc_module_name& name, PlatformChip& module, const ChipModel& model,
         const PlatformOptions& options);
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    /// A job that still runs ends here.
    ~Impl() override;
    /// The units' modules become children of whoever is being constructed.
    void build_modules();

    [[nodiscard]] platform::HostPort& hosts() { return hosts_; }
    [[nodiscard]] std::vector<std::string> memories() const;
    [[nodiscard]] std::vector<std::string> macros() const;
    [[nodiscard]] MemorySocket* memory(unsigned number)
    {
        return number < memories_.size() ? &memories_[number]->socket : nullptr;
    }
    [[nodiscard]] MacroSocket* macro(const std::string& unit)
    {
        const auto found = macros_.find(unit);
        return found == macros_.end() ? nullptr : &found->second->socket;
    }
    [[nodiscard]] bool running() const { return driving(); }
    [[nodiscard]] std::uint64_t jobs() const { return jobs_ - (driving() ? 1 : 0); }
    [[nodiscard]] const Summary& summary() const { return summary_; }
    [[nodiscard]] const std::string& failure() const { return failure_; }
    [[nodiscard]] const std::string& report() const override { return report_; }

private:
    using MemoryLink = platform::Requester<MemoryAccess, tlm::tlm_base_protocol_types,
                                           sc_core::SC_ZERO_OR_MORE_BOUND>;
    using MacroLink = platform::Requester<MvmRequest, MvmProtocol, sc_core::SC_ONE_OR_MORE_BOUND>;

    /// A chip that executes nothing.
    struct Idle
    {
        explicit Idle(const config::ChipConfig& config)
            : trace(std::make_shared<trace::Trace>(nothing_for(config))),
              source(trace),
              chip(config, source, sink)
        {
        }
        std::shared_ptr<const trace::Trace> trace;
        trace::MemorySource source;
        ActivitySink sink;
        chip::Chip chip;
    };

    // The wheel's side.
    void hear_reset() override;
    void hear_answers() override;
    void ask(const chip::ExternalRequest& request) override;
    bool hear_calls(Tick now) override { return hosts_.carry_out(now); }
    [[nodiscard]] Tick next_call() const override { return hosts_.next(); }
    void ended(chip::Chip& chip) override;
    // The kernel's side.
    void end_of_elaboration() override;
    void end_of_simulation() override;
    void watch_reset();
    // The sockets' side.
    void hear(Answer answer) override;
    [[nodiscard]] std::uint64_t read(std::uint64_t address) const override;
    bool write(std::uint64_t address, std::uint64_t value) override;
    [[nodiscard]] bool in_reset() const override { return in_reset_; }
    void called() override { wake(); }

    [[nodiscard]] const config::ChipConfig& config() const { return model_.config(); }
    [[nodiscard]] Program program();
    [[nodiscard]] chip::Chip& latest() const { return run_ ? run_->chip() : idle_->chip; }
    bool start();
    void forget_requests();
    [[nodiscard]] bool reached_end() const;
    RunResult end_run(const std::exception_ptr& failure);
    void finish_run(const std::exception_ptr& failure, const std::string& interruption = "aborted");
    void conclude(std::uint64_t status, const std::string& problem);
    void raise();

    PlatformChip& module_;
    ChipModel model_;
    PlatformOptions options_;
    platform::HostPort hosts_;
    std::vector<std::unique_ptr<MemoryLink>> memories_;
    std::map<std::string, std::unique_ptr<MacroLink>> macros_;
    std::vector<MacroLink*> macro_of_; ///< by unit
    std::vector<UnitId> external_;
    std::unique_ptr<platform::ProgramImage> image_; ///< of the program that runs
    std::unique_ptr<Idle> idle_;                    ///< until the first job
    std::unique_ptr<simulation::Run> run_;          ///< the last job, going on or over
    std::unique_ptr<platform::ChipModules> modules_;
    std::vector<Answer> answers_;

    std::uint64_t jobs_ = 0; ///< started
    std::uint64_t status_ = 0;
    std::uint64_t irq_enable_ = 0;
    std::uint64_t irq_pending_ = 0;
    std::uint64_t program_length_ = 0;
    std::uint64_t total_ = 0;  ///< operations of the last job
    bool reset_asked_ = false; ///< since the bridge last heard of it
    bool in_reset_ = false;
    bool simulation_over_ = false;
    Summary summary_;
    std::string failure_;
    std::string report_;
};

PlatformChip::Impl::Impl(const sc_core::sc_module_name& name, PlatformChip& module,
                         const ChipModel& model, const PlatformOptions& options)
    : WheelBridge(name),
      module_(module),
      model_(model),
      options_(options),
      hosts_(options.hosts, checked_capacity(options.program_capacity), *this),
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
    macro_of_.resize(units.size());
    for (const std::string& wanted : options.foreign_macros)
    {
        const auto found = std::find_if(units.begin(), units.end(),
                                        [&](const chip::IssueUnit* unit) {
                                            return unit->place().name == wanted &&
                                                   unit->place().kind == trace::UnitKind::macro;
                                        });
        if (found == units.end())
        {
            throw UsageError("the chip " + model.name() + " has no macro '" + wanted +
                             "'; name one like t0.m1");
        }
        std::string socket = wanted;
        std::replace(socket.begin(), socket.end(), '.', '_');
        const auto added = macros_.emplace(
            wanted, std::make_unique<MacroLink>(socket, number++, options.blocking, listener));
        if (!added.second)
        {
            throw UsageError("foreign macro '" + wanted + "' is named twice");
        }
        const UnitId unit = (*found)->place().id;
        macro_of_[unit.index()] = added.first->second.get();
        external_.push_back(unit);
    }
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
    const Tick makespan = now ? chip.sequencer().makespan() : summary_.makespan;
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
        return makespan;
    case host::kCycles:
        return config().clock.edge_at_or_after(makespan);
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

PlatformChip::PlatformChip(const sc_core::sc_module_name& name, const ChipModel& model,
                           const PlatformOptions& options)
    : sc_module(name),
      irq("irq"),
      reset("reset"),
      impl_(std::make_unique<Impl>("io", *this, model, options))
{
    impl_->build_modules();
}

PlatformChip::~PlatformChip() = default;

PlatformChip::HostSocket& PlatformChip::host(unsigned number)
{
    HostSocket* const socket = impl_->hosts().socket(number);
    if (socket == nullptr)
    {
        throw UsageError("the chip has no host socket " + std::to_string(number) +
                         "; set PlatformOptions::hosts");
    }
    return *socket;
}

PlatformChip::MemorySocket& PlatformChip::memory(unsigned number)
{
    MemorySocket* const socket = impl_->memory(number);
    if (socket == nullptr)
    {
        throw UsageError("the chip has no memory port " + std::to_string(number) +
                         "; set memory.ports");
    }
    return *socket;
}

PlatformChip::MacroSocket& PlatformChip::macro(const std::string& unit)
{
    MacroSocket* const socket = impl_->macro(unit);
    if (socket == nullptr)
    {
        throw UsageError("macro '" + unit + "' has no socket; name it in foreign_macros");
    }
    return *socket;
}

unsigned PlatformChip::hosts() const
{
    return impl_->hosts().sockets();
}

std::vector<std::string> PlatformChip::memories() const
{
    return impl_->memories();
}

std::vector<std::string> PlatformChip::macros() const
{
    return impl_->macros();
}

host::Window PlatformChip::registers() const
{
    return {0, host::kRegisters};
}

host::Window PlatformChip::report() const
{
    return {host::kReportWindow, impl_->report().size()};
}

host::Window PlatformChip::program() const
{
    return {host::kProgramWindow, impl_->hosts().program().size()};
}

bool PlatformChip::running() const
{
    return impl_->running();
}

std::uint64_t PlatformChip::jobs() const
{
    return impl_->jobs();
}

const Summary& PlatformChip::summary() const
{
    return impl_->summary();
}

const std::string& PlatformChip::failure() const
{
    return impl_->failure();
}

} // namespace tessera
