// SPDX-License-Identifier: Apache-2.0
#include "record/recover.h"

#include "record/activity_writer.h"
#include "record/follow.h"
#include "record/inspect.h"
#include "record/results.h"
#include "record/schema.h"
#include "record_fixture.h"
#include "tessera/error.h"

#include <atomic>
#include <gtest/gtest.h>
#include <optional>
#include <random>
#include <sys/wait.h>
#include <unistd.h>

namespace tessera::record
{
namespace
{

using test::content_of;
using test::meta_of_two_units;
using test::operation;
using test::put_content;
using test::TemporaryFolder;

/// Records `count` operations of the macro, one after the other, and of stalls. The run is killed
/// (in fact: not finished) unless it is to be finished.
void record_operations(const std::filesystem::path& folder, std::uint64_t count, bool finished,
                       const WriterOptions& options = {})
{
    ActivitySink sink;
    ActivityWriter writer(folder, meta_of_two_units(ActivityLevel::stage), options);
    writer.connect(sink);
    std::mt19937_64 random(1); // chunks that compress badly are long
    for (std::uint64_t i = 0; i < count; ++i)
    {
        OpRecord record = operation(i, 10 * i, 10 * i + 8);
        record.image = static_cast<std::uint32_t>(random());
        sink.operations.append(record);
        sink.stalls.append(
            {i, 10 * i + 8, 10 * i + 10, 1, static_cast<std::uint8_t>(Stage::wait_input), {}});
    }
    if (finished)
    {
        Summary summary = test::summary_of_two_units(10 * count);
        summary.operations = count;
        writer.finish(summary);
    }
}

void overwrite(const std::filesystem::path& path, std::size_t at, std::size_t count)
{
    std::string bytes = content_of(path);
    ASSERT_LT(at + count, bytes.size());
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), count, '\xff');
    put_content(path, bytes);
}

/// Where chunk number `chunk` of a dataset lies in the file, and how long it is.
std::pair<std::size_t, std::size_t> place_of_chunk(const std::filesystem::path& path,
                                                   const char* name, hsize_t chunk)
{
    const h5::Lock lock;
    const h5::Handle file = h5::open_file(path.string());
    const h5::Handle dataset = h5::open_dataset(file.get(), name);
    hsize_t offset = chunk * kChunkRecords;
    unsigned filters = 0;
    haddr_t address = 0;
    hsize_t size = 0;
    h5::check(H5Dget_chunk_info_by_coord(dataset.get(), &offset, &filters, &address, &size),
              "find a chunk");
    return {address, size};
}

TEST(CheckFile, OfAWholeFileFindsNothing)
{
    const TemporaryFolder folder;
    record_operations(folder.path(), kChunkRecords + 1, true);
    const FileState state = check_file(folder.path());
    EXPECT_TRUE(state.closed);
    EXPECT_FALSE(state.recovered);
    EXPECT_TRUE(state.losses.empty());
    ASSERT_EQ(state.streams.size(), 6U);
    EXPECT_EQ(state.streams[0].path, "/ops");
    EXPECT_EQ(state.streams[0].claimed, kChunkRecords + 1);
    EXPECT_EQ(state.streams[0].sound, kChunkRecords + 1);
}

TEST(CheckFile, NamesTheChunkThatIsDamaged)
{
    const TemporaryFolder folder;
    record_operations(folder.path(), 3 * kChunkRecords + 7, true);
    const auto path = folder.path() / "activity.h5";
    const auto [address, size] = place_of_chunk(path, "/ops", 2);
    overwrite(path, address + size / 2, 40);
    const FileState state = check_file(path);
    ASSERT_EQ(state.losses.size(), 1U);
    EXPECT_EQ(state.losses[0].where, "/ops[" + std::to_string(2 * kChunkRecords) + "]");
    EXPECT_EQ(state.losses[0].records, kChunkRecords);
    EXPECT_EQ(state.streams[0].sound, 2 * kChunkRecords + 7);
    EXPECT_EQ(state.lost_records(), kChunkRecords);
}

