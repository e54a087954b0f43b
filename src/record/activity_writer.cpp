// SPDX-License-Identifier: Apache-2.0
#include "record/activity_writer.h"

#include "base/output_file.h"
#include "record/deflate.h"
#include "record/names.h"
#include "record/schema.h"
#include "record/shuffle.h"
#include "record/store.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>

namespace tessera::record
{
namespace
{

/// A live run is for looking on: it shows what there is sooner, ...
constexpr std::size_t kLiveChunkRecords = 2048;
/// ... and at least this often, if there is something new.
constexpr std::chrono::milliseconds kLivePause{1000};
/// Chunks per stream: one being filled, the others on their way to the disk.
constexpr std::size_t kRing = 4;
/// Said in the file; how readers unpack does not depend on it.
constexpr unsigned kDeflateLevel = 1;
constexpr std::size_t kLongestRecord =
    std::max({sizeof(OpRecord), sizeof(DependencyRecord), sizeof(IntervalRecord),
              sizeof(StallRecord), sizeof(CycleRecord), sizeof(ImageRecord)});

/// A property list for creating an object that keeps time stamps out of the file.
h5::Handle untimed(hid_t list_class)
{
    h5::Handle list(H5Pcreate(list_class), H5Pclose, "set up a dataset");
    h5::check(H5Pset_obj_track_times(list.get(), false), "set up a dataset");
    // Attributes stay in the object's header: one block less for a crash to hit.
    h5::check(H5Pset_attr_phase_change(list.get(), 64, 32), "set up a dataset");
    return list;
}

/// Fixed length, because the bytes of variable-length texts lie in a heap.
h5::Handle fixed_text(std::size_t length)
{
    h5::Handle type(H5Tcopy(H5T_C_S1), H5Tclose, "make a text type");
    h5::check(H5Tset_size(type.get(), std::max<std::size_t>(length, 1)), "make a text type");
    h5::check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "make a text type");
    h5::check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "make a text type");
    return type;
}

h5::Handle scalar_space()
{
    return {H5Screate(H5S_SCALAR), H5Sclose, "make a dataspace"};
}

/// Creates a scalar attribute.
void put_attribute(hid_t object, const std::string& name, hid_t type, const void* value)
{
    const std::string what = "write attribute " + name;
    const h5::Handle space = scalar_space();
    const h5::Handle attribute(
        H5Acreate2(object, name.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
        what);
    h5::check(H5Awrite(attribute.get(), type, value), what);
}

void put_attribute(hid_t object, const std::string& name, std::uint64_t value)
{
    put_attribute(object, name, H5T_NATIVE_UINT64, &value);
}

void put_attribute(hid_t object, const std::string& name, double value)
{
    put_attribute(object, name, H5T_NATIVE_DOUBLE, &value);
}

void put_attribute(hid_t object, const std::string& name, const std::string& value)
{
    put_attribute(object, name, fixed_text(value.size()).get(), value.c_str());
}

/// Overwrites an attribute of the file, of the type of `value`.
void change_attribute(hid_t file, const std::string& name, hid_t type, const void* value)
{
    const std::string what = "write attribute " + name;
    const h5::Handle attribute(H5Aopen(file, name.c_str(), H5P_DEFAULT), H5Aclose, what);
    h5::check(H5Awrite(attribute.get(), type, value), what);
}

void change_attribute(hid_t file, const std::string& name, std::uint64_t value)
{
    change_attribute(file, name, H5T_NATIVE_UINT64, &value);
}

void change_attribute(hid_t file, const std::string& name, double value)
{
    change_attribute(file, name, H5T_NATIVE_DOUBLE, &value);
}

/// Units of the members as attributes "<member>.unit" of the dataset.
void write_member_units(hid_t dataset, const Layout& layout)
{
    for (const Field& field : layout.fields)
    {
        if (!field.unit.empty())
        {
            put_attribute(dataset, field.name + ".unit", field.unit);
        }
    }
}

h5::Handle create_table(hid_t file, const Rows& rows)
{
    const Layout& layout = rows.layout();
    const h5::Handle type = layout.type();
    const hsize_t count = rows.count();
    const h5::Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose, "size " + layout.path);
    const h5::Handle creation = untimed(H5P_DATASET_CREATE);
    h5::Handle dataset(H5Dcreate2(file, layout.path.c_str(), type.get(), space.get(), H5P_DEFAULT,
                                  creation.get(), H5P_DEFAULT),
                       H5Dclose, "create dataset " + layout.path);
    write_member_units(dataset.get(), layout);
    return dataset;
}

