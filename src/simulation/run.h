// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "base/log.h"
#include "chip/chip.h"
#include "record/activity_writer.h"
#include "record/results.h"
#include "simulation/windows.h"
#include "tessera/simulation.h"

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tessera::simulation
{

/// What run.json says of who runs, and how.
struct RunIdentity
{
    std::vector<std::string> command_line;
    std::string kernel = "native";
    std::uint64_t shuffle = 0;    ///< see chip::Chip
    std::vector<UnitId> external; ///< see chip::Chip
};

/// One run of a program on a chip, from the first file of its folder to the last. Whoever makes it
/// decides what drives the chip's wheel.
class Run
{
public:
    /// Runs the chip to its end: chip::run_native, or the same under SystemC.
    using Drive = std::function<bool(chip::Chip& chip, const chip::Monitor& monitor)>;

    /// Throws InputError when the program was made for another chip, UsageError, IoError.
    Run(const ChipModel& model, const Program& program, RunOptions options, RunIdentity identity);

    /// A file that is published together with the run's own, made in `folder` when the run has
    /// ended, by itself or by its limit or an interruption.
    using Extra = std::function<OutputFile(const std::filesystem::path& folder)>;
    void publish_too(Extra extra) { extra_ = std::move(extra); }

    /// Once. Throws what simulate() throws; the folder then says "failed".
    RunResult execute(const Drive& drive);

    // The same in steps, for those who cannot drive the chip within one call.
    /// Writes what must be there before the first event. Returns what to call during the run; it
    /// refers to this object.
    [[nodiscard]] chip::Monitor begin();
    /// All is done (`ended`), or the monitor or the limit of time stopped it.
    RunResult end(bool ended);
    /// What driving the chip threw. Writes what tells about it and throws it again, unless it was
    /// an interruption.
    RunResult fail(const std::exception_ptr& problem);

    [[nodiscard]] chip::Chip& chip() { return *chip_; }

private:
    template <class Action> auto noting_failure(Action action) -> decltype(action());
    RunResult conclude(RunEnd end);
    [[nodiscard]] Summary finish(record::Outcome outcome, const Extra& extra);
    void report(const std::string& status);
    void write(const std::string& name, const std::string& text);

    ChipModel model_;
    RunOptions options_;
    record::RunMeter meter_;
    record::RunInfo info_;
    record::ImageMeta images_;
    std::unique_ptr<trace::OperationSource> source_;
    ActivitySink sink_;
    std::optional<Log> log_;
    std::unique_ptr<chip::Chip> chip_;
    std::optional<record::ResultFolder> folder_;
    std::unique_ptr<record::ActivityWriter> writer_;
    std::optional<Windows> windows_;
    Extra extra_;
};

} // namespace tessera::simulation
