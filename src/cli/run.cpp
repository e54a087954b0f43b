// SPDX-License-Identifier: Apache-2.0
#include "simulation/run.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/output_stream.h"
#include "base/quantity.h"
#include "base/time_limit.h"
#include "chip/chip.h"
#include "cli/command.h"
#include "cli/mapping.h"
#include "cli/progress.h"
#include "cli/value_run.h"
#include "cli/workload.h"
#include "platform/modules.h"
#include "record/inspect.h"
#include "record/names.h"
#include "record/results.h"
#include "tessera/error.h"
#include "values/integer_network.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <ostream>
#include <unistd.h>

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

/// In ps.
nlohmann::ordered_json times_json(double mean, const Percentiles& percentiles, Tick most)
{
    return {{"mean", mean},
            {"p50", percentiles.p50},
            {"p95", percentiles.p95},
            {"p99", percentiles.p99},
            {"most", most}};
}

nlohmann::ordered_json images_json(const ImageSummary& images)
{
    nlohmann::ordered_json all{{"arrived", images.arrived}, {"count", images.count}};
    if (images.offered > 0)
    {
        all["offered_per_second"] = images.offered;
    }
    if (images.count == 0)
    {
        return all;
    }
    if (images.served > 0)
    {
        all["served_per_second"] = images.served;
    }
    if (images.count > 1)
    {
        all["interval_ps"] = images.interval;
    }
    all["latency_ps"] = {{"first", images.first_latency}};
    all["latency_ps"].update(times_json(images.mean_latency, images.latency, images.most_latency));
    if (images.timed)
    {
        const auto add = [&](const char* name, const TimeSummary& time)
        { all[name] = times_json(time.mean, time.percentiles, time.most); };
        add("waiting_ps", images.waiting);
        add("service_ps", images.service);
    }
    return all;
}

nlohmann::ordered_json figures(const Summary& summary, const trace::Header& header,
                               const std::string& chip)
{
    std::uint64_t vectors = 0;
    for (const UnitSummary& unit : summary.units)
    {
        vectors += unit.vectors;
    }
    nlohmann::ordered_json all{{"network", header.network},
                               {"chip", chip},
                               {"span_ps", summary.span},
                               {"complete", summary.complete},
                               {"makespan_ps", nullptr},
                               {"crossbars", summary.crossbars},
                               {"utilization", summary.utilization},
                               {"operations", summary.operations},
                               {"unfinished", summary.unfinished},
                               {"mvm_vectors", vectors},
                               {"events", summary.events},
                               {"images", images_json(summary.images)}};
    if (summary.complete)
    {
        all["makespan_ps"] = summary.span;
    }
    if (!summary.energy.empty())
    {
        std::uint64_t total = 0;
        nlohmann::ordered_json& energy = all["energy_aj"];
        for (const EnergySummary& term : summary.energy)
        {
            energy[term.component] = term.attojoules;
            total += term.attojoules;
        }
        energy["total"] = total;
    }
    return all;
}

/// At least `least` ps.
Tick time_of(const Options& options, const char* name, Tick least)
{
    Tick time = 0;
    try
    {
        time = parse_quantity(Dimension::time, options.text(name), {}, {least, kLatestTime});
    }
    catch (const InputError& error)
    {
        throw UsageError(std::string("--") + name + ": " + error.what());
    }
    if (time > kLatestTime)
    {
        throw UsageError(std::string("--") + name + ": " + options.text(name) +
                         " is after the end of simulated time; give at most " + latest_time_text());
    }
    return time;
}

RunOptions settings_of(const Options& options)
{
    RunOptions settings;
    const bool chosen = options.has("output");
    settings.folder = chosen ? options.text("output") : kDefaultFolder;
    settings.replace = !chosen || options.has("force");
    settings.level = level_of(options.text("level"));
    settings.live = options.has("live");
    settings.compress = !options.has("uncompressed");
    settings.seed = options.get<std::uint64_t>("seed");
    settings.until = options.has("until") ? time_of(options, "until", 0) : kNever;
    if (options.has("stats-every"))
    {
        settings.stats_every = time_of(options, "stats-every", 1);
        if (settings.stats_every == 0)
        {
            throw UsageError("--stats-every must be greater than 0");
        }
    }
    settings.arrivals = options.text("arrivals");
    settings.log = options.list("log");
    settings.watchdog_seconds = options.get<double>("watchdog");
    return settings;
}

RunResult run_under(const std::string& kernel, simulation::Run& run)
{
    if (kernel == "native")
    {
        return run.execute(chip::run_native);
    }
    // The modules own the chip's units: they live as long as the chip is asked about them.
    std::unique_ptr<platform::ChipModule> module;
    return run.execute(
        [&](chip::Chip& chip, const chip::Monitor& monitor)
        {
            module = std::make_unique<platform::ChipModule>("chip", chip, monitor);
            return platform::run_systemc(chip, *module);
        });
}