void write_rows(hid_t dataset, const Rows& rows)
{
    if (rows.count() != 0)
    {
        const h5::Handle type(H5Dget_type(dataset), H5Tclose, "write " + rows.layout().path);
        h5::check(H5Dwrite(dataset, type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, rows.data()),
                  "write " + rows.layout().path);
    }
}

template <class Entry>
std::size_t longest(const std::vector<Entry>& entries, std::string Entry::*member)
{
    std::size_t length = 0;
    for (const Entry& entry : entries)
    {
        length = std::max(length, (entry.*member).size());
    }
    return length;
}

/// Where chunks are packed, one at a time.
class PackingRoom
{
public:
    /// `longest`: bytes of the longest chunk. All memory is taken here, by the thread that starts
    /// the others: theirs comes from heaps of their own, in small pages.
    explicit PackingRoom(std::size_t longest) : unpacked_(new std::byte[longest]), deflate_(longest)
    {
    }

    /// Where a chunk is laid out to be packed.
    [[nodiscard]] std::byte* unpacked() { return unpacked_.get(); }
    [[nodiscard]] Deflate::Packed pack(std::size_t bytes)
    {
        return deflate_.pack(unpacked_.get(), bytes);
    }

private:
    // Not written before they are used: pages that no chunk reaches are never mapped.
    // NOLINTNEXTLINE(modernize-avoid-c-arrays)
    std::unique_ptr<std::byte[]> unpacked_;
    Deflate deflate_;
};

