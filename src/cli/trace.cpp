// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"
#include "cli/workload.h"
#include "tessera/error.h"
#include "trace/schema.h"
#include "trace/tools.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;
namespace
{

struct Action
{
    const char* name;
    std::size_t files;
    int (*run)(const Options& options, const std::vector<std::string>& files, std::ostream& out);
};

int check(const Options& options, const std::vector<std::string>& files, std::ostream& out)
{
    const trace::CheckReport report = trace::check(files[0]);
    out << (options.has("json") ? report.json().dump(2) + "\n" : report.text());
    return 0;
}

int convert(const Options& options, const std::vector<std::string>& files, std::ostream& /*out*/)
{
    refuse_existing(files[1], options.has("force"));
    trace::convert(files[0], files[1], options.has("canonical"));
    return 0;
}

int stats(const Options& options, const std::vector<std::string>& files, std::ostream& out)
{
    const nlohmann::ordered_json figures = trace::stats(files[0]);
    out << (options.has("json") ? figures.dump(2) + "\n" : trace::stats_text(figures));
    return 0;
}

int head(const Options& options, const std::vector<std::string>& files, std::ostream& out)
{
    trace::head(files[0], options.get<std::uint64_t>("count"), out);
    return 0;
}

int schema(const Options& /*options*/, const std::vector<std::string>& /*files*/, std::ostream& out)
{
    out << trace::schema();
    return 0;
}

constexpr std::array<Action, 5> kActions = {{{"check", 1, check},
                                             {"convert", 2, convert},
                                             {"stats", 1, stats},
                                             {"head", 1, head},
                                             {"schema", 0, schema}}};

} // namespace

Options trace_options()
{
    Options options(
        "trace check|convert|stats|head|schema [FILE] [OUT] [options]",
        "check FILE        prove a trace: format, checksum, operands, uses, blocks\n"
        "convert FILE OUT  write it in another encoding: .trace.jsonl, .trace.jsonl.gz, .trace.h5\n"
        "stats FILE        count operations, bytes, fan-in, lifetimes\n"
        "head FILE         show the first operations as canonical lines\n"
        "schema            print the JSON Schema of one line");
    options.all().add_options()                                                                 //
        ("canonical", "convert: write text in canonical form")                                  //
        ("force", "convert: replace OUT if it exists")                                          //
        ("count,n", po::value<std::uint64_t>()->default_value(10), "head: how many operations") //
        ("json", "print figures as JSON");
    options.positional("action");
    options.positional("file", -1);
    options.offer("action", {{"check", "convert", "stats", "head", "schema"}});
    options.offer("file", {{}, nullptr, true});
    return options;
}

int trace(const Arguments& arguments, const Streams& streams)
{
    Options options = trace_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    options.require("action");
    const std::string name = options.list("action").front();
    const auto* const action = std::find_if(kActions.begin(), kActions.end(),
                                            [&](const Action& a) { return name == a.name; });
    if (action == kActions.end())
    {
        throw UsageError("unknown action '" + name +
                         "'; give check, convert, stats, head or schema");
    }
    const std::vector<std::string> files = options.list("file");
    if (files.size() != action->files)
    {
        throw UsageError("trace " + name + " takes " + std::to_string(action->files) +
                         " file(s), not " + std::to_string(files.size()));
    }
    return action->run(options, files, streams.out);
}

} // namespace tessera::cli
