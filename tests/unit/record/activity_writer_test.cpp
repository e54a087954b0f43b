// SPDX-License-Identifier: Apache-2.0
#include "record/activity_writer.h"

#include "base/h5.h"
#include "record/reader.h"
#include "record/schema.h"
#include "record_fixture.h"
#include "tessera/error.h"

#include <csignal>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <sys/resource.h>
#include <sys/wait.h>

namespace tessera::record
{
namespace
{

using test::content_of;
using test::meta_of_two_units;
using test::operation;
using test::summary_of_two_units;
using test::TemporaryFolder;

/// Fills all streams with pseudo-random records, `count` operations and others in proportion.
class Recording
{
public:
    explicit Recording(std::uint64_t seed) : random_(seed) {}

    void append(ActivitySink& sink, std::size_t count)
    {
        for (std::size_t i = 0; i < count; ++i)
        {
            OpRecord op = operation(i, random_() >> 1U, 0);
            op.end = op.start + random_() % 1000;
            op.because = random_();
            op.image = static_cast<std::uint32_t>(i % 7);
            operations.push_back(op);
            sink.operations.append(op);
            DependencyRecord dependency{};
            dependency.operation = i;
            dependency.on = random_();
            dependency.order_only = static_cast<std::uint8_t>(i % 2);
            dependency.reserved[3] = static_cast<std::uint8_t>(i);
            dependencies.push_back(dependency);
            sink.dependencies.append(dependency);
            if (i % 2 == 0)
            {
                IntervalRecord interval{};
                interval.operation = i;
                interval.begin = i;
                interval.end = i + random_() % 50;
                interval.period = random_();
                interval.count = static_cast<std::uint32_t>(i);
                interval.stage = static_cast<std::uint8_t>(i % kStages);
                intervals.push_back(interval);
                sink.intervals.append(interval);
            }
            if (i % 3 == 0)
            {
                StallRecord stall{};
                stall.operation = i;
                stall.begin = i;
                stall.end = i + 1;
                stall.unit = 1;
                stall.stage = static_cast<std::uint8_t>(Stage::wait_space);
                stalls.push_back(stall);
                sink.stalls.append(stall);
            }
            if (i % 5 == 0)
            {
                cycles.push_back({i, i / 2, 1, 2, 3, 4});
                sink.cycles.append(cycles.back());
            }
            if (i % 7 == 0)
            {
                images.push_back({i, i + 1, i + 2, static_cast<std::uint32_t>(i), {}});
                sink.images.append(images.back());
            }
        }
    }

    std::vector<OpRecord> operations;
    std::vector<DependencyRecord> dependencies;
    std::vector<IntervalRecord> intervals;
    std::vector<StallRecord> stalls;
    std::vector<CycleRecord> cycles;
    std::vector<ImageRecord> images;

private:
    std::mt19937_64 random_;
};

void write(const std::filesystem::path& folder, std::size_t count,
           ActivityLevel level = ActivityLevel::stage)
{
    ActivitySink sink;
    ActivityWriter writer(folder, meta_of_two_units(level));
    writer.connect(sink);
    Recording(1).append(sink, count);
    writer.finish(summary_of_two_units(1000));
}

/// Everything that a member covers is as it was; everything else is zero.
template <class Record>
void expect_same(const ResultReader& reader, const std::vector<Record>& expected)
{
    ASSERT_EQ(reader.count<Record>(), expected.size());
    std::size_t i = 0;
    reader.for_each<Record>(
        [&](const Record& found)
        {
            const Layout& layout = layout_of<Record>();
            std::vector<char> bytes(sizeof(Record), 0);
            for (const Field& field : layout.fields)
            {
                std::memcpy(bytes.data() + field.offset,
                            reinterpret_cast<const char*>(&expected[i]) + field.offset,
                            field.bytes());
            }
            ASSERT_EQ(std::memcmp(bytes.data(), &found, sizeof(Record)), 0)
                << layout.path << " record " << i;
            ++i;
        });
}

class WrittenRecords : public testing::TestWithParam<std::size_t>
{
};

TEST_P(WrittenRecords, AreReadBack)
{
    const TemporaryFolder folder;
    Recording recording(GetParam());
    {
        ActivitySink sink;
        ActivityWriter writer(folder.path(), meta_of_two_units(ActivityLevel::stage));
        writer.connect(sink);
        recording.append(sink, GetParam());
        writer.finish(summary_of_two_units(1000));
        EXPECT_FALSE(sink.operations.enabled());
    }
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "activity.h5.part"));
    const ResultReader reader(folder.path());
    EXPECT_TRUE(reader.header().closed);
    expect_same(reader, recording.operations);
    expect_same(reader, recording.dependencies);
    expect_same(reader, recording.intervals);
    expect_same(reader, recording.stalls);
    expect_same(reader, recording.cycles);
    expect_same(reader, recording.images);
}

