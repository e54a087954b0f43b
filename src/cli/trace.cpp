// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"
#include "cli/command.h"
#include "cli/workload.h"
#include "network/network.h"
#include "semantics/checker.h"
#include "tessera/error.h"
#include "trace/reader.h"
#include "trace/rules.h"
#include "trace/schema.h"
#include "trace/seal.h"
#include "trace/text_file.h"
#include "trace/tools.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <system_error>

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

/// The network that a trace says it was made for. What a file names is only looked for among the
/// shipped ones; the path of another one is the user's to give.
network::Network network_of(const std::string& file, const Options& options)
{
    if (options.has("network"))
    {
        const std::string path = network::find(options.text("network"));
        return network::load(path, batch_axis(options, path));
    }
    const std::string name = trace::open_in_order(file)->header().network;
    const std::vector<std::string> shipped = network::shipped();
    if (!std::binary_search(shipped.begin(), shipped.end(), name))
    {
        throw InputError({file, 1, "/network/name"},
                         name.empty() ? "names no network"
                                      : "'" + trace::shown(name) + "' is not a shipped network",
                         "give the file of the network: --network FILE");
    }
    return network::load(network::find(name));
}

int check(const Options& options, const std::vector<std::string>& files, std::ostream& out)
{
    const trace::CheckReport report = trace::check(files[0]);
    nlohmann::ordered_json json = report.json();
    std::string text = report.text();
    if (options.has("semantic"))
    {
        const semantics::Report proved = semantics::check(files[0], network_of(files[0], options));
        json["semantic"] = proved.json();
        text += proved.text();
    }
    out << (options.has("json") ? text_of(json, 2) + "\n" : text);
    return 0;
}

/// What is read is not replaced.
void refuse_same(const std::string& in, const std::string& out)
{
    std::error_code none; // not there: another one
    if (std::filesystem::equivalent(in, out, none))
    {
        throw UsageError(out + " would replace what is read; name another file");
    }
}

int convert(const Options& options, const std::vector<std::string>& files, std::ostream& /*out*/)
{
    require_output(files[1], options.has("force"));
    refuse_same(files[0], files[1]);
    if (options.has("canonical") && trace::ends_with(files[1], ".h5"))
    {
        throw UsageError("--canonical is of text; " + files[1] + " is none");
    }
    trace::convert(files[0], files[1], options.has("canonical"), existing(options));
    return 0;
}

int seal(const Options& options, const std::vector<std::string>& files, std::ostream& /*out*/)
{
    options.require("output");
    const std::string out = options.text("output");
    refuse_existing(out, options.has("force"));
    refuse_same(files[0], out);
    trace::seal(files[0], out, existing(options));
    return 0;
}

int stats(const Options& options, const std::vector<std::string>& files, std::ostream& out)
{
    const nlohmann::ordered_json figures = trace::stats(files[0]);
    out << (options.has("json") ? text_of(figures, 2) + "\n" : trace::stats_text(figures));
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

constexpr std::array<Action, 6> kActions = {{{"check", 1, check},
                                             {"convert", 2, convert},
                                             {"seal", 1, seal},
                                             {"stats", 1, stats},
                                             {"head", 1, head},
                                             {"schema", 0, schema}}};

} // namespace

Options trace_options()
{
    Options options(
        "trace check|convert|seal|stats|head|schema [FILE] [OUT] [options]",
        "check FILE        prove a trace: format, checksum, operands, uses, blocks\n"
        "convert FILE OUT  write it in another encoding: .trace.jsonl, .trace.jsonl.gz, .trace.h5\n"
        "seal FILE -o OUT  add to lines written by hand what they lack: counts, window, last line\n"
        "stats FILE        count operations, bytes, fan-in, lifetimes\n"
        "head FILE         show the first operations as canonical lines\n"
        "schema            print the JSON Schema of one line");
    options.all().add_options()                                                                 //
        ("canonical", "convert: write text in canonical form")                                  //
        ("output,o", po::value<std::string>(), "seal: the file to write")                       //
        ("force", "convert, seal: replace OUT if it exists")                                    //
        ("count,n", po::value<std::uint64_t>()->default_value(10), "head: how many operations") //
        ("semantic", "check: also prove that it computes its network")                          //
        ("network", po::value<std::string>(),
         "check --semantic: the network, if it is not the shipped one that FILE names") //
        ("json", "print figures as JSON");
    options.all().add_options()("batch-axis", po::value<std::string>()->default_value("auto"),
                                kBatchAxisHelp);
    options.offer("batch-axis", {{"auto", "0", "none"}});
    options.offer("network", {{}, network::shipped, true});
    options.positional("action");
    options.positional("file", -1);
    options.offer("action", {{"check", "convert", "seal", "stats", "head", "schema"}});
    options.offer("file", {{}, nullptr, true});
    options.offer("output", {{}, nullptr, true});
    options.needs({"canonical"}, {{"action", {"convert"}}});
    options.needs({"output"}, {{"action", {"seal"}}});
    options.needs({"force"}, {{"action", {"convert", "seal"}}});
    options.needs({"count"}, {{"action", {"head"}}});
    options.needs({"semantic"}, {{"action", {"check"}}});
    options.needs({"network"}, {{"semantic"}});
    options.needs({"batch-axis"}, {{"network"}});
    options.needs({"json"}, {{"action", {"check", "stats"}}});
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
                         "'; give check, convert, seal, stats, head or schema");
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
