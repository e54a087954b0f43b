// SPDX-License-Identifier: Apache-2.0
#include "chip/chip.h"
#include "chip/deadlock.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/workload.h"
#include "config/load.h"
#include "platform/modules.h"
#include "record/activity_writer.h"
#include "record/inspect.h"
#include "record/names.h"
#include "record/results.h"
#include "tessera/error.h"
#include "trace/header.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <iostream>
#include <memory>
#include <ostream>
#include <unistd.h>
#include <zlib.h>

namespace tessera::cli
{
namespace po = boost::program_options;
namespace
{

constexpr const char* kDefaultFolder = "tessera-out";

ActivityLevel level_of(const std::string& name)
{
    for (const ActivityLevel level :
         {ActivityLevel::off, ActivityLevel::unit, ActivityLevel::stage})
    {
        if (name == record::name_of(level))
        {
            return level;
        }
    }
    throw UsageError("unknown level '" + name + "'; give off, unit or stage");
}

record::ActivityMeta meta_of(const chip::Chip& chip, const trace::Header& header,
                             const std::string& config, ActivityLevel level)
{
    record::ActivityMeta meta;
    meta.level = level;
    meta.config = config;
    meta.trace_header = trace::header_text(header);
    meta.reference_clock = chip.config().clock;
    for (const chip::IssueUnit* const unit : chip.units())
    {
        meta.units.push_back({unit->place().name, unit->place().kind, unit->place().node});
    }
    for (const trace::TracedLayer& layer : header.layers)
    {
        meta.layers.push_back({layer.name, layer.kind});
    }
    return meta;
}

nlohmann::ordered_json figures(const Summary& summary, const trace::Header& header,
                               const std::string& chip)
{
    std::uint64_t vectors = 0;
    for (const UnitSummary& unit : summary.units)
    {
        vectors += unit.vectors;
    }
    return {{"network", header.network},
            {"chip", chip},
            {"makespan_ps", summary.makespan},
            {"crossbars", summary.crossbars},
            {"utilization", summary.utilization},
            {"operations", summary.operations},
            {"mvm_vectors", vectors},
            {"events", summary.events}};
}

struct Settings
{
    std::string kernel;
    ActivityLevel level = ActivityLevel::unit;
    std::uint64_t seed = 0;
    std::uint64_t shuffle = 0;
    bool quiet = false;
    bool json = false;
};

class Run
{
public:
    Run(const Arguments& arguments, Settings settings, Workload workload,
        record::ResultFolder folder)
        : settings_(std::move(settings)),
          workload_(std::move(workload)),
          folder_(std::move(folder)),
          chip_(workload_.config, *workload_.source, sink_, settings_.shuffle)
    {
        info_.command_line = {"tessera", "run"};
        info_.command_line.insert(info_.command_line.end(), arguments.begin(), arguments.end());
        info_.seed = settings_.seed;
        info_.kernel = settings_.kernel;
        const auto checksum = [](const std::string& text)
        {
            return fmt::format("crc32:{:08x}", crc32(0, reinterpret_cast<const Bytef*>(text.data()),
                                                     static_cast<uInt>(text.size())));
        };
        info_.hashes = {{"config", checksum(config::effective(workload_.config).dump())},
                        {"trace_header", checksum(trace::header_text(workload_.source->header()))}};
    }

    int execute(const Streams& streams);

private:
    int run(const Streams& streams);
    bool simulate(const Streams& streams);
    void report(const std::string& status)
    {
        info_.status = status;
        folder_.write("run.json", meter_.report(info_));
    }