/// Gives the operations `first`, `first` + `step`, ... of a file times that contradict each other.
void spoil(const std::filesystem::path& folder, std::uint64_t count, std::uint64_t first,
           std::uint64_t step)
{
    ActivitySink sink;
    ActivityWriter writer(folder, meta_of_two_units(ActivityLevel::unit));
    writer.connect(sink);
    for (std::uint64_t i = 0; i < count; ++i)
    {
        OpRecord record = operation(i, 10 * i, 10 * i + 8);
        if (i >= first && (i - first) % step == 0)
        {
            record.end = record.start;
            record.wait = 1;
        }
        sink.operations.append(record);
    }
    writer.finish(test::summary_of_two_units(10 * count));
}

TEST(CheckFile, PutsNeighboursOfOneProblemTogether)
{
    const TemporaryFolder folder;
    constexpr std::uint64_t count = 2 * kChunkRecords;
    spoil(folder.path(), count, 5, 1);
    const FileState state = check_file(folder.path() / "activity.h5");
    ASSERT_EQ(state.losses.size(), 1U);
    EXPECT_EQ(state.losses[0].where, "/ops[5]");
    EXPECT_EQ(state.losses[0].records, count - 5);
}

TEST(CheckFile, NamesAThousandLossesOfAStream)
{
    const TemporaryFolder folder;
    constexpr std::uint64_t count = 5000;
    spoil(folder.path(), count, 0, 2);
    const FileState state = check_file(folder.path() / "activity.h5");
    ASSERT_EQ(state.losses.size(), 1000U);
    EXPECT_EQ(state.losses[998].records, 1U);
    EXPECT_EQ(state.losses[999].where, "/ops[1998]");
    EXPECT_NE(state.losses[999].problem.find("others after it"), std::string::npos);
    EXPECT_EQ(state.lost_records(), count / 2);
}

TEST(CheckFile, RefusesWhatIsNoResult)
{
    const TemporaryFolder folder;
    EXPECT_THROW(check_file(folder.path()), InputError);
    EXPECT_THROW(check_file(folder.path() / "missing.h5"), IoError);
    put_content(folder.path() / "text.h5", "no HDF5 at all, but long enough to have a superblock");
    EXPECT_THROW(check_file(folder.path() / "text.h5"), InputError);
}

TEST(RecoverFile, AddsUpWhatAKilledRunDidNot)
{
    const TemporaryFolder folder;
    record_operations(folder.path(), 1000, false);
    const std::string before = content_of(folder.path() / "activity.h5.part");
    const auto to = folder.path() / "whole.h5";
    const FileState state = recover_file(folder.path(), to);
    EXPECT_TRUE(state.losses.empty());
    EXPECT_EQ(content_of(folder.path() / "activity.h5.part"), before);
    const ResultReader reader(to);
    const ResultHeader& header = reader.header();
    EXPECT_FALSE(header.closed);
    EXPECT_TRUE(header.recovered);
    EXPECT_EQ(header.config, R"({"name":"test"})");
    EXPECT_EQ(header.reference_clock, Clock(3125, 4));
    EXPECT_EQ(header.summary.span, 9998U);
    EXPECT_EQ(header.summary.operations, 1000U);
    EXPECT_EQ(header.summary.units[0].operations, 1000U);
    // The last stall ends after the last operation.
    EXPECT_EQ(header.summary.units[1].time[static_cast<std::size_t>(Stage::wait_input)], 2 * 999U);
    EXPECT_EQ(header.summary.layers[0].operations, 1000U);
    EXPECT_EQ(header.summary.layers[0].start, 0U);
    EXPECT_EQ(header.summary.layers[0].end, 9998U);
    EXPECT_EQ(header.summary.layers[0].macro_time, 8000U);
    EXPECT_EQ(header.summary.layers[1].start, kNever);
    EXPECT_NO_THROW(validate(reader));
    EXPECT_FALSE(std::filesystem::exists(folder.path() / ".whole.h5.tmp"));
}

