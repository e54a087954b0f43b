// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/trace.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace tessera::trace
{

/// The fixed part of an operation in HDF5 and in queues. What varies in length follows as words of
/// 64 bits: in, after, to (node, uses << 32), then what `flags` says is there, in the order of its
/// bits: ofm (3 words of two bounds each), into, release, start, tensor, box (3 words), address,
/// arguments (a word with the position of the name in the function's list, a word with the value).
struct Row
{
    std::uint64_t id;
    std::uint64_t bytes;
    std::uint32_t n;
    std::uint32_t uses;
    std::uint32_t block; ///< ~0: none
    std::uint32_t layer; ///< ~0: none
    std::uint32_t image;
    std::uint16_t in;
    std::uint16_t after;
    std::uint16_t to;
    std::uint16_t function;
    std::uint8_t kind;
    std::uint8_t bits;
    std::uint8_t flags;
    std::uint8_t arguments;
};
static_assert(sizeof(Row) == 48);
inline constexpr std::size_t kRowWords = sizeof(Row) / sizeof(std::uint64_t);

/// Words that follow a row.
[[nodiscard]] std::size_t words_of(const Row& row);
/// Appends the words of a valid operation and returns its row. Throws Malformed for more than 255
/// arguments.
Row pack(const Operation& operation, std::vector<std::uint64_t>& words);
/// The operation of a row and its words, apart from the unit. Contents are as good as the row:
/// Malformed when it names a kind or an argument that does not exist.
void unpack(const Row& row, const std::uint64_t* words, Operation& operation);

/// One queue of words per unit in a common pool of blocks: memory follows what is queued.
class WordQueues
{
public:
    explicit WordQueues(std::size_t queues) : queues_(queues) {}
    [[nodiscard]] bool empty(std::size_t queue) const { return queues_[queue].size == 0; }
    void push(std::size_t queue, const std::uint64_t* words, std::size_t count);
    void pop(std::size_t queue, std::uint64_t* words, std::size_t count); ///< so many must be there

private:
    static constexpr std::size_t kBlockWords = 255;
    struct Block
    {
        std::array<std::uint64_t, kBlockWords> words;
        std::size_t next;
    };
    struct Queue
    {
        std::size_t size = 0;            ///< words
        std::size_t first = 0, last = 0; ///< blocks; meaningless when empty
        std::size_t begin = 0, end = 0;  ///< position in the first, behind the last word
    };
    std::size_t take_block();

    std::vector<std::unique_ptr<Block>> pool_;
    std::vector<std::size_t> free_;
    std::vector<Queue> queues_;
};

/// Measures the window of a sequence of operations.
class WindowMeter
{
public:
    explicit WindowMeter(std::size_t units) : latest_(units, 0) {}
    void add(UnitId unit)
    {
        ++line_;
        std::uint64_t& latest = latest_[unit.index()];
        window_ = line_ - latest > window_ ? line_ - latest : window_;
        latest = line_;
    }
    [[nodiscard]] std::uint64_t window() const { return window_; }

private:
    std::vector<std::uint64_t> latest_;
    std::uint64_t line_ = 0;
    std::uint64_t window_ = 0;
};

} // namespace tessera::trace
