// SPDX-License-Identifier: Apache-2.0
#include "record/inspect.h"

#include "cli/command.h"
#include "record/critical_path.h"
#include "record/reader.h"

#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;
namespace
{

constexpr std::uint64_t kLongestChain = 1000;

std::vector<record::Table> tables_of(const Options& options, const record::ResultReader& reader)
{
    if (options.has("why"))
    {
        return {record::chain_table(
            reader, record::explain(reader, options.get<std::uint64_t>("why"), kLongestChain))};
    }
    if (options.has("against"))
    {
        const record::ResultReader other(options.text("against"));
        const auto changes =
            record::compare(record::critical_path(other), record::critical_path(reader));
        return {record::change_table("Where the difference of the makespans comes from", changes)};
    }
    return record::overview(reader, options.get<std::size_t>("top"));
}

} // namespace

int inspect(const Arguments& arguments, const Streams& streams)
{
    Options options(
        "inspect RESULT [options]",
        "Tables from the results of a run (a folder or its activity.h5): key figures, layers, "
        "units,\n"
        "links, buffers, and where the makespan went: the walk back along what let each operation\n"
        "start partitions it exactly by cause.");
    options.all().add_options()                                                             //
        ("top", po::value<std::size_t>()->default_value(20), "rows of the longer tables")   //
        ("why", po::value<std::uint64_t>(), "what let operation arg start, and so on back") //
        ("against", po::value<std::string>(),
         "partition the difference to another run's makespan") //
        ("json", "print the tables as JSON");
    options.positional("result");
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    options.require("result");
    const record::ResultReader reader(options.list("result").front());
    const std::vector<record::Table> tables = tables_of(options, reader);
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