TEST(RecoverFile, KeepsTheTotalsOfAFinishedRun)
{
    const TemporaryFolder folder;
    record_operations(folder.path(), 10, true);
    recover_file(folder.path(), folder.path() / "copy.h5");
    const ResultReader reader(folder.path() / "copy.h5");
    EXPECT_EQ(reader.header().summary.span, 100U);
    EXPECT_EQ(reader.header().summary.events, 99U);
    EXPECT_EQ(reader.header().summary.links.size(), 2U);
    EXPECT_EQ(reader.header().summary.buffers[0].mean, 12.5);
}

/// Numbers of the operations of a file, which are as record_operations() made them.
std::vector<std::uint64_t> operations_of(const std::filesystem::path& path)
{
    std::vector<std::uint64_t> numbers;
    ResultReader(path).for_each<OpRecord>(
        [&](const OpRecord& record)
        {
            EXPECT_EQ(record.end, 10 * record.id + 8);
            numbers.push_back(record.id);
        });
    return numbers;
}

/// The numbers up to `count` without those of chunk number `lost`.
std::vector<std::uint64_t> all_but(std::uint64_t count, std::uint64_t lost)
{
    std::vector<std::uint64_t> numbers;
    for (std::uint64_t i = 0; i < count; ++i)
    {
        if (i / kChunkRecords != lost)
        {
            numbers.push_back(i);
        }
    }
    return numbers;
}

/// Nothing that decodes and is in range is believed when its checksum is wrong.
TEST(RecoverFile, GivesUpAChunkOfWhichOneBitIsWrong)
{
    const TemporaryFolder folder;
    WriterOptions options;
    options.compression = Compression::none;
    constexpr std::uint64_t count = 3 * kChunkRecords + 7;
    record_operations(folder.path(), count, true, options);
    const auto path = folder.path() / "activity.h5";
    std::string bytes = content_of(path);
    bytes[place_of_chunk(path, "/ops", 1).first + 16 * sizeof(OpRecord)] ^= 1;
    put_content(path, bytes);
    const FileState state = check_file(path);
    ASSERT_EQ(state.losses.size(), 1U);
    EXPECT_EQ(state.losses[0].where, "/ops[" + std::to_string(kChunkRecords) + "]");
    EXPECT_EQ(state.losses[0].records, kChunkRecords);
    EXPECT_NE(state.losses[0].problem.find("checksum"), std::string::npos);
    EXPECT_EQ(recover_file(path, folder.path() / "copy.h5").lost_records(), kChunkRecords);
    EXPECT_EQ(operations_of(folder.path() / "copy.h5"), all_but(count, 1));
}

/// Where there is no label the index leads to chunks: those of files that were written before
/// there were labels, or by other programs. A deflated one has a checksum of its own.
TEST(RecoverFile, ReadsChunksWithoutLabels)
{
    const TemporaryFolder folder;
    constexpr std::uint64_t count = 3 * kChunkRecords + 7;
    for (const Compression compression : {Compression::deflate, Compression::none})
    {
        WriterOptions options;
        options.compression = compression;
        record_operations(folder.path(), count, true, options);
        const auto path = folder.path() / "activity.h5";
        const auto copy = folder.path() / "copy.h5";
        overwrite(path, place_of_chunk(path, "/ops", 1).first - 1, 1);
        if (compression == Compression::deflate)
        {
            EXPECT_TRUE(check_file(path).losses.empty());
            EXPECT_TRUE(recover_file(path, copy).losses.empty());
        }
        else
        {
            EXPECT_EQ(check_file(path).lost_records(), kChunkRecords);
            EXPECT_EQ(recover_file(path, copy).lost_records(), kChunkRecords);
            EXPECT_EQ(operations_of(copy), all_but(count, 1));
        }
        for (hsize_t chunk = 0; chunk < 4; ++chunk)
        {
            overwrite(path, place_of_chunk(path, "/ops", chunk).first - 1, 1);
        }
        EXPECT_TRUE(check_file(path).losses.empty());
        EXPECT_TRUE(recover_file(path, copy).losses.empty());
        EXPECT_EQ(operations_of(copy), all_but(count, ~std::uint64_t{0}));
    }
}

