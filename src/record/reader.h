// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "base/h5.h"
#include "tessera/summary.h"
#include "tessera/tick.h"

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tessera::record
{

/// What a result says apart from its streams.
struct ResultHeader
{
    bool complete = false; ///< false: interrupted or killed; figures of `summary` may be zero
    ActivityLevel level = ActivityLevel::off;
    std::string config;       ///< effective config, as text
    std::string trace_header; ///< as text
    Clock reference_clock;
    Summary summary;
};

/// Reads activity.h5 or activity.h5.part. Everything is checked before it is believed: a file that
/// is malformed, cut short or hostile gives an InputError that names the place in it.
class ResultReader
{
public:
    /// `path`: a result folder, or the file itself. Throws InputError, IoError (there is no such
    /// file).
    explicit ResultReader(const std::filesystem::path& path);

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const ResultHeader& header() const { return header_; }

    /// Records of a stream; 0 where the level did not record it. Record: OpRecord,
    /// DependencyRecord, IntervalRecord, StallRecord, CycleRecord.
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
    template <class Record> static constexpr std::size_t stream_index();

    std::string path_;
    h5::Handle file_;
    ResultHeader header_;
    std::array<Stream, 5> streams_;
};

} // namespace tessera::record
