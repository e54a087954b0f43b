// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/output_stream.h"
#include "chip/meter.h"
#include "tessera/error.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tessera::simulation
{

/// The run makes more lines of windows.jsonl than anybody could want.
class TooManyWindows : public SimulationError
{
public:
    using SimulationError::SimulationError;
};

/// Writes windows.jsonl: what happened in each of successive stretches of simulated time. A line
/// holds what changed. Windows without an event in which the same goes on share a line, whose
/// figures are of all of them.
class Windows
{
public:
    /// More lines are refused: somebody took picoseconds for milliseconds.
    static constexpr std::uint64_t kMost = 1'000'000;
    /// So many windows a line, on average: each takes time though it leaves no line.
    static constexpr std::uint64_t kWindowsALine = 100;

    /// Of `chip`, before its first event. Throws IoError.
    Windows(const std::filesystem::path& folder, chip::Chip& chip, std::uint64_t most = kMost);

    /// Ends a window at tick `at`, before which nothing more happens. None is written for one of no
    /// length in which nothing happened. Call before the chip is closed. Throws IoError.
    void end(Tick at);
    /// Throws TooManyWindows when there are more lines, or windows, than may be. The run may still
    /// end then, with one last window.
    void check_count() const;
    /// To be called now and then: whoever follows the run sees the windows that have ended. Throws
    /// IoError.
    void show();
    /// No window follows. Throws IoError.
    void close();
    /// Tick at which the last window ended.
    [[nodiscard]] Tick last() const { return meter_.last(); }

private:
    using WallClock = std::chrono::steady_clock;
    /// The line of `windows` windows, which are all as `reading` says.
    void append(const chip::Reading& reading, std::uint64_t windows);
    void append_units(const chip::Reading& reading, std::uint64_t windows);
    void append_layers(const chip::Reading& reading, std::uint64_t windows);
    void append_links(const chip::Reading& reading, std::uint64_t windows);
    void append_buffers(const chip::Reading& reading);
    void append_held();
    void flush();
    template <class Value> void member(const char* key, Value value);

    const chip::Chip& chip_;
    std::uint64_t most_;
    OutputStream file_;
    chip::Meter meter_;
    std::vector<std::string> layers_; ///< names, quoted, as the following
    std::vector<std::string> links_;
    std::vector<std::string> buffers_;
    std::uint64_t count_ = 0;   ///< windows that have ended
    std::uint64_t written_ = 0; ///< of them, on lines
    std::uint64_t lines_ = 0;
    chip::Reading quiet_;      ///< of the windows that have no line yet
    std::uint64_t events_ = 0; ///< at the end of the last one
    std::string line_;         ///< lines that are not in the file yet
    WallClock::time_point flushed_ = WallClock::now();
};

} // namespace tessera::simulation
