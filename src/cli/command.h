// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/program_options.hpp>

#include <iosfwd>
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

/// One subcommand: one file, one entry in commands().
struct Command
{
    const char* name;
    const char* summary;
    int (*run)(const Arguments& arguments, const Streams& streams);
};

[[nodiscard]] const std::vector<Command>& commands();

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
    /// False when --help was asked for and answered on `out`. Throws UsageError.
    [[nodiscard]] bool parse(const Arguments& arguments, std::ostream& out);

    [[nodiscard]] bool has(const char* name) const { return values_.count(name) != 0; }
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

private:
    std::string usage_;
    std::string description_;
    boost::program_options::options_description options_;
    boost::program_options::positional_options_description positional_;
    std::vector<std::string> hidden_;
    boost::program_options::variables_map values_;
};

/// Throws UsageError when `file` exists and may not be replaced.
void refuse_existing(const std::string& file, bool force);

/// The whole program: what main() calls. Returns the exit code.
[[nodiscard]] int run(const Arguments& arguments, const Streams& streams);

// One function per subcommand, each in a file of its own.
int run_simulation(const Arguments& arguments, const Streams& streams);
int compile(const Arguments& arguments, const Streams& streams);
int trace(const Arguments& arguments, const Streams& streams);
int config(const Arguments& arguments, const Streams& streams);
int inspect(const Arguments& arguments, const Streams& streams);
int network(const Arguments& arguments, const Streams& streams);

} // namespace tessera::cli
