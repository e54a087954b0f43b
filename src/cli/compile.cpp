// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"
#include "cli/workload.h"

#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;

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
