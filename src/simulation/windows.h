// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/output_stream.h"
#include "tessera/summary.h"

#include <cstdint>
#include <filesystem>

namespace tessera::simulation
{

/// Writes windows.jsonl: what happened in each of successive stretches of simulated time, a line
/// each. Of layers, links and buffers only those are named for which something happened.
class Windows
{
public:
    /// More are refused: somebody took picoseconds for milliseconds.
    static constexpr std::uint64_t kMost = 1'000'000;

    /// Throws IoError.
    explicit Windows(const std::filesystem::path& folder, std::uint64_t most = kMost);

    /// Ends a window: `now` holds the figures up to its end. Nothing is written for one of no
    /// length in which nothing happened. Throws IoError, UsageError.
    void end(Summary now);
    /// No window follows. Throws IoError.
    void close() { file_.close(); }
    /// Tick at which the last window ended.
    [[nodiscard]] Tick last() const { return before_.makespan; }

private:
    std::uint64_t most_;
    OutputStream file_;
    std::uint64_t count_ = 0;
    Summary before_; ///< figures up to its beginning; empty for the first one
};

} // namespace tessera::simulation