void tell_end(std::ostream& err, const RunResult& result, const Workload& workload,
              const Options& options, const std::string& folder)
{
    if (result.unread != 0)
    {
        err << "tessera: warning: " << result.unread
            << " data were read less often than their `uses` say and kept their space; see trace "
               "check\n";
    }
    if (result.end == RunEnd::until)
    {
        err << "tessera: stopped at --until " << options.text("until") << ": "
            << result.summary.operations << " of " << workload.program.header().operations
            << " operations have ended";
        const ImageSummary& images = result.summary.images;
        if (images.arrived != 0)
        {
            err << ", and " << images.count << " of the " << images.arrived << " images that have "
                << (images.timed ? "arrived" : "started");
        }
        err << '\n';
    }
    if (result.end == RunEnd::stopped)
    {
        err << "tessera: interrupted; what was simulated is in " << folder << '\n';
    }
}

const std::vector<const char*> kInputs{"trace",  "network",  "chip",
                                       "values", "integers", "calibrate"};

bool same_folder(const std::filesystem::path& file, const std::filesystem::path& folder)
{
    std::error_code none; // what cannot be asked is another one
    const auto beside = std::filesystem::weakly_canonical(file, none).parent_path();
    return beside == std::filesystem::weakly_canonical(folder / "x", none).parent_path();
}

/// Results are replaced as a whole: none of them is read by the run.
void refuse_own_input(const Options& options, const std::string& folder)
{
    for (const char* input : kInputs)
    {
        const std::filesystem::path file = options.text(input);
        if (record::is_result(file.filename().string()) && same_folder(file, folder))
        {
            throw UsageError("the results in " + folder + " would replace what --" + input +
                             " reads; name another folder");
        }
    }
}

/// The same of what was read without being named: a file that a config extends, the whole numbers
/// beside a network.
void refuse_results(const std::vector<std::string>& files, const std::string& folder)
{
    namespace fs = std::filesystem;
    for (const std::string& file : files)
    {
        std::error_code none; // no such file: nothing is replaced
        const fs::path name = fs::weakly_canonical(file, none).filename();
        if (record::is_result(name.string()) && fs::equivalent(fs::path(folder) / name, file, none))
        {
            throw UsageError("the results in " + folder + " would replace " + file +
                             ", which the run reads; name another folder");
        }
    }
}

/// A log is replaced without asking: no input of the run, and nothing that the run itself writes.
void refuse_as_log(const Options& options, const std::string& folder)
{
    namespace fs = std::filesystem;
    const fs::path log = options.text("log-file");
    refuse_input(options, kInputs, log.string());
    if (record::is_result(log.filename().string()) && same_folder(log, folder))
    {
        throw UsageError("--log-file has the name of a result in the folder of results");
    }
}

int execute(const Arguments& arguments, const Options& options, const Streams& streams)
{
    const std::string kernel = options.text("kernel");
    if (kernel != "systemc" && kernel != "native")
    {
        throw UsageError("unknown kernel '" + kernel + "'; give systemc or native");
    }
    RunOptions settings = settings_of(options);
    const std::string folder = settings.folder.string();
    settings.log_to = &streams.err;
    const bool quiet = options.has("quiet");
    const bool talks = !settings.log.empty() && !options.has("log-file");
    std::optional<ProgressLine> progress;
    progress.emplace(streams.err, !quiet && !talks && on_terminal(streams.err));
    settings.monitor = [&](const Progress& state)
    {
        progress->show(state);
        return !interrupt_requested();
    };

    refuse_own_input(options, folder);
    if (options.given("arrivals") && !options.has("trace") &&
        options.get<std::uint32_t>("images") == 1)
    {
        throw UsageError("--arrivals means nothing for one image, which arrives at 0: give more "
                         "--images");
    }
    const Workload workload =
        load_workload(options, [&](const PhaseProgress& state) { progress->show(state); });
    print_remarks(streams.err, workload.chip.config());
    throw_if_interrupted();
    simulation::RunIdentity identity;
    identity.command_line = {"tessera", "run"};
    identity.command_line.insert(identity.command_line.end(), arguments.begin(), arguments.end());
    identity.kernel = kernel;
    identity.shuffle = options.get<std::uint64_t>("shuffle");
    // What does not fit together is refused before older results, or an older log, are replaced.
    std::optional<simulation::ValueRun> numbers;
    if (options.has("values"))
    {
        numbers = load_values(options, workload);
    }
    std::vector<std::string> network = workload.program.files();
    if (numbers)
    {
        const auto& integers = numbers->network().integers().network.files;
        network.insert(network.end(), integers.begin(), integers.end());
    }
    const std::vector<std::string> files = files_read(options, workload.chip.config(), network,
                                                      {{"values", "t10k"}, {"calibrate", "train"}});
    refuse_results(files, folder);
    std::optional<OutputStream> log_file;
    if (options.has("log-file"))
    {
        refuse_as_log(options, folder);
        refuse_read(files, options.text("log-file"));
        log_file.emplace(options.text("log-file"));
        settings.log_to = &*log_file;
    }
    simulation::Run run(workload.chip, workload.program, std::move(settings), std::move(identity));
    if (log_file)
    {
        log_file->begin(); // now that nothing is refused any more
    }
    if (numbers)
    {
        numbers->follow(run);
    }
    const RunResult result = run_under(kernel, run);
    progress.reset();
    std::optional<ValueResult> values;
    if (numbers)
    {
        values = numbers->finish(result);
    }
    if (log_file)
    {
        log_file->close();
    }

    const trace::Header& header = workload.program.header();
    tell_end(streams.err, result, workload, options, folder);
    if (options.has("json"))
    {
        nlohmann::ordered_json all = figures(result.summary, header, workload.chip.name());
        if (const auto& mapping = workload.program.mapping(); mapping)
        {
            all["mapping"] = mapping_json(*mapping, header);
        }
        if (values)
        {
            all["values"] = values_json(*values);
        }
        streams.out << text_of(all, 2) << '\n';
    }
    else if (!quiet)
    {
        print_summary(streams.out, result.summary, header, workload.chip.config(), folder);
        if (const auto& mapping = workload.program.mapping(); mapping)
        {
            const Summary& its = result.summary;
            print_writing(streams.out, *mapping,
                          its.complete ? std::optional(its.span) : std::nullopt);
            print_sets(streams.out, *mapping);
            print_buffers(streams.out, *mapping);
        }
        if (values)
        {
            print_values(streams.out, *values);
        }
    }
    if (values)
    {
        values->require_equal();
    }
    return static_cast<int>(result.end == RunEnd::stopped ? ExitCode::interrupted : ExitCode::ok);
}

} // namespace