/// The index of a stream is gone: readers do not find its chunks, labels do.
TEST(RecoverFile, NeedsNoIndex)
{
    const TemporaryFolder folder;
    constexpr std::uint64_t count = 3 * kChunkRecords + 7;
    record_operations(folder.path(), count, true);
    const auto path = folder.path() / "activity.h5";
    std::string bytes = content_of(path);
    for (std::size_t at = bytes.find("TREE"); at != std::string::npos; at = bytes.find("TREE", at))
    {
        bytes[at] = '?';
    }
    put_content(path, bytes);
    EXPECT_EQ(check_file(path).lost_records(), 2 * count);
    EXPECT_TRUE(recover_file(path, folder.path() / "copy.h5").losses.empty());
    EXPECT_EQ(operations_of(folder.path() / "copy.h5"), all_but(count, ~std::uint64_t{0}));
}

/// What is missing is said of the file that was given, whatever is read in its place.
TEST(RecoverFile, NamesTheFileThatWasCutBeforeItsFirstFlush)
{
    const TemporaryFolder folder;
    record_operations(folder.path(), 10, true);
    const std::string bytes = content_of(folder.path() / "activity.h5");
    const auto cut = folder.path() / "cut.h5";
    for (const std::size_t length : {std::size_t{0}, std::size_t{47}, std::size_t{48},
                                     bytes.find("conv1"), bytes.find("TREE") - 4096})
    {
        put_content(cut, bytes.substr(0, length));
        try
        {
            recover_file(cut, folder.path() / "copy.h5");
            ADD_FAILURE() << length;
        }
        catch (const InputError& error)
        {
            EXPECT_EQ(error.place().file, cut.string());
            EXPECT_EQ(std::string(error.what()).find(".copy.h5"), std::string::npos);
            EXPECT_NE(error.remedy().find("nothing can be recovered"), std::string::npos);
            EXPECT_EQ(error.problem().find("ends after") == 0, length >= 48) << error.what();
        }
        EXPECT_FALSE(std::filesystem::exists(folder.path() / "copy.h5"));
    }
}

/// Cuts a file at every so many bytes: whatever can be recovered is what was written, in order.
TEST(RecoverFile, OfAFileThatWasCutFindsWhatIsBeforeTheCut)
{
    const TemporaryFolder folder;
    record_operations(folder.path(), 3 * kChunkRecords + 7, true);
    const std::string bytes = content_of(folder.path() / "activity.h5");
    const auto cut = folder.path() / "cut.h5";
    const auto to = folder.path() / "rest.h5";
    std::uint64_t most = 0;
    std::size_t recovered = 0;
    for (unsigned part = 1; part < 16; ++part)
    {
        put_content(cut, bytes.substr(0, bytes.size() * part / 16));
        std::optional<FileState> state;
        try
        {
            state = recover_file(cut, to);
        }
        catch (const InputError&)
        {
            EXPECT_EQ(recovered, 0U) << "less could be recovered from more";
            continue;
        }
        ++recovered;
        const ResultReader reader(to);
        std::uint64_t last = 0;
        reader.for_each<OpRecord>(
            [&](const OpRecord& record)
            {
                EXPECT_TRUE(record.id == 0 || record.id > last);
                EXPECT_EQ(record.end, 10 * record.id + 8);
                last = record.id;
            });
        EXPECT_GE(reader.count<OpRecord>(), most);
        most = reader.count<OpRecord>();
        EXPECT_GT(state->lost_records(), 0U);
    }
    EXPECT_GE(recovered, 8U);
    EXPECT_GE(most, 2 * kChunkRecords);
}

TEST(RecoverFile, RefusesToReplaceItsSourceOrAFolder)
{
    const TemporaryFolder folder;
    record_operations(folder.path(), 10, true);
    EXPECT_THROW(recover_file(folder.path(), folder.path() / "activity.h5"), UsageError);
    EXPECT_THROW(recover_file(folder.path(), folder.path()), UsageError);
    EXPECT_THROW(recover_file(folder.path(), folder.path() / "no" / "where.h5"), IoError);
    EXPECT_NO_THROW(check_file(folder.path()));
}