/// One stream's dataset and how its chunks are packed. Used by who writes.
class StreamFile
{
public:
    StreamFile(hid_t file, const Layout& layout, std::size_t chunk, Compression compression,
               PackingRoom& room)
        : file_(file),
          layout_(layout),
          chunk_(chunk),
          compression_(compression),
          uncovered_(layout.gaps()),
          shuffle_(layout.size, uncovered_),
          room_(room)
    {
        const h5::Handle type = layout.type();
        const hsize_t none = 0;
        const hsize_t unlimited = H5S_UNLIMITED;
        const hsize_t chunk_size = chunk;
        const h5::Handle space(H5Screate_simple(1, &none, &unlimited), H5Sclose,
                               "size " + layout.path);
        const h5::Handle creation = untimed(H5P_DATASET_CREATE);
        h5::check(H5Pset_chunk(creation.get(), 1, &chunk_size), "set up " + layout.path);
        if (compression == Compression::deflate)
        {
            h5::check(H5Pset_shuffle(creation.get()), "set up " + layout.path);
            h5::check(H5Pset_deflate(creation.get(), kDeflateLevel), "set up " + layout.path);
        }
        dataset_ = h5::Handle(H5Dcreate2(file, layout.path.c_str(), type.get(), space.get(),
                                         H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                              H5Dclose, "create dataset " + layout.path);
        write_member_units(dataset_.get(), layout);
    }

    /// Appends `count` records, fewer than a chunk only in the last call; `records` has room for a
    /// chunk and may be changed. Takes the HDF5 lock for the write alone.
    void append(std::byte* records, std::size_t count)
    {
        const std::byte* bytes = records;
        std::size_t length = chunk_ * layout_.size;
        if (compression_ == Compression::deflate)
        {
            shuffle_(records, count, room_.unpacked(), chunk_);
            const Deflate::Packed packed = room_.pack(length);
            bytes = packed.bytes;
            length = packed.size;
        }
        else
        {
            clean(records, count);
        }
        const std::uint64_t number = written_ / chunk_;
        if (number > std::numeric_limits<std::uint32_t>::max())
        {
            throw IoError(layout_.path + " has as many chunks as a file can have");
        }
        const ChunkLabel label{layout_.stream, static_cast<std::uint32_t>(number),
                               static_cast<std::uint32_t>(length), crc32_of(bytes, length)};
        const h5::Lock lock;
        const hsize_t extent = written_ + count;
        h5::check(H5Dset_extent(dataset_.get(), &extent), "extend " + layout_.path);
        store::write_chunk(file_, dataset_.get(), written_, bytes, label, "write " + layout_.path);
        written_ += count;
    }

    [[nodiscard]] std::uint64_t written() const { return written_; }
    /// Gives the dataset back; nothing more can be written.
    void close() { dataset_.reset(); }

private:
    /// What no member covers becomes zero, and so do the records up to a chunk.
    void clean(std::byte* records, std::size_t count) const
    {
        for (std::size_t i = 0; i < count; ++i)
        {
            std::byte* const record = records + i * layout_.size;
            for (const std::size_t b : uncovered_)
            {
                record[b] = std::byte{0};
            }
        }
        std::fill(records + count * layout_.size, records + chunk_ * layout_.size, std::byte{0});
    }

    hid_t file_;
    const Layout& layout_;
    std::size_t chunk_; ///< records
    Compression compression_;
    std::vector<std::size_t> uncovered_; ///< bytes of a record where no member lies
    Shuffle shuffle_;
    PackingRoom& room_;
    h5::Handle dataset_;
    std::uint64_t written_ = 0; ///< records
};

/// Chunks that the simulation packs and writes itself: a thread costs more than a short run has to
/// write. A live run has its thread at once.
constexpr std::uint64_t kOwnChunks = 16;

/// Hands chunks from the simulation to the writer thread and brings its errors back.
class Belt
{
public:
    struct Job
    {
        StreamFile* file = nullptr;
        std::byte* records = nullptr;
        std::atomic<bool>* busy = nullptr; ///< cleared when the records have been written
    };

    /// `flushed` is called after every flush, by the writer thread. `pause`: the longest time that
    /// a written chunk waits for a flush; none: no limit.
    Belt(hid_t file, std::filesystem::path name, std::size_t chunk,
         std::optional<std::chrono::milliseconds> pause, std::function<void()> flushed)
        : file_(file),
          name_(std::move(name)),
          chunk_(chunk),
          flush_chunks_(kFlushChunks * kChunkRecords / chunk),
          pause_(pause),
          on_flush_(std::move(flushed))
    {
        // Without a thread, whoever reads along waits for full chunks.
        static_cast<void>(pause_ && start());
    }
    ~Belt() { stop(); }
    Belt(const Belt&) = delete;
    Belt& operator=(const Belt&) = delete;

    /// Writes a full chunk, or queues it and waits until `next` is free to be filled: true then.
    /// Throws what the writer thread threw.
    [[nodiscard]] bool push(const Job& job, const std::atomic<bool>& next)
    {
        if (!thread_.joinable() && (written_ < kOwnChunks || !start()))
        {
            work(job);
            return false;
        }
        std::unique_lock lock(mutex_);
        throw_failure();
        job.busy->store(true);
        jobs_.push_back(job);
        work_.notify_one();
        room_.wait(lock, [&] { return !next.load() || failure_ != nullptr; });
        throw_failure();
        return true;
    }

    /// Waits until all that was queued is written. Idempotent.
    void stop()
    {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        work_.notify_one();
        if (thread_.joinable())
        {
            thread_.join();
        }
    }

    /// Contract: after stop().
    void throw_failure() const
    {
        if (failure_ != nullptr)
        {
            std::rethrow_exception(failure_);
        }
    }
    [[nodiscard]] std::uint64_t flushed() const { return flushed_.load(); }

private:
    /// False: there is no room for another thread.
    [[nodiscard]] bool start()
    {
        try
        {
            thread_ = std::thread([this] { run(); });
        }
        catch (const std::exception&)
        {
            return false;
        }
        return true;
    }

