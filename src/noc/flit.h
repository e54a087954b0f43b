// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/ids.h"

#include <cstdint>
#include <vector>

namespace tessera::noc
{

/// What travels over a link in one cycle. Carries no payload: only where it belongs.
struct Flit
{
    std::uint32_t message = 0; ///< handle in the MessageTable
    NodeId destination;
    std::uint8_t vc = 0; ///< of the input port that it is in or on its way to
    bool head = false;
    bool tail = false;
};

/// How packets are made of bytes.
struct PacketFormat
{
    std::uint32_t flit_bits;
    std::uint32_t packet_flits; ///< longest packet, header included
    std::uint32_t header_flits;

    /// Flits that carry data.
    [[nodiscard]] std::uint64_t payload_flits(std::uint64_t bytes) const
    {
        // 8 bytes / bits without overflow: whole multiples of flit_bits bytes take 8 flits each.
        return 8 * (bytes / flit_bits) + (8 * (bytes % flit_bits) + flit_bits - 1) / flit_bits;
    }
    [[nodiscard]] std::uint64_t packets(std::uint64_t bytes) const
    {
        const std::uint64_t room = packet_flits - header_flits;
        return bytes == 0 ? 1 : (payload_flits(bytes) + room - 1) / room;
    }
    /// All flits of a transfer to one destination; 0 bytes make one header-only packet.
    [[nodiscard]] std::uint64_t flits(std::uint64_t bytes) const
    {
        return bytes == 0 ? (header_flits == 0 ? 1 : header_flits)
                          : payload_flits(bytes) + packets(bytes) * header_flits;
    }
};

/// Messages (all the packets of a transfer for one destination) on their way.
class MessageTable
{
public:
    struct Message
    {
        std::uint64_t flits_left; ///< that have not reached the destination
        std::uint32_t tag;
        std::uint32_t destination; ///< index into Transfer::to
    };

    /// Returns a handle, valid until close(). Handles are reused and mean nothing by themselves.
    [[nodiscard]] std::uint32_t open(const Message& message)
    {
        if (free_.empty())
        {
            messages_.push_back(message);
            return static_cast<std::uint32_t>(messages_.size() - 1);
        }
        const std::uint32_t handle = free_.back();
        free_.pop_back();
        messages_[handle] = message;
        return handle;
    }
    [[nodiscard]] Message& operator[](std::uint32_t handle) { return messages_[handle]; }
    void close(std::uint32_t handle) { free_.push_back(handle); }

private:
    std::vector<Message> messages_;
    std::vector<std::uint32_t> free_;
};

} // namespace tessera::noc
