// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"
#include "cli/command.h"
#include "cli/mapping.h"
#include "cli/progress.h"
#include "cli/workload.h"
#include "compiler/explain.h"
#include "compiler/report.h"
#include "network/network.h"
#include "simulation/compiler_choices.h"
#include "trace/tools.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <optional>
#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;
namespace
{

void print(std::ostream& out, const std::string& file, const Program& program)
{
    const trace::Header& header = program.header();
    const MappingReport& mapping = program.mapping().value();
    out << fmt::format("{}: {} operations on {} units, {} crossbars\n", file, header.operations,
                       header.units.size(), mapping.crossbars);
    print_sets(out, mapping);
    out << fmt::format(
        "{:.1f} % of their cells hold {} weights; {} bytes are sent, {} bytes x hops\n",
        100 * mapping.occupancy, mapping.weights, mapping.bytes_sent, mapping.byte_hops);
    print_pipeline(out, mapping);
    print_buffers(out, mapping);
    print_writing(out, mapping, std::nullopt);
}

nlohmann::ordered_json explain_network(const Options& options, const ChipModel& chip)
{
    const CompileOptions wanted = compile_choices(options);
    auto choices = simulation::compiler_choices(chip.config(), wanted);
    choices.options.images = wanted.images; // though a trace that repeats holds fewer
    const std::string path = network::find(options.text("network"));
    return compiler::explain(network::load(path, batch_axis(options, path)), choices.chip,
                             choices.options, options.text("explain"));
}

} // namespace

Options compile_options()
{
    Options options(
        "compile --network N --chip CHIP -o FILE [options]",
        "Compiles a network for a chip and writes the trace: FILE ends in .trace.jsonl,\n"
        ".trace.jsonl.gz or .trace.h5.");
    add_network_options(options);
    options.all().add_options()                                      //
        ("output,o", po::value<std::string>(), "file for the trace") //
        ("force", "replace it if it exists")                         //
        ("explain", po::value<std::string>()->implicit_value(""),
         "write no trace, print the plan: sets, dependencies, copies, planned starts; with the "
         "name of a layer, every set of it")                //
        ("json", "print the figures, or the plan, as JSON") //
        ("quiet,q", "no progress, no summary");
    options.offer("output", {{}, nullptr, true});
    options.exclusive({"explain", "output"});
    options.exclusive({"quiet", "explain"});
    options.needs({"force"}, {{"output"}});
    return options;
}

int compile(const Arguments& arguments, const Streams& streams)
{
    Options options = compile_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    options.require("network");
    if (options.has("explain"))
    {
        const ChipModel chip = load_chip(options);
        print_remarks(streams.err, chip.config());
        const nlohmann::ordered_json plan = explain_network(options, chip);
        streams.out << (options.has("json") ? text_of(plan, 2) + "\n"
                                            : compiler::explain_text(plan));
        return 0;
    }
    options.require("output");
    const std::string file = options.text("output");
    trace::check_name(file);
    require_output(file, options.has("force"));
    refuse_input(options, {"network", "chip"}, file);
    std::optional<ProgressLine> progress;
    progress.emplace(streams.err, !options.has("quiet") && on_terminal(streams.err));
    const PhaseMonitor monitor = [&](const PhaseProgress& state) { progress->show(state); };
    const ChipModel chip = load_chip(options);
    print_remarks(streams.err, chip.config());
    const Program program = compile_network(options, chip, monitor);
    refuse_read(files_read(options, chip.config(), program.files(), {}), file);
    program.save(file, options.has("force"), monitor);
    progress.reset(); // before anything else is printed
    if (options.has("json"))
    {
        nlohmann::ordered_json all{{"file", file}};
        all.update(mapping_json(program.mapping().value(), program.header()));
        streams.out << text_of(all, 2) << '\n';
    }
    else if (!options.has("quiet"))
    {
        print(streams.out, file, program);
    }
    return 0;
}

} // namespace tessera::cli