INSTANTIATE_TEST_SUITE_P(AroundChunks, WrittenRecords,
                         testing::Values(0, 1, kChunkRecords - 1, kChunkRecords, kChunkRecords + 1,
                                         2 * kChunkRecords, 5 * kChunkRecords - 1,
                                         6 * kChunkRecords + 1, 100'003));

TEST(ActivityWriter, KeepsHeaderAndSummaries)
{
    const TemporaryFolder folder;
    write(folder.path(), 3);
    const ResultReader reader(folder.path() / "activity.h5");
    const ResultHeader& header = reader.header();
    const Summary expected = summary_of_two_units(1000);
    EXPECT_EQ(header.level, ActivityLevel::stage);
    EXPECT_EQ(header.config, R"({"name":"test"})");
    EXPECT_EQ(header.trace_header, R"({"format":"tessera-trace"})");
    EXPECT_EQ(header.reference_clock, Clock(3125, 4));
    EXPECT_EQ(header.summary.span, 1000U);
    EXPECT_EQ(header.summary.operations, 7U);
    EXPECT_EQ(header.summary.events, 99U);
    EXPECT_EQ(header.summary.crossbars, 2U);
    EXPECT_EQ(header.summary.utilization, 0.625);
    ASSERT_EQ(header.summary.units.size(), 2U);
    EXPECT_EQ(header.summary.units[0].name, "t0.m0");
    EXPECT_EQ(header.summary.units[0].vectors, 40U);
    EXPECT_EQ(header.summary.units[0].time, expected.units[0].time);
    EXPECT_EQ(header.summary.units[1].kind, trace::UnitKind::vector_unit);
    EXPECT_EQ(header.summary.units[1].time, expected.units[1].time);
    ASSERT_EQ(header.summary.buffers.size(), 2U);
    EXPECT_EQ(header.summary.buffers[0].peak, 1024U);
    EXPECT_EQ(header.summary.buffers[0].mean, 12.5);
    EXPECT_EQ(header.summary.buffers[1].capacity, ~std::uint64_t{0});
    ASSERT_EQ(header.summary.links.size(), 2U);
    EXPECT_EQ(header.summary.links[1].name, "t1->t0");
    EXPECT_EQ(header.summary.links[1].busy, 2000U);
    ASSERT_EQ(header.summary.layers.size(), 2U);
    EXPECT_EQ(header.summary.layers[0].moved_bytes, 64U);
    EXPECT_EQ(header.summary.layers[0].macro_time, 500U);
    EXPECT_EQ(header.summary.layers[1].name, "fc");
    EXPECT_EQ(header.summary.layers[1].start, kNever);
}

TEST(ActivityWriter, RecordsOnlyWhatTheLevelNeeds)
{
    const TemporaryFolder folder;
    {
        ActivitySink sink;
        ActivityWriter writer(folder.path(), meta_of_two_units(ActivityLevel::unit));
        writer.connect(sink);
        EXPECT_TRUE(sink.at(ActivityLevel::unit));
        EXPECT_FALSE(sink.at(ActivityLevel::stage));
        EXPECT_TRUE(sink.cycles.enabled());
        EXPECT_FALSE(sink.intervals.enabled());
        EXPECT_FALSE(sink.stalls.enabled());
        Recording(1).append(sink, 10);
        writer.finish(summary_of_two_units());
    }
    const ResultReader reader(folder.path());
    EXPECT_EQ(reader.count<OpRecord>(), 10U);
    EXPECT_EQ(reader.count<IntervalRecord>(), 0U);
    const h5::Lock lock;
    const h5::Handle file = h5::open_file(reader.path());
    EXPECT_FALSE(h5::exists(file.get(), "intervals"));
}

TEST(ActivityWriter, OfLevelOffHoldsTheSummary)
{
    const TemporaryFolder folder;
    write(folder.path(), 10, ActivityLevel::off);
    const ResultReader reader(folder.path());
    EXPECT_EQ(reader.count<OpRecord>(), 0U);
    EXPECT_EQ(reader.header().summary.span, 1000U);
}

TEST(ActivityWriter, WritesTheSameBytesAgain)
{
    const TemporaryFolder first;
    const TemporaryFolder second;
    write(first.path(), 80 * kChunkRecords + 77);
    // Object headers hold seconds, if any.
    usleep(1'100'000);
    write(second.path(), 80 * kChunkRecords + 77);
    const std::string bytes = content_of(first.path() / "activity.h5");
    EXPECT_GT(bytes.size(), 10'000U);
    EXPECT_TRUE(bytes == content_of(second.path() / "activity.h5"));
}

TEST(ActivityWriter, CountsARecordThatIsHandedOverEarlyOnce)
{
    const TemporaryFolder folder;
    std::vector<OpRecord> expected;
    {
        ActivitySink sink;
        ActivityWriter writer(folder.path(), meta_of_two_units(ActivityLevel::unit));
        writer.connect(sink);
        for (std::uint64_t i = 0; i < 2 * kChunkRecords; ++i)
        {
            expected.push_back(operation(i, i, i + 1));
            sink.operations.append(expected.back());
            if (i % 5000 == 0 || i == kChunkRecords - 1)
            {
                sink.operations.finish();
                sink.operations.finish();
            }
        }
        writer.finish(summary_of_two_units());
    }
    expect_same(ResultReader(folder.path()), expected);
}

TEST(ActivityWriter, WithoutFinishLeavesAReadablePart)
{
    const TemporaryFolder folder;
    Recording recording(3);
    {
        ActivitySink sink;
        ActivityWriter writer(folder.path(), meta_of_two_units(ActivityLevel::unit));
        writer.connect(sink);
        recording.append(sink, kChunkRecords + 5);
    }
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "activity.h5"));
    const ResultReader reader(folder.path());
    EXPECT_FALSE(reader.header().closed);
    EXPECT_EQ(reader.unit_name(1), "t0.vec");
    EXPECT_EQ(reader.layer_name(1), "fc");
    expect_same(reader, recording.operations);
}

TEST(ActivityWriter, OfAnInterruptedRunLeavesAPartWithSummaries)
{
    const TemporaryFolder folder;
    {
        ActivitySink sink;
        ActivityWriter writer(folder.path(), meta_of_two_units(ActivityLevel::unit));
        writer.connect(sink);
        writer.finish(summary_of_two_units(500), Outcome::interrupted);
    }
    const ResultReader reader(folder.path() / "activity.h5.part");
    EXPECT_FALSE(reader.header().closed);
    EXPECT_EQ(reader.header().summary.span, 500U);
}

TEST(ActivityWriter, RefusesASummaryOfSomethingElse)
{
    const TemporaryFolder folder;
    ActivityWriter writer(folder.path(), meta_of_two_units(ActivityLevel::unit));
    Summary summary = summary_of_two_units();
    summary.units.pop_back();
    EXPECT_THROW(writer.finish(summary), std::logic_error);
}

TEST(ActivityWriter, ReportsAFolderThatIsNotThere)
{
    EXPECT_THROW(ActivityWriter("/nonexistent/folder", meta_of_two_units(ActivityLevel::unit)),
                 IoError);
}

TEST(ActivityWriter, LosesNothingThatWasFlushedWhenKilled)
{
    for (const std::uint64_t chunks : {kFlushChunks, kFlushChunks + 1, 4 * kFlushChunks - 1})
    {
        const TemporaryFolder folder;
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0)
        {
            ActivitySink sink;
            ActivityWriter writer(folder.path(), meta_of_two_units(ActivityLevel::unit));
            writer.connect(sink);
            for (std::uint64_t i = 0; i < chunks * kChunkRecords; ++i)
            {
                sink.operations.append(operation(i, i, i + 1));
            }
            sink.operations.finish();
            while (writer.flushed_chunks() < chunks / kFlushChunks * kFlushChunks)
            {
                usleep(1000);
            }
            raise(SIGKILL);
        }
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status));
        const ResultReader reader(folder.path());
        EXPECT_FALSE(reader.header().closed);
        ASSERT_GE(reader.count<OpRecord>(), chunks / kFlushChunks * kFlushChunks * kChunkRecords);
        std::uint64_t expected = 0;
        for (const OpRecord& record :
             reader.read<OpRecord>(0, chunks / kFlushChunks * kFlushChunks * kChunkRecords))
        {
            ASSERT_EQ(record.id, expected++);
        }
    }
}

