// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/activity.h"
#include "tessera/batch_axis.h"
#include "tessera/error.h"
#include "tessera/installation.h"
#include "tessera/mapping_report.h"
#include "tessera/progress.h"
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

    /// As its config calls it.
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
    std::string schedule = "layer-by-layer"; ///< how the work is ordered: or "xinf", across layers
    /// That follow each other: across layers, one behind the other in a pipeline, all compiled;
    /// else one after the other, in the memory of two.
    std::uint32_t images = 1;
    /// Which layers get copies of their weights: "none", "greedy", "optimal" (least latency layer
    /// by layer), "balanced" (least interval of the pipeline).
    std::string duplicate = "none";
    std::optional<std::uint64_t> extra_pes{}; ///< crossbars for copies; nothing: all that are left
    /// What is made together: "row", "pixel", "4x8"; "auto": of every layer what makes the shortest
    /// plan.
    std::string sets = "row";
    /// Which tiles are filled first: "row-major", "snake", "traffic"; nothing: as the chip says.
    std::optional<std::string> placement{};
    /// Where convolutions with groups run: "vector", "crossbar"; nothing: as the chip says.
    std::optional<std::string> depthwise{};
    /// Where products of two feature maps (attention) run: "vector", "crossbar", "digital";
    /// nothing: as the chip says.
    std::optional<std::string> attention{};
    /// A network that does not fit is cut into segments of layers, which take turns on the chip:
    /// between them the crossbars are written anew. All images pass one segment before the next.
    bool time_multiplex = false;
    bool pack = false; ///< small blocks of different layers may share a crossbar
    /// Weights that fill a part of a crossbar are there as often as its diagonal has room for: as
    /// many input vectors of a set pass at a time.
    bool replicate_in_crossbar = false;
    /// In which order a layer makes its sets: "raster", "demand" (as the outputs need them) or
    /// "demand:P", see `tessera run --help`.
    std::string order = "raster";
    /// What the first axis of an ONNX file's inputs is, where it is fixed and above 1.
    BatchAxis batch_axis = BatchAxis::automatic;
};

/// What a chip is to execute. Cheap to copy, immutable: every run reads it from the beginning.
class Program
{
public:
    /// Compiles a network, a shipped name ("resnet50"), a JSON or an ONNX file. Throws InputError
    /// (also when it does not fit the chip), IoError.
    [[nodiscard]] static Program compile(const std::string& network, const ChipModel& chip,
                                         const CompileOptions& options = {},
                                         const PhaseMonitor& monitor = {});
    /// A trace file of either encoding; it is read while it runs. Throws InputError, IoError.
    [[nodiscard]] static Program open(const std::filesystem::path& trace);
    /// A trace made in memory, after trace::finalize(). Throws InputError.
    [[nodiscard]] static Program of(trace::Trace trace);
    /// A trace of one image, so many times: independent images, each with ids and an image number
    /// of its own, in the memory of one. Reads the whole trace. Throws InputError for a trace that
    /// holds several images already, UsageError for no images or too many.
    [[nodiscard]] Program repeat(std::uint32_t images) const;

    /// What messages call it: the network or the file.
    [[nodiscard]] const std::string& name() const;
    /// What it is for: network, layers, units, placement.
    [[nodiscard]] const trace::Header& header() const;
    /// What it takes of the chip; nothing if it was not compiled here. Of all images compiled.
    [[nodiscard]] const std::optional<MappingReport>& mapping() const;
    /// Paths of all files that it was made from: of a network or of a trace.
    [[nodiscard]] const std::vector<std::string>& files() const;
    /// Operations of each image, those that write crossbars apart; 0: images differ, or it takes
    /// reading the whole file to know.
    [[nodiscard]] std::uint64_t operations_per_image() const;
    /// Writes it as a trace file: .trace.jsonl, .trace.jsonl.gz or .trace.h5. Throws IoError,
    /// UsageError (another ending; a file that is there, unless `replace`).
    void save(const std::filesystem::path& file, bool replace = true,
              const PhaseMonitor& monitor = {}) const;
    /// A fresh cursor over the operations. Throws InputError, IoError.
    [[nodiscard]] std::unique_ptr<trace::OperationSource> source() const;

private:
    class Impl;
    explicit Program(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
    std::shared_ptr<const Impl> impl_;
};

/// How a run goes, and what it leaves behind.
struct RunOptions
{
    /// Folder for activity.h5, stats.json, ...; empty: nothing is written.
    std::filesystem::path folder;
    bool replace = false;                      ///< the results of an earlier run in that folder
    ActivityLevel level = ActivityLevel::unit; ///< how much goes into activity.h5
    bool live = false;      ///< activity.h5 can be read while it is written (HDF5's SWMR)
    bool compress = true;   ///< records in activity.h5; without: about six times the bytes
    std::uint64_t seed = 1; ///< of everything random
    /// Cuts the run after the events of this tick, unless all has ended by then. Results hold what
    /// has happened, and figures are of the time simulated, Summary::span.
    Tick until = kNever;
    /// Writes what happened in every stretch of this length to windows.jsonl; 0: not. More than a
    /// million lines, or 10^8 stretches, end the run with SimulationError.
    Tick stats_every = 0;
    /// When images arrive: "" (all at tick 0), "10ms" (one every 10 ms) or "poisson:10ms" (the mean
    /// gap, drawn from `seed`). No operation of an image starts before. Latencies then count from
    /// the arrival.
    std::string arrivals;
    /// "noc", "buffer@t3*", ...: what to log, by topic and glob of the unit, as lines "tick unit
    /// topic message"; `tessera run --log list` explains the topics. Empty: nothing.
    std::vector<std::string> log;
    std::ostream* log_to = nullptr; ///< default: std::cerr
    /// Gives up with SimulationError after so many seconds of wall time in which no operation
    /// ended; 0: never.
    double watchdog_seconds = 0;
    /// Called every few milliseconds of wall time, from the thread of the run; returns false to
    /// stop it. What it throws ends the run as an error.
    std::function<bool(const Progress&)> monitor;
};

/// Why a run ended.
enum class RunEnd : std::uint8_t
{
    complete, ///< every operation has ended
    until,    ///< RunOptions::until was reached first
    stopped   ///< the monitor said so
};

/// What simulate() returns.
struct RunResult
{
    Summary summary;               ///< figures, up to where it ended
    RunEnd end = RunEnd::complete; ///< why it ended
    std::uint64_t unread = 0;      ///< data that were read less often than declared
};

/// Runs a program on a chip. Throws InputError (a malformed trace, or one for another chip),
/// SimulationError (deadlock, livelock, watchdog, too many windows), IoError, UsageError (the
/// folder is in use).
RunResult simulate(const ChipModel& chip, const Program& program, const RunOptions& options = {});

} // namespace tessera
