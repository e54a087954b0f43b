// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "tessera/summary.h"
#include "tessera/tick.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace tessera::record
{

/// What activity.h5 says about a run before it starts.
struct ActivityMeta
{
    struct Unit
    {
        std::string name; ///< "t5.m3"
        trace::UnitKind kind = trace::UnitKind::macro;
        NodeId node;
    };
    struct Layer
    {
        std::string name;
        std::string kind;
    };

    ActivityLevel level = ActivityLevel::unit;
    std::string config;       ///< effective config, as text
    std::string trace_header; ///< first line of the trace, as text
    Clock reference_clock;
    std::vector<Unit> units;   ///< every unit, in the order of Summary::units
    std::vector<Layer> layers; ///< in the order of Summary::layers
};

enum class Outcome : std::uint8_t
{
    complete,   ///< the run came to its end
    interrupted ///< it was stopped: what there is stays activity.h5.part
};

/// Writes activity.h5. A thread of its own shuffles, compresses and writes whole chunks of records,
/// so the simulation only copies them. The file is called activity.h5.part, and is readable after a
/// kill at any moment, until finish() renames it. Its bytes depend on nothing but what is recorded.
class ActivityWriter
{
public:
    /// Creates the file in `folder`, which must exist. Throws IoError.
    ActivityWriter(const std::filesystem::path& folder, const ActivityMeta& meta);
    /// Without finish(): writes what was recorded so far and leaves activity.h5.part.
    ~ActivityWriter();
    ActivityWriter(const ActivityWriter&) = delete;
    ActivityWriter& operator=(const ActivityWriter&) = delete;

    /// Sets the sink's level and connects the streams that it needs. Contract: called once; the
    /// sink outlives the writer and is appended to by one thread. When the disk is slower than the
    /// simulation, appending waits; when writing failed, it throws IoError.
    void connect(ActivitySink& sink);

    /// Takes what is left in the sink, writes the summaries and closes the file. Throws IoError
    /// (the file then stays activity.h5.part), std::logic_error if `summary` has other units or
    /// layers than the meta data. Call it once.
    void finish(const Summary& summary, Outcome outcome = Outcome::complete);

    /// Chunks that a kill cannot take away any more.
    [[nodiscard]] std::uint64_t flushed_chunks() const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace tessera::record