    Settings settings_;
    Workload workload_;
    record::ResultFolder folder_;
    record::RunMeter meter_;
    record::RunInfo info_;
    ActivitySink sink_;
    chip::Chip chip_;
    std::unique_ptr<platform::ChipModule> module_; ///< owns the chip's units under SystemC
};

bool Run::simulate(const Streams& streams)
{
    ProgressLine progress(streams.err, !settings_.quiet && &streams.err == &std::cerr &&
                                           isatty(STDERR_FILENO) != 0);
    const chip::Monitor monitor = [&](const chip::Progress& state)
    {
        progress.show(state);
        return !InterruptGuard::interrupted();
    };
    if (settings_.kernel == "native")
    {
        return chip::run_native(chip_, monitor);
    }
    module_ = std::make_unique<platform::ChipModule>("chip", chip_, monitor);
    return platform::run_systemc(chip_, *module_);
}

int Run::execute(const Streams& streams)
{
    try
    {
        return run(streams);
    }
    catch (...)
    {
        try
        {
            report("failed");
        }
        catch (const Error&) // NOLINT(bugprone-empty-catch): the first failure is the one to tell
        {
        }
        throw;
    }
}

int Run::run(const Streams& streams)
{
    report("running");
    const std::string config = config::effective(workload_.config).dump(2) + "\n";
    folder_.write_config(config);
    std::unique_ptr<record::ActivityWriter> writer;
    const trace::Header& header = workload_.source->header();
    if (settings_.level != ActivityLevel::off)
    {
        writer = std::make_unique<record::ActivityWriter>(
            folder_.path(), meta_of(chip_, header, config, settings_.level));
        writer->connect(sink_);
    }
    const auto finish = [&](record::Outcome outcome)
    {
        chip_.close();
        Summary summary = chip_.summary();
        if (writer)
        {
            writer->finish(summary, outcome);
        }
        folder_.write_statistics(summary);
        return summary;
    };
    bool complete = false;
    try
    {
        complete = simulate(streams);
    }
    catch (const chip::DeadlockError& error)
    {
        folder_.write("deadlock.json", error.report().dump(2) + "\n");
        finish(record::Outcome::interrupted);
        throw;
    }
    const Summary summary =
        finish(complete ? record::Outcome::complete : record::Outcome::interrupted);
    report(complete ? "complete" : "interrupted");
    const std::size_t unread = chip_.sequencer().data().live();
    if (complete && unread != 0)
    {
        streams.err << "tessera: warning: " << unread
                    << " data were read less often than their `uses` say and kept their space; "
                       "see trace check\n";
    }
    if (settings_.json)
    {
        streams.out << figures(summary, header, workload_.config.name).dump(2) << '\n';
    }
    else if (!settings_.quiet)
    {
        print_summary(streams.out, summary, header, workload_.config, folder_.path().string());
    }
    if (!complete)
    {
        streams.err << "tessera: interrupted; what was simulated is in " << folder_.path().string()
                    << '\n';
        return static_cast<int>(ExitCode::interrupted);
    }
    return 0;
}

} // namespace

int run_simulation(const Arguments& arguments, const Streams& streams)
{
    Options options(
        "run (--network N | --trace FILE) --chip CHIP [options]",
        "Simulates a network, compiled on the fly, or a trace on a chip, and leaves a folder of\n"
        "results. N and CHIP are shipped names (`tessera network list`, `tessera config list`)\n"
        "or files.");
    add_workload_options(options);
    options.all().add_options() //
        ("output,o", po::value<std::string>(),
         "folder for the results; default: tessera-out, replaced")        //
        ("force", "replace the results of an earlier run in that folder") //
        ("level", po::value<std::string>()->default_value("unit"),
         "what to record: off, unit or stage") //
        ("kernel", po::value<std::string>()->default_value("systemc"),
         "systemc or native; the results are the same") //
        ("seed", po::value<std::uint64_t>()->default_value(1),
         "of everything random (recorded; nothing is random yet but --shuffle)") //
        ("shuffle", po::value<std::uint64_t>()->default_value(0),
         "visit simultaneous events in another order; the results must not change") //
        ("quiet,q", "no progress, no summary")                                      //
        ("json", "print the key figures as JSON");
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    Settings settings;
    settings.kernel = options.text("kernel");
    if (settings.kernel != "systemc" && settings.kernel != "native")
    {
        throw UsageError("unknown kernel '" + settings.kernel + "'; give systemc or native");
    }
    settings.level = level_of(options.text("level"));
    settings.seed = options.get<std::uint64_t>("seed");
    settings.shuffle = options.get<std::uint64_t>("shuffle");
    settings.quiet = options.has("quiet");
    settings.json = options.has("json");
    const InterruptGuard guard;
    Workload workload = load_workload(options);
    if (InterruptGuard::interrupted())
    {
        throw Error(ExitCode::interrupted, "interrupted before the simulation began");
    }
    const bool chosen = options.has("output");
    record::ResultFolder folder(chosen ? options.text("output") : kDefaultFolder,
                                !chosen || options.has("force"));
    return Run(arguments, std::move(settings), std::move(workload), std::move(folder))
        .execute(streams);
}

} // namespace tessera::cli