    void run()
    {
        std::unique_lock lock(mutex_);
        for (;;)
        {
            const auto something = [this] { return stopping_ || !jobs_.empty(); };
            if (!pause_ || written_ == flushed_.load())
            {
                work_.wait(lock, something);
            }
            else
            {
                work_.wait_until(lock, last_flush_ + *pause_, something);
            }
            if (jobs_.empty() && stopping_)
            {
                return;
            }
            std::optional<Job> job;
            if (!jobs_.empty())
            {
                job = jobs_.front();
                jobs_.pop_front();
            }
            lock.unlock();
            std::exception_ptr failure;
            try
            {
                work(job);
            }
            catch (...)
            {
                failure = std::current_exception();
            }
            lock.lock();
            if (job)
            {
                job->busy->store(false);
            }
            if (failure != nullptr)
            {
                failure_ = failure;
                jobs_.clear();
                room_.notify_one();
                return;
            }
            room_.notify_one();
        }
    }

    void work(const std::optional<Job>& job)
    {
        naming(name_, [&] { write(job); });
    }

    /// Writes a chunk, if there is one, and flushes when it is time to.
    void write(const std::optional<Job>& job)
    {
        if (job)
        {
            job->file->append(job->records, chunk_);
            ++written_;
        }
        const auto now = std::chrono::steady_clock::now();
        if (written_ == flushed_.load() + flush_chunks_ ||
            (pause_ && written_ != flushed_.load() && now >= last_flush_ + *pause_))
        {
            {
                const h5::Lock lock;
                // A full disk may show only here.
                h5::check(H5Fflush(file_, H5F_SCOPE_GLOBAL), "flush the activity file");
            }
            last_flush_ = now;
            flushed_.store(written_);
            on_flush_();
        }
    }

    hid_t file_;
    std::filesystem::path name_; ///< for messages
    std::size_t chunk_;          ///< records
    std::uint64_t flush_chunks_;
    std::optional<std::chrono::milliseconds> pause_;
    std::function<void()> on_flush_;
    std::chrono::steady_clock::time_point last_flush_; ///< of who writes only
    std::mutex mutex_;
    std::condition_variable work_;
    std::condition_variable room_;
    std::deque<Job> jobs_;
    std::exception_ptr failure_;
    bool stopping_ = false;
    std::uint64_t written_ = 0; ///< chunks; of who writes only
    std::atomic<std::uint64_t> flushed_{0};
    std::thread thread_; ///< last: it uses all of the above; none while the simulation writes
};

/// One stream of the sink: a ring of chunks filled in turn.
template <class Record> class Channel final : public RecordStream<Record>::Consumer
{
public:
    using Chunk = typename RecordStream<Record>::Chunk;

    Channel(StreamFile& file, RecordStream<Record>& stream, Belt& belt, std::size_t chunk)
        : file_(file), stream_(stream), belt_(belt), chunk_(chunk)
    {
        provide();
        stream.connect(*this, {begin(), begin() + chunk});
    }
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;
    ~Channel() override { stream_ = RecordStream<Record>(); }

    Chunk full(const Record* /*begin*/, const Record* end) override
    {
        filled_ = static_cast<std::size_t>(end - begin());
        if (filled_ == chunk_)
        {
            const std::size_t next = (current_ + 1) % kRing;
            if (belt_.push({&file_, bytes(), &busy_[current_]}, busy_[next]))
            {
                current_ = next;
                provide();
            }
            filled_ = 0;
        }
        // A chunk that was handed over early is filled on.
        return {begin() + filled_, begin() + chunk_};
    }

    void collect() { stream_.finish(); }
    /// Writes the chunk that is not full. Contract: collected, and the belt has stopped.
    void write_tail()
    {
        if (filled_ != 0)
        {
            file_.append(bytes(), filled_);
        }
    }

private:
    /// Room for a chunk; not cleared: most of it may never be used.
    void provide()
    {
        if (chunks_[current_] == nullptr)
        {
            chunks_[current_].reset(new Record[chunk_]);
        }
    }

    [[nodiscard]] Record* begin() { return chunks_[current_].get(); }
    [[nodiscard]] std::byte* bytes() { return reinterpret_cast<std::byte*>(begin()); }

    StreamFile& file_;
    RecordStream<Record>& stream_;
    Belt& belt_;
    std::size_t chunk_; ///< records
    // NOLINTNEXTLINE(modernize-avoid-c-arrays)
    std::array<std::unique_ptr<Record[]>, kRing> chunks_;
    std::array<std::atomic<bool>, kRing> busy_{};
    std::size_t current_ = 0;
    std::size_t filled_ = 0;
};

/// What belongs to one kind of record; empty below the level that records it.
template <class Record> struct Port
{
    RecordStream<Record> ActivitySink::*stream;
    std::unique_ptr<StreamFile> file;
    std::unique_ptr<Channel<Record>> channel;
};

} // namespace

