// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/ids.h"

#include <tsl/robin_map.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace tessera::chip
{

/// Operation ids are consecutive and keys hold a node in their low bits: std::hash, the identity,
/// would send them all to the same few buckets.
struct MixedHash
{
    std::size_t operator()(std::uint64_t key) const noexcept
    {
        key ^= key >> 32U;
        key *= 0x9E3779B97F4A7C15ULL;
        return key ^ (key >> 29U);
    }
};

/// Which operations have ended. One bit each while their neighbours are still running; nothing for
/// the finished past, so that memory follows what is in flight and not the length of the trace.
class CompletedOperations
{
public:
    void insert(OpId id)
    {
        const std::uint64_t chunk = id.value() / kChunk;
        chunks_[chunk][(id.value() % kChunk) / 64] |= std::uint64_t{1} << (id.value() % 64);
        for (auto found = chunks_.find(first_); found != chunks_.end() && full(found->second);
             found = chunks_.find(first_))
        {
            chunks_.erase(found);
            ++first_;
        }
    }
    [[nodiscard]] bool contains(OpId id) const
    {
        const std::uint64_t chunk = id.value() / kChunk;
        if (chunk < first_)
        {
            return true;
        }
        const auto found = chunks_.find(chunk);
        return found != chunks_.end() &&
               (found->second[(id.value() % kChunk) / 64] >> (id.value() % 64) & 1U) != 0;
    }

private:
    static constexpr std::uint64_t kChunk = 512;
    using Words = std::array<std::uint64_t, kChunk / 64>;
    [[nodiscard]] static bool full(const Words& words)
    {
        return std::all_of(words.begin(), words.end(),
                           [](std::uint64_t word) { return word == ~std::uint64_t{0}; });
    }

    tsl::robin_map<std::uint64_t, Words, MixedHash> chunks_;
    std::uint64_t first_ = 0; ///< chunks before this one have all ended
};

} // namespace tessera::chip
