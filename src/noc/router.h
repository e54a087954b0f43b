// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/touch_list.h"
#include "base/wheel.h"
#include "noc/arbiter.h"
#include "noc/flit.h"
#include "noc/link_meter.h"
#include "noc/routing.h"

#include <array>
#include <cstdint>
#include <vector>

namespace tessera::noc
{

class NetworkInterface;

/// Cycles from one unit's decision to the other's. Switch allocation in cycle s, switch traversal
/// in s + 1, link in s + 2; so a credit spent in s is back for an allocation in s + 5.
inline constexpr std::uint32_t kInjectCycles = 1;         ///< interface to router
inline constexpr std::uint32_t kSwitchToRouterCycles = 3; ///< allocation to the next router
inline constexpr std::uint32_t kSwitchToInterfaceCycles =
    4;                                            ///< and one more to take it off the link
inline constexpr std::uint32_t kCreditCycles = 2; ///< leaves with the flit, one cycle of wire

/// What all routers and interfaces of a mesh have in common.
struct MeshShape
{
    Wheel* wheel;
    DomainIndex domain;
    const Geometry* geometry;
    const Routing* routing;
    std::uint32_t vcs;
    std::uint32_t vc_depth;
    std::uint32_t routing_delay;
    CycleLength* cycle_length;
    TouchList* touched_routers;
    TouchList* touched_interfaces; ///< by node
};

/// Wormhole router with virtual channels and credits. Stages of a head flit: route computation
/// (none with look-ahead), VC allocation, switch allocation, switch traversal; of other flits only
/// the last two. Allocators are separable, input first, with round-robin arbiters; an output VC is
/// free again as soon as the tail has won the switch.
///
/// The router sleeps unless a flit or credit arrives or an allocation can succeed. What one unit
/// does reaches another one cycle later at the soonest, so nothing depends on the order in which
/// the units of one cycle are woken, and one wake a cycle does the work of all the stages.
class Router : public Wakeable
{
public:
    Router(const MeshShape& shape, WakeIndex index, std::uint32_t router);

    /// Connects an output port with an input port of the neighbour.
    void connect(std::uint32_t output, Router& neighbour, std::uint32_t neighbour_input);
    /// Connects a local port, both ways.
    void connect(std::uint32_t port, NetworkInterface& interface);

    /// Called by whoever sits at the other end of input `port` in cycle `cycle`; arrives `delay`
    /// later.
    void put_flit(std::uint32_t port, const Flit& flit, std::uint64_t cycle, std::uint32_t delay)
    {
        const std::uint64_t slot = (cycle + delay) % kSlots;
        flits_in_[slot * ports_ + port] = flit;
        flits_in_mask_[slot] |= bit(port);
        shape_.wheel->wake_in(index_, Phase::allocate, shape_.domain, delay);
    }
    /// Called by the unit at the far end of output `port`: a place of `vc` is free again.
    void put_credit(std::uint32_t port, std::uint32_t vc, std::uint64_t cycle)
    {
        const std::uint64_t slot = (cycle + kCreditCycles) % kSlots;
        credits_in_[slot * ports_ + port] = static_cast<std::uint8_t>(vc);
        credits_in_mask_[slot] |= bit(port);
        shape_.wheel->wake_in(index_, Phase::allocate, shape_.domain, kCreditCycles);
    }

    void wake(Phase phase) override;

    [[nodiscard]] std::uint32_t ports() const { return ports_; }
    [[nodiscard]] bool connected(std::uint32_t output) const;
    /// Flits that left through `output` up to tick `at`, and the time in which one stood ready and
    /// none went.
    [[nodiscard]] Fabric::LinkFigures figures(std::uint32_t output, Tick at) const;
    /// They go on changing after tick `at` although nobody wakes the router.
    [[nodiscard]] bool changes_after(Tick at) const { return wanted_ != 0 || at < cycle_end(); }

private:
    /// In-flight slots of a link, by cycle: more than its longest delay.
    static constexpr std::uint64_t kSlots = 4;
    static constexpr std::uint32_t kNone = ~std::uint32_t{0};