class ActivityWriter::Impl
{
public:
    Impl(const std::filesystem::path& folder, const ActivityMeta& meta,
         const WriterOptions& options)
        : part_(folder / "activity.h5.part"),
          final_(folder / "activity.h5"),
          options_(options),
          name_(options.shown_as.empty() ? part_ : options.shown_as),
          chunk_(options.live ? kLiveChunkRecords : kChunkRecords),
          level_(meta.level),
          room_(chunk_ * kLongestRecord),
          units_(units_layout(longest(meta.units, &ActivityMeta::Unit::name)), meta.units.size()),
          layers_(layers_layout(longest(meta.layers, &ActivityMeta::Layer::name),
                                longest(meta.layers, &ActivityMeta::Layer::kind)),
                  meta.layers.size())
    {
        const std::filesystem::path hidden = folder / ".activity.h5.tmp";
        naming(name_, [&] { create(hidden, meta); });
    }

    ~Impl()
    {
        if (open_)
        {
            try
            {
                write_rest();
            }
            catch (const std::exception&)
            {
                // Nobody is left to tell; what had been flushed stays readable.
                abandon();
            }
            close();
        }
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    void connect(ActivitySink& sink)
    {
        sink.level = level_;
        belt_ = std::make_unique<Belt>(file_.get(), name_, chunk_,
                                       options_.live ? std::optional(kLivePause) : std::nullopt,
                                       [this] { tell_flushed(); });
        for_each_port([&](auto& port) { connect_stream(port, sink); });
    }

    std::optional<OutputFile> seal(const Summary& summary, Outcome outcome)
    {
        if (summary.units.size() != units_.count() || summary.layers.size() != layers_.count())
        {
            throw std::logic_error("the summary has other units or layers than the meta data");
        }
        try
        {
            naming(name_, [&] { write_end(summary, outcome); });
        }
        catch (...)
        {
            abandon();
            close();
            throw;
        }
        tell_flushed();
        close();
        watch_.check("write " + name_.string());
        sync_to_disk(part_);
        if (outcome == Outcome::interrupted)
        {
            return std::nullopt;
        }
        return OutputFile::adopt(part_, final_);
    }

    [[nodiscard]] std::uint64_t flushed_chunks() const { return belt_ ? belt_->flushed() : 0; }

private:
    /// What is not yet in the file, its totals, and that it is closed.
    void write_end(const Summary& summary, Outcome outcome)
    {
        write_rest();
        const h5::Lock lock;
        h5::check(H5Fflush(file_.get(), H5F_SCOPE_GLOBAL), "write " + name_.string());
        if (options_.live)
        {
            reopen();
        }
        write_summary(summary);
        // Only when all else is in the file is it called closed.
        h5::check(H5Fflush(file_.get(), H5F_SCOPE_GLOBAL), "write " + name_.string());
        if (outcome == Outcome::cut)
        {
            put_attribute(file_.get(), "cut", std::uint64_t{1});
        }
        change_attribute(file_.get(), "closed",
                         std::uint64_t{outcome == Outcome::interrupted ? 0U : 1U});
        h5::check(H5Fflush(file_.get(), H5F_SCOPE_GLOBAL), "write " + name_.string());
    }

    /// Makes the file under its first name, and gives it the second when it can be read.
    void create(const std::filesystem::path& hidden, const ActivityMeta& meta)
    {
        const h5::Lock lock;
        try
        {
            file_ = store::create(hidden.string(),
                                  options_.live ? store::Format::live : store::Format::plain);
            write_meta(meta);
            for_each_port([&](auto& port) { create_stream(port); });
            noc_ = h5::create_group(file_.get(), "/noc");
            if (options_.live)
            {
                h5::check(H5Fstart_swmr_write(file_.get()), "make " + name_.string() + " live");
            }
            h5::check(H5Fflush(file_.get(), H5F_SCOPE_GLOBAL), "write " + name_.string());
            sync_to_disk(hidden);
            rename_file(hidden, part_);
        }
        catch (...)
        {
            abandon();
            close();
            std::error_code ignored; // what went wrong first is what matters
            std::filesystem::remove(hidden, ignored);
            throw;
        }
    }

    template <class Action> void for_each_port(Action action)
    {
        action(operations_);
        action(dependencies_);
        action(intervals_);
        action(stalls_);
        action(cycles_);
        action(images_);
    }

    template <class Record> void create_stream(Port<Record>& port)
    {
        const Layout& layout = layout_of<Record>();
        if (level_ >= layout.level)
        {
            port.file = std::make_unique<StreamFile>(file_.get(), layout, chunk_,
                                                     options_.compression, room_);
        }
    }

    template <class Record> void connect_stream(Port<Record>& port, ActivitySink& sink)
    {
        if (port.file != nullptr)
        {
            port.channel =
                std::make_unique<Channel<Record>>(*port.file, sink.*port.stream, *belt_, chunk_);
        }
    }

    void write_meta(const ActivityMeta& meta)
    {
        const hid_t file = file_.get();
        put_attribute(file, "format", std::string("tessera-activity"));
        put_attribute(file, "format_version", kFormatVersion);
        put_attribute(file, "closed", std::uint64_t{0});
        put_attribute(file, "level", std::string(name_of(meta.level)));
        put_attribute(file, "time_unit", std::string("ps"));
        put_attribute(file, "span_ps", std::uint64_t{0});
        put_attribute(file, "operations", std::uint64_t{0});
        put_attribute(file, "unfinished", std::uint64_t{0});
        put_attribute(file, "events", std::uint64_t{0});
        put_attribute(file, "crossbars", std::uint64_t{0});
        put_attribute(file, "utilization", 0.0);
        put_attribute(file, "in_turns", std::uint64_t{0});
        if (options_.recovered)
        {
            put_attribute(file, "recovered", std::uint64_t{1});
        }
        if (options_.cut)
        {
            put_attribute(file, "cut", std::uint64_t{1});
        }

        const h5::Handle group = h5::create_group(file, "/meta");
        put_attribute(group.get(), "reference_clock.numerator", meta.reference_clock.numerator());
        put_attribute(group.get(), "reference_clock.denominator",
                      meta.reference_clock.denominator());
        put_attribute(group.get(), "reference_clock.unit", std::string("ps per cycle"));
        put_attribute(group.get(), "arrivals", meta.images.arrivals);
        put_attribute(group.get(), "arrivals.seed", meta.images.seed);
        put_attribute(group.get(), "operations_per_image", meta.images.operations);
        h5::write_text(file, "/meta/config", meta.config);
        h5::write_text(file, "/meta/trace_header", meta.trace_header);

        units_.set("name", meta.units, [](const auto& unit) { return unit.name; });
        units_.set("kind", meta.units,
                   [](const auto& unit) { return static_cast<std::uint64_t>(unit.kind); });
        units_.set("node", meta.units,
                   [](const auto& unit) { return std::uint64_t{unit.node.value()}; });
        units_dataset_ = create_table(file, units_);
        write_rows(units_dataset_.get(), units_);
        layers_.set("name", meta.layers, [](const auto& layer) { return layer.name; });
        layers_.set("kind", meta.layers, [](const auto& layer) { return layer.kind; });
        layers_.set("start", meta.layers, [](const auto&) { return std::uint64_t{kNever}; });
        layers_dataset_ = create_table(file, layers_);
        write_rows(layers_dataset_.get(), layers_);
    }

    /// What is left in the sink and on the belt.
    void write_rest()
    {
        if (belt_ == nullptr)
        {
            return;
        }
        const auto every_channel = [this](auto action)
        {
            for_each_port(
                [&](auto& port)
                {
                    if (port.channel != nullptr)
                    {
                        action(*port.channel);
                    }
                });
        };
        every_channel([](auto& channel) { channel.collect(); });
        belt_->stop();
        belt_->throw_failure();
        every_channel([](auto& channel) { channel.write_tail(); });
    }

    void write_summary(const Summary& summary)
    {
        const hid_t file = file_.get();
        change_attribute(file, "span_ps", std::uint64_t{summary.span});
        if (summary.complete)
        {
            put_attribute(file, "makespan_ps", std::uint64_t{summary.span});
        }
        change_attribute(file, "operations", summary.operations);
        change_attribute(file, "unfinished", summary.unfinished);
        change_attribute(file, "events", summary.events);
        change_attribute(file, "crossbars", std::uint64_t{summary.crossbars});
        change_attribute(file, "utilization", summary.utilization);
        change_attribute(file, "in_turns", std::uint64_t{summary.images.in_turns ? 1U : 0U});
        // /images says it all now; runs of the same operations leave the same bytes, whether they
        // knew this number or not.
        const h5::Handle meta(H5Gopen2(file, "/meta", H5P_DEFAULT), H5Gclose, "open /meta");
        change_attribute(meta.get(), "operations_per_image", std::uint64_t{0});
        const auto& units = summary.units;
        units_.set("operations", units, [](const UnitSummary& unit) { return unit.operations; });
        units_.set("vectors", units, [](const UnitSummary& unit) { return unit.vectors; });
        for (unsigned stage = 0; stage < kStages; ++stage)
        {
            units_.set(std::string("time_") + name_of(static_cast<Stage>(stage)), units,
                       [stage](const UnitSummary& unit)
                       { return std::uint64_t{unit.time[stage]}; });
        }
        write_rows(units_dataset_.get(), units_);

        const auto layer_member = [&](const char* field, auto member)
        {
            layers_.set(field, summary.layers,
                        [member](const LayerSummary& layer)
                        { return std::uint64_t{layer.*member}; });
        };
        layer_member("operations", &LayerSummary::operations);
        layer_member("vectors", &LayerSummary::vectors);
        layer_member("crossbars", &LayerSummary::crossbars);
        layer_member("start", &LayerSummary::start);
        layer_member("end", &LayerSummary::end);
        layer_member("macro_time", &LayerSummary::macro_time);
        layer_member("compute_time", &LayerSummary::compute_time);
        layer_member("moved_bytes", &LayerSummary::moved_bytes);
        layer_member("memory_bytes", &LayerSummary::memory_bytes);
        write_rows(layers_dataset_.get(), layers_);

        const auto& buffers = summary.buffers;
        Rows buffer_rows(buffers_layout(longest(buffers, &BufferSummary::name)), buffers.size());
        buffer_rows.set("name", buffers, [](const BufferSummary& buffer) { return buffer.name; });
        buffer_rows.set("capacity", buffers,
                        [](const BufferSummary& buffer) { return buffer.capacity; });
        buffer_rows.set("peak", buffers, [](const BufferSummary& buffer) { return buffer.peak; });
        buffer_rows.set("mean", buffers, [](const BufferSummary& buffer) { return buffer.mean; });
        buffer_rows.set("waits", buffers, [](const BufferSummary& buffer) { return buffer.waits; });
        write_rows(create_table(file, buffer_rows).get(), buffer_rows);

        const auto& links = summary.links;
        Rows link_rows(links_layout(longest(links, &LinkSummary::name)), links.size());
        link_rows.set("name", links, [](const LinkSummary& link) { return link.name; });
        link_rows.set("flits", links, [](const LinkSummary& link) { return link.flits; });
        link_rows.set("busy", links,
                      [](const LinkSummary& link) { return std::uint64_t{link.busy}; });
        link_rows.set("stalled", links,
                      [](const LinkSummary& link) { return std::uint64_t{link.stalled}; });
        write_rows(create_table(file, link_rows).get(), link_rows);
    }

    void tell_flushed()
    {
        if (!options_.on_flush)
        {
            return;
        }
        const auto written = [](const auto& port)
        { return port.file == nullptr ? std::uint64_t{0} : port.file->written(); };
        options_.on_flush({written(operations_), written(dependencies_), written(intervals_),
                           written(stalls_), written(cycles_), written(images_)});
    }

    /// While it can be read by SWMR, nothing may be created in a file: that ends here. Contract:
    /// flushed, the belt has stopped.
    void reopen()
    {
        for_each_port(
            [](auto& port)
            {
                if (port.file != nullptr)
                {
                    port.file->close();
                }
            });
        units_dataset_.reset();
        layers_dataset_.reset();
        noc_.reset();
        file_.reset();
        file_ = store::reopen(part_.string());
        units_dataset_ = h5::open_dataset(file_.get(), units_.layout().path);
        layers_dataset_ = h5::open_dataset(file_.get(), layers_.layout().path);
    }

    /// Keeps the file as it is.
    void abandon()
    {
        if (file_.valid())
        {
            store::abandon(file_.get());
        }
    }

    void close()
    {
        open_ = false;
        if (belt_ != nullptr)
        {
            belt_->stop();
        }
        for_each_port(
            [](auto& port)
            {
                port.channel.reset();
                port.file.reset();
            });
        units_dataset_.reset();
        layers_dataset_.reset();
        noc_.reset();
        file_.reset();
    }

    std::filesystem::path part_;
    std::filesystem::path final_;
    WriterOptions options_;
    std::filesystem::path name_; ///< for messages
    std::size_t chunk_;          ///< records of a chunk
    ActivityLevel level_;
    PackingRoom room_; ///< of the writer thread, and after it of who writes the rest
    Rows units_;
    Rows layers_;
    h5::CloseWatch watch_;
    h5::Handle file_;
    h5::Handle units_dataset_;
    h5::Handle layers_dataset_;
    h5::Handle noc_;
    bool open_ = true;
    std::unique_ptr<Belt> belt_;
    Port<OpRecord> operations_{&ActivitySink::operations, nullptr, nullptr};
    Port<DependencyRecord> dependencies_{&ActivitySink::dependencies, nullptr, nullptr};
    Port<IntervalRecord> intervals_{&ActivitySink::intervals, nullptr, nullptr};
    Port<StallRecord> stalls_{&ActivitySink::stalls, nullptr, nullptr};
    Port<CycleRecord> cycles_{&ActivitySink::cycles, nullptr, nullptr};
    Port<ImageRecord> images_{&ActivitySink::images, nullptr, nullptr};
};

ActivityWriter::ActivityWriter(const std::filesystem::path& folder, const ActivityMeta& meta,
                               const WriterOptions& options)
    : impl_(std::make_unique<Impl>(folder, meta, options))
{
}

ActivityWriter::~ActivityWriter() = default;

void ActivityWriter::connect(ActivitySink& sink)
{
    impl_->connect(sink);
}

void ActivityWriter::finish(const Summary& summary, Outcome outcome)
{
    if (std::optional<OutputFile> file = seal(summary, outcome))
    {
        file->publish();
    }
}

std::optional<OutputFile> ActivityWriter::seal(const Summary& summary, Outcome outcome)
{
    return impl_->seal(summary, outcome);
}

std::uint64_t ActivityWriter::flushed_chunks() const
{
    return impl_->flushed_chunks();
}

} // namespace tessera::record
