// SPDX-License-Identifier: Apache-2.0
#include "record/store.h"

#include "record/superblock.h"
#include "record_fixture.h"
#include "tessera/error.h"
#include "unit/effort.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <set>
#include <vector>

namespace tessera::record
{
namespace
{

using test::content_of;
using test::TemporaryFolder;

constexpr hsize_t kChunk = 64;

h5::Handle make_dataset(hid_t file, const std::string& name)
{
    const h5::Lock lock;
    const hsize_t none = 0;
    const hsize_t unlimited = H5S_UNLIMITED;
    const h5::Handle space(H5Screate_simple(1, &none, &unlimited), H5Sclose, "size it");
    const h5::Handle list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "set it up");
    H5Pset_chunk(list.get(), 1, &kChunk);
    return {H5Dcreate2(file, name.c_str(), H5T_NATIVE_UINT64, space.get(), H5P_DEFAULT, list.get(),
                       H5P_DEFAULT),
            H5Dclose, "create it"};
}

/// Appends chunk number `chunk`, which holds the numbers of its elements.
void append(const h5::Handle& dataset, hsize_t chunk)
{
    const h5::Lock lock;
    std::vector<std::uint64_t> numbers(kChunk);
    for (hsize_t i = 0; i < kChunk; ++i)
    {
        numbers[i] = chunk * kChunk + i;
    }
    const hsize_t offset = chunk * kChunk;
    const hsize_t extent = offset + kChunk;
    h5::check(H5Dset_extent(dataset.get(), &extent), "extend it");
    h5::check(H5Dwrite_chunk(dataset.get(), H5P_DEFAULT, 0, &offset,
                             numbers.size() * sizeof numbers[0], numbers.data()),
              "write it");
}

void flush(const h5::Handle& file)
{
    const h5::Lock lock;
    h5::check(H5Fflush(file.get(), H5F_SCOPE_GLOBAL), "flush it");
}

/// Elements of a dataset, all of which must be their own numbers.
std::uint64_t elements(const std::filesystem::path& path, const std::string& name)
{
    const h5::Lock lock;
    const h5::Handle file = h5::open_file(path.string());
    const h5::Handle dataset = h5::open_dataset(file.get(), name);
    const std::uint64_t count = h5::length(dataset.get());
    std::vector<std::uint64_t> numbers(count);
    h5::read_range(dataset.get(), H5T_NATIVE_UINT64, 0, count, numbers.data());
    for (std::uint64_t i = 0; i < count; ++i)
    {
        if (numbers[i] != i)
        {
            ADD_FAILURE() << name << '/' << i << " is " << numbers[i];
            break;
        }
    }
    return count;
}

/// What a kill would leave is the file as it is now; a copy of it is what a reader gets.
class Snapshot
{
public:
    Snapshot(const std::filesystem::path& of, std::filesystem::path to) : path_(std::move(to))
    {
        test::put_content(path_, content_of(of));
    }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

class Stored : public testing::TestWithParam<store::Format>
{
};

TEST_P(Stored, IsAWholeFileAfterEveryStep)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.h5";
    h5::Handle file = store::create(path.string(), GetParam());
    const h5::Handle first = make_dataset(file.get(), "first");
    const h5::Handle second = make_dataset(file.get(), "second");
    const bool live = GetParam() == store::Format::live;
    if (live)
    {
        const h5::Lock lock;
        h5::check(H5Fstart_swmr_write(file.get()), "make it live");
    }
    flush(file);
    std::mt19937_64 random(1);
    hsize_t written = 0;
    hsize_t safe = 0;
    // Enough chunks for several levels of any index: nodes of a B-tree have up to 64.
    constexpr hsize_t chunks = std::max<hsize_t>(tessera::test::effort(300), 70);
    for (hsize_t chunk = 0; chunk < chunks; ++chunk)
    {
        append(first, chunk);
        append(second, chunk);
        ++written;
        if (random() % 5 == 0)
        {
            flush(file);
            safe = written;
        }
        const Snapshot now(path, folder.path() / "now.h5");
        for (const char* name : {"first", "second"})
        {
            const std::uint64_t found = elements(now.path(), name);
            ASSERT_GE(found, safe * kChunk);
            ASSERT_LE(found, written * kChunk);
            ASSERT_TRUE(live || found == safe * kChunk);
        }
    }
}

TEST_P(Stored, NeverSaysThatItIsBeingWritten)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.h5";
    {
        h5::Handle file = store::create(path.string(), GetParam());
        const h5::Handle dataset = make_dataset(file.get(), "d");
        if (GetParam() == store::Format::live)
        {
            const h5::Lock lock;
            h5::check(H5Fstart_swmr_write(file.get()), "make it live");
        }
        append(dataset, 0);
        flush(file);
        const std::string bytes = content_of(path);
        const auto* const block = reinterpret_cast<const std::byte*>(bytes.data());
        ASSERT_TRUE(superblock::known(block));
        EXPECT_EQ(superblock::flags(block), 0);
        EXPECT_LE(superblock::end_of_file(block), bytes.size());
    }
    EXPECT_EQ(elements(path, "d"), kChunk);
}

