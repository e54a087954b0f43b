// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/output_file.h"
#include "record/reader.h"
#include "record/table.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

/// What `tessera h5` does: find out what an activity.h5 still holds, and copy that into a new one.
namespace tessera::record
{

/// One stream of a file.
struct StreamState
{
    std::string path;          ///< "/ops"
    std::uint64_t claimed = 0; ///< records that it says it has
    std::uint64_t sound = 0;   ///< of those, how many decode and are in range
};

struct FileState
{
    std::string path;
    bool closed = false;
    bool recovered = false;
    bool open = false; ///< a writer that marks its file did not close it
    ActivityLevel level = ActivityLevel::off;
    std::vector<StreamState> streams; ///< that the level records
    std::vector<Loss> losses;         ///< empty: the file is sound

    [[nodiscard]] std::uint64_t lost_records() const;
};

/// Decodes every chunk and checks every record of a result folder's activity.h5 or of that file
/// itself. Throws InputError for what is not even the beginning of one, IoError.
[[nodiscard]] FileState check_file(const std::filesystem::path& path);

/// Writes what `from` (as for check_file()) still holds to the new file `to`: complete = 0,
/// recovered = 1. The totals of a killed run, which are in no record, are added up again from the
/// operations: counts, begin, end and macro time; stages of units only where stalls were recorded.
/// `from` is not changed. `to` appears whole or not at all. Returns what was found in `from`.
/// Throws InputError, IoError, UsageError (`to` is `from`).
FileState recover_file(const std::filesystem::path& from, const std::filesystem::path& to,
                       Existing existing = Existing::replace);

/// Streams and losses of a file.
[[nodiscard]] std::vector<Table> tables_of(const FileState& state);

} // namespace tessera::record
