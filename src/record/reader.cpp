// SPDX-License-Identifier: Apache-2.0
#include "record/reader.h"

#include "base/h5_guard.h"
#include "base/interrupt.h"
#include "record/names.h"
#include "record/schema.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <type_traits>

namespace tessera::record
{
namespace
{

/// Deflate cannot do better than 1032 : 1, so a file bounds the records it can hold.
constexpr std::uint64_t kMostInflation = 1032;
constexpr std::uint64_t kMostFileBytes = std::uint64_t{1} << 50U;
/// Larger chunks were not written by this program.
constexpr std::uint64_t kMostChunkBytes = std::uint64_t{64} << 20U;
constexpr std::size_t kMostTextBytes = 65536;
/// Chunks that a damaged dataset may miss before its rest is given up.
constexpr std::uint64_t kMostHoles = 100000;

constexpr const char* kRemedy = "it was not written by this version, or is damaged: run again";

/// Reads one file and turns every failure into an InputError that names the place.
class Checked
{
public:
    Checked(const std::string& path, hid_t file) : path_(path), file_(file) {}

    [[noreturn]] void fail(const std::string& where, const std::string& problem) const
    {
        throw InputError({path_, 0, where}, problem, kRemedy);
    }

    // NOLINTNEXTLINE(modernize-use-nodiscard): most actions return nothing
    template <class Action> auto guard(const std::string& where, Action action) const
    {
        try
        {
            return action();
        }
        catch (const IoError& error)
        {
            fail(where, error.what());
        }
    }

    [[nodiscard]] h5::Handle dataset(const std::string& where) const
    {
        return guard(where, [&] { return h5::open_checked(file_, path_, where); });
    }

    /// Whether the object and all groups above it are there.
    [[nodiscard]] bool present(const std::string& where) const
    {
        for (std::size_t end = where.find('/', 1);; end = where.find('/', end + 1))
        {
            if (!h5::exists(file_, where.substr(0, end)))
            {
                return false;
            }
            if (end == std::string::npos)
            {
                return true;
            }
        }
    }

    /// Number of records of a one-dimensional dataset whose data are really there.
    [[nodiscard]] std::uint64_t length(const h5::Handle& dataset, std::size_t record_size,
                                       const std::string& where) const
    {
        return guard(where, [&] { return checked_length(dataset, record_size, where); });
    }

    /// A scalar text of fixed length.
    [[nodiscard]] std::string text(const std::string& where) const
    {
        const h5::Handle dataset = this->dataset(where);
        return guard(where,
                     [&]
                     {
                         const h5::Handle type(H5Dget_type(dataset.get()), H5Tclose,
                                               "read its type");
                         const std::size_t size = text_size(type, where);
                         if (size > H5Dget_storage_size(dataset.get()))
                         {
                             fail(where, "is cut short");
                         }
                         require_scalar(H5Dget_space(dataset.get()), where);
                         std::string text(size, '\0');
                         h5::check(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT,
                                           text.data()),
                                   "read it");
                         text.resize(std::min(text.find('\0'), text.size()));
                         return text;
                     });
    }

    [[nodiscard]] std::uint64_t integer(hid_t object, const std::string& where,
                                        const std::string& name) const
    {
        std::uint64_t value = 0;
        read_attribute(object, where, name, H5T_INTEGER, H5T_NATIVE_UINT64, &value);
        return value;
    }

    [[nodiscard]] double real(hid_t object, const std::string& where, const std::string& name) const
    {
        double value = 0;
        read_attribute(object, where, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, &value);
        if (!std::isfinite(value))
        {
            fail(where + "@" + name, "is not a number");
        }
        return value;
    }

    [[nodiscard]] std::string text_attribute(hid_t object, const std::string& where,
                                             const std::string& name) const
    {
        const std::string place = where + "@" + name;
        return guard(place,
                     [&]
                     {
                         const h5::Handle attribute = open_attribute(object, place, name);
                         const h5::Handle type(H5Aget_type(attribute.get()), H5Tclose,
                                               "read its type");
                         const std::size_t size = text_size(type, place);
                         if (size > kMostTextBytes)
                         {
                             fail(place, "is too long");
                         }
                         require_scalar(H5Aget_space(attribute.get()), place);
                         std::string text(size, '\0');
                         h5::check(H5Aread(attribute.get(), type.get(), text.data()), "read it");
                         text.resize(std::min(text.find('\0'), text.size()));
                         return text;
                     });
    }

