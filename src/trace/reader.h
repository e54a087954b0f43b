// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/trace.h"

#include <memory>
#include <string>

namespace tessera::trace
{

/// A trace in the order of its lines: what checkers and converters read.
class Reader
{
public:
    virtual ~Reader() = default;
    [[nodiscard]] virtual const Header& header() const = 0;
    /// Next operation by id. False: no more, and the whole file was sound, except that the checksum
    /// of an HDF5 file is only compared by check(). Throws InputError, IoError.
    virtual bool next(Operation& operation) = 0;
    /// Where the operation last read stands in the file: its line, or in HDF5 the line that it
    /// would have.
    [[nodiscard]] virtual std::uint64_t line() const = 0;
    [[nodiscard]] virtual std::uint32_t declared_crc() const = 0; ///< known when next() said false
};

/// A source that can hand out a unit's operations again.
class RewindableSource : public OperationSource
{
public:
    /// The next operation of `unit` is its first one.
    virtual void rewind(UnitId unit) = 0;
};

/// How traces are opened.
struct OpenOptions
{
    /// JSON Lines only: operations read ahead of their units' turn before the reader gives up.
    std::uint64_t buffered_operations = std::uint64_t{4} << 20U;
    /// HDF5 only: bytes for all units' cursors together.
    std::uint64_t memory = std::uint64_t{64} << 20U;
};

/// Opens a trace of either encoding, told apart by content, for a run. Throws InputError, IoError.
[[nodiscard]] std::unique_ptr<OperationSource> open(const std::string& path,
                                                    const OpenOptions& options = {});
/// The same for reading in the order of lines.
[[nodiscard]] std::unique_ptr<Reader> open_in_order(const std::string& path);

/// An operation source over a trace in memory. Checks the trace as readers of files do.
class MemorySource : public RewindableSource
{
public:
    /// The trace must outlive the source. Counts and window of its header need not be filled in,
    /// but its units must be sorted as finalize() does it. Throws InputError.
    explicit MemorySource(const Trace& trace);
    explicit MemorySource(std::shared_ptr<const Trace> trace);

    [[nodiscard]] const Header& header() const override { return header_; }
    bool next(UnitId unit, Operation& operation) override;
    void rewind(UnitId unit) override
    {
        next_[unit.index()] = unit.index() == 0 ? 0 : end_[unit.index() - 1];
    }

private:
    void index();

    std::shared_ptr<const Trace> trace_;
    Header header_;
    std::vector<std::uint32_t> order_; ///< positions of operations, grouped by unit
    std::vector<std::size_t> next_;    ///< by unit: where it is in order_
    std::vector<std::size_t> end_;
};

} // namespace tessera::trace
