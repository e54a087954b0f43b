// SPDX-License-Identifier: Apache-2.0
#include "reproduce/reproduce.h"

#include "base/nearest.h"
#include "cli/command.h"
#include "tessera/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <ostream>

namespace tessera::cli
{
namespace
{

namespace po = boost::program_options;
using Json = nlohmann::ordered_json;

std::vector<std::string> paper_names()
{
    std::vector<std::string> names;
    for (const reproduce::Paper& paper : reproduce::papers())
    {
        names.emplace_back(paper.name);
    }
    return names;
}

std::string cell(const Json& value)
{
    if (value.is_null())
    {
        return "-";
    }
    if (value.is_number_float())
    {
        return fmt::format("{:.4g}", value.get<double>());
    }
    return value.is_string() ? value.get<std::string>() : value.dump();
}

/// A list of objects with the same members.
void print_table(std::ostream& out, const Json& rows)
{
    std::vector<std::size_t> widths;
    for (const auto& [name, value] : rows.front().items())
    {
        std::size_t width = name.size();
        for (const Json& row : rows)
        {
            width = std::max(width, cell(row.at(name)).size());
        }
        widths.push_back(width);
    }
    const auto line = [&](auto&& text)
    {
        std::string words;
        std::size_t column = 0;
        for (const auto& [name, value] : rows.front().items())
        {
            words += fmt::format("  {:<{}}", text(name), widths[column++]);
        }
        out << words.substr(0, words.find_last_not_of(' ') + 1) << '\n';
    };
    line([](const std::string& name) { return name; });
    for (const Json& row : rows)
    {
        line([&](const std::string& name) { return cell(row.at(name)); });
    }
}

} // namespace

Options reproduce_options()
{
    std::string description = "Computes the figures of a paper again, beside those published.\n\n";
    for (const reproduce::Paper& paper : reproduce::papers())
    {
        description += fmt::format("{:<10}{}\n", paper.name, paper.summary);
    }
    Options options("reproduce PAPER [options]", description);
    options.all().add_options()("json", "print JSON")("output,o", po::value<std::string>(),
                                                      "also write PAPER.json into this folder")(
        "force", "replace it if it exists");
    options.positional("paper");
    options.offer("paper", {{}, paper_names});
    options.offer("output", {{}, nullptr, true});
    return options;
}

int reproduce_paper(const Arguments& arguments, const Streams& streams)
{
    Options options = reproduce_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    options.require("paper");
    const std::string name = options.list("paper").front();
    const auto& papers = reproduce::papers();
    const auto found =
        std::find_if(papers.begin(), papers.end(),
                     [&](const reproduce::Paper& paper) { return name == paper.name; });
    if (found == papers.end())
    {
        throw UsageError("unknown paper " + in_quotes(name) + "; " +
                         did_you_mean(name, paper_names()) + "known: " + joined(paper_names()));
    }
    std::filesystem::path file;
    if (options.has("output"))
    {
        file = std::filesystem::path(options.text("output")) / (name + ".json");
        refuse_existing(file.string(), options.has("force"));
    }
    const Json result = found->run();
    if (!file.empty())
    {
        std::error_code error;
        std::filesystem::create_directories(file.parent_path(), error);
        std::ofstream out(file);
        out << result.dump(2) << '\n';
        out.flush();
        if (!out)
        {
            throw IoError("cannot write " + file.string());
        }
    }
    if (options.has("json"))
    {
        streams.out << result.dump(2) << '\n';
        return 0;
    }
    for (const auto& [title, part] : result.items())
    {
        streams.out << title << (part.is_array() ? ":\n" : ": ");
        if (part.is_array())
        {
            print_table(streams.out, part);
        }
        else
        {
            streams.out << cell(part) << '\n';
        }
        streams.out << '\n';
    }
    return 0;
}

} // namespace tessera::cli
