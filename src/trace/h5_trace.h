// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/h5.h"
#include "trace/line_format.h"
#include "trace/packed.h"
#include "trace/reader.h"
#include "trace/rules.h"
#include "trace/text.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tessera::trace
{

// Layout of *.trace.h5, version 1.0. Root attributes: format "tessera-trace", version "1.0", crc32
// (of the canonical lines, 8 hex digits). Datasets:
//   /header     text: the canonical first line, without its newline
//   /functions  text: [["relu",[arguments...]],...], the meaning of function numbers in /ops
//   /units      {operations, words} of every unit in the header's order
//   /ops        Row by Row, grouped by unit, each unit's in issue order
//   /words      64-bit words, grouped by unit: what belongs to the rows in their order (see Row)

/// What an H5Writer must know before the first operation: how many words each unit needs.
class H5Sizes
{
public:
    explicit H5Sizes(const Header& header) : words_(header.units.size(), 0) {}
    void add(const Operation& operation);
    [[nodiscard]] const std::vector<std::uint64_t>& words() const { return words_; }

private:
    std::vector<std::uint64_t> words_; ///< by unit
    std::vector<std::uint64_t> scratch_;
};

/// Writes *.trace.h5. The file bears its name only after finish(). Memory: about 64 MiB of buffers.
class H5Writer
{
public:
    /// `words`: H5Sizes::words() of the operations to come. Throws InputError, IoError.
    H5Writer(const std::string& path, const Header& header, const std::vector<std::uint64_t>& words,
             Existing existing = Existing::replace);

    /// In the order of ids. Throws InputError for what a reader would refuse, IoError.
    void write(Operation& operation);
    /// Throws InputError when operations are missing, IoError.
    void finish();

private:
    struct Stream
    {
        std::vector<Row> rows;
        std::vector<std::uint64_t> words;
        std::uint64_t row = 0;  ///< next to be written to the file
        std::uint64_t word = 0; ///< next to be written to the file
        std::uint64_t rows_left = 0;
        std::uint64_t words_left = 0;
    };
    void create(const std::vector<std::uint64_t>& words);
    void flush(Stream& stream);

    std::string path_;
    Existing existing_;
    Header header_;
    LineFormat format_;
    Rules rules_;
    Tally tally_;
    std::string text_; ///< canonical lines not yet summed up
    std::uint32_t crc_ = 0;
    std::size_t limit_; ///< bytes a stream may hold back
    std::vector<Stream> streams_;
    std::optional<h5::Output> file_;
    h5::Handle ops_;
    h5::Handle words_;
};

/// Operations by unit from *.trace.h5: one cursor per unit. Memory: O(units) + `memory` bytes.
class H5Source : public RewindableSource
{
public:
    /// Throws InputError, IoError.
    H5Source(const std::string& path, std::uint64_t memory);

    [[nodiscard]] const Header& header() const override { return header_; }
    bool next(UnitId unit, Operation& operation) override;
    [[nodiscard]] std::string name() const override { return path_; }
    void rewind(UnitId unit) override;
    /// Id of the operation that next(unit) would return.
    [[nodiscard]] std::optional<OpId> peek(UnitId unit);
    [[nodiscard]] std::uint32_t crc() const { return crc_; }

private:
    struct Cursor
    {
        const Row* row = nullptr;      ///< next in the buffer
        const Row* rows_end = nullptr; ///< end of the buffered rows
        const std::uint64_t* word = nullptr;
        std::uint64_t latest = 0;                   ///< id of the last operation plus 1
        std::uint64_t next_row = 0, last_row = 0;   ///< not yet buffered: in /ops
        std::uint64_t next_word = 0, last_word = 0; ///< not yet buffered: in /words
        std::unique_ptr<std::uint64_t[]> buffer;    // NOLINT(*avoid-c-arrays): rows, then words
        std::size_t capacity = 0;                   ///< of the buffer, in words
    };
    struct Start
    {
        std::uint64_t row = 0;
        std::uint64_t word = 0;
    };
    void open(const std::string& path, std::uint64_t memory);
    void read_for_trial() const;
    void read_header();
    void require_scalar(const h5::Handle& dataset, const std::string& name) const;
    void check_members(const h5::Handle& dataset, hid_t wanted, const std::string& name) const;
    void read_functions();
    void read_units(std::uint64_t memory);
    bool refill(Cursor& cursor);
    [[noreturn]] void fail(const std::string& pointer, const std::string& problem,
                           const std::string& remedy = "write or copy the file again") const;
    [[noreturn]] void fail(const Cursor& cursor, const Malformed& problem) const;

    std::string path_;
    Header header_;
    std::optional<Rules> rules_;
    std::uint32_t crc_ = 0;
    h5::Handle file_;
    h5::Handle ops_;
    h5::Handle words_;
    h5::Handle row_type_;
    std::uint64_t block_bytes_ = 0;       ///< of one cursor's buffer
    std::vector<std::uint16_t> function_; ///< our number of the file's functions
    std::vector<Start> starts_; ///< of the units' operations in the file, and the end of the last
    std::vector<Cursor> cursors_;
};

/// The same in the order of ids.
class H5Reader : public Reader
{
public:
    H5Reader(const std::string& path, std::uint64_t memory);
    [[nodiscard]] const Header& header() const override { return source_.header(); }
    bool next(Operation& operation) override;
    [[nodiscard]] std::uint64_t line() const override { return line_; }
    [[nodiscard]] std::uint32_t declared_crc() const override { return source_.crc(); }

private:
    std::string path_;
    H5Source source_;
    Tally tally_;
    std::vector<std::pair<std::uint64_t, std::uint32_t>> heap_; ///< (id, unit), least id first
    std::uint64_t line_ = 1;
};

} // namespace tessera::trace
