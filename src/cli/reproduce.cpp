// SPDX-License-Identifier: Apache-2.0
#include "reproduce/report.h"

#include "base/json.h"
#include "base/output_file.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "tessera/error.h"

#include <filesystem>
#include <iostream>

namespace tessera::cli
{
namespace po = boost::program_options;
namespace fs = std::filesystem;
namespace
{

std::vector<std::string> names()
{
    std::vector<std::string> result;
    for (const reproduce::Reproduction& known : reproduce::reproductions())
    {
        result.emplace_back(known.name);
    }
    return result;
}

/// The papers that know a setting.
std::vector<Companion> names_with(bool reproduce::Reproduction::*knows)
{
    Companion papers{"name", {}};
    for (const reproduce::Reproduction& paper : reproduce::reproductions())
    {
        if (paper.*knows)
        {
            papers.values.emplace_back(paper.name);
        }
    }
    return {papers};
}

} // namespace

Options reproduce_options()
{
    std::string description = "Computes the figures of a paper and prints them beside the "
                              "published ones:\n";
    for (const reproduce::Reproduction& known : reproduce::reproductions())
    {
        description += std::string("  ") + known.name + "  " + known.summary + '\n';
    }
    Options options("reproduce NAME [options]",
                    description + "With -o, FOLDER gets report.json and report.txt; "
                                  "tools/plot_reproduction draws them.");
    options.positional("name");
    options.all().add_options()                                        //
        ("json", "print the report as JSON")                           //
        ("output,o", po::value<std::string>(), "folder for the files") //
        ("force", "replace the files of an earlier report there")      //
        ("quick", "a part that takes seconds")                         //
        ("real", "also on a chip without the paper's idealisations");
    options.offer("name", {{}, names});
    options.offer("output", {{}, nullptr, true});
    options.needs({"force"}, {{"output"}});
    options.needs({"real"}, names_with(&reproduce::Reproduction::knows_real));
    options.needs({"quick"}, names_with(&reproduce::Reproduction::knows_quick));
    return options;
}

int reproduce_paper(const Arguments& arguments, const Streams& streams)
{
    Options options = reproduce_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    options.require("name");
    const reproduce::Reproduction& paper =
        reproduce::find_reproduction(options.list("name").front());
    reproduce::Settings settings;
    settings.quick = options.has("quick");
    settings.real = options.has("real");
    const fs::path folder = options.text("output");
    if (!folder.empty())
    {
        for (const char* name : {"report.json", "report.txt"})
        {
            refuse_existing((folder / name).string(), options.has("force"));
            require_writable(folder / name, true);
        }
    }
    const bool talks = on_terminal(streams.err);
    constexpr const char* erase_line = "\r\033[K";
    if (talks)
    {
        settings.progress = [&](const std::string& what)
        { streams.err << erase_line << what << std::flush; };
    }
    const reproduce::Report report = paper.run(settings);
    if (talks)
    {
        streams.err << erase_line << std::flush;
    }
    const std::string text = reproduce::text(report);
    const std::string json = text_of(reproduce::json(report), 2) + '\n';
    if (!folder.empty())
    {
        write_files(folder, {{"report.json", json}, {"report.txt", text}}, existing(options));
    }
    streams.out << (options.has("json") ? json : text);
    return 0;
}

} // namespace tessera::cli
