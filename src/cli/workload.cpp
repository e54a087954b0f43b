// SPDX-License-Identifier: Apache-2.0
#include "cli/workload.h"

#include "cli/progress.h"
#include "compiler/report.h"
#include "config/chip_keys.h"
#include "config/load.h"
#include "network/network.h"
#include "network/onnx/graph.h"
#include "tessera/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;
std::vector<std::string> chip_settings()
{
    std::vector<std::string> settings;
    for (const config::Key& key : config::keys())
    {
        std::vector<std::string> values = {""}; // the user's to write
        if (key.type == config::KeyType::choice)
        {
            values = key.choices;
        }
        else if (key.type == config::KeyType::flag)
        {
            values = {"true", "false"};
        }
        for (const std::string& value : values)
        {
            settings.push_back(key.path + "=" + value);
        }
    }
    return settings;
}

void add_network_options(Options& options)
{
    options.all().add_options()                                        //
        ("network,n", po::value<std::string>(), "network to compile")  //
        ("chip,c", po::value<std::string>(), "chip to compile it for") //
        ("set", po::value<std::vector<std::string>>()->composing(),
         "override a key of the chip, e.g. --set noc.vcs=4") //
        ("schedule", po::value<std::string>()->default_value("layer-by-layer"),
         "how the compiler orders the work: layer-by-layer, xinf (across layers)") //
        ("duplicate", po::value<std::string>()->default_value("none"),
         "layers that get copies of their weights: none, greedy, optimal, balanced") //
        ("extra-pes", po::value<std::uint64_t>(),
         "crossbars for copies (default: all that are left)") //
        ("sets", po::value<std::string>()->default_value("row"),
         "what of a feature map is made together: row, pixel, rows x columns such as 4x8; auto: of "
         "every layer what makes the shortest plan") //
        ("placement", po::value<std::string>(),
         "which tiles are filled first: row-major, snake, traffic (few bytes x hops); default: "
         "mapping.placement of the chip") //
        ("depthwise", po::value<std::string>(),
         "where convolutions with groups run: vector, crossbar; default: mapping.depthwise of the "
         "chip") //
        ("attention", po::value<std::string>(),
         "where products of two feature maps run: vector; crossbar, digital (the second one is "
         "written into macros for every image); default: mapping.attention of the chip") //
        ("time-multiplex",
         "cut a network that does not fit into segments that take turns on the chip: all images "
         "pass one, then its crossbars are written anew")                 //
        ("pack", "small blocks of different layers may share a crossbar") //
        ("replicate-in-crossbar",
         "weights that fill a part of a crossbar are there as often as its diagonal has room for: "
         "as many input vectors of a set pass at a time") //
        ("order", po::value<std::string>()->default_value("raster"),
         "in which order a layer makes its sets under xinf: raster, demand (as the outputs need "
         "them; the last P percent of their rows column by column, P chosen for the shortest plan) "
         "or demand:P")                                                                 //
        ("batch-axis", po::value<std::string>()->default_value("auto"), kBatchAxisHelp) //
        ("images", po::value<std::uint32_t>()->default_value(1),
         "images: with xinf one behind the other in a pipeline, else one after the other");
    options.offer("network", {{}, network::shipped, true});
    options.offer("batch-axis", {{"auto", "0", "none"}});
    options.offer("chip", {{}, config::shipped, true});
    options.offer("set", {{}, chip_settings});
    options.offer("schedule", {{"layer-by-layer", "xinf"}});
    options.offer("duplicate", {{"none", "greedy", "optimal", "balanced"}});
    options.offer("sets", {{"row", "pixel", "auto"}});
    options.offer("depthwise", {{"vector", "crossbar"}});
    options.offer("attention", {{"vector", "crossbar", "digital"}});
    options.offer("placement", {{"row-major", "snake", "traffic"}});
    options.offer("order", {{"raster", "demand"}});
    options.needs({"extra-pes"}, {{"duplicate", {"greedy", "optimal", "balanced"}}});
    options.needs({"order"}, {{"schedule", {"xinf"}}});
}

BatchAxis batch_axis(const Options& options, const std::string& path)
{
    const std::string name = options.text("batch-axis");
    const auto axis = network::find_batch_axis(name);
    if (!axis)
    {
        throw UsageError("--batch-axis must be auto, 0 or none, not '" + name + "'");
    }
    if (options.given("batch-axis") && !network::onnx::is_onnx(path))
    {
        throw UsageError("--batch-axis is about ONNX files; the --network " + path + " is none");
    }
    return *axis;
}

void print_notes(std::ostream& out, const std::vector<std::string>& notes)
{
    for (const std::string& note : notes)
    {
        out << "note: " << note << '\n';
    }
}

