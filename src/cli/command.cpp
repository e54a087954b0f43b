// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include "base/output_file.h"
#include "base/text.h"
#include "tessera/error.h"
#include "tessera/version.h"

#include <boost/any.hpp>
#include <boost/lexical_cast/try_lexical_convert.hpp>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <new>
#include <string_view>
#include <sys/resource.h>
#include <system_error>
#include <typeinfo>

namespace tessera::cli
{
namespace po = boost::program_options;
void print_help(std::ostream& out)
{
    out << "tessera " << version()
        << ": cycle-accurate simulation of tiled RRAM compute-in-memory chips\n\n"
           "usage: tessera COMMAND [options]\n\n";
    for (const Command& command : commands())
    {
        out << "  " << std::left << std::setw(12) << command.name << command.summary << '\n';
    }
    out << "\n`tessera COMMAND --help` explains a command.\n"
           "Exit codes: 0 done, 2 usage, 3 bad input, 4 simulation error, 5 input or output "
           "failed, "
           "130 interrupted.\n";
}

const Command& find_command(const std::string& name)
{
    const auto found = std::find_if(commands().begin(), commands().end(),
                                    [&](const Command& command) { return name == command.name; });
    if (found == commands().end())
    {
        throw UsageError("unknown command '" + name + "'; `tessera --help` lists the commands");
    }
    return *found;
}

namespace
{

int dispatch(const Arguments& arguments, const Streams& streams)
{
    if (arguments.empty())
    {
        print_help(streams.err);
        return static_cast<int>(ExitCode::usage);
    }
    const std::string& name = arguments.front();
    if (name == "--help" || name == "-h")
    {
        print_help(streams.out);
        return 0;
    }
    if (name == "--version")
    {
        streams.out << "tessera " << version() << '\n';
        return 0;
    }
    return find_command(name).run({arguments.begin() + 1, arguments.end()}, streams);
}

} // namespace

const std::vector<Command>& commands()
{
    static const std::vector<Command> list = {
        {"run", "simulate a network or a trace on a chip", run_simulation, run_options},
        {"compile", "turn a network into a trace for a chip", compile, compile_options},
        {"trace", "check, convert, complete, count or show a trace", trace, trace_options},
        {"config", "show, check or document chip configs", config, config_options},
        {"network", "list networks, or show the layers of one", network, network_options},
        {"quantize", "make whole numbers of a network with weights", quantize, quantize_options},
        {"accuracy", "what cells and converters do to a network's answers", accuracy,
         accuracy_options},
        {"inspect", "tables from the results of a run", inspect, inspect_options},
        {"reproduce", "the figures of a paper beside ours", reproduce_paper, reproduce_options},
        {"h5", "check or recover the activity.h5 of a run", h5, h5_options},
        {"help", "explain a command; print or write manual pages", help, help_options},
        {"completion", "completion of the command line for bash, zsh and fish", completion,
         completion_options},
    };
    return list;
}

Options::Options(std::string usage, std::string description)
    : usage_(std::move(usage)), description_(std::move(description)), options_("options", 100)
{
    options_.add_options()("help,h", "show this");
}

void Options::positional(const char* name, int count)
{
    positional_.add(name, count);
    hidden_.emplace_back(name);
}

bool Options::parse(const Arguments& arguments, std::ostream& out)
{
    po::options_description known;
    known.add(options_);
    for (const std::string& name : hidden_)
    {
        known.add_options()(name.c_str(), po::value<std::vector<std::string>>());
    }
    try
    {
        const auto parsed =
            po::command_line_parser(arguments).options(known).positional(positional_).run();
        check_values(parsed);
        po::store(parsed, values_);
        po::notify(values_);
    }
    catch (const po::error& error)
    {
        throw UsageError(std::string(error.what()) + "; see `tessera " +
                         usage_.substr(0, usage_.find(' ')) + " --help`");
    }
    if (has("help"))
    {
        out << "usage: tessera " << usage_ << "\n\n" << description_ << "\n\n" << options_;
        return false;
    }
    check_companions();
    return true;
}

namespace
{

/// Digits, perhaps with a point and an exponent, of a number that is 0 or that a double can hold:
/// the library would take "nan", and 0 for what is too small.
bool is_finite_decimal(const std::string& text)
{
    const std::size_t end = std::min(text.find_first_of("eE"), text.size());
    const std::string digits = text.substr(0, end);
    if (text.find_first_not_of("0123456789.eE+-") != std::string::npos ||
        digits.find_first_not_of("0123456789.") != std::string::npos)
    {
        return false;
    }
    double value = 0;
    if (!boost::conversion::try_lexical_convert(text, value) || !std::isfinite(value))
    {
        return false;
    }
    return value != 0 || digits.find_first_of("123456789") == std::string::npos;
}

} // namespace

bool Options::is_positional(const std::string& name) const
{
    return std::find(hidden_.begin(), hidden_.end(), name) != hidden_.end();
}

/// Is the option's value a number with a fraction?
bool Options::is_real(const std::string& name) const
{
    const po::option_description* const option = options_.find_nothrow(name, false);
    const auto* const typed =
        option == nullptr ? nullptr
                          : dynamic_cast<const po::typed_value_base*>(option->semantic().get());
    return typed != nullptr && typed->value_type() == typeid(double);
}

void Options::check_values(const po::parsed_options& parsed) const
{
    for (const auto& option : parsed.options)
    {
        const std::string name = (is_positional(option.string_key) ? "" : "--") + option.string_key;
        for (const std::string& value : option.value)
        {
            // Every number of every option is a count; the library would let -1 become 2^64 - 1.
            if (value.size() > 1 && value[0] == '-' && value[1] >= '0' && value[1] <= '9')
            {
                throw po::error(name + " cannot be negative");
            }
            // Mostly a variable of a script that is not set: nobody means nothing by it.
            if (value.empty())
            {
                throw po::error(name + " is empty; give it a value, or leave it out");
            }
            if (is_real(option.string_key) && !is_finite_decimal(value))
            {
                throw po::error(name + " must be a finite decimal number such as 0.5, not '" +
                                value + "'");
            }
        }
    }
}

void Options::needs(const std::vector<std::string>& names, const std::vector<Companion>& companions)
{
    for (const std::string& name : names)
    {
        needs_.push_back({name, companions});
    }
}

void Options::exclusive(const std::vector<std::string>& names)
{
    exclusive_.push_back(names);
}

bool Options::holds(const Companion& companion) const
{
    if (companion.values.empty())
    {
        return given(companion.option);
    }
    if (!has(companion.option.c_str()))
    {
        return false;
    }
    const boost::any& any = values_[companion.option].value();
    const auto* const one = boost::any_cast<std::string>(&any);
    const auto words = one != nullptr ? std::vector<std::string>{*one}
                                      : boost::any_cast<std::vector<std::string>>(any);
    const auto matches = [&](const std::string& word)
    {
        return std::any_of(companion.values.begin(), companion.values.end(),
                           [&](const std::string& value) {
                               return value.back() == ':'
                                          ? word.compare(0, value.size(), value) == 0
                                          : word == value;
                           });
    };
    return std::any_of(words.begin(), words.end(), matches);
}

/// As it would be written: "--range percentile", "`tessera trace convert`".
std::string Options::spelled(const Companion& companion) const
{
    std::string values;
    for (const std::string& value : companion.values)
    {
        values += (values.empty() ? "" : " or ") + value;
    }
    if (is_positional(companion.option))
    {
        return "`tessera " + usage_.substr(0, usage_.find(' ')) + ' ' + values + '`';
    }
    return "--" + companion.option + (values.empty() ? "" : ' ' + values);
}

void Options::check_companions() const
{
    const std::string command = usage_.substr(0, usage_.find(' '));
    for (const Need& need : needs_)
    {
        const auto& companions = need.companions;
        if (!given(need.option) || std::any_of(companions.begin(), companions.end(),
                                               [&](const Companion& its) { return holds(its); }))
        {
            continue;
        }
        std::string text;
        for (const Companion& companion : companions)
        {
            text += (text.empty() ? "" : ", or ") + spelled(companion);
        }
        throw UsageError((is_positional(need.option) ? "the argument " : "--") + need.option +
                         " means nothing without " + text + "; see `tessera " + command +
                         " --help`");
    }
    for (const std::vector<std::string>& names : exclusive_)
    {
        std::string first;
        for (const std::string& name : names)
        {
            if (given(name) && !first.empty())
            {
                throw UsageError(first + " and --" + name +
                                 " do not go together; leave one of them out");
            }
            first = given(name) ? (is_positional(name) ? "" : "--") + name : first;
        }
    }
}

std::string Options::positional_at(unsigned index) const
{
    return index < positional_.max_total_count() ? positional_.name_for_position(index) : "";
}

const Offer* Options::offered(const std::string& name) const
{
    const auto found = offers_.find(name);
    return found == offers_.end() ? nullptr : &found->second;
}

std::vector<std::string> Options::offered_names() const
{
    std::vector<std::string> names;
    for (const auto& entry : offers_)
    {
        names.push_back(entry.first);
    }
    return names;
}

void Options::require(const char* name) const
{
    if (!has(name))
    {
        throw UsageError(std::string(is_positional(name) ? "" : "--") + name +
                         " is missing; usage: tessera " + usage_);
    }
}

Existing existing(const Options& options)
{
    return options.has("force") ? Existing::replace : Existing::keep;
}

void refuse_input(const Options& options, const std::vector<const char*>& inputs,
                  const std::string& file)
{
    for (const char* input : inputs)
    {
        std::error_code none; // not there: another one
        if (options.has(input) && std::filesystem::equivalent(file, options.text(input), none))
        {
            throw UsageError(file + " would replace what --" + input + " reads; name another file");
        }
    }
}

void refuse_read(const std::vector<std::string>& files, const std::string& output)
{
    for (const std::string& file : files)
    {
        std::error_code none; // not there: another one
        if (std::filesystem::equivalent(output, file, none))
        {
            throw UsageError(output + " would replace what is read; name another file");
        }
    }
}

void refuse_existing(const std::string& file, bool force)
{
    std::error_code error;
    const std::filesystem::file_status status = std::filesystem::status(file, error);
    if (!std::filesystem::status_known(status))
    {
        throw_io_error("use", file, error.value());
    }
    if (std::filesystem::is_directory(status))
    {
        throw UsageError(file + " is a folder; name a file");
    }
    if (!force && is_replaceable(file))
    {
        throw UsageError(file + " exists; give --force to replace it");
    }
}

void require_output(const std::string& file, bool force)
{
    refuse_existing(file, force);
    std::error_code none;
    if (is_replaceable(file) || !std::filesystem::exists(file, none))
    {
        require_writable(file, false);
    }
}

namespace
{

/// What of `arguments` asked for more memory than there is, and how much there is.
std::string out_of_memory(const Arguments& arguments)
{
    std::string text = "out of memory";
    if (!arguments.empty())
    {
        text += " in `tessera " + printable(arguments.front()) + '`';
    }
    struct rlimit limit = {};
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    {
        text += "; the limit is " + std::to_string(limit.rlim_cur >> 20U) + " MiB (ulimit -v)";
    }
    return text;
}

/// Says what went wrong, as far as there is memory for that. Returns the exit code.
int report(const Arguments& arguments, std::ostream& err)
{
    const auto say = [&](std::string_view text) { err << "tessera: " << text << '\n'; };
    try
    {
        throw;
    }
    catch (const Error& error)
    {
        // Only reports of simulations have several lines.
        say(printable(error.what(), error.code() == ExitCode::simulation));
        return static_cast<int>(error.code());
    }
    catch (const std::bad_alloc&)
    {
        say(out_of_memory(arguments));
        return static_cast<int>(ExitCode::io);
    }
    catch (const std::system_error& error)
    {
        // Threads have room of their own, which the system refuses in its own words.
        const bool memory = error.code() == std::errc::resource_unavailable_try_again ||
                            error.code() == std::errc::not_enough_memory;
        say((memory ? out_of_memory(arguments) + ": " : "") + error.what());
        return static_cast<int>(ExitCode::io);
    }
    catch (const std::exception& error)
    {
        constexpr int internal_error = 1; // nothing that the input or the system can be blamed for
        say(std::string("internal error: ") + printable(error.what(), true));
        return internal_error;
    }
}

} // namespace

int run(const Arguments& arguments, const Streams& streams)
{
    try
    {
        const int code = dispatch(arguments, streams);
        streams.out.flush();
        if (!streams.out)
        {
            // Only another try tells why.
            errno = 0;
            streams.out.clear();
            streams.out.put('\n').flush();
            const int reason = errno;
            throw_io_error("write to", "the standard output", reason == 0 ? EIO : reason);
        }
        return code;
    }
    catch (...)
    {
        try
        {
            return report(arguments, streams.err);
        }
        catch (const std::bad_alloc&)
        {
            streams.err << "tessera: out of memory\n";
            return static_cast<int>(ExitCode::io);
        }
    }
}

} // namespace tessera::cli
