// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"
#include "cli/workload.h"
#include "trace/tools.h"

#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;

int compile(const Arguments& arguments, const Streams& streams)
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
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    options.require("network");
    options.require("output");
    const std::string file = options.text("output");
    refuse_existing(file, options.has("force"));
    const trace::Trace trace = compile_network(options, load_chip(options));
    trace::write(trace, file);
    if (!options.has("quiet"))
    {
        streams.out << file << ": " << trace.operations.size() << " operations on "
                    << trace.header.units.size() << " units, " << trace.header.blocks.size()
                    << " crossbars\n";
    }
    return 0;
}

} // namespace tessera::cli