TEST(LiveWriter, FlushesInTimeAndTellsWhatIsSafe)
{
    const TemporaryFolder folder;
    std::atomic<std::uint64_t> safe{0};
    WriterOptions options;
    options.live = true;
    options.on_flush = [&](const Flushed& flushed) { safe.store(flushed.operations); };
    ActivitySink sink;
    ActivityWriter writer(folder.path(), meta_of_two_units(ActivityLevel::unit), options);
    writer.connect(sink);
    Follower follower(folder.path());
    ASSERT_TRUE(follower.look().has_value());
    EXPECT_FALSE(follower.look().has_value());
    // Far fewer than between two flushes that are counted.
    for (std::uint64_t i = 0; i < 5000; ++i)
    {
        sink.operations.append(operation(i, i, i + 1));
    }
    for (int i = 0; i < 1000 && safe.load() < 4096; ++i)
    {
        usleep(10'000);
    }
    EXPECT_EQ(safe.load(), 4096U);
    const auto glimpse = follower.look();
    ASSERT_TRUE(glimpse.has_value());
    EXPECT_EQ(glimpse->operations, 4096U);
    EXPECT_EQ(glimpse->now, 4096U);
    EXPECT_FALSE(glimpse->closed);
    EXPECT_EQ(check_file(folder.path()).streams[0].sound, 4096U);
    Summary summary = test::summary_of_two_units(5000);
    writer.finish(summary);
    EXPECT_EQ(safe.load(), 5000U);
    const auto last = follower.look();
    ASSERT_TRUE(last.has_value());
    EXPECT_TRUE(last->closed);
    EXPECT_EQ(last->operations, 5000U);
}

TEST(LiveWriter, LeavesTheSameTables)
{
    const TemporaryFolder live;
    const TemporaryFolder plain;
    WriterOptions options;
    options.live = true;
    record_operations(live.path(), 20'000, true, options);
    record_operations(plain.path(), 20'000, true);
    const ResultReader a(live.path());
    const ResultReader b(plain.path());
    EXPECT_TRUE(a.header().closed);
    EXPECT_EQ(a.count<OpRecord>(), b.count<OpRecord>());
    EXPECT_EQ(a.header().summary.buffers.size(), b.header().summary.buffers.size());
    EXPECT_EQ(a.header().summary.links[1].busy, b.header().summary.links[1].busy);
    EXPECT_EQ(a.header().summary.layers[0].moved_bytes, b.header().summary.layers[0].moved_bytes);
}

TEST(UncompressedWriter, WritesTheSameRecordsAndBytesAgain)
{
    const TemporaryFolder first;
    const TemporaryFolder second;
    WriterOptions options;
    options.compression = Compression::none;
    record_operations(first.path(), kChunkRecords + 3, true, options);
    record_operations(second.path(), kChunkRecords + 3, true, options);
    EXPECT_TRUE(content_of(first.path() / "activity.h5") ==
                content_of(second.path() / "activity.h5"));
    const ResultReader reader(first.path());
    ASSERT_EQ(reader.count<OpRecord>(), kChunkRecords + 3);
    std::uint64_t next = 0;
    reader.for_each<OpRecord>([&](const OpRecord& record) { ASSERT_EQ(record.id, next++); });
}

TEST(Follower, KnowsRunsThatDied)
{
    const TemporaryFolder folder;
    const Follower follower(folder.path());
    EXPECT_EQ(follower.status(), "");
    put_content(folder.path() / "run.json",
                R"({"status":"running","process":)" + std::to_string(getpid()) + "}");
    EXPECT_EQ(follower.status(), "running");
    const pid_t child = fork();
    if (child == 0)
    {
        _exit(0);
    }
    waitpid(child, nullptr, 0);
    put_content(folder.path() / "run.json",
                R"({"status":"running","process":)" + std::to_string(child) + "}");
    EXPECT_EQ(follower.status(), "died");
    put_content(folder.path() / "run.json", R"({"status":"failed"})");
    EXPECT_EQ(follower.status(), "failed");
    for (const char* text : {"", "[]", "{", R"({"status":3})", R"({"process":-1})"})
    {
        put_content(folder.path() / "run.json", text);
        EXPECT_EQ(follower.status(), "") << text;
    }
    put_content(folder.path() / "run.json", R"({"status":"running","process":99999999999999})");
    EXPECT_EQ(follower.status(), "died");
    put_content(
        folder.path() / "run.json",
        R"({"status":"running","process":99999999999999,"host":{"name":"no.host.of.ours"}})");
    EXPECT_EQ(follower.status(), "running") << "nobody here knows";
}

TEST(Follower, GivesUpOnAFileThatStaysUnreadable)
{
    const TemporaryFolder folder;
    put_content(folder.path() / "activity.h5.part", "nothing that anybody could read");
    Follower follower(folder.path());
    EXPECT_NO_THROW(static_cast<void>(follower.look()));
    EXPECT_THROW(
        {
            for (int i = 0; i < 100; ++i)
            {
                static_cast<void>(follower.look());
            }
        },
        InputError);
}

TEST(Validate, FindsFiguresThatContradictEachOther)
{
    const auto problem_of = [](const Summary& summary)
    {
        const TemporaryFolder folder;
        {
            ActivitySink sink;
            ActivityWriter writer(folder.path(), meta_of_two_units(ActivityLevel::unit));
            writer.connect(sink);
            sink.operations.append(operation(0, 0, 1000));
            writer.finish(summary);
        }
        try
        {
            validate(ResultReader(folder.path()));
        }
        catch (const InputError& error)
        {
            return error.place().pointer;
        }
        return std::string("nothing");
    };
    Summary right = test::summary_of_two_units(1000);
    right.operations = 1;
    right.crossbars = 1;
    EXPECT_EQ(problem_of(right), "nothing");
    Summary wrong = right;
    wrong.operations = 2;
    EXPECT_EQ(problem_of(wrong), "/@operations");
    wrong = right;
    wrong.crossbars = 2;
    EXPECT_EQ(problem_of(wrong), "/@crossbars");
    wrong = right;
    wrong.utilization = 1.5;
    EXPECT_EQ(problem_of(wrong), "/@utilization");
    wrong = right;
    wrong.utilization = -0.1;
    EXPECT_EQ(problem_of(wrong), "/@utilization");
    wrong = right;
    wrong.units[0].time[0] = ~Tick{0};
    EXPECT_EQ(problem_of(wrong), "/units");
    wrong = right;
    wrong.units[0].time[0] = 1;
    EXPECT_EQ(problem_of(wrong), "/units");
    wrong = right;
    wrong.layers[0].end = 1001;
    EXPECT_EQ(problem_of(wrong), "/layers");
}

/// A run that filled the disk can still say how it ended (a full disk:
/// tests/integration/disk_test.py).
TEST(ResultFolder, KeepsRoomForTheLastWordWhileItIsThere)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "r";
    {
        const ResultFolder results(path, false);
        EXPECT_GE(std::filesystem::file_size(path / ".run.json.reserve"), 65536U);
    }
    EXPECT_FALSE(std::filesystem::exists(path / ".run.json.reserve"));
}

/// Records three images of three operations, the last of which lacks one; those of image k begin
/// with one that reads padding, at 100 k.
void record_images(const std::filesystem::path& folder, const ImageMeta& images,
                   const std::vector<ImageRecord>& rows = {},
                   std::optional<Outcome> outcome = std::nullopt)
{
    ActivityMeta meta = meta_of_two_units(ActivityLevel::unit);
    meta.images = images;
    ActivitySink sink;
    ActivityWriter writer(folder, meta);
    writer.connect(sink);
    for (std::uint64_t i = 0; i < 8; ++i)
    {
        OpRecord record =
            operation(i, 100 * (i / 3) + 10 * (i % 3), 100 * (i / 3) + 10 * (i % 3) + 8);
        record.image = static_cast<std::uint32_t>(i / 3);
        record.padding = i % 3 == 0 ? 1 : 0;
        sink.operations.append(record);
    }
    OpRecord weights = operation(8, 5, 900, Cause::none, ~std::uint64_t{0}, 0,
                                 trace::OpKind::program, ~std::uint32_t{0});
    sink.operations.append(weights);
    for (const ImageRecord& row : rows)
    {
        sink.images.append(row);
    }
    if (outcome)
    {
        Summary summary = test::summary_of_two_units(900);
        summary.operations = 9;
        writer.finish(summary, *outcome);
    }
}

std::vector<ImageRecord> recovered_images(const std::filesystem::path& folder)
{
    static_cast<void>(recover_file(folder, folder / "copy.h5"));
    return ResultReader(folder / "copy.h5").read<ImageRecord>(0, 100);
}

void expect_images(const std::vector<ImageRecord>& images, const std::vector<Tick>& arrivals,
                   const std::vector<Tick>& starts, const std::vector<Tick>& ends)
{
    ASSERT_EQ(images.size(), starts.size());
    for (std::uint32_t i = 0; i < images.size(); ++i)
    {
        EXPECT_EQ(images[i].image, i);
        EXPECT_EQ(images[i].arrival, arrivals[i]) << i;
        EXPECT_EQ(images[i].start, starts[i]) << i;
        EXPECT_EQ(images[i].end, ends[i]) << i;
    }
}

TEST(RecoverFile, MakesTheImagesOfAKilledRunAgain)
{
    const TemporaryFolder folder;
    record_images(folder.path(), {"90 ps", 7, 3});
    const ResultReader killed(folder.path());
    EXPECT_EQ(killed.count<ImageRecord>(), 0U);
    expect_images(recovered_images(folder.path()), {0, 90, 180}, {10, 110, 210}, {28, 128, kNever});
    // The copy says of arrivals what the file did, and is read like any other.
    const ResultReader copy(folder.path() / "copy.h5");
    EXPECT_EQ(copy.header().images.arrivals, "90 ps");
    EXPECT_EQ(copy.header().images.seed, 7U);
    EXPECT_EQ(copy.header().images.operations, 0U); // its /images are there
    EXPECT_EQ(copy.header().summary.images.count, 2U);
    EXPECT_EQ(copy.header().summary.images.waiting.most, 20U);
    EXPECT_EQ(copy.header().summary.layers[0].start, 10U);
    validate(copy);
}

TEST(RecoverFile, DoesNotGuessWhichImagesHaveEnded)
{
    const TemporaryFolder folder;
    record_images(folder.path(), {});
    expect_images(recovered_images(folder.path()), {kNever, kNever, kNever}, {10, 110, 210},
                  {kNever, kNever, kNever});
}

TEST(RecoverFile, MakesImagesAgainThatAWholeFileHasLost)
{
    const TemporaryFolder folder;
    record_images(folder.path(), {}, {{kNever, 10, 28, 0, {}}}, Outcome::complete);
    overwrite(folder.path() / "activity.h5",
              place_of_chunk(folder.path() / "activity.h5", "/images", 0).first, 8);
    EXPECT_FALSE(check_file(folder.path()).losses.empty());
    expect_images(recovered_images(folder.path()), {kNever, kNever, kNever}, {10, 110, 210},
                  {28, 128, 218});
}

TEST(RecoverFile, KeepsTheImagesThatAreThere)
{
    // Of a run that was cut: a fourth one had arrived, the second has something left.
    const TemporaryFolder folder;
    const std::vector<ImageRecord> rows = {{0, 10, 28, 0, {}},
                                           {90, 110, kNever, 1, {}},
                                           {180, 210, kNever, 2, {}},
                                           {270, kNever, kNever, 3, {}}};
    record_images(folder.path(), {"90 ps", 1, 0}, rows, Outcome::cut);
    expect_images(recovered_images(folder.path()), {0, 90, 180, 270}, {10, 110, 210, kNever},
                  {28, kNever, kNever, kNever});
}

TEST(RecoverFile, RefusesArrivalsThatNoRunHas)
{
    const TemporaryFolder folder;
    record_images(folder.path(), {"sometimes", 1, 0});
    try
    {
        static_cast<void>(recovered_images(folder.path()));
        FAIL();
    }
    catch (const InputError& error)
    {
        EXPECT_EQ(error.place().pointer, "/meta@arrivals");
    }
}

} // namespace
} // namespace tessera::record
