// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/output_file.h"
#include "tessera/trace.h"
#include "trace/reader.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

/// What the command line does with traces.
namespace tessera::trace
{

/// What check() proved and counted.
struct CheckReport
{
    std::uint64_t operations = 0;
    std::array<std::uint64_t, kOpKinds> kinds{}; ///< operations by OpKind
    std::uint64_t units = 0;
    std::uint64_t blocks = 0;
    std::uint64_t operands = 0;        ///< entries of `in`; each read an existing datum in its tile
    std::uint64_t orders = 0;          ///< entries of `after`
    std::uint64_t in_place = 0;        ///< operations with `into`
    std::uint64_t in_place_shared = 0; ///< of these: later operations read the operand, too
    std::uint64_t window = 0;          ///< needed
    std::uint64_t declared_window = 0;
    std::uint64_t greatest_live = 0; ///< data alive at once, if lines were time
    std::string crc;                 ///< of the canonical form
    bool values = true;              ///< every mvm names its block and every vec and mvm its `ofm`

    [[nodiscard]] nlohmann::ordered_json json() const;
    [[nodiscard]] std::string text() const;
};

/// Proves a trace: every reader's checks, the checksum, and that every operand is in the tile that
/// reads it, every datum is read exactly as often as its `uses` say, references name operations
/// that exist, a result fits into the space it takes over, and a macro holds the block that it uses
/// (the first one placed there, until another one is programmed). Memory: O(data alive). Throws
/// InputError naming file and line, IoError.
[[nodiscard]] CheckReport check(const std::string& path);
/// The same of what `reader` reads of that file.
[[nodiscard]] CheckReport check(const std::string& path, std::unique_ptr<Reader> reader);

/// Throws UsageError for a name whose ending does not tell how to write a trace.
void check_name(const std::string& path);

/// Writes the trace `in` under the name `out`, whose ending (.jsonl, .jsonl.gz, .h5) decides how.
/// Text made from text keeps its lines as they are, unless `canonical`; everything else is written
/// in canonical form. Throws UsageError for another ending, InputError, IoError.
void convert(const std::string& in, const std::string& out, bool canonical,
             Existing existing = Existing::replace);

/// Counts of operations, bytes moved, per-layer table, fan-in, lifetime of data, window.
[[nodiscard]] nlohmann::ordered_json stats(const std::string& path);
/// The same as tables for people.
[[nodiscard]] std::string stats_text(const nlohmann::ordered_json& stats);

/// Writes the first `count` operations as canonical lines.
void head(const std::string& path, std::uint64_t count, std::ostream& out);

/// Writes a whole trace; the ending of `path` decides how, as for convert(). The trace must be
/// finalized. Throws UsageError, InputError, IoError.
void write(const Trace& trace, const std::string& path, Existing existing = Existing::replace);
/// Hands every operation of a trace, in the order of ids, to the function that it is given. It may
/// do so several times.
using EachOperation = std::function<void(const std::function<void(Operation&)>&)>;
/// The same for a trace that need not be in memory as a whole. Contract: every operation keeps the
/// rules of the format.
void write(const Header& header, const EachOperation& each, const std::string& path,
           Existing existing = Existing::replace);
/// Reads a whole trace into memory. Throws InputError, IoError.
[[nodiscard]] Trace load(const std::string& path);

} // namespace tessera::trace
