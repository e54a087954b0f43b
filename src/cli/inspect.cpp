// SPDX-License-Identifier: Apache-2.0
#include "record/inspect.h"

#include "base/interrupt.h"
#include "cli/command.h"
#include "record/critical_path.h"
#include "record/follow.h"
#include "record/reader.h"
#include "record/window_table.h"
#include "tessera/error.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <ostream>
#include <thread>

namespace tessera::cli
{
namespace po = boost::program_options;
namespace
{

using Seconds = std::chrono::duration<double>;

/// One line, or one JSON object, whenever a run that goes on has recorded something new.
void show(const record::Glimpse& now, const std::optional<record::Glimpse>& before, Seconds since,
          bool json, std::ostream& out)
{
    const std::uint64_t operations = now.operations - (before ? before->operations : 0);
    const Tick simulated = before && now.now > before->now ? now.now - before->now : Tick{0};
    const bool rated = before && since.count() > 0;
    const double rate = rated ? static_cast<double>(operations) / since.count() : 0;
    const double speed = rated ? static_cast<double>(simulated) / since.count() : 0;
    if (json)
    {
        out << nlohmann::ordered_json{{"time_ps", now.now},
                                      {"operations", now.operations},
                                      {"operations_per_second", rate},
                                      {"simulated_ps_per_second", speed},
                                      {"closed", now.closed}}
                   .dump()
            << std::endl; // whoever reads it waits for it
        return;
    }
    out << fmt::format("{:>20} ns  {:>12} operations", record::nanoseconds(now.now),
                       now.operations);
    if (rated)
    {
        out << fmt::format("  {:>10.0f} a second, {:.3g} ns simulated a second", rate,
                           speed / 1000);
    }
    out << std::endl;
}

/// Shows a run until it has ended. Throws SimulationError when it died.
void follow(const std::string& result, bool json, const Streams& streams)
{
    constexpr std::chrono::milliseconds pause(200);
    constexpr std::chrono::seconds patience(5); // for a run that is just being started
    record::Follower follower(result);
    std::optional<record::Glimpse> last;
    auto shown = std::chrono::steady_clock::now();
    for (;;)
    {
        // First the status: what is in the file after the run has ended is all there will be.
        const std::string status = follower.status();
        if (const auto glimpse = follower.look())
        {
            const auto now = std::chrono::steady_clock::now();
            show(*glimpse, last, now - shown, json, streams.out);
            last = glimpse;
            shown = now;
        }
        if ((last && last->closed) || (!status.empty() && status != "running"))
        {
            if (status == "died")
            {
                throw SimulationError(result + ": the process of this run is gone, and the run was "
                                               "not complete; `tessera inspect` shows what it "
                                               "recorded");
            }
            streams.err << "tessera: the run has ended: "
                        << (status.empty() || status == "running" ? "complete" : status) << '\n';
            return;
        }
        if (status.empty() && !last && std::chrono::steady_clock::now() - shown > patience)
        {
            throw InputError({result, 0, ""}, "holds no run.json and no activity.h5",
                             "give the folder of a run that goes on");
        }
        throw_if_interrupted();
        std::this_thread::sleep_for(pause);
    }
}

/// Says that runs of different networks are being compared.
void compare_networks(const record::ResultReader& reader, const record::ResultReader& other,
                      std::ostream& err)
{
    const std::string name = record::network_of(reader);
    const std::string against = record::network_of(other);
    const auto layers = [](const record::ResultReader& of)
    {
        std::vector<std::string> names;
        for (const LayerSummary& layer : of.header().summary.layers)
        {
            names.push_back(layer.name);
        }
        return names;
    };
    if (name != against || layers(reader) != layers(other))
    {
        err << "tessera: warning: these are runs of different networks, \"" << name << "\" and \""
            << against << "\"; layers are matched by their names\n";
    }
}

std::vector<record::Table> tables_of(const Options& options, const std::string& result,
                                     std::ostream& err)
{
    if (options.has("windows"))
    {
        return {record::window_table(result)};
    }
    const record::ResultReader reader(result);
    record::validate(reader);
    if (options.has("why"))
    {
        return {
            record::chain_table(reader, record::explain(reader, options.get<std::uint64_t>("why"),
                                                        options.get<std::size_t>("top")))};
    }
    if (options.has("images"))
    {
        return {record::image_times_table(reader.header().summary.images),
                record::image_table(reader, options.get<std::size_t>("top"))};
    }
    if (options.has("against"))
    {
        const record::ResultReader other(options.text("against"));
        record::validate(other);
        compare_networks(reader, other, err);
        const auto changes =
            record::compare(record::critical_path(other), record::critical_path(reader));
        const bool whole = reader.header().summary.complete && other.header().summary.complete;
        return {record::change_table(std::string("Where the difference of the ") +
                                         (whole ? "makespans" : "spans") + " comes from",
                                     changes)};
    }
    if (!record::has_totals(reader.header()))
    {
        err << "tessera: warning: " << result
            << " was not closed (its run was killed, or goes on), so its totals are unknown; "
               "`tessera h5 recover` adds up what it holds\n";
    }
    return record::overview(reader, options.get<std::size_t>("top"));
}

} // namespace

Options inspect_options()
{
    Options options(
        "inspect RESULT [options]",
        "Tables from the results of a run (a folder or its activity.h5): key figures, layers, "
        "units,\n"
        "links, buffers, and where the time went: the walk back along what let each operation\n"
        "start partitions it exactly by cause.");
    options.all().add_options() //
        ("top", po::value<std::size_t>()->default_value(20),
         "rows of the longer tables, and of --why")                                         //
        ("why", po::value<std::uint64_t>(), "what let operation arg start, and so on back") //
        ("against", po::value<std::string>(),
         "partition the difference to another run's time")                                  //
        ("follow", "while the run goes on, show how far it has come; best with run --live") //
        ("images", "arrival, start and end of the slowest images")                          //
        ("windows", "what happened in each window of a run with --stats-every")             //
        ("json", "print the tables as JSON");
    options.positional("result");
    options.offer("result", {{}, nullptr, true});
    options.offer("against", {{}, nullptr, true});
    options.exclusive({"why", "against", "follow", "windows"});
    for (const char* const whole : {"against", "follow", "windows"})
    {
        options.exclusive({"top", whole});
    }
    return options;
}

int inspect(const Arguments& arguments, const Streams& streams)
{
    Options options = inspect_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    options.require("result");
    const std::string result = options.list("result").front();
    if (options.has("follow"))
    {
        follow(result, options.has("json"), streams);
        return 0;
    }
    const std::vector<record::Table> tables = tables_of(options, result, streams.err);
    if (options.has("json"))
    {
        nlohmann::ordered_json document;
        for (const record::Table& table : tables)
        {
            document[table.title] = record::to_json(table);
        }
        streams.out << record::dump(document);
        return 0;
    }
    for (const record::Table& table : tables)
    {
        record::print(streams.out, table);
        streams.out << '\n';
    }
    return 0;
}

} // namespace tessera::cli
