// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"
#include "cli/workload.h"
#include "compiler/explain.h"
#include "network/network.h"

#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;

namespace
{

nlohmann::ordered_json explain_network(const Options& options, const ChipModel& chip)
{
    compiler::Options choices;
    choices.schedule = options.text("schedule");
    choices.plan.duplicate = options.text("duplicate");
    choices.plan.sets = options.text("sets");
    if (options.has("extra-pes"))
    {
        choices.plan.extra_pes = options.get<std::uint64_t>("extra-pes");
    }
    return compiler::explain(network::load(network::find(options.text("network"))), chip.config(),
                             choices, options.text("explain"));
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
         "name of a layer, every set of it")        //
        ("json", "explain: print the plan as JSON") //
        ("quiet,q", "say nothing");
    options.offer("output", {{}, nullptr, true});
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
        const nlohmann::ordered_json plan = explain_network(options, load_chip(options));
        streams.out << (options.has("json") ? plan.dump(2) + "\n" : compiler::explain_text(plan));
        return 0;
    }
    options.require("output");
    const std::string file = options.text("output");
    refuse_existing(file, options.has("force"));
    const Program program = compile_network(options, load_chip(options));
    program.save(file);
    if (!options.has("quiet"))
    {
        const trace::Header& header = program.header();
        streams.out << file << ": " << header.operations << " operations on " << header.units.size()
                    << " units, " << header.blocks.size() << " crossbars\n";
    }
    return 0;
}

} // namespace tessera::cli