    /// Checks that a compound type has the members of `layout`, and returns the layout as it is in
    /// the file: texts may have any length, and everything may lie elsewhere.
    [[nodiscard]] Layout layout(const h5::Handle& type, const Layout& expected) const
    {
        return guard(expected.path, [&] { return checked_layout(type, expected); });
    }

    [[nodiscard]] Rows rows(const Layout& expected) const
    {
        const h5::Handle dataset = this->dataset(expected.path);
        const h5::Handle type(H5Dget_type(dataset.get()), H5Tclose, "read its type");
        Layout layout = this->layout(type, expected);
        const std::uint64_t count = length(dataset, layout.size, expected.path);
        std::vector<std::byte> bytes(count * layout.size);
        guard(expected.path,
              [&] { h5::read_range(dataset.get(), type.get(), 0, count, bytes.data()); });
        return {std::move(layout), std::move(bytes)};
    }

private:
    [[nodiscard]] h5::Handle open_attribute(hid_t object, const std::string& place,
                                            const std::string& name) const
    {
        if (!h5::has_attribute(object, name))
        {
            fail(place, "is missing");
        }
        return {H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose, "open it"};
    }

    void read_attribute(hid_t object, const std::string& where, const std::string& name,
                        H5T_class_t type_class, hid_t memory, void* into) const
    {
        const std::string place = where + "@" + name;
        guard(place,
              [&]
              {
                  const h5::Handle attribute = open_attribute(object, place, name);
                  const h5::Handle type(H5Aget_type(attribute.get()), H5Tclose, "read its type");
                  if (H5Tget_class(type.get()) != type_class)
                  {
                      fail(place, "has the wrong type");
                  }
                  require_scalar(H5Aget_space(attribute.get()), place);
                  h5::check(H5Aread(attribute.get(), memory, into), "read it");
              });
    }

    void require_scalar(hid_t id, const std::string& place) const
    {
        const h5::Handle space(id, H5Sclose, "read its size");
        if (H5Sget_simple_extent_npoints(space.get()) != 1)
        {
            fail(place, "is not a single value");
        }
    }

    [[nodiscard]] std::size_t text_size(const h5::Handle& type, const std::string& place) const
    {
        if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0)
        {
            fail(place, "is not a text of fixed length");
        }
        return H5Tget_size(type.get());
    }

    [[nodiscard]] std::uint64_t checked_length(const h5::Handle& dataset, std::size_t record_size,
                                               const std::string& where) const
    {
        const h5::Handle space(H5Dget_space(dataset.get()), H5Sclose, "read its size");
        if (H5Sget_simple_extent_ndims(space.get()) != 1)
        {
            fail(where, "is not one-dimensional");
        }
        const std::uint64_t records = h5::length(dataset.get());
        const std::uint64_t stored = H5Dget_storage_size(dataset.get());
        const h5::Handle creation(H5Dget_create_plist(dataset.get()), H5Pclose, "read its layout");
        std::uint64_t most = 0; ///< records that what is stored can be
        if (H5Pget_layout(creation.get()) == H5D_CHUNKED)
        {
            hsize_t chunk = 0;
            h5::check(H5Pget_chunk(creation.get(), 1, &chunk), "read its chunk size");
            if (chunk == 0 || chunk > kMostChunkBytes / record_size)
            {
                fail(where, "has chunks of " + std::to_string(chunk) + " records");
            }
            hsize_t chunks = 0;
            h5::check(H5Dget_num_chunks(dataset.get(), space.get(), &chunks), "count its chunks");
            most = std::min<std::uint64_t>(chunks * chunk, std::min(stored, kMostFileBytes) *
                                                               kMostInflation / record_size);
        }
        else
        {
            most = stored / record_size;
        }
        if (records > most)
        {
            fail(where, "claims " + std::to_string(records) + " records and holds at most " +
                            std::to_string(most));
        }
        return records;
    }

