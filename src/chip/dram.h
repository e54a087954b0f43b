// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "tessera/tick.h"

#include <cstdint>
#include <vector>

namespace tessera::chip
{

/// The external memory behind one memory port, when nothing else is bound. Channels take turns
/// every `memory.interleave` bytes; each keeps one row open and serves accesses one at a time, in
/// the order of the calls. The cost of a call grows with the number of channels, not with the
/// bytes.
class Dram
{
public:
    struct Access
    {
        Tick start = 0; ///< the first channel it needs begins to serve it
        Tick end = 0;   ///< the last byte is there
    };
    struct Totals
    {
        std::uint64_t read_bytes = 0;
        std::uint64_t written_bytes = 0;
        std::uint64_t row_misses = 0;
        Tick busy = 0; ///< summed over channels
    };

    /// `clock` gives durations stated in cycles their length. Throws InputError with the key's
    /// pointer for a memory that cannot be built.
    Dram(const config::ChipConfig::Memory& memory, const Clock& clock);

    /// Serves [address, address + bytes) from `now` on. A channel takes `row_miss` for every row
    /// that it has to open and the exact time of its bytes, rounded up to a picosecond; `latency`
    /// is added once, after the last channel. No bytes take no time. Contract: `now` never
    /// decreases. Throws InputError when the range lies beyond `memory.capacity`.
    Access access(Tick now, std::uint64_t address, std::uint64_t bytes, bool write);

    /// How long the same access would take at `now` if every channel were free, with the rows that
    /// are open now.
    [[nodiscard]] Tick unloaded(std::uint64_t address, std::uint64_t bytes, Tick now = 0) const;

    [[nodiscard]] const Totals& totals() const { return totals_; }

private:
    struct Channel
    {
        Tick free = 0; ///< from then on
        std::uint64_t open_row = ~std::uint64_t{0};
    };
    /// A channel's share of an access: contiguous in the channel's own addresses.
    struct Share
    {
        std::uint64_t bytes = 0;
        std::uint64_t last_row = 0;
        std::uint64_t misses = 0;
        Tick time = 0;
    };

    void check(std::uint64_t address, std::uint64_t bytes) const;
    [[nodiscard]] std::uint64_t channels_touched(std::uint64_t address, std::uint64_t bytes) const;
    [[nodiscard]] Share share(std::uint64_t channel, std::uint64_t address,
                              std::uint64_t bytes) const;
    [[nodiscard]] Tick transfer_time(std::uint64_t bytes) const;

    Clock clock_;
    std::uint64_t bytes_per_second_;
    Duration latency_;
    std::uint64_t row_bytes_;
    Tick row_miss_;
    std::uint64_t interleave_;
    std::uint64_t capacity_;
    std::vector<Channel> channels_; ///< empty: memory takes no time
    Totals totals_;
};

} // namespace tessera::chip
