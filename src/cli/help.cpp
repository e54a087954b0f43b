// SPDX-License-Identifier: Apache-2.0
#include "base/output_file.h"
#include "cli/command.h"
#include "cli/manual.h"
#include "tessera/error.h"

#include <filesystem>
#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;
namespace
{

void write_pages(const std::filesystem::path& folder, Existing existing)
{
    std::vector<NamedText> pages = {{"tessera.1", program_manual()}};
    for (const Command& command : commands())
    {
        pages.push_back({std::string("tessera-") + command.name + ".1", command_manual(command)});
    }
    for (const NamedText& page : pages)
    {
        refuse_existing((folder / page.name).string(), existing == Existing::replace);
    }
    write_files(folder, pages, existing);
}

std::vector<std::string> command_names()
{
    std::vector<std::string> names;
    for (const Command& command : commands())
    {
        names.emplace_back(command.name);
    }
    return names;
}

} // namespace

Options help_options()
{
    Options options("help [COMMAND] [options]",
                    "Explains a command, or lists them all. With --man, prints the manual page\n"
                    "instead: `tessera help --man run | man -l -` shows it.");
    options.all().add_options()("man", "print the manual page, as roff")              //
        ("pages", po::value<std::string>(), "write all manual pages into folder arg") //
        ("force", "--pages: replace those that are there");
    options.positional("command");
    options.offer("command", {{}, command_names});
    options.offer("pages", {{}, nullptr, true});
    options.exclusive({"command", "pages"});
    options.exclusive({"man", "pages"});
    options.needs({"force"}, {{"pages"}});
    return options;
}

int help(const Arguments& arguments, const Streams& streams)
{
    Options options = help_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    const Command* const command =
        options.has("command") ? &find_command(options.list("command").front()) : nullptr;
    if (options.has("pages"))
    {
        write_pages(options.text("pages"), existing(options));
    }
    else if (options.has("man"))
    {
        streams.out << (command == nullptr ? program_manual() : command_manual(*command));
    }
    else if (command == nullptr)
    {
        print_help(streams.out);
    }
    else
    {
        return command->run({"--help"}, streams);
    }
    return 0;
}

} // namespace tessera::cli