    [[nodiscard]] Layout checked_layout(const h5::Handle& type, const Layout& expected) const
    {
        if (H5Tget_class(type.get()) != H5T_COMPOUND)
        {
            fail(expected.path, "does not hold compound records");
        }
        Layout found = expected;
        found.size = H5Tget_size(type.get());
        for (Field& field : found.fields)
        {
            const int index = H5Tget_member_index(type.get(), field.name.c_str());
            if (index < 0)
            {
                fail(expected.path, "has no member " + field.name);
            }
            const auto member = static_cast<unsigned>(index);
            const h5::Handle member_type(H5Tget_member_type(type.get(), member), H5Tclose,
                                         "read member " + field.name);
            field.offset = H5Tget_member_offset(type.get(), member);
            if (!matches(member_type, field, expected.path))
            {
                fail(expected.path, "member " + field.name + " has the wrong type");
            }
        }
        return found;
    }

    [[nodiscard]] bool matches(const h5::Handle& type, Field& field, const std::string& where) const
    {
        switch (field.type)
        {
        case FieldType::text:
            field.size = text_size(type, where);
            return field.size != 0 && field.size <= kMostTextBytes;
        case FieldType::u32:
            return H5Tequal(type.get(), H5T_NATIVE_UINT32) > 0;
        case FieldType::u64:
            return H5Tequal(type.get(), H5T_NATIVE_UINT64) > 0;
        case FieldType::f64:
            return H5Tequal(type.get(), H5T_NATIVE_DOUBLE) > 0;
        case FieldType::u8:
            return H5Tequal(type.get(), H5T_NATIVE_UINT8) > 0;
        default:
        {
            if (H5Tget_class(type.get()) != H5T_ENUM)
            {
                return false;
            }
            const h5::Handle base(H5Tget_super(type.get()), H5Tclose, "read an enumeration");
            return H5Tequal(base.get(), H5T_NATIVE_UINT8) > 0;
        }
        }
    }

    const std::string& path_;
    hid_t file_;
};

ActivityLevel level_of(const Checked& checked, const std::string& name)
{
    for (unsigned i = 0; i < kLevels; ++i)
    {
        const auto level = static_cast<ActivityLevel>(i);
        if (name == name_of(level))
        {
            return level;
        }
    }
    checked.fail("/@level", "is unknown: \"" + name + "\"");
}

std::uint32_t narrow(const Checked& checked, const std::string& where, std::uint64_t value)
{
    if (value > std::numeric_limits<std::uint32_t>::max())
    {
        checked.fail(where, "is too large: " + std::to_string(value));
    }
    return static_cast<std::uint32_t>(value);
}

Clock read_clock(const Checked& checked, hid_t file)
{
    if (!checked.present("/meta"))
    {
        checked.fail("/meta", "is missing");
    }
    return checked.guard("/meta",
                         [&]
                         {
                             const h5::Handle meta = h5::open_group(file, "/meta");
                             const std::uint64_t numerator =
                                 checked.integer(meta.get(), "/meta", "reference_clock.numerator");
                             const std::uint64_t denominator = checked.integer(
                                 meta.get(), "/meta", "reference_clock.denominator");
                             try
                             {
                                 return Clock(numerator, denominator);
                             }
                             catch (const std::invalid_argument& error)
                             {
                                 checked.fail("/meta@reference_clock.numerator", error.what());
                             }
                         });
}

std::vector<UnitSummary> read_units(const Checked& checked)
{
    const Rows rows = checked.rows(units_layout(1));
    std::vector<UnitSummary> units(rows.count());
    for (std::size_t i = 0; i < units.size(); ++i)
    {
        const std::uint64_t kind = rows.integer(i, "kind");
        if (kind >= trace::kUnitKinds)
        {
            checked.fail("/units[" + std::to_string(i) + "].kind",
                         "is unknown: " + std::to_string(kind));
        }
        units[i].name = rows.text(i, "name");
        units[i].kind = static_cast<trace::UnitKind>(kind);
        units[i].node = NodeId(static_cast<std::uint32_t>(rows.integer(i, "node")));
        units[i].operations = rows.integer(i, "operations");
        units[i].vectors = rows.integer(i, "vectors");
        for (unsigned stage = 0; stage < kStages; ++stage)
        {
            units[i].time[stage] =
                rows.integer(i, std::string("time_") + name_of(static_cast<Stage>(stage)));
        }
    }
    return units;
}

