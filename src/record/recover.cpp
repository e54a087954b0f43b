// SPDX-License-Identifier: Apache-2.0
#include "record/recover.h"

#include "base/input_file.h"
#include "base/output_file.h"
#include "record/activity_writer.h"
#include "record/chunk_label.h"
#include "record/names.h"
#include "record/recovered_images.h"
#include "record/schema.h"
#include "record/superblock.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <system_error>

namespace tessera::record
{
namespace
{

namespace fs = std::filesystem;

/// What may be missing at the end of a file before there is no point in going on.
constexpr std::uint64_t kMostMissing = std::uint64_t{1} << 44U;
constexpr const char* kNothing = "nothing can be recovered: run again";

/// A file that is gone at the end, if it is still there.
class Scratch
{
public:
    explicit Scratch(fs::path path) : path_(std::move(path)) {}
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch()
    {
        std::error_code ignored; // nobody is left to tell
        fs::remove_all(path_, ignored);
    }
    [[nodiscard]] const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

using SuperblockBytes = std::array<std::byte, superblock::kSize>;

/// The first bytes; nothing when the file has no superblock that we know.
std::optional<SuperblockBytes> superblock_of(const fs::path& path)
{
    require_regular(path.string());
    std::ifstream file(path, std::ios::binary);
    if (!file)
    {
        throw_io_error("open", path, errno);
    }
    SuperblockBytes bytes{};
    if (!file.read(reinterpret_cast<char*>(bytes.data()), bytes.size()) ||
        !superblock::known(bytes.data()))
    {
        return std::nullopt;
    }
    return bytes;
}

bool marked_open(const fs::path& path)
{
    const auto bytes = superblock_of(path);
    return bytes && superblock::flags(bytes->data()) != 0;
}

std::uint64_t size_of(const fs::path& path)
{
    std::error_code error;
    const std::uint64_t size = fs::file_size(path, error);
    if (error)
    {
        throw IoError("cannot read " + path.string() + ": " + error.message());
    }
    return size;
}

/// What keeps the library from opening `path`, if it is no more than its superblock.
bool needs_mending(const fs::path& path)
{
    const auto bytes = superblock_of(path);
    return bytes && (superblock::flags(bytes->data()) != 0 ||
                     superblock::end_of_file(bytes->data()) > size_of(path));
}

/// How a file was cut short, for messages; nothing when it was not.
std::string how_cut(const fs::path& path)
{
    const auto bytes = superblock_of(path);
    const std::uint64_t size = size_of(path);
    if (!bytes || superblock::end_of_file(bytes->data()) <= size)
    {
        return "";
    }
    return "ends after " + std::to_string(size) + " of " +
           std::to_string(superblock::end_of_file(bytes->data())) + " bytes";
}

/// Copies `from` to `to` and makes the superblock of the copy say what is there: nobody writes, and
/// what is in the file, and no more, belongs to it: the library then refuses to read what was cut
/// off. (A mark that is cleared while the end is wrong makes the library cut the file.) The copy
/// itself has its old length, with a hole at the end: claims of datasets are held against that.
void copy_mended(const fs::path& from, const fs::path& to)
{
    std::error_code error;
    fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
    if (error)
    {
        throw_io_error("copy", from, error.value());
    }
    SuperblockBytes bytes = superblock_of(to).value();
    const std::uint64_t size = size_of(to);
    const std::uint64_t end = superblock::end_of_file(bytes.data());
    if (end > size && end - size > kMostMissing)
    {
        throw InputError({from.string(), 0, ""},
                         "says that it has " + std::to_string(end) + " bytes and has " +
                             std::to_string(size),
                         kNothing);
    }
    fs::resize_file(to, std::max(size, end), error);
    if (error)
    {
        throw_io_error("write the copy of", from, error.value());
    }
    superblock::clear_flags(bytes.data());
    superblock::set_end_of_file(bytes.data(), size);
    std::fstream file(to, std::ios::binary | std::ios::in | std::ios::out);
    file.write(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (!file.flush())
    {
        throw_io_error("write the copy of", from, errno);
    }
}

[[noreturn]] void nothing_left(const fs::path& path, const std::string& where,
                               const std::string& problem)
{
    const std::string cut = how_cut(path);
    throw InputError({path.string(), 0, where},
                     cut.empty() ? problem
                                 : cut + ", before the end of what a run writes first: " + problem,
                     kNothing);
}

/// Opens `source`, which is the file `path` or a mended copy of it. A file that was cut before the
/// end of its first flush, after which streams and names are in it, is refused: a copy without them
/// would look like one of a run that did nothing.
std::unique_ptr<ResultReader> open_damaged(const fs::path& source, const fs::path& path,
                                           std::vector<Loss>& losses)
{
    std::unique_ptr<ResultReader> reader;
    try
    {
        reader = std::make_unique<ResultReader>(source, losses, path.string());
    }
    catch (const InputError& error)
    {
        nothing_left(path, error.place().pointer, error.problem());
    }
    const auto early = std::find_if(
        losses.begin(), losses.end(),
        [](const Loss& loss) { return loss.where != "/buffers" && loss.where != "/noc/links"; });
    if (early != losses.end() && !how_cut(path).empty())
    {
        nothing_left(path, early->where, early->problem);
    }
    return reader;
}

FileState state_of(const ResultReader& reader)
{
    FileState state;
    state.path = reader.path();
    state.closed = reader.header().closed;
    state.recovered = reader.header().recovered;
    state.level = reader.header().level;
    return state;
}

/// Goes through the streams of a file.
class Streams
{
public:
    /// `path`: of the file that the reader reads. Throws IoError.
    Streams(const ResultReader& reader, const fs::path& path, Way way)
        : reader_(reader), chunks_(labelled_chunks(path)), way_(way)
    {
    }

    /// Goes through one stream, if the level has it.
    template <class Record, class Action> void go_through(FileState& state, Action action)
    {
        const Layout& layout = layout_of<Record>();
        if (reader_.header().level < layout.level)
        {
            return;
        }
        StreamState stream{layout.path, reader_.count<Record>(), 0};
        reader_.salvage<Record>(
            chunks_[layout.stream], way_,
            [&](const Record& record)
            {
                ++stream.sound;
                action(record);
            },
            state.losses);
        state.streams.push_back(std::move(stream));
    }

private:
    const ResultReader& reader_;
    std::map<std::uint8_t, LabelledChunks> chunks_; ///< by Layout::stream
    Way way_;
};

/// Adds up what a killed run did not come to write.
class Totals
{
public:
    explicit Totals(const ResultHeader& header) : summary_(header.summary)
    {
        rebuilt_ = !has_totals(header);
    }

    void add(const OpRecord& record)
    {
        if (!rebuilt_)
        {
            return;
        }
        const std::uint64_t ended = record.unfinished == 0 ? 1 : 0;
        summary_.span = std::max(summary_.span, record.end);
        if (padding_starts_.empty())
        {
            padding_starts_.assign(summary_.layers.size(), kNever);
        }
        summary_.operations += ended;
        summary_.unfinished += 1 - ended;
        UnitSummary& unit = summary_.units[record.unit];
        unit.operations += ended;
        if (record.layer >= summary_.layers.size())
        {
            return;
        }
        LayerSummary& layer = summary_.layers[record.layer];
        layer.operations += ended;
        Tick& start = record.padding != 0 ? padding_starts_[record.layer] : layer.start;
        start = std::min(start, record.start);
        layer.end = std::max(layer.end, record.end);
        if (unit.kind == trace::UnitKind::macro)
        {
            layer.macro_time += record.end - record.start;
        }
    }
    void add(const StallRecord& record)
    {
        // Stalls may have been written further than operations, which say how long the run was.
        const Tick end = std::min(record.end, summary_.span);
        if (rebuilt_ && end > record.begin)
        {
            summary_.units[record.unit].time[record.stage] += end - record.begin;
        }
    }
    template <class Record> void add(const Record& /*record*/) {}

    [[nodiscard]] Summary summary() const
    {
        Summary summary = summary_;
        for (std::size_t i = 0; i < padding_starts_.size(); ++i)
        {
            Tick& start = summary.layers[i].start;
            start = start == kNever ? padding_starts_[i] : start;
        }
        return summary;
    }

private:
    Summary summary_;
    std::vector<Tick> padding_starts_; ///< by layer, of what reads only padding
    bool rebuilt_ = false;             ///< false: the file has its totals
};

ActivityMeta meta_of(const ResultHeader& header)
{
    ActivityMeta meta;
    meta.level = header.level;
    meta.config = header.config;
    meta.trace_header = header.trace_header;
    meta.reference_clock = header.reference_clock;
    meta.images = header.images;
    for (const UnitSummary& unit : header.summary.units)
    {
        meta.units.push_back({unit.name, unit.kind, unit.node});
    }
    for (const LayerSummary& layer : header.summary.layers)
    {
        meta.layers.push_back({layer.name, layer.kind});
    }
    return meta;
}

/// Copies what `reader` can read to an activity.h5.part in `folder`, called `shown_as` in messages.
void write_copy(const ResultReader& reader, Streams& streams, const fs::path& folder,
                const fs::path& shown_as, FileState& state)
{
    WriterOptions options;
    options.recovered = true;
    options.cut = reader.header().cut;
    options.shown_as = shown_as;
    ActivitySink sink;
    ActivityWriter writer(folder, meta_of(reader.header()), options);
    writer.connect(sink);
    Totals totals(reader.header());
    RecoveredImages images;
    const auto into = [&](auto& stream)
    {
        return [&](const auto& record)
        {
            totals.add(record);
            stream.append(record);
        };
    };
    const std::uint64_t lost = state.lost_records();
    streams.go_through<OpRecord>(state,
                                 [&](const OpRecord& record)
                                 {
                                     images.add(record);
                                     into(sink.operations)(record);
                                 });
    const ResultHeader& header = reader.header();
    const bool whole = header.closed && !header.cut && state.lost_records() == lost;
    streams.go_through<DependencyRecord>(state, into(sink.dependencies));
    streams.go_through<IntervalRecord>(state, into(sink.intervals));
    streams.go_through<StallRecord>(state, into(sink.stalls));
    streams.go_through<CycleRecord>(state, into(sink.cycles));
    streams.go_through<ImageRecord>(state, [&](const ImageRecord& record) { images.add(record); });
    images.for_each(reader, whole, [&](const ImageRecord& record) { sink.images.append(record); });
    writer.finish(totals.summary(), Outcome::interrupted);
}

} // namespace

std::uint64_t FileState::lost_records() const
{
    std::uint64_t lost = 0;
    for (const Loss& loss : losses)
    {
        lost += loss.records;
    }
    return lost;
}

FileState check_file(const fs::path& path)
{
    const fs::path file = activity_file(path);
    if (marked_open(file))
    {
        FileState state;
        state.path = file.string();
        state.open = true;
        state.losses.push_back({"", "is marked as being written", 0});
        return state;
    }
    std::vector<Loss> losses;
    const ResultReader reader(file, losses);
    Streams streams(reader, file, Way::index);
    FileState state = state_of(reader);
    state.losses = std::move(losses);
    const auto look = [](const auto& /*record*/) {};
    streams.go_through<OpRecord>(state, look);
    streams.go_through<DependencyRecord>(state, look);
    streams.go_through<IntervalRecord>(state, look);
    streams.go_through<StallRecord>(state, look);
    streams.go_through<CycleRecord>(state, look);
    streams.go_through<ImageRecord>(state, look);
    return state;
}

FileState recover_file(const fs::path& from, const fs::path& to, Existing existing)
{
    const fs::path file = activity_file(from);
    std::error_code error;
    if (fs::is_directory(to, error))
    {
        throw UsageError(to.string() + " is a folder; name the file to write");
    }
    if (fs::equivalent(file, to, error))
    {
        throw UsageError("the recovered file cannot replace the damaged one; name another");
    }
    size_of(file); // says why it cannot be read, before anything is made
    const Scratch folder(temporary_beside(to));
    if (!fs::create_directory(folder.path(), error) || error)
    {
        throw_io_error("create", to, error.value());
    }
    const bool open = marked_open(file);
    const bool mended = needs_mending(file);
    const fs::path source = mended ? folder.path() / "copy" : file;
    if (mended)
    {
        naming(to, [&] { copy_mended(file, source); });
    }
    std::vector<Loss> losses;
    const std::unique_ptr<ResultReader> reader = open_damaged(source, file, losses);
    FileState state = state_of(*reader);
    state.losses = std::move(losses);
    state.open = open;
    Streams streams(*reader, file, Way::labels);
    write_copy(*reader, streams, folder.path(), to, state);
    OutputFile::adopt(folder.path() / "activity.h5.part", to, existing).publish();
    return state;
}

std::vector<Table> tables_of(const FileState& state)
{
    Table streams{"Streams", {text("stream"), number("records"), number("sound")}, {}, ""};
    for (const StreamState& stream : state.streams)
    {
        streams.rows.push_back({stream.path, stream.claimed, stream.sound});
    }
    Table losses{"Losses", {text("where"), text("problem"), number("records")}, {}, ""};
    for (const Loss& loss : state.losses)
    {
        losses.rows.push_back(
            {loss.where, loss.problem, loss.records == 0 ? Cell() : Cell(loss.records)});
    }
    return {streams, losses};
}

} // namespace tessera::record
