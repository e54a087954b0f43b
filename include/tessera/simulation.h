// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/activity.h"
#include "tessera/error.h"
#include "tessera/summary.h"
#include "tessera/tick.h"
#include "tessera/trace.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

/// Simulating from C++: a chip, a program for it, a run. Everything here runs on the event wheel
/// alone, so any number of simulations may go on in as many threads; tessera/platform.h puts a chip
/// into a SystemC platform.
namespace tessera
{

namespace config
{
struct ChipConfig;
}

/// A chip as its config describes it, validated. Cheap to copy, immutable.
class ChipModel
{
public:
    /// `chip`: a shipped name ("clsa-256") or a JSON file; `overrides`: "noc.vcs=4". Throws
    /// InputError, IoError, UsageError.
    explicit ChipModel(const std::string& chip, const std::vector<std::string>& overrides = {});

    [[nodiscard]] const std::string& name() const;
    /// The effective config as JSON text: it can be given back as a file.
    [[nodiscard]] std::string json() const;
    [[nodiscard]] const config::ChipConfig& config() const { return *config_; } ///< internal

private:
    std::shared_ptr<const config::ChipConfig> config_;
};

/// How a network becomes a program.
struct CompileOptions
{
    std::string schedule = "layer-by-layer";
    std::uint32_t images = 1;
};

/// What a chip is to execute. Cheap to copy, immutable: every run reads it from the beginning.
class Program
{
public:
    /// Compiles a network, a shipped name ("resnet50") or a JSON file. Throws InputError (also when
    /// it does not fit the chip), IoError.
    [[nodiscard]] static Program compile(const std::string& network, const ChipModel& chip,
                                         const CompileOptions& options = {});
    /// A trace file of either encoding; it is read while it runs. Throws InputError, IoError.
    [[nodiscard]] static Program open(const std::filesystem::path& trace);
    /// A trace made in memory, after trace::finalize(). Throws InputError.
    [[nodiscard]] static Program of(trace::Trace trace);

    [[nodiscard]] const trace::Header& header() const;
    /// Writes it as a trace file: .trace.jsonl, .trace.jsonl.gz or .trace.h5. Throws IoError,
    /// UsageError (another ending).
    void save(const std::filesystem::path& file) const;
    /// A fresh cursor over the operations. Throws InputError, IoError.
    [[nodiscard]] std::unique_ptr<trace::OperationSource> source() const;

private:
    class Impl;
    explicit Program(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
    std::shared_ptr<const Impl> impl_;
};

/// How far a run has come.
struct Progress
{
    Tick now = 0;
    std::uint64_t events = 0;
    std::uint64_t operations = 0; ///< ended
    std::uint64_t total = 0;
};

struct RunOptions
{
    /// Folder for activity.h5, stats.json, ...; empty: nothing is written.
    std::filesystem::path folder;
    bool replace = false; ///< the results of an earlier run in that folder
    ActivityLevel level = ActivityLevel::unit;
    bool live = false; ///< activity.h5 can be read while it is written (HDF5's SWMR)
    std::uint64_t seed = 1;
    /// Ends the run after the events of this tick; the results are whole up to it.
    Tick until = kNever;
    /// Writes the statistics of every stretch of this length to windows.jsonl; 0: not.
    Tick stats_every = 0;
    /// When images arrive: "" (all at tick 0), "10ms" (one every 10 ms) or "poisson:10ms" (the mean
    /// gap, drawn from `seed`). Operations without operands of image k are released then.
    std::string arrivals;
    /// "noc", "buffer@t3*", ...: what to log, by topic and unit; empty: nothing.
    std::vector<std::string> log;
    std::ostream* log_to = nullptr; ///< default: std::cerr
    /// Gives up with SimulationError after so many seconds of wall time in which no operation
    /// ended; 0: never.
    double watchdog_seconds = 0;
    /// Called now and then; returns false to stop the run.
    std::function<bool(const Progress&)> monitor;
};

enum class RunEnd : std::uint8_t
{
    complete, ///< every operation has ended
    until,    ///< RunOptions::until was reached first
    stopped   ///< the monitor said so
};

struct RunResult
{
    Summary summary;
    RunEnd end = RunEnd::complete;
};

/// Runs a program on a chip. Throws InputError (a malformed trace, or one for another chip),
/// SimulationError (deadlock, livelock, watchdog), IoError, UsageError (the folder is in use).
RunResult simulate(const ChipModel& chip, const Program& program, const RunOptions& options = {});

} // namespace tessera
