// SPDX-License-Identifier: Apache-2.0
#include "chip/dram.h"

#include "tessera/error.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace tessera::chip
{
namespace
{

/// One channel, 1 byte a nanosecond, no latency.
config::ChipConfig::Memory plain()
{
    config::ChipConfig::Memory memory;
    memory.channels = 1;
    memory.bytes_per_second = 1'000'000'000;
    memory.latency = {};
    memory.row_bytes = 1024;
    memory.row_miss = Duration::of_ticks(50'000);
    memory.interleave = 256;
    memory.capacity = 1U << 20U;
    return memory;
}

Dram dram(const config::ChipConfig::Memory& memory)
{
    return Dram(memory, Clock(1000));
}

TEST(Dram, OpensARowAndStreamsTheBytes)
{
    Dram memory = dram(plain());
    const Dram::Access first = memory.access(100, 0, 10, false);
    EXPECT_EQ(first.start, 100U);
    EXPECT_EQ(first.end, 100U + 50'000 + 10'000);
    // Same row, open by now: only the bytes.
    EXPECT_EQ(memory.access(first.end, 1023, 1, true).end, first.end + 1000);
    // One byte further is the next row.
    EXPECT_EQ(memory.access(200'000, 1024, 1, false).end, 200'000U + 50'000 + 1000);
    // Back again: the row is no longer open.
    EXPECT_EQ(memory.access(300'000, 1023, 1, false).end, 300'000U + 50'000 + 1000);
    EXPECT_EQ(memory.totals().read_bytes, 12U);
    EXPECT_EQ(memory.totals().written_bytes, 1U);
    EXPECT_EQ(memory.totals().row_misses, 3U);
    EXPECT_EQ(memory.totals().busy, 3 * 50'000U + 13'000U);
}

TEST(Dram, EveryRowTouchedIsOpened)
{
    EXPECT_EQ(dram(plain()).access(0, 0, 1024, false).end, 50'000U + 1'024'000);
    EXPECT_EQ(dram(plain()).access(0, 0, 1025, false).end, 2 * 50'000U + 1'025'000);
    EXPECT_EQ(dram(plain()).access(0, 1023, 2, false).end, 2 * 50'000U + 2000);
    EXPECT_EQ(dram(plain()).access(0, 0, 1U << 20U, false).end,
              1024 * 50'000ULL + (1ULL << 20U) * 1000);
}

TEST(Dram, AccessesQueueInTheOrderOfCalls)
{
    Dram memory = dram(plain());
    EXPECT_EQ(memory.access(0, 0, 100, false).end, 150'000U);
    const Dram::Access second = memory.access(149'999, 100, 100, false);
    EXPECT_EQ(second.start, 150'000U);
    EXPECT_EQ(second.end, 250'000U);
    EXPECT_EQ(memory.unloaded(100, 100), 100'000U); // the row is open, nothing else counts
    const Dram::Access third = memory.access(250'000, 0, 1, false);
    EXPECT_EQ(third.start, 250'000U);
}

TEST(Dram, ChannelsTakeTurnsAndWorkAtOnce)
{
    config::ChipConfig::Memory config = plain();
    config.channels = 4;
    // 256 bytes stay in one channel, the 257th is the next one's.
    EXPECT_EQ(dram(config).access(0, 0, 256, false).end, 50'000U + 256'000);
    EXPECT_EQ(dram(config).access(0, 0, 257, false).end, 50'000U + 256'000);
    EXPECT_EQ(dram(config).access(0, 255, 2, false).end, 50'000U + 1000);
    EXPECT_EQ(dram(config).access(0, 0, 1024, false).end, 50'000U + 256'000);
    EXPECT_EQ(dram(config).access(0, 0, 1025, false).end, 50'000U + 257'000);
    // A row of a channel is 4 pieces: 4096 bytes fill one row of each.
    EXPECT_EQ(dram(config).access(0, 0, 4096, false).end, 50'000U + 1'024'000);
    EXPECT_EQ(dram(config).access(0, 0, 4097, false).end, 2 * 50'000U + 1'025'000);

    Dram memory = dram(config);
    (void)memory.access(0, 0, 256, false);                            // channel 0
    EXPECT_EQ(memory.access(0, 256, 256, false).end, 306'000U);       // channel 1: at once
    const Dram::Access both = memory.access(0, 512 + 255, 258, true); // channels 2, 3, 0
    EXPECT_EQ(both.start, 0U);
    EXPECT_EQ(both.end, 306'000U + 1000); // the row of channel 0 is open
}

TEST(Dram, BytesTakeExactTimeRoundedUp)
{
    config::ChipConfig::Memory config = plain();
    config.row_miss = {};
    config.bytes_per_second = 12'800'000'000; // 78.125 ps
    EXPECT_EQ(dram(config).access(0, 0, 1, false).end, 79U);
    EXPECT_EQ(dram(config).access(0, 0, 7, false).end, 547U);
    EXPECT_EQ(dram(config).access(0, 0, 8, false).end, 625U);
    EXPECT_EQ(dram(config).access(0, 0, 9, false).end, 704U);
    config.bytes_per_second = 3; // no overflow on the way
    EXPECT_EQ(dram(config).access(0, 0, 1'000'000, false).end, 333'333'333'333'333'334U);
}

TEST(Dram, LatencyIsAddedOnceAtTheEnd)
{
    config::ChipConfig::Memory config = plain();
    config.latency = Duration::of_ticks(30'000);
    Dram memory = dram(config);
    EXPECT_EQ(memory.access(0, 0, 2000, false).end, 2 * 50'000U + 2'000'000 + 30'000);
    // The channel is free before the latency has passed.
    EXPECT_EQ(memory.access(0, 2000, 1, false).start, 2'100'000U);

    config.latency = Duration::of_cycles(3); // from an edge of the clock
    config.row_miss = Duration::of_cycles(7);
    config.bytes_per_second = 1'000'000'000'000;
    EXPECT_EQ(dram(config).access(0, 0, 1, false).end, 11'000U); // 7001 -> 8000 + 3000
    EXPECT_EQ(dram(config).unloaded(0, 1), 11'000U);
    EXPECT_EQ(dram(config).unloaded(0, 1, 999), 8000U + 3000 - 999);
}

TEST(Dram, UnlimitedChannelsAndNoBytesTakeNoTime)
{
    config::ChipConfig::Memory config = plain();
    config.latency = Duration::of_ticks(30'000);
    EXPECT_EQ(dram(config).access(5, 0, 0, false).end, 5U);
    EXPECT_EQ(dram(config).unloaded(0, 0), 0U);
    config.channels = config::kUnlimited;
    EXPECT_EQ(dram(config).access(5, 0, 1U << 20U, false).end, 5U);
    EXPECT_EQ(dram(config).unloaded(0, 1U << 20U), 0U);
}

TEST(Dram, BeyondTheCapacityIsAnInputError)
{
    Dram memory = dram(plain());
    EXPECT_NO_THROW((void)memory.access(0, (1U << 20U) - 1, 1, false));
    EXPECT_THROW((void)memory.access(0, 1U << 20U, 1, false), InputError);
    EXPECT_THROW((void)memory.access(0, 0, (1U << 20U) + 1, false), InputError);
    EXPECT_THROW((void)memory.access(0, ~std::uint64_t{0}, 2, false), InputError);
    EXPECT_THROW((void)memory.unloaded(1U << 20U, 1), InputError);
}

TEST(Dram, ConfigurationsThatCannotBeBuiltAreInputErrors)
{
    const auto rejected = [](auto change)
    {
        config::ChipConfig::Memory config = plain();
        change(config);
        EXPECT_THROW((void)dram(config), InputError);
    };
    rejected([](auto& m) { m.channels = 0; });
    rejected([](auto& m) { m.channels = 65'537; });
    rejected([](auto& m) { m.bytes_per_second = 0; });
    rejected([](auto& m) { m.row_bytes = 0; });
    rejected([](auto& m) { m.interleave = 0; });
}

/// The definition, byte by byte.
class ByteByByte
{
public:
    explicit ByteByByte(const config::ChipConfig::Memory& config) : config_(config) {}

    Tick end(Tick now, std::uint64_t address, std::uint64_t bytes)
    {
        std::map<std::uint64_t, std::uint64_t> moved;
        std::map<std::uint64_t, std::uint64_t> misses;
        for (std::uint64_t byte = address; byte < address + bytes; ++byte)
        {
            const std::uint64_t piece = byte / config_.interleave;
            const std::uint64_t channel = piece % config_.channels;
            const std::uint64_t row =
                (piece / config_.channels * config_.interleave + byte % config_.interleave) /
                config_.row_bytes;
            ++moved[channel];
            const auto open = open_.find(channel);
            misses[channel] += open == open_.end() || open->second != row ? 1 : 0;
            open_[channel] = row;
        }
        Tick last = now;
        for (const auto& [channel, count] : moved)
        {
            free_[channel] = std::max(now, free_[channel]) +
                             misses[channel] * config_.row_miss.ticks +
                             (count * 1'000'000'000'000 + config_.bytes_per_second - 1) /
                                 config_.bytes_per_second;
            last = std::max(last, free_[channel]);
        }
        return last;
    }

private:
    config::ChipConfig::Memory config_;
    std::map<std::uint64_t, std::uint64_t> open_;
    std::map<std::uint64_t, Tick> free_;
};

TEST(Dram, ClosedFormEqualsTheDefinition)
{
    std::mt19937_64 random(5);
    const auto below = [&random](std::uint64_t limit) { return random() % limit; };
    for (int trial = 0; trial < 300; ++trial)
    {
        config::ChipConfig::Memory config = plain();
        config.channels = 1 + below(5);
        config.interleave = 1 + below(70);
        config.row_bytes = 1 + below(150); // neither need divide the other
        config.row_miss = Duration::of_ticks(below(3) * 777);
        config.bytes_per_second = 1'000'000 + below(10'000'000'000);
        Dram memory = dram(config);
        ByteByByte definition(config);
        Tick now = 0;
        for (int access = 0; access < 30; ++access)
        {
            now += below(3) == 0 ? below(1'000'000) : 0;
            const std::uint64_t address = below(3000);
            const std::uint64_t bytes = 1 + below(600);
            const Tick unloaded = memory.unloaded(address, bytes);
            const Dram::Access got = memory.access(now, address, bytes, false);
            ASSERT_EQ(got.end, definition.end(now, address, bytes));
            ASSERT_GE(got.end - now, unloaded);
            ASSERT_GE(got.start, now);
        }
    }
}

} // namespace
} // namespace tessera::chip
