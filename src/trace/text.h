// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/error.h"
#include "trace/header.h"
#include "trace/line_format.h"
#include "trace/line_parser.h"
#include "trace/packed.h"
#include "trace/reader.h"
#include "trace/rules.h"
#include "trace/text_file.h"

#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace tessera::trace
{

/// Checks what ties the operations of a trace together: rising ids, numbers per unit that agree
/// with the header, a window that is wide enough. Throws Malformed.
class Tally
{
public:
    explicit Tally(const Header& header);
    void add(const Operation& operation);
    [[nodiscard]] std::uint64_t operations() const { return operations_; }
    /// Operations of `unit` that have not come yet.
    [[nodiscard]] std::uint64_t left(UnitId unit) const { return units_[unit.index()].left; }
    [[nodiscard]] std::uint64_t window() const { return window_; } ///< that was needed so far

private:
    struct Unit
    {
        std::uint64_t left;
        std::uint64_t latest; ///< number of its last operation, counted from 1
    };
    const Header* header_;
    std::vector<Unit> units_;
    std::uint64_t window_ = 0;
    std::uint64_t operations_ = 0;
    OpId latest_;
};

/// Reads *.trace.jsonl[.gz] in memory of a few MiB. The last operation is handed out only after the
/// last line has proved the file complete and its checksum right.
class TextReader : public Reader
{
public:
    /// Reads the header. Throws InputError, IoError.
    explicit TextReader(const std::string& path);

    [[nodiscard]] const Header& header() const override { return *header_; }
    bool next(Operation& operation) override;
    [[nodiscard]] std::uint64_t line() const override { return line_; }
    [[nodiscard]] std::uint32_t declared_crc() const override { return end_.crc; }
    /// Operations of `unit` that have not been read yet.
    [[nodiscard]] std::uint64_t left(UnitId unit) const { return tally_->left(unit); }
    [[nodiscard]] const std::string& path() const { return input_.path(); }

private:
    TextReader(const std::string& path, bool compare_checksum);
    Line read_line(Operation& operation);
    void finish();
    [[nodiscard]] std::uint32_t canonical_crc() const;
    [[nodiscard]] InputError located(const Malformed& problem) const;

    LineInput input_;
    bool compare_checksum_;
    std::unique_ptr<Header> header_; ///< at an address that the parser may keep
    std::optional<LineParser> parser_;
    std::optional<Tally> tally_;
    Operation scratch_;
    EndLine end_;
    std::uint64_t line_ = 1;
    std::uint64_t ignored_ = 0; ///< lines of kinds beginning with "x-"
    bool finished_ = false;
};

/// Writes the canonical form. Refuses operations that a reader would refuse.
class TextWriter
{
public:
    /// Writes a file, compressed when the name ends in ".gz"; it bears its name only after
    /// finish(). Throws InputError for a header that contradicts itself, IoError.
    TextWriter(const std::string& path, const Header& header,
               Existing existing = Existing::replace);
    TextWriter(std::ostream& stream, const Header& header);
    ~TextWriter();

    /// In the order of ids; sets the layer that the operation's block implies. Throws InputError
    /// for what a reader would refuse, IoError.
    void write(Operation& operation);
    /// Throws InputError when operations are missing or the header's window is too small, IoError.
    void finish();

private:
    TextWriter(const Header& header, std::string name);
    void flush();

    std::string name_;
    Header header_;
    std::optional<TextOutput> file_;
    std::ostream* stream_ = nullptr;
    LineFormat format_;
    Rules rules_;
    Tally tally_;
    std::string buffer_;
    std::uint32_t crc_ = 0;
};

/// Operations by unit out of a text that is read forward only: what lies before the operation asked
/// for is packed and kept for its own unit.
class TextSource : public OperationSource
{
public:
    /// Throws InputError when the header's window is greater than `limit` operations, too.
    TextSource(const std::string& path, std::uint64_t limit);

    [[nodiscard]] const Header& header() const override { return reader_.header(); }
    bool next(UnitId unit, Operation& operation) override;
    bool images_left(const TellImages& tell) override;
    [[nodiscard]] std::string name() const override { return reader_.path(); }

private:
    void keep(const Operation& operation);
    [[noreturn]] void too_far(std::uint64_t line, const std::string& problem) const;

    TextReader reader_;
    std::uint64_t limit_;
    std::uint64_t kept_ = 0;
    WordQueues queues_;
    std::vector<std::uint64_t> words_; ///< scratch
};

} // namespace tessera::trace
