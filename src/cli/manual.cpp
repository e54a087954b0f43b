// SPDX-License-Identifier: Apache-2.0
#include "cli/manual.h"

#include "tessera/version.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <sstream>

namespace tessera::cli
{
namespace po = boost::program_options;
namespace
{

/// Text that roff prints as it stands.
std::string escaped(const std::string& text)
{
    std::string result;
    for (const char c : text)
    {
        if ((c == '.' || c == '\'') && (result.empty() || result.back() == '\n'))
        {
            result += "\\&"; // else the line would be a request
        }
        switch (c)
        {
        case '\\':
            result += "\\e";
            break;
        case '-':
            result += "\\-"; // a hyphen would not be found, nor copied, as a minus
            break;
        case '\'':
            result += "\\(aq";
            break;
        case '`':
            result += "\\(ga";
            break;
        default:
            result += c;
        }
    }
    return result;
}

std::string upper(std::string text)
{
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

std::string head(const std::string& page, const std::string& summary)
{
    return fmt::format(".TH {} 1 \"\" \"tessera {}\" \"Tessera manual\"\n.SH NAME\n{} \\- {}\n",
                       upper(escaped(page)), version(), escaped(page), escaped(summary));
}

/// "COMMAND [options]" after the name of the program, which is set in bold.
std::string synopsis(const std::string& usage)
{
    const std::size_t space = usage.find(' ');
    return fmt::format(".SH SYNOPSIS\n.B tessera {}\n{}\n", escaped(usage.substr(0, space)),
                       space == std::string::npos ? "" : escaped(usage.substr(space + 1)));
}

std::string entry(const po::option_description& option)
{
    const std::string brief =
        option.canonical_display_name(po::command_line_style::allow_dash_for_short);
    std::string tag = "\\-\\-" + escaped(option.long_name());
    if (brief.size() == 2 && brief[0] == '-')
    {
        tag = escaped(brief) + ", " + tag;
    }
    std::string text = escaped(option.description());
    if (option.semantic()->max_tokens() != 0)
    {
        tag += " \\fIarg\\fR";
        const std::string name = option.semantic()->name(); // "arg (=default)"
        const std::size_t given = name.find(" (=");
        if (given != std::string::npos)
        {
            text += escaped(" (default: " + name.substr(given + 3));
        }
    }
    return ".TP\n.B " + tag + "\n" + text + "\n";
}

constexpr const char* kExitStatus = ".SH EXIT STATUS\n"
                                    ".TP\n0\ndone\n"
                                    ".TP\n2\nthe command line is wrong\n"
                                    ".TP\n3\na config, network, trace or result is malformed\n"
                                    ".TP\n4\nthe simulation cannot go on\n"
                                    ".TP\n5\na file could not be read or written\n"
                                    ".TP\n130\ninterrupted\n";
constexpr const char* kEnvironment = ".SH ENVIRONMENT\n"
                                     ".TP\n.B TESSERA_DATA\nfolder that holds the shipped "
                                     "configs/, models/ and traces/, instead of\n"
                                     "share/tessera beside the folder of the program\n";

} // namespace

std::string program_manual()
{
    std::string page = head("tessera", "cycle-accurate simulation of tiled RRAM "
                                       "compute-in-memory chips");
    page += synopsis("COMMAND [options]");
    page += ".SH DESCRIPTION\n"
            "A network or a trace and a chip config go in; every operation, wait and busy cycle "
            "comes out\nin one HDF5 file.\n.SH COMMANDS\n";
    std::string others;
    for (const Command& command : commands())
    {
        page += fmt::format(".TP\n.B {}\n{}\n", command.name, escaped(command.summary));
        others += fmt::format("{}.BR tessera\\-{} (1)", others.empty() ? "" : ",\n", command.name);
    }
    page += ".SH OPTIONS\n.TP\n.B \\-h, \\-\\-help\nlist the commands\n"
            ".TP\n.B \\-\\-version\nprint the version\n";
    page += kExitStatus;
    page += kEnvironment;
    return page + ".SH SEE ALSO\n" + others + "\n";
}

std::string command_manual(const Command& command)
{
    const Options options = command.options();
    std::string page = head(std::string("tessera-") + command.name, command.summary);
    page += synopsis(options.usage());
    page += ".SH DESCRIPTION\n.nf\n" + escaped(options.description()) + "\n.fi\n.SH OPTIONS\n";
    for (const auto& option : options.table().options())
    {
        page += entry(*option);
    }
    page += kExitStatus;
    page += kEnvironment;
    return page + ".SH SEE ALSO\n.BR tessera (1)\n";
}

} // namespace tessera::cli
