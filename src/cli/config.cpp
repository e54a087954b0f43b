// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"
#include "cli/command.h"
#include "cli/workload.h"
#include "config/effects.h"
#include "config/load.h"
#include "tessera/error.h"
#include "tessera/trace.h"
#include "values/crossbars.h"

#include <nlohmann/json.hpp>

#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;

Options config_options()
{
    Options options("config show|check|list|schema|doc [CHIP] [--set key=value]...",
                    "show    print the effective config: every key, composed and overridden\n"
                    "check   say whether a config is valid\n"
                    "list    name the shipped chips\n"
                    "schema  print the JSON Schema of chip configs\n"
                    "doc     print the reference page of all keys\n\n"
                    "CHIP is the name of a shipped chip or a file.");
    options.all().add_options()("set", po::value<std::vector<std::string>>()->composing(),
                                "override a key, e.g. --set noc.vcs=4");
    options.positional("action");
    options.positional("chip");
    options.offer("action", {{"show", "check", "list", "schema", "doc"}});
    options.offer("chip", {{}, config::shipped, true});
    options.offer("set", {{}, chip_settings});
    options.needs({"chip", "set"}, {{"action", {"show", "check"}}});
    return options;
}

int config(const Arguments& arguments, const Streams& streams)
{
    Options options = config_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    options.require("action");
    const std::string action = options.list("action").front();
    if (action == "schema")
    {
        streams.out << config::schema();
        return 0;
    }
    if (action == "doc")
    {
        streams.out << config::reference_page();
        return 0;
    }
    if (action == "list")
    {
        for (const std::string& name : config::shipped())
        {
            streams.out << name << "  " << config::load(name).description << '\n';
        }
        return 0;
    }
    if (action != "show" && action != "check")
    {
        throw UsageError("unknown action '" + action + "'; give show, check, list, schema or doc");
    }
    options.require("chip");
    const std::string chip = options.list("chip").front();
    const config::ChipConfig config =
        config::load(chip, options.list("set"), trace::function_names());
    print_remarks(streams.err, config);
    if (action == "show")
    {
        streams.out << text_of(config::effective(config), 2) << '\n';
    }
    else
    {
        std::vector<std::string> remarks = values::remarks(config); // may refuse it
        const std::vector<std::string> idle = config::idle_keys(config);
        remarks.insert(remarks.end(), idle.begin(), idle.end());
        streams.out << config::resolve_path(chip) << ": valid, " << config.tile_count()
                    << " tiles of " << config.tiles.macros << " macros of " << config.macro.rows
                    << " x " << config.macro.columns << " weights";
        if (config.digital.tile_columns != 0)
        {
            streams.out << "; " << config.digital_tile_count() << " of them digital, "
                        << config.digital.macro.rows << " x " << config.digital.macro.columns;
        }
        streams.out << '\n';
        for (const std::string& remark : remarks)
        {
            streams.out << "  " << remark << '\n';
        }
    }
    return 0;
}

} // namespace tessera::cli
