// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/wheel.h"
#include "config/chip_config.h"
#include "tessera/ids.h"
#include "tessera/summary.h"
#include "tessera/tick.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tessera::noc
{

/// Bytes on their way from one node to others. `tag` is the sender's; it comes back in the calls of
/// FabricListener.
struct Transfer
{
    std::uint32_t tag = 0;
    NodeId from;
    std::vector<NodeId> to; ///< distinct, none equal to `from`
    std::uint64_t bytes = 0;
};

/// Whom a fabric tells. Both are called in phase arrive, in any order within it.
class FabricListener
{
public:
    virtual ~FabricListener() = default;
    /// The last byte has left the source, which may send() again from now on.
    virtual void sent(std::uint32_t tag) = 0;
    /// The last byte has reached destination `index` of the transfer.
    virtual void delivered(std::uint32_t tag, std::size_t index) = 0;
};

/// One piece of hardware of a fabric, so that another layer can give it a place in a hierarchy. The
/// wheel wakes `unit` by itself.
struct FabricUnit
{
    std::string name; ///< "r3" (router), "t3.port", "mem0.port" (interface), "bus", "ideal"
    Wakeable* unit = nullptr;
    std::vector<std::pair<std::string, std::string>> parameters;
};

/// The interconnect: kinds `ideal`, `bus` and `mesh`.
class Fabric
{
public:
    virtual ~Fabric() = default;
    /// Contract: called in phase traverse at an edge of the fabric's clock or not (then it acts at
    /// the next edge); a source has at most one unsent transfer.
    virtual void send(const Transfer& transfer) = 0;
    /// Time from a send() at tick `start` to the last delivery when nothing else moves. Used to
    /// tell contention apart.
    [[nodiscard]] virtual Tick zero_load(const Transfer& transfer, Tick start = 0) const = 0;
    /// Totals up to tick `at`, before which nothing more happens: what is on its way has come so
    /// far.
    [[nodiscard]] virtual std::vector<LinkSummary> links(Tick at) const = 0;
    /// The same of one link, without its name.
    struct LinkFigures
    {
        std::uint64_t flits = 0;
        Tick busy = 0;
        Tick stalled = 0;
    };
    using LookAtLink = std::function<void(std::size_t link, const LinkFigures& figures)>;
    /// Notes from now on which links change, for changes(). Call before the first event.
    virtual void watch() = 0;
    /// Calls `look` for every link, by its place in links(), whose figures may have changed since
    /// the last call, up to tick `at`, before which nothing more happens.
    virtual void changes(Tick at, const LookAtLink& look) = 0;
    /// What the fabric is made of, in the order of wake indices.
    [[nodiscard]] virtual std::vector<FabricUnit> units() = 0;
};

/// How many wake indices the fabric of this chip takes.
[[nodiscard]] std::size_t fabric_wake_count(const config::ChipConfig& chip);

/// Builds the fabric that `noc.kind` names and attaches its units to the wheel, at the indices
/// [first, first + fabric_wake_count(chip)): by geometry, not in the order of construction.
/// Wheel and listener must outlive it. Throws InputError with the key's pointer for a configuration
/// that cannot be built.
[[nodiscard]] std::unique_ptr<Fabric> make_fabric(const config::ChipConfig& chip, Wheel& wheel,
                                                  WakeIndex first, FabricListener& listener);

} // namespace tessera::noc