void add_workload_options(Options& options)
{
    add_network_options(options);
    options.all().add_options()("trace,t", po::value<std::string>(),
                                "trace to run instead (.trace.jsonl, .gz, .trace.h5)");
    options.offer("trace", {{}, nullptr, true});
    options.needs({"schedule", "duplicate", "extra-pes", "sets", "placement", "depthwise",
                   "attention", "time-multiplex", "pack", "replicate-in-crossbar", "order",
                   "batch-axis"},
                  {{"network"}});
}

std::size_t image_count(const Options& options, const char* option)
{
    const auto count = options.get<std::size_t>(option);
    if (count == 0)
    {
        throw UsageError(std::string("--") + option +
                         ": there is nothing to do for 0 images; give at least 1");
    }
    return count;
}

values::Dataset load_images(const Options& options, const ImageOptions& names,
                            const network::Layer& input)
{
    const std::string data = options.text(names.data);
    const auto first = options.get<std::size_t>(names.first);
    const std::size_t count = image_count(options, names.count);
    values::Dataset images = values::load_dataset(data, names.part, input, first, count);
    if (options.given(names.count) && images.count() < count)
    {
        throw InputError(
            {data, 0, ""},
            fmt::format("has {} images from number {} on, not {}", images.count(), first, count),
            fmt::format("ask for fewer with --{}", names.count));
    }
    return images;
}

std::vector<std::string> files_read(const Options& options, const config::ChipConfig& chip,
                                    const std::vector<std::string>& network,
                                    const std::vector<Images>& images)
{
    std::vector<std::string> files = chip.files;
    files.insert(files.end(), network.begin(), network.end());
    for (const auto& [option, part] : images)
    {
        if (options.has(option))
        {
            const auto some = values::dataset_files(options.text(option), part);
            files.insert(files.end(), some.begin(), some.end());
        }
    }
    return files;
}

ChipModel load_chip(const Options& options)
{
    options.require("chip");
    return ChipModel(options.text("chip"), options.list("set"));
}

void print_remarks(std::ostream& err, const config::ChipConfig& chip)
{
    for (const std::string& remark : chip.remarks)
    {
        err << "tessera: note: " << remark << '\n';
    }
}

CompileOptions compile_choices(const Options& options)
{
    CompileOptions choices;
    choices.schedule = options.text("schedule");
    choices.images = options.get<std::uint32_t>("images");
    choices.duplicate = options.text("duplicate");
    if (options.has("extra-pes"))
    {
        choices.extra_pes = options.get<std::uint64_t>("extra-pes");
    }
    choices.sets = options.text("sets");
    if (options.has("placement"))
    {
        choices.placement = options.text("placement");
    }
    if (options.has("depthwise"))
    {
        choices.depthwise = options.text("depthwise");
    }
    if (options.has("attention"))
    {
        choices.attention = options.text("attention");
    }
    choices.time_multiplex = options.has("time-multiplex");
    choices.pack = options.has("pack");
    choices.replicate_in_crossbar = options.has("replicate-in-crossbar");
    choices.order = options.text("order");
    choices.batch_axis = batch_axis(options, network::find(options.text("network")));
    return choices;
}

Program compile_network(const Options& options, const ChipModel& chip, const PhaseMonitor& monitor)
{
    return Program::compile(options.text("network"), chip, compile_choices(options), monitor);
}

Workload load_workload(const Options& options, const PhaseMonitor& monitor)
{
    if (options.has("network") == options.has("trace"))
    {
        throw UsageError("give either --network or --trace");
    }
    if (options.has("trace") && options.text("sets") == "auto")
    {
        throw UsageError("the sets of a trace are what it says; --sets auto needs --network");
    }
    const ChipModel chip = load_chip(options);
    return {chip,
            options.has("trace")
                ? Program::open(options.text("trace")).repeat(options.get<std::uint32_t>("images"))
                : compile_network(options, chip, monitor)};
}

