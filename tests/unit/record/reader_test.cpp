// SPDX-License-Identifier: Apache-2.0
#include "record/reader.h"

#include "base/h5.h"
#include "record/critical_path.h"
#include "record/inspect.h"
#include "record/schema.h"
#include "record_fixture.h"
#include "tessera/error.h"
#include "unit/effort.h"

#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <random>

namespace tessera::record
{
namespace
{

using test::content_of;
using test::operation;
using test::put_content;
using test::TemporaryFolder;

/// A small complete result, to be damaged.
class Damaged : public testing::Test
{
protected:
    void SetUp() override
    {
        ActivitySink sink;
        ActivityWriter writer(folder_.path(), test::meta_of_two_units(ActivityLevel::stage));
        writer.connect(sink);
        for (std::uint64_t i = 0; i < 100; ++i)
        {
            sink.operations.append(
                operation(i, 10 * i, 10 * i + 10, i == 0 ? Cause::none : Cause::input, i - 1));
            IntervalRecord interval{};
            interval.end = i;
            sink.intervals.append(interval);
        }
        writer.finish(test::summary_of_two_units(1000));
        file_ = folder_.path() / "activity.h5";
    }

    /// Opens the file for writing and calls `change(file)`.
    void change(const std::function<void(hid_t)>& change)
    {
        const h5::Lock lock;
        const h5::Handle file(H5Fopen(file_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose, "open");
        change(file.get());
    }

    static void set_attribute(hid_t file, const std::string& name, std::uint64_t value)
    {
        H5Adelete(file, name.c_str());
        h5::set_attribute(file, name, value);
    }

    static void replace(hid_t file, const std::string& path, const h5::Handle& type,
                        std::uint64_t count)
    {
        H5Ldelete(file, path.c_str(), H5P_DEFAULT);
        const std::vector<char> zeros(H5Tget_size(type.get()) * count + 1, 0);
        h5::write_array(file, path, type.get(), count, zeros.data());
    }

    /// What the reader says against the file.
    std::string complaint()
    {
        try
        {
            const ResultReader reader(folder_.path());
            (void)overview(reader);
            reader.for_each<IntervalRecord>([](const IntervalRecord&) {});
        }
        catch (const InputError& error)
        {
            EXPECT_EQ(error.code(), ExitCode::bad_input);
            EXPECT_EQ(std::string(error.what()).find(file_.string()), 0U) << error.what();
            return error.what();
        }
        return "";
    }

    void expect_complaint(const std::string& place, const std::string& problem)
    {
        const std::string text = complaint();
        EXPECT_NE(text.find(place + ": "), std::string::npos) << text;
        EXPECT_NE(text.find(problem), std::string::npos) << text;
    }

    TemporaryFolder folder_;
    std::filesystem::path file_;
};

TEST_F(Damaged, NotAtAll)
{
    EXPECT_EQ(complaint(), "");
    const ResultReader reader(file_);
    EXPECT_EQ(reader.read<OpRecord>(99, 5).size(), 1U);
    EXPECT_EQ(reader.read<OpRecord>(100, 5).size(), 0U);
    EXPECT_EQ(reader.read<OpRecord>(~std::uint64_t{0}, ~std::uint64_t{0}).size(), 0U);
    EXPECT_EQ(reader.read<OpRecord>(98, ~std::uint64_t{0}).front().id, 98U);
    EXPECT_EQ(reader.unit_name(2), "-");
    EXPECT_EQ(reader.layer_name(~0U), "-");
}

TEST(ResultReader, ReportsWhatIsNotThere)
{
    const TemporaryFolder folder;
    EXPECT_THROW(ResultReader(folder.path() / "nothing.h5"), IoError);
    EXPECT_THROW(ResultReader(folder.path()), InputError);
    put_content(folder.path() / "activity.h5", "no HDF5");
    EXPECT_THROW(ResultReader(folder.path()), InputError);
    put_content(folder.path() / "activity.h5", "");
    EXPECT_THROW(ResultReader(folder.path()), InputError);
}

TEST_F(Damaged, ByMissingObjects)
{
    for (const char* path :
         {"/ops", "/deps", "/intervals", "/stalls", "/cycles", "/images", "/units", "/layers",
          "/buffers", "/noc/links", "/noc", "/meta/config", "/meta/trace_header", "/meta"})
    {
        const std::string good = content_of(file_);
        change([&](hid_t file) { H5Ldelete(file, path, H5P_DEFAULT); });
        EXPECT_NE(complaint().find("is missing"), std::string::npos) << path;
        put_content(file_, good);
    }
    for (const char* name : {"format", "format_version", "closed", "level", "span_ps", "operations",
                             "events", "crossbars", "utilization", "in_turns"})
    {
        const std::string good = content_of(file_);
        change([&](hid_t file) { H5Adelete(file, name); });
        expect_complaint(std::string("/@") + name, "is missing");
        put_content(file_, good);
    }
}

TEST_F(Damaged, ByObjectsOfAnotherType)
{
    const auto integers = [] { return h5::Handle(H5Tcopy(H5T_NATIVE_UINT64), H5Tclose, "copy"); };
    for (const char* path : {"/ops", "/deps", "/intervals", "/stalls", "/cycles", "/images",
                             "/units", "/layers", "/buffers"})
    {
        const std::string good = content_of(file_);
        change([&](hid_t file) { replace(file, path, integers(), 5); });
        expect_complaint(path, "does not hold compound records");
        change(
            [&](hid_t file)
            {
                H5Ldelete(file, path, H5P_DEFAULT);
                (void)h5::create_group(file, path);
            });
        EXPECT_NE(complaint(), "") << path;
        put_content(file_, good);
    }
    change([&](hid_t file) { replace(file, "/meta/config", integers(), 1); });
    expect_complaint("/meta/config", "is not a text");
}

TEST_F(Damaged, ByMembersOfAnotherType)
{
    for (const Field& field : layout_of<OpRecord>().fields)
    {
        const std::string good = content_of(file_);
        Layout layout = layout_of<OpRecord>();
        for (Field& changed : layout.fields)
        {
            if (changed.name == field.name)
            {
                changed.type = field.bytes() == 8            ? FieldType::f64
                               : field.type == FieldType::u8 ? FieldType::cause
                                                             : FieldType::u8;
            }
        }
        change([&](hid_t file) { replace(file, "/ops", layout.type(), 5); });
        expect_complaint("/ops", "member " + field.name + " has the wrong type");
        for (Field& changed : layout.fields)
        {
            changed = layout_of<OpRecord>().field(changed.name);
            if (changed.name == field.name)
            {
                changed.name = "other";
            }
        }
        change([&](hid_t file) { replace(file, "/ops", layout.type(), 5); });
        expect_complaint("/ops", "has no member " + field.name);
        put_content(file_, good);
    }
}

TEST_F(Damaged, ByAnExtentWithoutData)
{
    change(
        [](hid_t file)
        {
            const h5::Handle dataset = h5::open_dataset(file, "/ops");
            const hsize_t extent = hsize_t{1} << 50U;
            h5::check(H5Dset_extent(dataset.get(), &extent), "extend");
        });
    expect_complaint("/ops", "claims 1125899906842624 records");
}

TEST_F(Damaged, ByAHoleBetweenChunks)
{
    change(
        [](hid_t file)
        {
            const h5::Handle dataset = h5::open_dataset(file, "/ops");
            const hsize_t extent = kChunkRecords + 1;
            h5::check(H5Dset_extent(dataset.get(), &extent), "extend");
        });
    expect_complaint("/ops", "claims 4097 records and holds at most 4096");
}

TEST_F(Damaged, ByImpossibleAttributes)
{
    const std::string good = content_of(file_);
    change([](hid_t file) { set_attribute(file, "format_version", 1); });
    expect_complaint("/@format_version", "is 1, this version of tessera reads 2");
    put_content(file_, good);
    change([](hid_t file) { set_attribute(file, "crossbars", std::uint64_t{1} << 32U); });
    expect_complaint("/@crossbars", "too large");
    put_content(file_, good);
    change([](hid_t file) { set_attribute(file, "level", 1); });
    expect_complaint("/@level", "is not a text");
    put_content(file_, good);
    change([](hid_t file) { set_attribute(file, "utilization", 1); });
    expect_complaint("/@utilization", "has the wrong type");
    put_content(file_, good);
    change(
        [](hid_t file)
        {
            const hsize_t count = 1000;
            const h5::Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose, "size");
            H5Adelete(file, "span_ps");
            const h5::Handle attribute(H5Acreate2(file, "span_ps", H5T_NATIVE_UINT64, space.get(),
                                                  H5P_DEFAULT, H5P_DEFAULT),
                                       H5Aclose, "create");
        });
    expect_complaint("/@span_ps", "is not a single value");
    put_content(file_, good);
    change(
        [](hid_t file)
        {
            const h5::Handle meta = h5::open_group(file, "/meta");
            set_attribute(meta.get(), "reference_clock.denominator", 0);
        });
    EXPECT_NE(complaint().find("/meta"), std::string::npos);
}

TEST_F(Damaged, ByImpossibleRecords)
{
    const auto with = [&](const std::function<void(OpRecord&)>& spoil)
    {
        ActivitySink sink;
        std::filesystem::remove(file_);
        ActivityWriter writer(folder_.path(), test::meta_of_two_units(ActivityLevel::stage));
        writer.connect(sink);
        sink.operations.append(operation(0, 0, 10));
        OpRecord record = operation(1, 10, 1000, Cause::input, 0);
        spoil(record);
        sink.operations.append(record);
        writer.finish(test::summary_of_two_units(1000));
    };
    with([](OpRecord&) {});
    EXPECT_EQ(complaint(), "");
    with([](OpRecord& record) { record.kind = trace::kOpKinds; });
    expect_complaint("/ops[1]", "kind 6 is unknown");
    with([](OpRecord& record) { record.cause = 6; });
    expect_complaint("/ops[1]", "cause 6 is unknown");
    with([](OpRecord& record) { record.unit = 2; });
    expect_complaint("/ops[1]", "there is no unit 2");
    with([](OpRecord& record) { record.layer = 2; });
    expect_complaint("/ops[1]", "there is no layer 2");
    with([](OpRecord& record) { record.end = 9; });
    expect_complaint("/ops[1]", "contradict");
    with([](OpRecord& record) { record.wait = 991; });
    expect_complaint("/ops[1]", "contradict");
}

TEST_F(Damaged, ByACut)
{
    const std::string good = content_of(file_);
    for (std::size_t length = 0; length < good.size();
         length += good.size() / tessera::test::effort(std::size_t{120}) + 1)
    {
        put_content(file_, good.substr(0, length));
        EXPECT_NE(complaint(), "") << "cut to " << length << " bytes";
    }
}

TEST_F(Damaged, ByFlippedBitsInTheData)
{
    // The compressed chunk of /ops: it is complained about, or read as it was.
    hsize_t offset = 0;
    hsize_t size = 0;
    change(
        [&](hid_t file)
        {
            const h5::Handle dataset = h5::open_dataset(file, "/ops");
            const h5::Handle space(H5Dget_space(dataset.get()), H5Sclose, "size");
            unsigned filters = 0;
            haddr_t address = 0;
            h5::check(H5Dget_chunk_info(dataset.get(), space.get(), 0, &offset, &filters, &address,
                                        &size),
                      "find a chunk");
            offset = address;
        });
    const std::string good = content_of(file_);
    const std::vector<OpRecord> expected = ResultReader(file_).read<OpRecord>(0, 100);
    std::mt19937_64 random(5);
    constexpr unsigned flips = tessera::test::effort(200U);
    unsigned complaints = 0;
    for (unsigned i = 0; i < flips; ++i)
    {
        std::string bad = good;
        bad[offset + random() % size] ^= static_cast<char>(1U << (random() % 8));
        put_content(file_, bad);
        if (!complaint().empty())
        {
            ++complaints;
            continue;
        }
        // A flip may turn a run of zeros into the same run said otherwise.
        const std::vector<OpRecord> found = ResultReader(file_).read<OpRecord>(0, 100);
        EXPECT_EQ(std::memcmp(found.data(), expected.data(), 100 * sizeof(OpRecord)), 0);
    }
    EXPECT_GT(complaints, flips / 10);
}

} // namespace
} // namespace tessera::record
