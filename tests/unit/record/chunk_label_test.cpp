// SPDX-License-Identifier: Apache-2.0
#include "record/chunk_label.h"

#include "record/deflate.h"
#include "record_fixture.h"
#include "tessera/error.h"

#include <cstring>
#include <gtest/gtest.h>
#include <random>

namespace tessera::record
{
namespace
{

using test::put_content;
using test::TemporaryFolder;

constexpr std::uint64_t kAddress = 0x123456789abc;

std::string as_text(const ChunkLabel::Bytes& bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A labelled chunk as it lies in a file at `address`.
std::string labelled(std::uint8_t stream, std::uint32_t number, const std::string& chunk,
                     std::size_t address)
{
    const auto* const bytes = reinterpret_cast<const std::byte*>(chunk.data());
    const auto size = static_cast<std::uint32_t>(chunk.size());
    const ChunkLabel label{stream, number, size, crc32_of(bytes, size)};
    return as_text(label.encoded(address)) + chunk;
}

TEST(ChunkLabel, IsDecodedWhereItWasEncodedFor)
{
    const ChunkLabel label{4, 0xfffffffe, 0x89434b, 0xdeadbeef};
    const ChunkLabel::Bytes bytes = label.encoded(kAddress);
    const auto found = ChunkLabel::decoded(bytes, kAddress);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->stream, label.stream);
    EXPECT_EQ(found->number, label.number);
    EXPECT_EQ(found->size, label.size);
    EXPECT_EQ(found->checksum, label.checksum);
    EXPECT_FALSE(ChunkLabel::decoded(bytes, kAddress + 1).has_value());
}

TEST(ChunkLabel, WithAnyBitWrongIsNone)
{
    const ChunkLabel::Bytes bytes = ChunkLabel{1, 2, 3, 4}.encoded(kAddress);
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit)
    {
        ChunkLabel::Bytes wrong = bytes;
        wrong[bit / 8] ^= std::byte{1} << bit % 8;
        EXPECT_FALSE(ChunkLabel::decoded(wrong, kAddress).has_value()) << bit;
    }
}

TEST(LabelledChunks, AreFoundBetweenWhateverElseThereIs)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "file";
    std::mt19937_64 random(1);
    std::string content;
    std::map<std::uint32_t, LabelledChunk> expected;
    for (std::uint32_t number = 0; number < 200; ++number)
    {
        // Signatures that begin no label, too, and gaps longer than what is read at a time.
        std::string gap(random() % (number % 50 == 0 ? 100'000 : 300), '\x89');
        for (char& character : gap)
        {
            character = random() % 4 == 0 ? "\x89"
                                            "CK"[random() % 3]
                                          : static_cast<char>(random());
        }
        content += gap;
        const std::string chunk(random() % 5000, static_cast<char>(random()));
        content += labelled(3, number, chunk, content.size());
        expected[number].address = content.size() - chunk.size();
        expected[number].size = static_cast<std::uint32_t>(chunk.size());
    }
    put_content(path, content);
    const auto found = labelled_chunks(path);
    ASSERT_EQ(found.size(), 1U);
    ASSERT_EQ(found.at(3).size(), expected.size());
    for (const auto& [number, chunk] : expected)
    {
        EXPECT_EQ(found.at(3).at(number).address, chunk.address);
        EXPECT_EQ(found.at(3).at(number).size, chunk.size);
    }
}

/// A file that ends with a chunk, or a byte before its end.
TEST(LabelledChunks, LieInTheFileAsAWhole)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "file";
    const std::string content = labelled(0, 7, "some bytes", 0);
    for (std::size_t length = 0; length <= content.size(); ++length)
    {
        put_content(path, content.substr(0, length));
        EXPECT_EQ(labelled_chunks(path).size(), length == content.size() ? 1U : 0U) << length;
    }
    EXPECT_THROW(static_cast<void>(labelled_chunks(folder.path() / "none")), IoError);
}

/// A label may lie across the end of what is read at a time: 4096 bytes first.
TEST(LabelledChunks, AreFoundWhereverTheyBegin)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "file";
    for (std::size_t before = 4070; before <= 4100; ++before)
    {
        const std::string gap(before, 'x');
        put_content(path, gap + labelled(2, 1, "some bytes", before) + gap);
        const auto found = labelled_chunks(path);
        ASSERT_EQ(found.count(2), 1U) << before;
        EXPECT_EQ(found.at(2).at(1).address, before + ChunkLabel::kBytes);
    }
}

} // namespace
} // namespace tessera::record