std::vector<LayerSummary> read_layers(const Checked& checked)
{
    const Rows rows = checked.rows(layers_layout(1, 1));
    std::vector<LayerSummary> layers(rows.count());
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        layers[i].name = rows.text(i, "name");
        layers[i].kind = rows.text(i, "kind");
        layers[i].operations = rows.integer(i, "operations");
        layers[i].vectors = rows.integer(i, "vectors");
        layers[i].crossbars = static_cast<std::uint32_t>(rows.integer(i, "crossbars"));
        layers[i].start = rows.integer(i, "start");
        layers[i].end = rows.integer(i, "end");
        layers[i].macro_time = rows.integer(i, "macro_time");
        layers[i].moved_bytes = rows.integer(i, "moved_bytes");
        layers[i].memory_bytes = rows.integer(i, "memory_bytes");
    }
    return layers;
}

std::vector<BufferSummary> read_buffers(const Checked& checked)
{
    const Rows rows = checked.rows(buffers_layout(1));
    std::vector<BufferSummary> buffers(rows.count());
    for (std::size_t i = 0; i < buffers.size(); ++i)
    {
        buffers[i].name = rows.text(i, "name");
        buffers[i].capacity = rows.integer(i, "capacity");
        buffers[i].peak = rows.integer(i, "peak");
        buffers[i].mean = rows.real(i, "mean");
        buffers[i].waits = rows.integer(i, "waits");
        if (!std::isfinite(buffers[i].mean))
        {
            checked.fail("/buffers[" + std::to_string(i) + "].mean", "is not a number");
        }
    }
    return buffers;
}

std::vector<LinkSummary> read_links(const Checked& checked)
{
    const Rows rows = checked.rows(links_layout(1));
    std::vector<LinkSummary> links(rows.count());
    for (std::size_t i = 0; i < links.size(); ++i)
    {
        links[i].name = rows.text(i, "name");
        links[i].flits = rows.integer(i, "flits");
        links[i].busy = rows.integer(i, "busy");
        links[i].stalled = rows.integer(i, "stalled");
    }
    return links;
}

/// Runs `read`; where there is a list of losses, what it throws ends there.
template <class Read> void attempt(std::vector<Loss>* losses, Read read)
{
    try
    {
        read();
    }
    catch (const InputError& error)
    {
        if (losses == nullptr)
        {
            throw;
        }
        losses->push_back({error.place().pointer, error.problem(), 0});
    }
}

/// `losses`: as for attempt().
ResultHeader read_header(const Checked& checked, hid_t file, std::vector<Loss>* losses)
{
    if (checked.text_attribute(file, "/", "format") != "tessera-activity")
    {
        checked.fail("/@format", "is not \"tessera-activity\"");
    }
    const std::uint64_t version = checked.integer(file, "/", "format_version");
    if (version != kFormatVersion)
    {
        checked.fail("/@format_version", "is " + std::to_string(version) + ", known is " +
                                             std::to_string(kFormatVersion));
    }
    ResultHeader header;
    header.complete = checked.integer(file, "/", "complete") != 0;
    header.cut = h5::has_attribute(file, "cut") && checked.integer(file, "/", "cut") != 0;
    header.level = level_of(checked, checked.text_attribute(file, "/", "level"));
    header.recovered =
        h5::has_attribute(file, "recovered") && checked.integer(file, "/", "recovered") != 0;
    attempt(losses, [&] { header.reference_clock = read_clock(checked, file); });
    attempt(losses, [&] { header.config = checked.text("/meta/config"); });
    attempt(losses, [&] { header.trace_header = checked.text("/meta/trace_header"); });

    Summary& summary = header.summary;
    attempt(losses,
            [&]
            {
                summary.makespan = checked.integer(file, "/", "makespan_ps");
                summary.operations = checked.integer(file, "/", "operations");
                summary.events = checked.integer(file, "/", "events");
                summary.crossbars =
                    narrow(checked, "/@crossbars", checked.integer(file, "/", "crossbars"));
                summary.utilization = checked.real(file, "/", "utilization");
            });
    summary.units = read_units(checked);
    summary.layers = read_layers(checked);
    // These two are made last: a file that was cut off does not have them.
    if (header.complete || checked.present("/buffers"))
    {
        attempt(losses, [&] { summary.buffers = read_buffers(checked); });
    }
    if (header.complete || checked.present("/noc/links"))
    {
        attempt(losses, [&] { summary.links = read_links(checked); });
    }
    return header;
}