TEST_P(Stored, StaysAsItWasWhenAbandoned)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.h5";
    {
        h5::Handle file = store::create(path.string(), GetParam());
        const h5::Handle dataset = make_dataset(file.get(), "d");
        for (hsize_t chunk = 0; chunk < 10; ++chunk)
        {
            append(dataset, chunk);
        }
        flush(file);
        store::abandon(file.get());
        append(dataset, 10);
    }
    EXPECT_EQ(elements(path, "d"), 10 * kChunk);
}

INSTANTIATE_TEST_SUITE_P(InBothFormats, Stored,
                         testing::Values(store::Format::plain, store::Format::live));

TEST(Store, ChangesWhatIsThereOnlyWhenFlushed)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.h5";
    {
        const h5::Handle file = store::create(path.string(), store::Format::plain);
        const h5::Handle dataset = make_dataset(file.get(), "d");
        append(dataset, 0);
    }
    const h5::Handle file = store::reopen(path.string());
    const h5::Handle dataset = h5::open_dataset(file.get(), "d");
    const std::string before = content_of(path);
    append(dataset, 1);
    {
        // The library may write out whatever it likes: what was there stays.
        const h5::Lock lock;
        h5::check(H5Dflush(dataset.get()), "flush the dataset");
    }
    const Snapshot held(path, folder.path() / "held.h5");
    const std::uint64_t seen = elements(held.path(), "d");
    EXPECT_TRUE(seen == kChunk || seen == 2 * kChunk);
    flush(file);
    EXPECT_EQ(elements(path, "d"), 2 * kChunk);
    EXPECT_NE(content_of(path), before);
}

TEST(Store, KeepsMetadataWithinPages)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.h5";
    {
        const h5::Handle file = store::create(path.string(), store::Format::plain);
        for (int i = 0; i < 20; ++i)
        {
            const h5::Handle dataset = make_dataset(file.get(), "d" + std::to_string(i));
            for (hsize_t chunk = 0; chunk < 70; ++chunk)
            {
                append(dataset, chunk);
            }
        }
    }
    // Nodes of a chunk index have 24 bytes, and up to 64 entries of 24 + 8 bytes and one key more.
    constexpr std::size_t node = 24 + 64 * 32 + 24;
    const std::string bytes = content_of(path);
    std::size_t nodes = 0;
    for (std::size_t at = bytes.find("TREE"); at != std::string::npos;
         at = bytes.find("TREE", at + 1))
    {
        EXPECT_EQ(at / 4096, (at + node - 1) / 4096) << at;
        ++nodes;
    }
    EXPECT_GE(nodes, 40U);
}

TEST(Store, SaysWhyAFileCannotBeMade)
{
    try
    {
        static_cast<void>(store::create("/nonexistent/a.h5", store::Format::plain));
        FAIL();
    }
    catch (const IoError& error)
    {
        EXPECT_NE(std::string(error.what()).find("No such file"), std::string::npos)
            << error.what();
    }
}

TEST(Superblock, HasTheChecksumOfTheLibrary)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.h5";
    {
        const h5::Lock lock;
        h5::Output file(path);
        make_dataset(file.get(), "d");
        file.publish();
    }
    std::string bytes = content_of(path);
    auto* const block = reinterpret_cast<std::byte*>(bytes.data());
    ASSERT_TRUE(superblock::known(block));
    std::uint32_t stored = 0;
    std::memcpy(&stored, block + 44, sizeof stored);
    EXPECT_EQ(superblock::checksum(block, 44), stored);
    EXPECT_EQ(superblock::end_of_file(block), bytes.size());
    superblock::set_end_of_file(block, bytes.size() + 100);
    EXPECT_EQ(superblock::end_of_file(block), bytes.size() + 100);
    std::memcpy(&stored, block + 44, sizeof stored);
    EXPECT_EQ(superblock::checksum(block, 44), stored);
    block[0] ^= std::byte{1};
    EXPECT_FALSE(superblock::known(block));
}

TEST(Superblock, ChecksumOfEveryLength)
{
    // Published values of lookup3's hashlittle().
    const auto sum = [](const std::string& text)
    { return superblock::checksum(reinterpret_cast<const std::byte*>(text.data()), text.size()); };
    EXPECT_EQ(sum(""), 0xdeadbeefU);
    EXPECT_EQ(sum("Four score and seven years ago"), 0x17770551U);
    std::set<std::uint32_t> distinct;
    for (std::size_t length = 0; length <= 40; ++length)
    {
        distinct.insert(sum(std::string(length, 'x')));
    }
    EXPECT_EQ(distinct.size(), 41U);
}

} // namespace
} // namespace tessera::record
