// SPDX-License-Identifier: Apache-2.0
#include "record/reader.h"

#include "base/h5_guard.h"
#include "base/interrupt.h"
#include "base/throughput.h"
#include "record/checked.h"
#include "record/defects.h"
#include "record/names.h"
#include "record/schema.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>

namespace tessera::record
{
namespace
{

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

ImageMeta read_image_meta(const Checked& checked, hid_t file)
{
    return checked.guard("/meta",
                         [&]
                         {
                             const h5::Handle meta = h5::open_group(file, "/meta");
                             return ImageMeta{
                                 checked.text_attribute(meta.get(), "/meta", "arrivals"),
                                 checked.integer(meta.get(), "/meta", "arrivals.seed"),
                                 checked.integer(meta.get(), "/meta", "operations_per_image")};
                         });
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
        layers[i].compute_time = rows.integer(i, "compute_time");
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
        throw InputError({"", 0, "/@format_version"},
                         "is " + std::to_string(version) + ", this version of tessera reads " +
                             std::to_string(kFormatVersion),
                         version < kFormatVersion
                             ? "run again, or read it with the version that wrote it"
                             : "read it with the version that wrote it");
    }
    ResultHeader header;
    header.closed = checked.integer(file, "/", "closed") != 0;
    header.cut = h5::has_attribute(file, "cut") && checked.integer(file, "/", "cut") != 0;
    header.level = level_of(checked, checked.text_attribute(file, "/", "level"));
    header.recovered =
        h5::has_attribute(file, "recovered") && checked.integer(file, "/", "recovered") != 0;
    attempt(losses, [&] { header.reference_clock = read_clock(checked, file); });
    attempt(losses, [&] { header.images = read_image_meta(checked, file); });
    attempt(losses, [&] { header.config = checked.text("/meta/config"); });
    attempt(losses, [&] { header.trace_header = checked.text("/meta/trace_header"); });

    Summary& summary = header.summary;
    attempt(losses,
            [&]
            {
                summary.span = checked.integer(file, "/", "span_ps");
                summary.complete = h5::has_attribute(file, "makespan_ps");
                if (summary.complete && checked.integer(file, "/", "makespan_ps") != summary.span)
                {
                    checked.fail("/@makespan_ps", "is not the span");
                }
                summary.operations = checked.integer(file, "/", "operations");
                summary.unfinished = checked.integer(file, "/", "unfinished");
                summary.events = checked.integer(file, "/", "events");
                summary.crossbars =
                    narrow(checked, "/@crossbars", checked.integer(file, "/", "crossbars"));
                summary.utilization = checked.real(file, "/", "utilization");
                summary.images.in_turns = checked.integer(file, "/", "in_turns") != 0;
            });
    summary.units = read_units(checked);
    summary.layers = read_layers(checked);
    // These two are made last: a file that was cut off does not have them.
    if (header.closed || checked.present("/buffers"))
    {
        attempt(losses, [&] { summary.buffers = read_buffers(checked); });
    }
    if (header.closed || checked.present("/noc/links"))
    {
        attempt(losses, [&] { summary.links = read_links(checked); });
    }
    return header;
}

} // namespace

std::filesystem::path activity_file(const std::filesystem::path& path)
{
    std::error_code ignored; // a path that cannot be asked is reported when it is opened
    if (!std::filesystem::is_directory(path, ignored))
    {
        return path;
    }
    for (const char* name : {"activity.h5", "activity.h5.part"})
    {
        std::error_code error;
        if (std::filesystem::exists(path / name, error))
        {
            return path / name;
        }
        if (error)
        {
            throw IoError("cannot open " + (path / name).string() + ": " + error.message());
        }
    }
    throw InputError({path.string(), 0, ""}, "holds no activity.h5",
                     "give the folder of a run that recorded its activity");
}

ResultReader::ResultReader(const std::filesystem::path& path)
    : source_(activity_file(path).string()), path_(source_)
{
    open(nullptr);
}

