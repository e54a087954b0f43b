// SPDX-License-Identifier: Apache-2.0
// A SystemC platform around a chip: a host, a second initiator, an external memory, macros of
// somebody else's. Prints what came of it as JSON.
#include "foreign_macro.h"
#include "host.h"
#include "memories.h"
#include "protocol_checker.h"

#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>

#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <systemc>
#include <tessera/platform.h>
#include <vector>

namespace
{
namespace po = boost::program_options;

constexpr double kBandwidth = 1e9; ///< bytes a second, as chip.json has it

std::vector<unsigned char> contents(const std::string& file)
{
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// A memory of the kind asked for, bound to the chip with a checker in between.
class Memory
{
public:
    Memory(const std::string& kind, tessera::PlatformChip& chip)
    {
        const Channel channel(kBandwidth, sc_core::sc_time(30, sc_core::SC_NS));
        if (kind == "none")
        {
            return;
        }
        checker_ = std::make_unique<ProtocolChecker<>>("memory_checker");
        chip.memory().bind(checker_->target);
        if (kind == "blocking" || kind == "waiting")
        {
            blocking_ = std::make_unique<BlockingMemory>("memory", channel, kind == "waiting");
            checker_->initiator.bind(blocking_->socket);
            return;
        }
        const auto style = kind == "at-annotated" ? AtMemory::Style::annotated
                           : kind == "at-delayed" ? AtMemory::Style::delayed
                           : kind == "at-early"   ? AtMemory::Style::early
                                                  : AtMemory::Style::phases;
        at_ = std::make_unique<AtMemory>("memory", channel, style);
        checker_->initiator.bind(at_->socket);
    }
    [[nodiscard]] const ProtocolChecker<>* checker() const { return checker_.get(); }
    [[nodiscard]] std::uint64_t bytes() const
    {
        const Channel* const channel = at_         ? &at_->channel()
                                       : blocking_ ? &blocking_->channel()
                                                   : nullptr;
        return channel == nullptr ? 0 : channel->read() + channel->written();
    }

private:
    std::unique_ptr<ProtocolChecker<>> checker_;
    std::unique_ptr<AtMemory> at_;
    std::unique_ptr<BlockingMemory> blocking_;
};

} // namespace

int sc_main(int argc, char** argv)
{
    po::options_description options("options");
    options.add_options()                                             //
        ("chip", po::value<std::string>()->required(), "chip config") //
        ("set", po::value<std::vector<std::string>>()->default_value({}, "")->composing(),
         "override")                                                                       //
        ("trace", po::value<std::string>()->required(), "what the host lets the chip run") //
        ("memory", po::value<std::string>()->default_value("none"),
         "none, at, at-annotated, at-delayed, at-early, blocking or waiting")             //
        ("quantum", po::value<double>()->default_value(0), "global quantum, ns")          //
        ("deltas", po::value<unsigned>()->default_value(0), "delta cycles before START")  //
        ("delay", po::value<double>()->default_value(0), "delay of START, ns")            //
        ("jobs", po::value<unsigned>()->default_value(1), "how often the host starts it") //
        ("abort", po::bool_switch(), "the host aborts the first job")                     //
        ("foreign", po::value<std::vector<std::string>>()->default_value({}, "")->composing(),
         "macro that is modelled here")                                                         //
        ("mvm", po::value<double>()->default_value(1400), "how long an MVM takes in those, ns") //
        ("blocking-macros", po::bool_switch(), "speak b_transport to them")                     //
        ("folder", po::value<std::string>()->default_value(""), "where jobs leave their results");
    po::variables_map given;
    po::store(po::parse_command_line(argc, argv, options), given);
    po::notify(given);
    const auto text = [&](const char* name) { return given[name].as<std::string>(); };
    const auto nanoseconds = [&](const char* name)
    { return sc_core::sc_time(given[name].as<double>(), sc_core::SC_NS); };

    tlm::tlm_global_quantum::instance().set(nanoseconds("quantum"));
    tessera::PlatformOptions chosen;
    chosen.hosts = 2;
    chosen.foreign_macros = given["foreign"].as<std::vector<std::string>>();
    chosen.blocking = text("memory") == "blocking" || text("memory") == "waiting" ||
                      given["blocking-macros"].as<bool>();
    chosen.run.folder = text("folder");
    chosen.run.level = tessera::ActivityLevel::stage;
    std::unique_ptr<tessera::PlatformChip> made;
    try
    {
        const tessera::ChipModel model(text("chip"), given["set"].as<std::vector<std::string>>());
        made = std::make_unique<tessera::PlatformChip>("chip", model, chosen);
    }
    catch (const tessera::Error& error)
    {
        std::cerr << error.what() << '\n';
        return static_cast<int>(error.code());
    }
    tessera::PlatformChip& chip = *made;

    Host::Settings settings;
    settings.program = contents(text("trace"));
    settings.jobs = given["jobs"].as<unsigned>();
    settings.deltas = given["deltas"].as<unsigned>();
    settings.delay = nanoseconds("delay");
    settings.abort = given["abort"].as<bool>();
    Host host("host", settings);
    Watcher watcher("watcher", host);
    ProtocolChecker<> host_checker("host_checker");
    ProtocolChecker<> watcher_checker("watcher_checker");
    host.socket.bind(host_checker.target);
    host_checker.initiator.bind(chip.host(0));
    watcher.socket.bind(watcher_checker.target);
    watcher_checker.initiator.bind(chip.host(1));
    sc_core::sc_signal<bool> irq("irq");
    chip.irq(irq);
    host.irq(irq);
    const Memory memory(text("memory"), chip);

    using MacroChecker = ProtocolChecker<tessera::MvmProtocol>;
    std::vector<std::unique_ptr<ForeignMacro>> macros;
    std::vector<std::unique_ptr<MacroChecker>> macro_checkers;
    for (const std::string& unit : chosen.foreign_macros)
    {
        const std::string name = "macro" + std::to_string(macros.size());
        macros.push_back(std::make_unique<ForeignMacro>(name.c_str(), nanoseconds("mvm")));
        macro_checkers.push_back(std::make_unique<MacroChecker>((name + "_checker").c_str()));
        chip.macro(unit).bind(macro_checkers.back()->target);
        macro_checkers.back()->initiator.bind(macros.back()->socket);
    }

    sc_core::sc_start();

    std::vector<std::string> breaches;
    const auto collect = [&](const auto& checker)
    {
        const std::vector<std::string> found = checker.breaches();
        breaches.insert(breaches.end(), found.begin(), found.end());
    };
    collect(host_checker);
    collect(watcher_checker);
    if (memory.checker() != nullptr)
    {
        collect(*memory.checker());
    }
    std::uint64_t foreign_vectors = 0;
    for (std::size_t i = 0; i < macros.size(); ++i)
    {
        collect(*macro_checkers[i]);
        foreign_vectors += macros[i]->vectors();
    }
    const nlohmann::ordered_json result = {
        {"finished", host.finished()},
        {"status", host.status()},
        {"jobs", chip.jobs()},
        {"interrupts", host.interrupts()},
        {"makespan_ps", host.makespan()},
        {"failure", chip.failure()},
        {"looks", watcher.looks()},
        {"saw_it_running", watcher.saw_it_running()},
        {"memory_bytes", memory.bytes()},
        {"memory_transactions", memory.checker() == nullptr ? 0 : memory.checker()->transactions()},
        {"foreign_vectors", foreign_vectors},
        {"end_ps", sc_core::sc_time_stamp().value()},
        {"breaches", breaches},
        {"report", host.report()}};
    std::cout << result.dump(2) << '\n';
    return breaches.empty() && host.finished() ? 0 : 1;
}
