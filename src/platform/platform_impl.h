// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chip/chip.h"
#include "platform/bridge.h"
#include "platform/host_port.h"
#include "platform/modules.h"
#include "platform/program_image.h"
#include "platform/requester.h"
#include "simulation/run.h"
#include "tessera/platform.h"
#include "trace/reader.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tessera
{

/// The chip behind the sockets: drives the wheel, hears hosts, asks memories and macros.
class PlatformChip::Impl : public platform::WheelBridge,
                           private platform::AnswerListener,
                           private platform::HostDevice
{
public:
    Impl(const sc_core::sc_module_name& name, PlatformChip& module, const ChipModel& model,
         const PlatformOptions& options);
    /// The options. Throws UsageError for what no chip can be made of: before there is a process or
    /// a socket, because the kernel would go on with those of a module that failed.
    static const PlatformOptions& checked(const ChipModel& model, const PlatformOptions& options);
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
    using Answer = platform::Answer;
    using MemoryLink = platform::Requester<MemoryAccess, tlm::tlm_base_protocol_types,
                                           sc_core::SC_ZERO_OR_MORE_BOUND>;
    using MacroLink = platform::Requester<MvmRequest, MvmProtocol, sc_core::SC_ONE_OR_MORE_BOUND>;

    /// A chip that executes nothing.
    struct Idle
    {
        explicit Idle(const config::ChipConfig& config);
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

} // namespace tessera