Options run_options()
{
    Options options(
        "run (--network N | --trace FILE) --chip CHIP [options]",
        "Simulates a network, compiled on the fly, or a trace on a chip, and leaves a folder of\n"
        "results. N and CHIP are shipped names (`tessera network list`, `tessera config list`)\n"
        "or files.");
    add_workload_options(options);
    add_value_options(options);
    options.all().add_options() //
        ("output,o", po::value<std::string>(),
         "folder for the results; default: tessera-out, replaced")        //
        ("force", "replace the results of an earlier run in that folder") //
        ("level", po::value<std::string>()->default_value("unit"),
         "what to record: off, unit or stage") //
        ("kernel", po::value<std::string>()->default_value("systemc"),
         "systemc or native; the results are the same") //
        ("seed", po::value<std::uint64_t>()->default_value(1),
         "of everything random: Poisson arrivals, programmed cells, noise") //
        ("shuffle", po::value<std::uint64_t>()->default_value(0),
         "visit simultaneous events in another order; the results must not change") //
        ("until", po::value<std::string>(),
         "cut the run after this simulated time, e.g. 5ms; results hold what happened by then") //
        ("arrivals", po::value<std::string>(),
         "when images arrive: 10ms (one every 10 ms) or poisson:10ms (on average)") //
        ("stats-every", po::value<std::string>(),
         "also write what happened in every such stretch of time to windows.jsonl") //
        ("log", po::value<std::vector<std::string>>()->composing(),
         "log topics of units to stderr, e.g. noc,buffer@t3*; `--log list` names the topics") //
        ("log-file", po::value<std::string>(), "log to this file instead")                    //
        ("watchdog", po::value<double>()->default_value(0, "0"),
         "give up when no operation has ended for so many seconds of wall time; 0: never") //
        ("live", "activity.h5 can be read while it is written (HDF5's SWMR)")              //
        ("uncompressed", "records in activity.h5 as they are: about six times the bytes")  //
        ("quiet,q", "no progress, no summary")                                             //
        ("json", "print the key figures as JSON");
    options.offer("output", {{}, nullptr, true});
    options.offer("level", {{"off", "unit", "stage"}});
    options.offer("kernel", {{"systemc", "native"}});
    options.offer("log", {topic_names()});
    options.offer("log-file", {{}, nullptr, true});
    options.needs({"force"}, {{"output"}});
    options.needs({"arrivals"}, {{"images"}, {"trace"}});
    options.needs({"seed"}, {{"values"}, {"arrivals", {"poisson:"}}});
    options.needs({"seed"}, {{"errors", {"all"}}, {"arrivals", {"poisson:"}}});
    options.needs({"log-file"}, {{"log"}});
    options.needs({"live", "uncompressed"}, {{"level", {"unit", "stage"}}});
    return options;
}

int run_simulation(const Arguments& arguments, const Streams& streams)
{
    Options options = run_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    if (options.list("log") == std::vector<std::string>{"list"})
    {
        streams.out << topic_list();
        return 0;
    }
    return execute(arguments, options, streams);
}

} // namespace tessera::cli