ResultReader::ResultReader(const std::filesystem::path& path, std::vector<Loss>& losses,
                           const std::string& called)
    : source_(activity_file(path).string()), path_(called.empty() ? source_ : called)
{
    open(&losses);
}

void ResultReader::open(std::vector<Loss>* losses)
{
    const h5::Lock lock;
    const auto try_it = [&]
    {
        file_ = h5::open_file(source_);
        header_ = read_header(Checked(path_, file_.get()), file_.get(), losses);
        open_streams(losses);
    };
    try
    {
        h5::survive(source_, [&] { open_for_trial(try_it); });
        try_it();
        read_images(losses);
    }
    catch (const InputError& error)
    {
        throw InputError({path_, error.place().line, error.place().pointer}, error.problem(),
                         error.remedy());
    }
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
    read_first(ImageRecord());
}

void ResultReader::open_streams(std::vector<Loss>* losses)
{
    const Checked checked(path_, file_.get());
    const auto open = [&](const Layout& layout)
    {
        Stream& stream = streams_[layout.stream];
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
    open(layout_of<OpRecord>());
    open(layout_of<DependencyRecord>());
    open(layout_of<IntervalRecord>());
    open(layout_of<StallRecord>());
    open(layout_of<CycleRecord>());
    open(layout_of<ImageRecord>());
}

void ResultReader::read_images(std::vector<Loss>* losses)
{
    ImageSummary& images = header_.summary.images;
    const auto show = [this](const ImageVisitor& visit) { for_each<ImageRecord>(visit); };
    attempt(losses, [&] { images = image_summary(show, images.in_turns); });
}

template <class Record> std::uint64_t ResultReader::count() const
{
    return streams_[layout_of<Record>().stream].records;
}

template <class Record>
std::vector<Record> ResultReader::read(std::uint64_t first, std::uint64_t count) const
{
    throw_if_interrupted();
    const Stream& stream = streams_[layout_of<Record>().stream];
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
    const Stream& stream = streams_[layout_of<Record>().stream];
    std::vector<Record> records(count);
    const h5::Lock lock;
    Checked(path_, file_.get())
        .guard(layout_of<Record>().path,
               [&]
               {
                   h5::read_range(stream.dataset.get(), stream.type.get(), first, records.size(),
                                  records.data());
               });
    clear_gaps(records);
    return records;
}

template std::uint64_t ResultReader::count<OpRecord>() const;
template std::uint64_t ResultReader::count<DependencyRecord>() const;
template std::uint64_t ResultReader::count<IntervalRecord>() const;
template std::uint64_t ResultReader::count<StallRecord>() const;
template std::uint64_t ResultReader::count<CycleRecord>() const;
template std::uint64_t ResultReader::count<ImageRecord>() const;
template std::vector<OpRecord> ResultReader::read(std::uint64_t, std::uint64_t) const;
template std::vector<DependencyRecord> ResultReader::read(std::uint64_t, std::uint64_t) const;
template std::vector<IntervalRecord> ResultReader::read(std::uint64_t, std::uint64_t) const;
template std::vector<StallRecord> ResultReader::read(std::uint64_t, std::uint64_t) const;
template std::vector<CycleRecord> ResultReader::read(std::uint64_t, std::uint64_t) const;
template std::vector<ImageRecord> ResultReader::read(std::uint64_t, std::uint64_t) const;
template std::vector<OpRecord> ResultReader::read_block(std::uint64_t, std::uint64_t) const;
template std::vector<DependencyRecord> ResultReader::read_block(std::uint64_t, std::uint64_t) const;
template std::vector<IntervalRecord> ResultReader::read_block(std::uint64_t, std::uint64_t) const;
template std::vector<StallRecord> ResultReader::read_block(std::uint64_t, std::uint64_t) const;
template std::vector<CycleRecord> ResultReader::read_block(std::uint64_t, std::uint64_t) const;
template std::vector<ImageRecord> ResultReader::read_block(std::uint64_t, std::uint64_t) const;

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
    throw InputError({path_, 0, where}, problem, kDamagedRemedy);
}

} // namespace tessera::record