/// What is wrong with a record's numbers, if anything.
std::optional<std::string> defect(const ResultHeader& header, const OpRecord& record)
{
    if (record.kind >= trace::kOpKinds)
    {
        return "kind " + std::to_string(record.kind) + " is unknown";
    }
    if (record.cause >= kCauses)
    {
        return "cause " + std::to_string(record.cause) + " is unknown";
    }
    if (record.unit >= header.summary.units.size())
    {
        return "there is no unit " + std::to_string(record.unit);
    }
    if (LayerId(record.layer).valid() && record.layer >= header.summary.layers.size())
    {
        return "there is no layer " + std::to_string(record.layer);
    }
    if (record.end < record.start || record.wait > record.end - record.start)
    {
        return "its times contradict each other";
    }
    return std::nullopt;
}

std::optional<std::string> defect(const ResultHeader& /*header*/,
                                  const DependencyRecord& /*record*/)
{
    return std::nullopt;
}

/// Intervals and stalls.
template <class Record>
std::optional<std::string> defect(const ResultHeader& header, const Record& record)
{
    if constexpr (!std::is_same_v<Record, CycleRecord>)
    {
        if (record.stage >= kStages)
        {
            return "stage " + std::to_string(record.stage) + " is unknown";
        }
        if (record.unit >= header.summary.units.size())
        {
            return "there is no unit " + std::to_string(record.unit);
        }
        if (record.end < record.begin)
        {
            return "it ends before it begins";
        }
    }
    return std::nullopt;
}

} // namespace

template <class Record> constexpr std::size_t ResultReader::stream_index()
{
    if constexpr (std::is_same_v<Record, OpRecord>)
    {
        return 0;
    }
    else if constexpr (std::is_same_v<Record, DependencyRecord>)
    {
        return 1;
    }
    else if constexpr (std::is_same_v<Record, IntervalRecord>)
    {
        return 2;
    }
    else if constexpr (std::is_same_v<Record, StallRecord>)
    {
        return 3;
    }
    else
    {
        static_assert(std::is_same_v<Record, CycleRecord>);
        return 4;
    }
}

std::filesystem::path activity_file(const std::filesystem::path& path)
{
    std::error_code ignored; // a path that cannot be asked is reported when it is opened
    if (!std::filesystem::is_directory(path, ignored))
    {
        return path;
    }
    for (const char* name : {"activity.h5", "activity.h5.part"})
    {
        if (std::filesystem::exists(path / name, ignored))
        {
            return path / name;
        }
    }
    throw InputError({path.string(), 0, ""}, "holds no activity.h5",
                     "give the folder of a run that recorded its activity");
}

ResultReader::ResultReader(const std::filesystem::path& path) : path_(activity_file(path).string())
{
    const h5::Lock lock;
    const auto open = [&]
    {
        file_ = h5::open_file(path_);
        header_ = read_header(Checked(path_, file_.get()), file_.get(), nullptr);
        open_streams(nullptr);
    };
    h5::survive(path_, [&] { open_for_trial(open); });
    open();
}

ResultReader::ResultReader(const std::filesystem::path& path, std::vector<Loss>& losses)
    : path_(activity_file(path).string())
{
    const h5::Lock lock;
    const auto open = [&]
    {
        file_ = h5::open_file(path_);
        header_ = read_header(Checked(path_, file_.get()), file_.get(), &losses);
        open_streams(&losses);
    };
    h5::survive(path_, [&] { open_for_trial(open); });
    open();
}

void ResultReader::open_for_trial(const std::function<void()>& open)
{
    open();
    const auto read_first = [&](auto record)
    {
        try
        {
            (void)read<decltype(record)>(0, 1);
        }
        catch (const InputError&) // NOLINT(bugprone-empty-catch): whether it can be read is asked
        {
        }
    };
    read_first(OpRecord());
    read_first(DependencyRecord());
    read_first(IntervalRecord());
    read_first(StallRecord());
    read_first(CycleRecord());
}

void ResultReader::open_streams(std::vector<Loss>* losses)
{
    const Checked checked(path_, file_.get());
    const auto open = [&](const Layout& layout, Stream& stream)
    {
        if (header_.level < layout.level)
        {
            return;
        }
        attempt(losses,
                [&]
                {
                    stream.dataset = checked.dataset(layout.path);
                    const h5::Handle stored =
                        checked.guard(layout.path,
                                      [&] {
                                          return h5::Handle(H5Dget_type(stream.dataset.get()),
                                                            H5Tclose, "read its type");
                                      });
                    const Layout found = checked.layout(stored, layout);
                    stream.type = layout.type();
                    stream.records = losses == nullptr
                                         ? checked.length(stream.dataset, found.size, layout.path)
                                         : h5::length(stream.dataset.get());
                });
    };
    open(layout_of<OpRecord>(), streams_[stream_index<OpRecord>()]);
    open(layout_of<DependencyRecord>(), streams_[stream_index<DependencyRecord>()]);
    open(layout_of<IntervalRecord>(), streams_[stream_index<IntervalRecord>()]);
    open(layout_of<StallRecord>(), streams_[stream_index<StallRecord>()]);
    open(layout_of<CycleRecord>(), streams_[stream_index<CycleRecord>()]);
}

