// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/wheel.h"
#include "config/chip_config.h"

#include <cstdint>
#include <deque>
#include <vector>

namespace tessera::chip
{

struct Flight;

/// Who uses a port.
class PortClient
{
public:
    virtual ~PortClient() = default;
    /// Phase allocate: a port is the flight's until it calls Ports::release().
    virtual void port_granted(Flight& flight) = 0;
};

/// The ports of one tile's buffer, shared by its macros and its vector unit: first come, first
/// served; requests of one round in the order of the units.
class Ports final : public Wakeable
{
public:
    Ports(Wheel& wheel, WakeIndex index, const config::ChipConfig::Buffer& buffer)
        : wheel_(wheel),
          index_(index),
          free_(buffer.ports),
          bytes_per_cycle_(buffer.bytes_per_cycle),
          clock_(buffer.clock),
          unlimited_(buffer.ports == config::kUnlimited ||
                     buffer.bytes_per_cycle == config::kUnlimited)
    {
    }

    /// False: reading or writing `bytes` takes no time and needs no port.
    [[nodiscard]] bool needed(std::uint64_t bytes) const { return !unlimited_ && bytes != 0; }
    void ask(Flight& flight, PortClient& client);
    /// A port is free again (phase arrive).
    void release();
    /// End of a transfer of `bytes` whose port was granted at `from`.
    [[nodiscard]] Tick end(Tick from, std::uint64_t bytes) const;
    void wake(Phase phase) override;

private:
    struct Request
    {
        Flight* flight;
        PortClient* client;
    };
    Wheel& wheel_;
    WakeIndex index_;
    std::uint64_t free_;
    std::uint64_t bytes_per_cycle_;
    Clock clock_;
    bool unlimited_;
    std::vector<Request> asking_;
    std::deque<Request> queue_;
};

} // namespace tessera::chip
