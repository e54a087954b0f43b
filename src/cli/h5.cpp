// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"
#include "record/names.h"
#include "record/recover.h"
#include "record/table.h"
#include "tessera/error.h"

#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;
namespace
{

constexpr std::size_t kLongestList = 20;

void print(const record::FileState& state, const Options& options, std::ostream& out)
{
    std::vector<record::Table> tables = record::tables_of(state);
    if (options.has("json"))
    {
        nlohmann::ordered_json document = {{"file", state.path},
                                           {"sound", state.losses.empty()},
                                           {"closed", state.closed},
                                           {"recovered", state.recovered},
                                           {"marked_open", state.open},
                                           {"level", record::name_of(state.level)},
                                           {"lost_records", state.lost_records()}};
        for (const record::Table& table : tables)
        {
            document[table.title] = record::to_json(table);
        }
        out << record::dump(document);
        return;
    }
    out << state.path << ": " << (state.losses.empty() ? "sound" : "damaged") << ", "
        << (state.closed ? "closed" : "not closed") << (state.recovered ? ", recovered" : "")
        << ", level " << record::name_of(state.level) << '\n';
    record::print(out, tables[0]);
    if (!state.losses.empty())
    {
        const std::size_t all = tables[1].rows.size();
        if (all > kLongestList)
        {
            tables[1].rows.resize(kLongestList);
            tables[1].note = std::to_string(kLongestList) + " of " + std::to_string(all);
        }
        out << '\n';
        record::print(out, tables[1]);
    }
}

int check(const Options& options, const std::string& result, std::ostream& out)
{
    const record::FileState state = record::check_file(result);
    if (!state.open)
    {
        print(state, options, out);
    }
    if (!state.losses.empty())
    {
        out.flush(); // the tables come before the message
        const record::Loss& first = state.losses.front();
        throw InputError({state.path, 0, first.where}, first.problem,
                         "`tessera h5 recover` copies what can still be read");
    }
    return 0;
}

int recover(const Options& options, const std::string& result, std::ostream& out)
{
    options.require("output");
    const std::string to = options.text("output");
    require_output(to, options.has("force"));
    const record::FileState state = record::recover_file(result, to, existing(options));
    print(state, options, out);
    if (!options.has("json"))
    {
        out << "\nwritten to " << to << ", with " << state.lost_records() << " records lost\n";
    }
    return 0;
}

} // namespace

Options h5_options()
{
    Options options(
        "h5 check|recover RESULT [options]",
        "check RESULT            whether an activity.h5 (or the one of a folder) is sound: "
        "decodes\n"
        "                        every chunk, checks every record\n"
        "recover RESULT -o FILE  copy what a damaged or killed one still holds into a new file;\n"
        "                        the old one is not changed");
    options.all().add_options()                                              //
        ("output,o", po::value<std::string>(), "recover: the file to write") //
        ("force", "recover: replace that file if it exists")                 //
        ("json", "print the figures as JSON");
    options.positional("action");
    options.positional("result");
    options.offer("action", {{"check", "recover"}});
    options.offer("result", {{}, nullptr, true});
    options.offer("output", {{}, nullptr, true});
    options.needs({"output", "force"}, {{"action", {"recover"}}});
    return options;
}

int h5(const Arguments& arguments, const Streams& streams)
{
    Options options = h5_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    options.require("action");
    options.require("result");
    const std::string action = options.list("action").front();
    const std::string result = options.list("result").front();
    if (action == "check")
    {
        return check(options, result, streams.out);
    }
    if (action == "recover")
    {
        return recover(options, result, streams.out);
    }
    throw UsageError("unknown action '" + action + "'; give check or recover");
}

} // namespace tessera::cli