namespace
{

void print_row(std::ostream& out, const char* name, const std::string& value)
{
    out << fmt::format("{:<22}{}\n", name, value);
}

std::string time_text(double ps)
{
    return human_time(static_cast<Tick>(ps + 0.5));
}

std::string spread_text(double mean, const Percentiles& percentiles, Tick most)
{
    return fmt::format("{} (mean), {} (50 %), {} (95 %), {} (99 %), {} (most)", time_text(mean),
                       human_time(percentiles.p50), human_time(percentiles.p95),
                       human_time(percentiles.p99), human_time(most));
}

/// `most_busy`: time that the busiest unit worked, ps.
void print_images(std::ostream& out, const ImageSummary& images, double most_busy)
{
    if (images.arrived < 2 && !images.timed)
    {
        return;
    }
    std::string passed = fmt::format("{}", images.arrived);
    if (images.count != images.arrived)
    {
        passed = fmt::format("{} of {} that have {} have ended", images.count, images.arrived,
                             images.timed ? "arrived" : "started");
    }
    if (images.count > 1)
    {
        passed += ", one every " + time_text(images.interval);
    }
    if (images.count > 1 && images.count == images.arrived)
    {
        passed += fmt::format("; the busiest unit works {} on each, on average",
                              time_text(most_busy / images.count));
    }
    print_row(out, "images", passed);
    if (images.count != 0)
    {
        print_row(out, "latency",
                  human_time(images.first_latency) + " (first), " +
                      spread_text(images.mean_latency, images.latency, images.most_latency));
    }
    if (!images.timed)
    {
        return;
    }
    const auto row = [&](const char* name, const TimeSummary& time)
    { print_row(out, name, spread_text(time.mean, time.percentiles, time.most)); };
    if (images.count != 0)
    {
        row("  waiting", images.waiting);
        row("  service", images.service);
    }
    const auto rate = [](double images, const char* what)
    { return images > 0 ? fmt::format("{:.6g} images/s {}", images, what) : std::string(); };
    const std::string offered = rate(images.offered, "offered");
    const std::string served = rate(images.served, "served");
    if (!offered.empty() || !served.empty())
    {
        print_row(out, "rates", offered + (offered.empty() || served.empty() ? "" : ", ") + served);
    }
}

} // namespace

void print_summary(std::ostream& out, const Summary& summary, const trace::Header& header,
                   const config::ChipConfig& config, const std::string& folder)
{
    std::array<std::uint64_t, trace::kUnitKinds> count{};
    std::array<double, trace::kUnitKinds> busiest{};
    std::uint64_t vectors = 0;
    double most_busy = 0; // ps
    for (const UnitSummary& unit : summary.units)
    {
        const auto kind = static_cast<std::size_t>(unit.kind);
        Tick busy = 0;
        for (unsigned stage = 0; stage < static_cast<unsigned>(Stage::wait_input); ++stage)
        {
            busy += unit.time[stage];
        }
        most_busy = std::max(most_busy, static_cast<double>(busy));
        count[kind] += unit.operations;
        vectors += unit.vectors;
        busiest[kind] =
            std::max(busiest[kind], static_cast<double>(busy) /
                                        static_cast<double>(std::max<Tick>(summary.span, 1)));
    }
    const auto row = [&](const char* name, const std::string& value)
    { print_row(out, name, value); };
    const auto units = [&](const char* name, trace::UnitKind kind)
    {
        const auto k = static_cast<std::size_t>(kind);
        row(name, fmt::format("{} operations, the busiest unit works {:.2f} % of the time",
                              count[k], 100 * busiest[k]));
    };
    out << fmt::format("{} on {}\n", header.network.empty() ? "trace" : header.network,
                       config.name);
    row(summary.complete ? "makespan" : "span",
        fmt::format("{} ({} ps, {} cycles){}", human_time(summary.span), summary.span,
                    config.clock.edge_at_or_after(summary.span),
                    summary.complete
                        ? ""
                        : fmt::format(", cut; operations in flight: {}", summary.unfinished)));
    print_images(out, summary.images, most_busy);
    row("crossbars", fmt::format("{} of {}", summary.crossbars,
                                 std::uint64_t{config.tile_count()} * config.tiles.macros));
    row("utilization", fmt::format("{:.3f} %", 100 * summary.utilization));
    row("MVM input vectors", fmt::format("{}", vectors));
    units("macros", trace::UnitKind::macro);
    if (!summary.energy.empty())
    {
        double joules = 0;
        const EnergySummary* most = &summary.energy.front();
        for (const EnergySummary& term : summary.energy)
        {
            joules += 1e-18 * static_cast<double>(term.attojoules);
            most = term.attojoules > most->attojoules ? &term : most;
        }
        const double share = 1e-18 * static_cast<double>(most->attojoules) / joules;
        row("macro energy", fmt::format("{:.6g} uJ, {:.1f} % of it {}", 1e6 * joules,
                                        joules > 0 ? 100 * share : 0, most->component));
    }
    units("vector units", trace::UnitKind::vector_unit);
    units("network interfaces", trace::UnitKind::network_interface);
    units("memory ports", trace::UnitKind::memory_port);
    row("events", fmt::format("{}", summary.events));
    row("results", folder);
}

} // namespace tessera::cli
