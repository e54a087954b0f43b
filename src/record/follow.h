// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "record/reader.h"
#include "tessera/tick.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace tessera::record
{

/// How far a recording has come.
struct Glimpse
{
    std::uint64_t operations = 0; ///< recorded
    Tick now = 0;                 ///< end of the latest of them, ps
    bool closed = false;
};

/// Looks at a run from outside, while it goes on. The file is opened anew for every look, which the
/// order in which it is written allows at any moment.
class Follower
{
public:
    /// `path`: the folder of a run, or its activity.h5.part.
    explicit Follower(std::filesystem::path path) : path_(std::move(path)) {}

    /// What has come since the last look; nothing if nothing has. Throws InputError for a file that
    /// stays unreadable.
    [[nodiscard]] std::optional<Glimpse> look();

    /// What run.json says ("running", "complete", "failed", ...), or "died" if it says "running"
    /// and no process of that number is there; empty: there is no run.json.
    [[nodiscard]] std::string status() const;

private:
    [[nodiscard]] std::filesystem::path folder() const;

    std::filesystem::path path_;
    std::optional<Glimpse> last_;
    std::filesystem::file_time_type changed_;
    unsigned failures_ = 0; ///< one after the other
};

} // namespace tessera::record
