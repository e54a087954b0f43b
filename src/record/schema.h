// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "base/h5.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// What activity.h5 looks like: its datasets, their members and the units of those. Writer and
/// reader are both made from this.
namespace tessera::record
{

inline constexpr std::uint64_t kFormatVersion = 2;
/// Records per chunk of a stream: little for a short run to fill, and
/// below 1 MiB, the size of HDF5's default chunk cache.
inline constexpr std::size_t kChunkRecords = 4096;
/// Chunks between two flushes, unless the run is live. Counted, not timed: a flush shapes the file,
/// whose bytes must not depend on the speed of the machine.
inline constexpr std::uint64_t kFlushChunks = 32;

enum class FieldType : std::uint8_t
{
    u8,
    u32,
    u64,
    f64,
    text, ///< fixed length, padded with zeros
    operation_kind,
    unit_kind,
    cause,
    stage
};

/// One member of a compound record.
struct Field
{
    std::string name;
    FieldType type = FieldType::u64;
    std::size_t offset = 0;
    std::string unit;     ///< "ps", "B", or what the number refers to; may be empty
    std::size_t size = 0; ///< bytes; 0: that of its type (texts have none of their own)

    [[nodiscard]] std::size_t bytes() const;
};

/// A dataset of compound records.
struct Layout
{
    std::string path;
    std::size_t size = 0; ///< bytes of one record
    std::vector<Field> fields;
    ActivityLevel level = ActivityLevel::off; ///< a stream is there from this level on
    std::uint8_t stream = 0;                  ///< number of a stream, in the labels of its chunks

    [[nodiscard]] h5::Handle type() const;
    [[nodiscard]] const Field& field(const std::string& name) const;
    /// Bytes of a record in which no member lies.
    [[nodiscard]] std::vector<std::size_t> gaps() const;
};

/// Layout of a stream: OpRecord /ops, DependencyRecord /deps, IntervalRecord /intervals,
/// StallRecord /stalls, CycleRecord /cycles, ImageRecord /images.
template <class Record> [[nodiscard]] const Layout& layout_of();
template <> const Layout& layout_of<OpRecord>();
template <> const Layout& layout_of<DependencyRecord>();
template <> const Layout& layout_of<IntervalRecord>();
template <> const Layout& layout_of<StallRecord>();
template <> const Layout& layout_of<CycleRecord>();
template <> const Layout& layout_of<ImageRecord>();

/// Layouts of the tables, whose texts are as long as their longest; fields are packed.
[[nodiscard]] Layout units_layout(std::size_t name_length);
[[nodiscard]] Layout layers_layout(std::size_t name_length, std::size_t kind_length);
[[nodiscard]] Layout buffers_layout(std::size_t name_length);
[[nodiscard]] Layout links_layout(std::size_t name_length);

/// Rows of a table in memory, byte for byte as in the file.
class Rows
{
public:
    Rows(Layout layout, std::size_t count);
    Rows(Layout layout, std::vector<std::byte> bytes);

    [[nodiscard]] const Layout& layout() const { return layout_; }
    [[nodiscard]] std::size_t count() const { return bytes_.size() / layout_.size; }
    [[nodiscard]] const std::byte* data() const { return bytes_.data(); }

    /// Sets a member of every row: to `value` of the entry of that row. As many entries as rows.
    template <class Entry, class Value>
    void set(const std::string& field, const std::vector<Entry>& entries, Value value)
    {
        const Field& member = layout_.field(field);
        const std::size_t bytes = member.bytes();
        for (std::size_t row = 0; row < entries.size(); ++row)
        {
            put(at(row, member), bytes, value(entries[row]));
        }
    }
    [[nodiscard]] std::uint64_t integer(std::size_t row, const std::string& field) const;
    [[nodiscard]] double real(std::size_t row, const std::string& field) const;
    [[nodiscard]] std::string text(std::size_t row, const std::string& field) const;

private:
    void put(std::size_t offset, std::size_t bytes, std::uint64_t value);
    void put(std::size_t offset, std::size_t bytes, double value);
    void put(std::size_t offset, std::size_t bytes, const std::string& value);

    [[nodiscard]] std::size_t at(std::size_t row, const Field& field) const
    {
        return row * layout_.size + field.offset;
    }

    Layout layout_;
    std::vector<std::byte> bytes_;
};

} // namespace tessera::record
