// SPDX-License-Identifier: Apache-2.0
#include "cli/workload.h"

#include "cli/progress.h"
#include "compiler/compiler.h"
#include "config/load.h"
#include "network/network.h"
#include "tessera/error.h"
#include "trace/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;
namespace
{

/// A trace is only right for the chip whose mapping it assumes. Foreign traces may not say.
void check_mapping(const trace::Header& header, const config::ChipConfig& chip,
                   const std::string& file)
{
    const auto own = config::mapping_keys(chip);
    std::string differing;
    for (const auto& [key, value] : header.mapping)
    {
        const auto found = own.find(key);
        if (found == own.end() || found->second != value)
        {
            differing += (differing.empty() ? "" : ", ") + key + " (trace " + value + ", chip " +
                         (found == own.end() ? "nothing" : found->second) + ")";
        }
    }
    if (!differing.empty())
    {
        throw InputError({file, 1, "/mapping"}, "compiled for another chip: " + differing,
                         "compile the network for this chip, or run it on the other");
    }
}

} // namespace

void add_network_options(Options& options)
{
    options.all().add_options()                                        //
        ("network,n", po::value<std::string>(), "network to compile")  //
        ("chip,c", po::value<std::string>(), "chip to compile it for") //
        ("set", po::value<std::vector<std::string>>()->composing(),
         "override a key of the chip, e.g. --set noc.vcs=4") //
        ("schedule", po::value<std::string>()->default_value("layer-by-layer"),
         "how the compiler orders the work: layer-by-layer") //
        ("images", po::value<std::uint32_t>()->default_value(1), "images to compile for");
}

void add_workload_options(Options& options)
{
    add_network_options(options);
    options.all().add_options()("trace,t", po::value<std::string>(),
                                "trace to run instead (.trace.jsonl, .gz, .trace.h5)");
}

config::ChipConfig load_chip(const Options& options)
{
    options.require("chip");
    return config::load(options.text("chip"), options.list("set"), trace::function_names());
}

trace::Trace compile_network(const Options& options, const config::ChipConfig& chip)
{
    compiler::Options choices;
    choices.schedule = options.text("schedule");
    choices.images = options.get<std::uint32_t>("images");
    choices.mapping = config::mapping_keys(chip);
    return compiler::compile(network::load(network::find(options.text("network"))), chip, choices);
}

Workload load_workload(const Options& options)
{
    if (options.has("network") == options.has("trace"))
    {
        throw UsageError("give either --network or --trace");
    }
    Workload workload;
    workload.config = load_chip(options);
    if (options.has("trace"))
    {
        workload.source = trace::open(options.text("trace"));
        check_mapping(workload.source->header(), workload.config, options.text("trace"));
    }
    else
    {
        workload.source = std::make_unique<trace::MemorySource>(
            std::make_shared<const trace::Trace>(compile_network(options, workload.config)));
    }
    return workload;
}

void print_summary(std::ostream& out, const Summary& summary, const trace::Header& header,
                   const config::ChipConfig& config, const std::string& folder)
{
    std::array<std::uint64_t, trace::kUnitKinds> count{};
    std::array<double, trace::kUnitKinds> busiest{};
    std::uint64_t vectors = 0;
    for (const UnitSummary& unit : summary.units)
    {
        const auto kind = static_cast<std::size_t>(unit.kind);
        Tick busy = 0;
        for (unsigned stage = 0; stage < static_cast<unsigned>(Stage::wait_input); ++stage)
        {
            busy += unit.time[stage];
        }
        count[kind] += unit.operations;
        vectors += unit.vectors;
        busiest[kind] =
            std::max(busiest[kind], static_cast<double>(busy) /
                                        static_cast<double>(std::max<Tick>(summary.makespan, 1)));
    }
    const auto row = [&](const char* name, const std::string& value)
    { out << fmt::format("{:<22}{}\n", name, value); };
    const auto units = [&](const char* name, trace::UnitKind kind)
    {
        const auto k = static_cast<std::size_t>(kind);
        row(name, fmt::format("{} operations, the busiest unit works {:.2f} % of the time",
                              count[k], 100 * busiest[k]));
    };
    out << fmt::format("{} on {}\n", header.network.empty() ? "trace" : header.network,
                       config.name);
    row("makespan", fmt::format("{} ({} ps, {} cycles)", human_time(summary.makespan),
                                summary.makespan, config.clock.edge_at_or_after(summary.makespan)));
    row("crossbars", fmt::format("{} of {}", summary.crossbars,
                                 std::uint64_t{config.tile_count()} * config.tiles.macros));
    row("utilization", fmt::format("{:.3f} %", 100 * summary.utilization));
    row("MVM input vectors", fmt::format("{}", vectors));
    units("macros", trace::UnitKind::macro);
    units("vector units", trace::UnitKind::vector_unit);
    units("network interfaces", trace::UnitKind::network_interface);
    units("memory ports", trace::UnitKind::memory_port);
    row("events", fmt::format("{}", summary.events));
    row("results", folder);
}

} // namespace tessera::cli
