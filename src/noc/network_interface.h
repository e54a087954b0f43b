// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/wheel.h"
#include "noc/flit.h"
#include "noc/multicast.h"
#include "noc/router.h"

#include <array>
#include <cstdint>
#include <vector>

namespace tessera::noc
{

/// Between a node and its router: cuts transfers into packets and injects at most one flit a cycle;
/// takes one flit a cycle off the mesh. The first flit leaves in the cycle of send(); sent() comes
/// one cycle after the last one left.
class NetworkInterface : public Wakeable
{
public:
    NetworkInterface(const MeshShape& shape, WakeIndex index, NodeId node,
                     const PacketFormat& format, const Multicast& multicast, MessageTable& messages,
                     FabricListener& listener);

    void connect(Router& router, std::uint32_t port);

    /// See Fabric::send().
    void send(const Transfer& transfer);

    /// Called by the router in the cycle of its switch allocation. The flits of a message come
    /// through this one port, so the last one counted is the last to arrive, and only it needs a
    /// wake.
    void put_flit(const Flit& flit, std::uint64_t cycle)
    {
        std::uint32_t& expected = arriving_[flit.vc];
        if (expected != (flit.head ? kNone : flit.message))
        {
            report_disorder();
        }
        expected = flit.tail ? kNone : flit.message;
        if (--(*messages_)[flit.message].flits_left == 0)
        {
            const std::uint64_t slot = (cycle + kSwitchToInterfaceCycles) % kSlots;
            arrived_[slot] = flit.message;
            arrived_mask_ |= bit(static_cast<std::uint32_t>(slot));
            shape_.wheel->wake_in(index_, Phase::arrive, shape_.domain, kSwitchToInterfaceCycles);
        }
    }
    /// Called by the router: a place of `vc` is free again.
    void put_credit(std::uint32_t vc, std::uint64_t cycle)
    {
        const std::uint64_t slot = (cycle + kCreditCycles) % kSlots;
        credits_in_[slot] = static_cast<std::uint8_t>(vc);
        credits_in_mask_ |= bit(static_cast<std::uint32_t>(slot));
        shape_.wheel->wake_in(index_, Phase::arrive, shape_.domain, kCreditCycles);
    }

    void wake(Phase phase) override;

    /// Flits injected up to tick `at`, and the time in which one stood ready and the router had no
    /// room.
    [[nodiscard]] Fabric::LinkFigures figures(Tick at) const
    {
        Fabric::LinkFigures figures = link_.up_to(at);
        figures.stalled += blocked_ ? at - blocked_since_ : 0;
        return figures;
    }
    /// They go on changing after tick `at` although nobody wakes the interface.
    [[nodiscard]] bool changes_after(Tick at) const { return blocked_ || link_.goes_on_after(at); }

private:
    /// In-flight slots, by cycle: more than the longest delay.
    static constexpr std::uint64_t kSlots = 8;

    static constexpr std::uint32_t kNone = ~std::uint32_t{0};

    void inject(std::uint64_t cycle);
    [[gnu::cold]] void log_flit(Log& log) const;
    [[noreturn]] void report_disorder() const;
    [[nodiscard]] bool choose_vc();
    void next_leg();

    MeshShape shape_;
    WakeIndex index_;
    NodeId node_;
    PacketFormat format_;
    const Multicast* multicast_;
    MessageTable* messages_;
    FabricListener* listener_;
    Router* router_ = nullptr;
    std::uint32_t port_ = 0;

    // The transfer that is leaving.
    bool sending_ = false;
    bool last_left_ = false; ///< its last flit went; sent() is due one cycle later
    std::uint32_t tag_ = 0;
    std::uint64_t bytes_ = 0;
    std::vector<Leg> legs_;
    std::size_t leg_ = 0;
    std::uint64_t leg_flits_left_ = 0;
    std::uint64_t leg_payload_left_ = 0; ///< data flits of the leg not yet put into a packet
    std::uint64_t packet_flits_left_ = 0;
    bool at_head_ = false;
    Flit flit_; ///< message, destination and VC of the packet that is leaving

    Mask ready_vcs_; ///< VCs of the router's input port with room
    std::vector<std::uint32_t> credits_;
    std::uint32_t next_vc_ = 0;

    std::vector<std::uint32_t>
        arriving_; ///< by VC: message whose packet has come in part, or kNone
    std::array<std::uint32_t, kSlots> arrived_{};
    std::array<std::uint8_t, kSlots> credits_in_{};
    Mask arrived_mask_ = 0;
    Mask credits_in_mask_ = 0;

    bool blocked_ = false;
    Tick blocked_since_ = 0;
    LinkMeter link_;
};

} // namespace tessera::noc
