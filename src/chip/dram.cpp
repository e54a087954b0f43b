// SPDX-License-Identifier: Apache-2.0
#include "chip/dram.h"

#include "base/integer.h"
#include "tessera/error.h"

#include <algorithm>
#include <string>

namespace tessera::chip
{
namespace
{

constexpr std::uint64_t kPicosecondsPerSecond = 1'000'000'000'000;
constexpr std::uint64_t kMostChannels = 65'536;

void require(bool condition, const char* pointer, const char* problem, const char* remedy)
{
    if (!condition)
    {
        throw InputError({"", 0, pointer}, problem, remedy);
    }
}

} // namespace

Dram::Dram(const config::ChipConfig::Memory& memory, const Clock& clock)
    : clock_(clock),
      bytes_per_second_(memory.bytes_per_second),
      latency_(memory.latency),
      row_bytes_(memory.row_bytes),
      row_miss_(memory.row_miss.length(clock)),
      interleave_(memory.interleave),
      capacity_(memory.capacity)
{
    if (memory.channels == config::kUnlimited)
    {
        return;
    }
    require(memory.channels >= 1 && memory.channels <= kMostChannels, "/memory/channels",
            "must lie between 1 and 65536", "give another number, or \"unlimited\"");
    require(bytes_per_second_ >= 1, "/memory/bandwidth", "must be at least 1 byte per second",
            "give the rate of one channel");
    require(row_bytes_ >= 1, "/memory/row_bytes", "must be at least 1", "give the bytes of a row");
    require(interleave_ >= 1, "/memory/interleave", "must be at least 1",
            "give the bytes after which the next channel follows");
    channels_.resize(memory.channels);
}

void Dram::check(std::uint64_t address, std::uint64_t bytes) const
{
    if (bytes > capacity_ || address > capacity_ - bytes)
    {
        throw InputError({"", 0, "/memory/capacity"},
                         "an access to " + std::to_string(bytes) + " bytes at address " +
                             std::to_string(address) + " ends beyond the memory's " +
                             std::to_string(capacity_) + " bytes",
                         "give the memory more capacity, or the tensor another address");
    }
}

std::uint64_t Dram::channels_touched(std::uint64_t address, std::uint64_t bytes) const
{
    const std::uint64_t pieces = (address + bytes - 1) / interleave_ - address / interleave_ + 1;
    return std::min<std::uint64_t>(pieces, channels_.size());
}

Tick Dram::transfer_time(std::uint64_t bytes) const
{
    const Wide scaled = static_cast<Wide>(bytes) * kPicosecondsPerSecond;
    return static_cast<Tick>((scaled + bytes_per_second_ - 1) / bytes_per_second_);
}

Dram::Share Dram::share(std::uint64_t channel, std::uint64_t address, std::uint64_t bytes) const
{
    // Pieces of `interleave` bytes are dealt to the channels in turn; the k-th piece of a channel
    // holds the channel's own addresses from k x interleave on.
    const std::uint64_t count = channels_.size();
    const std::uint64_t end = address + bytes;
    const std::uint64_t first_piece = address / interleave_;
    const std::uint64_t last_piece = (end - 1) / interleave_;
    const std::uint64_t first = first_piece + (channel + count - first_piece % count) % count;
    const std::uint64_t last = last_piece - (last_piece % count + count - channel) % count;
    const std::uint64_t begin =
        first / count * interleave_ + (first == first_piece ? address % interleave_ : 0);
    const std::uint64_t stop = last / count * interleave_ +
                               (last == last_piece ? (end - 1) % interleave_ + 1 : interleave_);

    Share share;
    share.bytes = stop - begin;
    const std::uint64_t first_row = begin / row_bytes_;
    share.last_row = (stop - 1) / row_bytes_;
    share.misses = share.last_row - first_row + (channels_[channel].open_row == first_row ? 0 : 1);
    share.time = share.misses * row_miss_ + transfer_time(share.bytes);
    return share;
}

Dram::Access Dram::access(Tick now, std::uint64_t address, std::uint64_t bytes, bool write)
{
    check(address, bytes);
    (write ? totals_.written_bytes : totals_.read_bytes) += bytes;
    if (channels_.empty() || bytes == 0)
    {
        return {now, now};
    }
    Access result{kNever, now};
    const std::uint64_t touched = channels_touched(address, bytes);
    for (std::uint64_t i = 0; i < touched; ++i)
    {
        const std::uint64_t number = (address / interleave_ + i) % channels_.size();
        Channel& channel = channels_[number];
        const Share part = share(number, address, bytes);
        const Tick start = std::max(now, channel.free);
        channel.free = start + part.time;
        channel.open_row = part.last_row;
        totals_.row_misses += part.misses;
        totals_.busy += part.time;
        result.start = std::min(result.start, start);
        result.end = std::max(result.end, channel.free);
    }
    result.end = latency_.end(clock_, result.end);
    return result;
}

Tick Dram::unloaded(std::uint64_t address, std::uint64_t bytes, Tick now) const
{
    check(address, bytes);
    if (channels_.empty() || bytes == 0)
    {
        return 0;
    }
    Tick longest = 0;
    const std::uint64_t touched = channels_touched(address, bytes);
    for (std::uint64_t i = 0; i < touched; ++i)
    {
        const std::uint64_t number = (address / interleave_ + i) % channels_.size();
        longest = std::max(longest, share(number, address, bytes).time);
    }
    return latency_.end(clock_, now + longest) - now;
}

} // namespace tessera::chip