    struct InputVc
    {
        std::uint32_t head = 0; ///< position of the oldest flit in the ring
        std::uint32_t count = 0;
        std::uint32_t output = 0;    ///< port, once routed
        std::uint32_t output_vc = 0; ///< port x vcs + vc, once allocated
        std::uint32_t next_vc = 0;   ///< round robin over output VCs (port x vcs + vc)
        bool active = false;         ///< holds an output VC
        bool overdue = false;        ///< lost a VC allocation: counts as a stall
    };
    struct OutputVc
    {
        std::uint32_t owner = kNone;  ///< input VC
        std::uint32_t credits = 0;    ///< free places downstream
        std::uint32_t next_input = 0; ///< round robin over input VCs
        std::uint32_t best = 0;       ///< scratch of allocate_vcs()
        std::uint32_t best_distance = 0;
    };
    struct InputPort
    {
        Mask unrouted = 0; ///< VCs whose head needs a route
        Mask waiting = 0;  ///< VCs whose packet needs an output VC
        Mask outputs = 0;  ///< for which some VC could send now
        std::uint32_t next_output = 0;
        std::uint32_t next_vc = 0;
        Router* router = nullptr; ///< credits go there
        NetworkInterface* interface = nullptr;
        std::uint32_t far_port = 0;
    };
    struct OutputPort
    {
        Mask free = 0; ///< VCs that no packet holds
        std::uint32_t wanting =
            0; ///< input VCs with a flit that is ready but for credit and switch
        std::uint32_t next_input = 0;
        std::uint32_t credit_cost = 1; ///< 0 at local ports: interfaces always sink
        Router* router = nullptr;
        NetworkInterface* interface = nullptr;
        std::uint32_t far_port = 0;
    };

    [[nodiscard]] Tick cycle_end() const
    {
        return shape_.wheel->clock(shape_.domain).tick_of(last_cycle_ + 1);
    }
    void account_sleep(std::uint64_t cycle);
    void take_credits(std::uint64_t slot);
    void take_flits(std::uint64_t slot);
    void begin_packet(std::uint32_t port, std::uint32_t vc);
    void route(std::uint32_t port, std::uint32_t vc);
    void allocate_vcs();
    void mark_overdue(InputVc& input);
    void allocate_switch(std::uint64_t cycle);
    void send(std::uint32_t port, std::uint32_t vc, std::uint32_t output, std::uint64_t cycle);
    void commit_vcs();
    [[gnu::cold]] void log_flit(Log& log, Flit flit, std::uint32_t port, std::uint32_t vc,
                                std::uint32_t output) const;
    void want(std::uint32_t output)
    {
        ++outputs_[output].wanting;
        wanted_ |= bit(output);
    }
    void unwant(std::uint32_t output)
    {
        if (--outputs_[output].wanting == 0)
        {
            wanted_ &= ~bit(output);
        }
    }
    void request(std::uint32_t port, std::uint32_t vc, std::uint32_t output)
    {
        requests_[port * ports_ + output] |= bit(vc);
        inputs_[port].outputs |= bit(output);
        requesting_ |= bit(port);
    }
    void withdraw(std::uint32_t port, std::uint32_t vc, std::uint32_t output)
    {
        if ((requests_[port * ports_ + output] &= ~bit(vc)) == 0 &&
            (inputs_[port].outputs &= ~bit(output)) == 0)
        {
            requesting_ &= ~bit(port);
        }
    }
    [[nodiscard]] bool can_progress() const;

    MeshShape shape_;
    WakeIndex index_;
    std::uint32_t router_;
    Position here_;
    std::uint32_t ports_;
    std::uint32_t vcs_;
    std::uint32_t depth_;

    std::vector<Flit> buffers_; ///< a ring of vc_depth flits per input VC
    std::vector<InputVc> input_vcs_;
    std::vector<OutputVc> output_vcs_;
    std::vector<InputPort> inputs_;
    std::vector<OutputPort> outputs_;
    std::vector<Mask> requests_; ///< VCs that could send, by input and output port

    Mask unrouted_ = 0;   ///< input ports with unrouted VCs
    Mask waiting_ = 0;    ///< input ports with VCs that need an output VC
    Mask requesting_ = 0; ///< input ports with VCs that could send
    Mask wanted_ = 0;     ///< output ports with a ready flit, credit or not
    Mask starved_ = 0;    ///< of those: not served in this cycle

    std::vector<std::uint32_t> contested_; ///< output VCs with a winner this cycle
    std::vector<Mask> contested_mask_;     ///< the same, by output port
    std::vector<std::uint32_t> chosen_vc_; ///< by input port: the VC the input arbiter nominated
    std::vector<Mask> nominated_;          ///< by output port: nominating input ports

    std::vector<Flit> flits_in_;
    std::vector<std::uint8_t> credits_in_;
    std::array<Mask, kSlots> flits_in_mask_{};
    std::array<Mask, kSlots> credits_in_mask_{};

    std::uint64_t last_cycle_ = 0;
    std::vector<LinkMeter> links_; ///< by output
};

} // namespace tessera::noc