template <class Record> std::uint64_t ResultReader::count() const
{
    return streams_[stream_index<Record>()].records;
}

template <class Record>
std::vector<Record> ResultReader::read(std::uint64_t first, std::uint64_t count) const
{
    throw_if_interrupted();
    const Stream& stream = streams_[stream_index<Record>()];
    const std::string& where = layout_of<Record>().path;
    const std::uint64_t begin = std::min(first, stream.records);
    const std::vector<Record> records =
        read_block<Record>(begin, std::min(count, stream.records - begin));
    for (std::size_t i = 0; i < records.size(); ++i)
    {
        if (const auto problem = defect(header_, records[i]))
        {
            fail(where + "[" + std::to_string(begin + i) + "]", *problem);
        }
    }
    return records;
}

template <class Record>
std::vector<Record> ResultReader::read_block(std::uint64_t first, std::uint64_t count) const
{
    const Stream& stream = streams_[stream_index<Record>()];
    std::vector<Record> records(count);
    const h5::Lock lock;
    Checked(path_, file_.get())
        .guard(layout_of<Record>().path,
               [&]
               {
                   h5::read_range(stream.dataset.get(), stream.type.get(), first, records.size(),
                                  records.data());
               });
    // Where no member lies, the library leaves what it converted last.
    const std::vector<std::size_t> gaps = layout_of<Record>().gaps();
    for (Record& record : records)
    {
        for (const std::size_t gap : gaps)
        {
            reinterpret_cast<std::byte*>(&record)[gap] = std::byte{0};
        }
    }
    return records;
}

namespace
{

/// Where the chunks that a dataset really has begin, in ascending order, and how many records one
/// holds.
struct Chunks
{
    std::vector<std::uint64_t> begins;
    std::uint64_t records = 0;
};

Chunks chunks_of(const Checked& checked, const h5::Handle& dataset, std::size_t record_size,
                 const std::string& where)
{
    return checked.guard(
        where,
        [&]
        {
            const h5::Lock lock;
            const h5::Handle creation(H5Dget_create_plist(dataset.get()), H5Pclose,
                                      "read its layout");
            const h5::Handle space(H5Dget_space(dataset.get()), H5Sclose, "read its size");
            Chunks chunks;
            if (H5Sget_simple_extent_ndims(space.get()) != 1 ||
                H5Pget_layout(creation.get()) != H5D_CHUNKED)
            {
                checked.fail(where, "is not a sequence of chunks");
            }
            hsize_t size = 0;
            h5::check(H5Pget_chunk(creation.get(), 1, &size), "read its chunk size");
            if (size == 0 || size > kMostChunkBytes / record_size)
            {
                checked.fail(where, "has chunks of " + std::to_string(size) + " records");
            }
            chunks.records = size;
            hsize_t stored = 0;
            if (H5Dget_num_chunks(dataset.get(), space.get(), &stored) < 0)
            {
                stored = kMostHoles; // its index is damaged: whatever is found counts
            }
            // A hostile size must not keep us looking for ever.
            const std::uint64_t last =
                std::min(h5::length(dataset.get()) / size, stored + kMostHoles);
            for (std::uint64_t i = 0; i <= last && chunks.begins.size() < stored; ++i)
            {
                const hsize_t begin = i * size;
                hsize_t bytes = 0;
                if (H5Dget_chunk_storage_size(dataset.get(), &begin, &bytes) >= 0 && bytes != 0)
                {
                    chunks.begins.push_back(begin);
                }
            }
            return chunks;
        });
}

/// Writes down what a stream has lost. Neighbours with one problem are one entry, and so is all
/// that follows a great many: a file may have a billion malformed records.
class StreamLosses
{
public:
    StreamLosses(std::string stream, std::vector<Loss>& losses)
        : stream_(std::move(stream)), losses_(losses)
    {
    }
    void add(std::uint64_t begin, const std::string& problem, std::uint64_t records)
    {
        const bool goes_on = entries_ != 0 && begin == end_ && losses_.back().problem == problem;
        if (!goes_on && entries_ < kMost)
        {
            ++entries_;
            losses_.push_back({stream_ + "[" + std::to_string(begin) + "]",
                               entries_ < kMost ? problem : problem + ", and others after it", 0});
        }
        losses_.back().records += records;
        end_ = begin + records;
    }

private:
    static constexpr unsigned kMost = 1000;

