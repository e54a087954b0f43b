// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace tessera
{

/// What the process returns; every Error knows which one it stands for.
enum class ExitCode : int
{
    ok = 0,
    usage = 2,        ///< the command line is wrong
    bad_input = 3,    ///< a config, network, trace or result file is malformed
    simulation = 4,   ///< deadlock, livelock or watchdog
    io = 5,           ///< a file could not be read or written
    interrupted = 130 ///< SIGINT, SIGTERM or SIGHUP
};

/// What every function of the library throws; what() is the whole message.
class Error : public std::runtime_error
{
public:
    /// A message for people, and what the process should return for it.
    Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
    /// What the process should return.
    [[nodiscard]] ExitCode code() const noexcept { return code_; }

private:
    ExitCode code_;
};

/// Where in an input something is wrong. Empty or zero members are left out of the message.
struct Place
{
    std::string file;       ///< as it was given
    std::uint64_t line = 0; ///< 1-based; 0 where the format has no lines
    std::string pointer;    ///< JSON pointer ("/noc/vcs") or HDF5 path
};

/// "chip.json:12: /noc/vcs: must be at least 1; give a positive integer"
class InputError : public Error
{
public:
    /// What is wrong where, and what to do about it.
    InputError(const Place& place, const std::string& problem, const std::string& remedy);
    /// Where it is wrong.
    [[nodiscard]] const Place& place() const noexcept { return place_; }
    /// What is wrong, without place and remedy.
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
    /// What to do about it.
    [[nodiscard]] const std::string& remedy() const noexcept { return remedy_; }

private:
    Place place_;
    std::string problem_;
    std::string remedy_;
};

/// An argument or option is wrong, or two of them do not go together.
class UsageError : public Error
{
public:
    /// Carries ExitCode::usage.
    explicit UsageError(const std::string& message) : Error(ExitCode::usage, message) {}
};

/// The simulation cannot go on.
class SimulationError : public Error
{
public:
    /// Carries ExitCode::simulation.
    explicit SimulationError(const std::string& message) : Error(ExitCode::simulation, message) {}
};

/// A file cannot be read or written.
class IoError : public Error
{
public:
    /// Carries ExitCode::io.
    explicit IoError(const std::string& message) : Error(ExitCode::io, message) {}
};

} // namespace tessera
