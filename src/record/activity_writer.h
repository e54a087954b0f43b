// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "base/output_file.h"
#include "record/image_meta.h"
#include "tessera/summary.h"
#include "tessera/tick.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
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
    ImageMeta images;
    std::vector<Unit> units;   ///< every unit, in the order of Summary::units
    std::vector<Layer> layers; ///< in the order of Summary::layers
};

enum class Outcome : std::uint8_t
{
    complete,   ///< the run came to its end
    cut,        ///< it ended where it had been asked to, with operations left
    interrupted ///< it was stopped: what there is stays activity.h5.part
};

/// Records of each stream that a kill cannot take away any more.
struct Flushed
{
    std::uint64_t operations = 0;
    std::uint64_t dependencies = 0;
    std::uint64_t intervals = 0;
    std::uint64_t stalls = 0;
    std::uint64_t cycles = 0;
    std::uint64_t images = 0; ///< written when the run ends
};

enum class Compression : std::uint8_t
{
    deflate, ///< shuffled and deflated at level 1: every HDF5 reads it
    none     ///< for a recorder that must keep up with the disk; about five times the bytes
};

struct WriterOptions
{
    /// The file can be read by HDF5's SWMR while it is written: it has the latest format, smaller
    /// chunks, and is flushed at least every second in which there is something new.
    bool live = false;
    Compression compression = Compression::deflate;
    /// The file is made from what another one still held: it says so in the attribute "recovered".
    bool recovered = false;
    bool cut = false; ///< and that one was of a run that was cut at its limit
    /// What messages call the file; empty: its own path.
    std::filesystem::path shown_as;
    /// Called after every flush, from the thread that writes; the last time within finish(). It
    /// must not throw.
    std::function<void(const Flushed&)> on_flush;
};

/// Writes activity.h5. A thread of its own shuffles, compresses and writes whole chunks of records,
/// so the simulation only copies them; it starts when there is enough to do for it. The file is
/// called activity.h5.part, and is readable after a kill at any moment, until finish() renames it.
/// Its bytes depend on nothing but what is recorded (and, in a live run, on when it was flushed).
class ActivityWriter
{
public:
    /// Creates the file in `folder`, which must exist. Throws IoError.
    ActivityWriter(const std::filesystem::path& folder, const ActivityMeta& meta,
                   const WriterOptions& options = {});
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
    /// The same but for the last step: the file is still activity.h5.part, whole and closed, and
    /// gets its name when the result is published. Nothing for a run that was interrupted.
    [[nodiscard]] std::optional<OutputFile> seal(const Summary& summary, Outcome outcome);

    /// Chunks that a kill cannot take away any more.
    [[nodiscard]] std::uint64_t flushed_chunks() const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace tessera::record