    std::string stream_;
    std::vector<Loss>& losses_;
    unsigned entries_ = 0;
    std::uint64_t end_ = 0; ///< of the last loss
};

} // namespace

template <class Record>
void ResultReader::salvage(const std::function<void(const Record&)>& action,
                           std::vector<Loss>& losses) const
{
    const Stream& stream = streams_[stream_index<Record>()];
    const std::string& where = layout_of<Record>().path;
    if (!stream.dataset.valid() || stream.records == 0)
    {
        return;
    }
    StreamLosses lost(where, losses);
    Chunks chunks;
    try
    {
        chunks = chunks_of(Checked(path_, file_.get()), stream.dataset, sizeof(Record), where);
    }
    catch (const InputError& error)
    {
        losses.push_back({where, error.problem(), stream.records});
        return;
    }
    std::uint64_t next = 0;
    const auto skip_to = [&](std::uint64_t begin)
    {
        if (begin > next)
        {
            lost.add(next, "chunks are missing", begin - next);
        }
    };
    for (const std::uint64_t begin : chunks.begins)
    {
        throw_if_interrupted();
        if (begin < next || begin >= stream.records)
        {
            continue; // beyond what the dataset claims: written, but not flushed
        }
        skip_to(begin);
        next = std::min(begin + chunks.records, stream.records);
        try
        {
            std::uint64_t record = begin;
            for (const Record& found : read_block<Record>(begin, next - begin))
            {
                if (const auto problem = defect(header_, found))
                {
                    lost.add(record, *problem, 1);
                }
                else
                {
                    action(found);
                }
                ++record;
            }
        }
        catch (const InputError& error)
        {
            lost.add(begin, error.problem(), next - begin);
        }
    }
    skip_to(stream.records);
}

template std::uint64_t ResultReader::count<OpRecord>() const;
template std::uint64_t ResultReader::count<DependencyRecord>() const;
template std::uint64_t ResultReader::count<IntervalRecord>() const;
template std::uint64_t ResultReader::count<StallRecord>() const;
template std::uint64_t ResultReader::count<CycleRecord>() const;
template std::vector<OpRecord> ResultReader::read(std::uint64_t, std::uint64_t) const;
template std::vector<DependencyRecord> ResultReader::read(std::uint64_t, std::uint64_t) const;
template std::vector<IntervalRecord> ResultReader::read(std::uint64_t, std::uint64_t) const;
template std::vector<StallRecord> ResultReader::read(std::uint64_t, std::uint64_t) const;
template std::vector<CycleRecord> ResultReader::read(std::uint64_t, std::uint64_t) const;
template void ResultReader::salvage(const std::function<void(const OpRecord&)>&,
                                    std::vector<Loss>&) const;
template void ResultReader::salvage(const std::function<void(const DependencyRecord&)>&,
                                    std::vector<Loss>&) const;
template void ResultReader::salvage(const std::function<void(const IntervalRecord&)>&,
                                    std::vector<Loss>&) const;
template void ResultReader::salvage(const std::function<void(const StallRecord&)>&,
                                    std::vector<Loss>&) const;
template void ResultReader::salvage(const std::function<void(const CycleRecord&)>&,
                                    std::vector<Loss>&) const;

namespace
{

const std::string& nothing()
{
    static const std::string text = "-";
    return text;
}

} // namespace

const std::string& ResultReader::unit_name(std::uint32_t unit) const
{
    return unit < header_.summary.units.size() ? header_.summary.units[unit].name : nothing();
}

const std::string& ResultReader::layer_name(std::uint32_t layer) const
{
    return layer < header_.summary.layers.size() ? header_.summary.layers[layer].name : nothing();
}

void ResultReader::fail(const std::string& where, const std::string& problem) const
{
    throw InputError({path_, 0, where}, problem, kRemedy);
}

} // namespace tessera::record
