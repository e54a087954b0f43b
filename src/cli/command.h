// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/output_file.h"

#include <boost/program_options.hpp>

#include <iosfwd>
#include <map>
#include <string>
#include <vector>

namespace tessera::cli
{

using Arguments = std::vector<std::string>;

/// Results go to `out`, everything else to `err`.
struct Streams
{
    std::ostream& out;
    std::ostream& err;
};

class Options;

/// One subcommand: one file, one entry in commands().
struct Command
{
    const char* name;
    const char* summary;
    int (*run)(const Arguments& arguments, const Streams& streams);
    /// The table that `run` parses its arguments with; --help, the manual page and completion are
    /// made from it.
    Options (*options)();
};

[[nodiscard]] const std::vector<Command>& commands();
/// Throws UsageError.
[[nodiscard]] const Command& find_command(const std::string& name);
/// The program's own help: its commands and exit codes.
void print_help(std::ostream& out);

/// What may stand for an option or a positional argument, as far as it is known beforehand. Only
/// completion reads it; parsing and messages are the command's.
struct Offer
{
    std::vector<std::string> words;
    std::vector<std::string> (*lookup)() = nullptr; ///< more words, found when they are needed
    bool files = false;                             ///< names of files and folders too
};

/// An option that another one means nothing without.
struct Companion
{
    std::string option; ///< or the name of a positional argument
    /// One of these must be its value; one that ends in ':' stands for all that begin so. Empty: it
    /// only has to be given.
    std::vector<std::string> values = {};
};

/// What every subcommand does with its arguments: parse, answer --help, complain with exit code 2.
class Options
{
public:
    /// `usage`: what follows "tessera ", e.g. "inspect RESULT [options]".
    Options(std::string usage, std::string description);

    /// For adding options.
    [[nodiscard]] boost::program_options::options_description& all() { return options_; }
    /// Arguments without a name, in order; the last one may repeat when `count` is -1.
    void positional(const char* name, int count = 1);
    /// Says what may stand for an option or a positional argument.
    void offer(const std::string& name, Offer offer) { offers_[name] = std::move(offer); }
    /// Refuses each of `names`, when it is given, unless one of `companions` holds. Several calls:
    /// each of them.
    void needs(const std::vector<std::string>& names, const std::vector<Companion>& companions);
    /// Refuses any two of `names` together.
    void exclusive(const std::vector<std::string>& names);
    /// False when --help was asked for and answered on `out`. Throws UsageError.
    [[nodiscard]] bool parse(const Arguments& arguments, std::ostream& out);

    /// It has a value: one that was given, or its default.
    [[nodiscard]] bool has(const char* name) const { return values_.count(name) != 0; }
    /// It was given.
    [[nodiscard]] bool given(const std::string& name) const
    {
        return values_.count(name) != 0 && !values_[name].defaulted();
    }
    template <class T> [[nodiscard]] T get(const char* name) const { return values_[name].as<T>(); }
    [[nodiscard]] std::string text(const char* name) const
    {
        return has(name) ? get<std::string>(name) : std::string();
    }
    [[nodiscard]] std::vector<std::string> list(const char* name) const
    {
        return has(name) ? get<std::vector<std::string>>(name) : std::vector<std::string>();
    }
    /// Throws UsageError when the option is missing.
    void require(const char* name) const;

    [[nodiscard]] const std::string& usage() const { return usage_; }
    [[nodiscard]] const std::string& description() const { return description_; }
    [[nodiscard]] const boost::program_options::options_description& table() const
    {
        return options_;
    }
    /// Name of the positional argument after `index` others; empty: there can be none.
    [[nodiscard]] std::string positional_at(unsigned index) const;
    /// Null: nothing is known.
    [[nodiscard]] const Offer* offered(const std::string& name) const;
    /// What has been given offers.
    [[nodiscard]] std::vector<std::string> offered_names() const;

private:
    struct Need
    {
        std::string option;
        std::vector<Companion> companions;
    };
    [[nodiscard]] bool is_positional(const std::string& name) const;
    [[nodiscard]] bool holds(const Companion& companion) const;
    [[nodiscard]] std::string spelled(const Companion& companion) const;
    [[nodiscard]] bool is_real(const std::string& name) const;
    void check_values(const boost::program_options::parsed_options& parsed) const;
    void check_companions() const;

    std::string usage_;
    std::string description_;
    boost::program_options::options_description options_;
    boost::program_options::positional_options_description positional_;
    std::vector<std::string> hidden_;
    std::map<std::string, Offer> offers_;
    std::vector<Need> needs_;
    std::vector<std::vector<std::string>> exclusive_;
    boost::program_options::variables_map values_;
};

/// What --force says.
[[nodiscard]] Existing existing(const Options& options);
/// Throws UsageError when `file` exists and may not be replaced.
void refuse_existing(const std::string& file, bool force);
/// The same, and IoError when it could not be made: before much is computed for it.
void require_output(const std::string& file, bool force);
/// Throws UsageError when `file` is one that an option of these names as an input.
void refuse_input(const Options& options, const std::vector<const char*>& inputs,
                  const std::string& file);

/// Throws UsageError when `output` is one of these files, which a loader has read: also what a
/// config extends and what lies beside a network, whatever the path says.
void refuse_read(const std::vector<std::string>& files, const std::string& output);

/// The whole program: what main() calls. Returns the exit code.
[[nodiscard]] int run(const Arguments& arguments, const Streams& streams);

// One function per subcommand and one for its options, in a file of its own.
int run_simulation(const Arguments& arguments, const Streams& streams);
Options run_options();
int compile(const Arguments& arguments, const Streams& streams);
Options compile_options();
int trace(const Arguments& arguments, const Streams& streams);
Options trace_options();
int config(const Arguments& arguments, const Streams& streams);
Options config_options();
int inspect(const Arguments& arguments, const Streams& streams);
int h5(const Arguments& arguments, const Streams& streams);
Options h5_options();
Options inspect_options();
int network(const Arguments& arguments, const Streams& streams);
Options network_options();
int reproduce_paper(const Arguments& arguments, const Streams& streams);
Options reproduce_options();
int quantize(const Arguments& arguments, const Streams& streams);
Options quantize_options();
int accuracy(const Arguments& arguments, const Streams& streams);
Options accuracy_options();
int help(const Arguments& arguments, const Streams& streams);
Options help_options();
int completion(const Arguments& arguments, const Streams& streams);
Options completion_options();

} // namespace tessera::cli
