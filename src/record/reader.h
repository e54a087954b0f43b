// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "base/h5.h"
#include "record/chunk_label.h"
#include "record/image_meta.h"
#include "tessera/summary.h"
#include "tessera/tick.h"

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tessera::record
{

/// What a result says apart from its streams.
struct ResultHeader
{
    bool closed = false;    ///< false: interrupted or killed; figures of `summary` may be zero
    bool recovered = false; ///< made from what another file still held
    bool cut = false;       ///< complete, but ended with operations left, as it had been asked to
    ActivityLevel level = ActivityLevel::off;
    std::string config;       ///< effective config, as text
    std::string trace_header; ///< as text
    Clock reference_clock;
    ImageMeta images;
    Summary summary;
};

/// Whether the totals of a run were written: not those of a run that was killed, or goes on.
[[nodiscard]] inline bool has_totals(const ResultHeader& header)
{
    return header.closed || header.summary.span != 0;
}

/// What a damaged file could not give.
struct Loss
{
    std::string where; ///< "/ops[32768]"
    std::string problem;
    std::uint64_t records = 0; ///< how many are lost there; 0: not records, or nobody knows
};

/// How chunks are come by that have labels.
enum class Way : std::uint8_t
{
    index, ///< as every reader does: what the file's index does not lead to is lost
    labels
};

/// The file that `path`, a result folder or the file itself, means: activity.h5 or
/// activity.h5.part. Throws InputError when a folder has neither.
[[nodiscard]] std::filesystem::path activity_file(const std::filesystem::path& path);

/// Reads activity.h5 or activity.h5.part. Everything is checked before it is believed: a file that
/// is malformed, cut short or hostile gives an InputError that names the place in it.
class ResultReader
{
public:
    /// `path`: a result folder, or the file itself. Throws InputError, IoError (there is no such
    /// file).
    explicit ResultReader(const std::filesystem::path& path);
    /// Reads what is left of a damaged file; appends to `losses` what is not. `called`: what path()
    /// and messages say instead of `path`. Throws InputError when not even what was written first
    /// is there (format, level, units, layers), IoError.
    ResultReader(const std::filesystem::path& path, std::vector<Loss>& losses,
                 const std::string& called = "");

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const ResultHeader& header() const { return header_; }

    /// Records of a stream; 0 where the level did not record it. Record: OpRecord,
    /// DependencyRecord, IntervalRecord, StallRecord, CycleRecord, ImageRecord.
    template <class Record> [[nodiscard]] std::uint64_t count() const;
    /// Reads at most `count` records from `first` on, fewer at the end. `kind`, `cause` and `stage`
    /// are in range, so are units; layers are in range or ~0. Throws InputError.
    template <class Record>
    [[nodiscard]] std::vector<Record> read(std::uint64_t first, std::uint64_t count) const;
    /// Calls `action(record)` for all records, in the order of the file, block by block.
    template <class Record, class Action> void for_each(Action action) const
    {
        constexpr std::uint64_t kBlock = 65536;
        const std::uint64_t records = count<Record>();
        for (std::uint64_t first = 0; first < records; first += kBlock)
        {
            for (const Record& record : read<Record>(first, kBlock))
            {
                action(record);
            }
        }
    }

    /// Calls `action(record)` for every record that decodes and is in range, in the order of the
    /// file; appends to `losses` where others should be. `chunks`: those of the stream that
    /// labelled_chunks() found in the file; of a stream that has labels only chunks count whose
    /// checksum is right. Throws IoError.
    template <class Record>
    void salvage(const LabelledChunks& chunks, Way way,
                 const std::function<void(const Record&)>& action, std::vector<Loss>& losses) const;

    /// Name of a record's unit and layer ("-" for none).
    [[nodiscard]] const std::string& unit_name(std::uint32_t unit) const;
    [[nodiscard]] const std::string& layer_name(std::uint32_t layer) const;

    /// For those who find what records say to be impossible.
    [[noreturn]] void fail(const std::string& where, const std::string& problem) const;

private:
    struct Stream
    {
        h5::Handle dataset;
        h5::Handle type;
        std::uint64_t records = 0;
    };
    /// Contract: called once. `losses`: null when there must be none.
    void open(std::vector<Loss>* losses);
    /// Calls `open`, and reads a record of every stream: what the library makes of the file is
    /// tried in a child process first.
    void open_for_trial(const std::function<void()>& open);
    void open_streams(std::vector<Loss>* losses);
    void read_images(std::vector<Loss>* losses);
    /// Contract: the library is locked.
    template <class Record>
    [[nodiscard]] std::vector<Record> read_block(std::uint64_t first, std::uint64_t count) const;

    std::string source_; ///< where it is read
    std::string path_;   ///< what it is called
    h5::Handle file_;
    ResultHeader header_;
    std::array<Stream, 6> streams_; ///< by Layout::stream
};

} // namespace tessera::record
