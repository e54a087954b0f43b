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
    interrupted = 130 ///< SIGINT or SIGTERM
};

class Error : public std::runtime_error
{
public:
    Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
    [[nodiscard]] ExitCode code() const noexcept { return code_; }

private:
    ExitCode code_;
};

/// Where in an input something is wrong. Empty or zero members are left out of the message.
struct Place
{
    std::string file;
    std::uint64_t line = 0; ///< 1-based; 0 where the format has no lines
    std::string pointer;    ///< JSON pointer ("/noc/vcs") or HDF5 path
};

/// "chip.json:12: /noc/vcs: must be at least 1; give a positive integer"
class InputError : public Error
{
public:
    InputError(const Place& place, const std::string& problem, const std::string& remedy);
    [[nodiscard]] const Place& place() const noexcept { return place_; }

private:
    Place place_;
};

class UsageError : public Error
{
public:
    explicit UsageError(const std::string& message) : Error(ExitCode::usage, message) {}
};

class SimulationError : public Error
{
public:
    explicit SimulationError(const std::string& message) : Error(ExitCode::simulation, message) {}
};

class IoError : public Error
{
public:
    explicit IoError(const std::string& message) : Error(ExitCode::io, message) {}
};

} // namespace tessera