/// Exit code of a child that records into a file that may not grow beyond `limit` bytes.
int record_with_limit(const std::filesystem::path& folder, rlim_t limit, std::size_t count)
{
    const pid_t child = fork();
    if (child == 0)
    {
        signal(SIGXFSZ, SIG_IGN);
        const rlimit limits = {limit, limit};
        setrlimit(RLIMIT_FSIZE, &limits);
        try
        {
            write(folder, count);
        }
        catch (const IoError&)
        {
            _exit(5);
        }
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ActivityWriter, ReportsAFullDisk)
{
    const TemporaryFolder folder;
    // Room for the beginning, for many chunks but not all, for all but the end.
    EXPECT_EQ(record_with_limit(folder.path(), 1000, 10), 5);
    EXPECT_EQ(record_with_limit(folder.path(), 10'000'000, 240 * kChunkRecords), 5);
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "activity.h5"));
    {
        // What had been flushed is still there.
        const ResultReader reader(folder.path());
        ASSERT_GT(reader.count<OpRecord>(), 0U);
        std::uint64_t expected = 0;
        reader.for_each<OpRecord>([&](const OpRecord& record)
                                  { ASSERT_EQ(record.id, expected++); });
    }
    write(folder.path(), 1000);
    const auto needed = std::filesystem::file_size(folder.path() / "activity.h5");
    std::filesystem::remove(folder.path() / "activity.h5");
    EXPECT_EQ(record_with_limit(folder.path(), needed - 1, 1000), 5);
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "activity.h5"));
    EXPECT_EQ(record_with_limit(folder.path(), needed + 4096, 1000), 0);
    EXPECT_TRUE(ResultReader(folder.path()).header().closed);
}

TEST(ActivityWriter, BringsTheFailureToTheSimulation)
{
    const TemporaryFolder folder;
    const pid_t child = fork();
    if (child == 0)
    {
        signal(SIGXFSZ, SIG_IGN);
        const rlimit limits = {200'000, 200'000};
        setrlimit(RLIMIT_FSIZE, &limits);
        ActivitySink sink;
        ActivityWriter writer(folder.path(), meta_of_two_units(ActivityLevel::unit));
        writer.connect(sink);
        try
        {
            std::mt19937_64 random(1);
            for (;;) // only an error ends it
            {
                OpRecord record = operation(random(), random(), random());
                sink.operations.append(record);
            }
        }
        catch (const IoError&)
        {
            _exit(5);
        }
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}

} // namespace
} // namespace tessera::record
