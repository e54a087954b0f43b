// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/wheel.h"
#include "noc/fabric.h"

#include <cmath>
#include <cstdint>
#include <deque>
#include <random>
#include <vector>

/// Open-loop traffic on a fabric: used by the tests and the benchmark of the interconnect.
namespace tessera::noc::testing
{

/// Every node makes packets at random, whether or not earlier ones have left.
struct Load
{
    double flits_per_node_and_cycle = 0.1;
    std::uint32_t packet_flits = 8;
    std::uint64_t warm_up = 1000;  ///< cycles before the first packet that is measured
    std::uint64_t measured = 5000; ///< cycles
    bool to_self = true;           ///< uniform over all nodes, the source included
    std::uint64_t seed = 1;
};

struct Arrival
{
    std::uint32_t from;
    std::uint32_t to;
    Tick created;
    Tick sent;
    Tick delivered;
};

/// Wake indices [0, nodes) are the sources; the fabric follows.
class Traffic : public FabricListener
{
public:
    Traffic(const config::ChipConfig& chip, const Load& load, std::uint64_t shuffle = 0)
        : load_(load),
          nodes_(chip.tile_count()),
          wheel_(nodes_ + fabric_wake_count(chip)),
          clock_(chip.noc.clock),
          domain_(wheel_.add_domain(clock_)),
          fabric_(make_fabric(chip, wheel_, nodes_, *this)),
          bytes_(std::uint64_t{load.packet_flits - 1} * chip.noc.flit_bits / 8)
    {
        if (shuffle != 0)
        {
            wheel_.shuffle_wakes(shuffle);
        }
        sources_.reserve(nodes_);
        for (std::uint32_t node = 0; node < nodes_; ++node)
        {
            sources_.emplace_back(*this, node);
            wheel_.attach(node, sources_.back(), "source");
            sources_.back().schedule(0);
        }
    }

    void sent(std::uint32_t tag) override
    {
        arrivals_[tag].sent = wheel_.now();
        sources_[arrivals_[tag].from].free = true;
        wheel_.wake_now(arrivals_[tag].from, Phase::traverse);
    }
    void delivered(std::uint32_t tag, std::size_t /*index*/) override
    {
        arrivals_[tag].delivered = wheel_.now();
        ++delivered_;
    }

    [[nodiscard]] Wheel& wheel() { return wheel_; }
    [[nodiscard]] Fabric& fabric() { return *fabric_; }
    [[nodiscard]] const std::vector<Arrival>& arrivals() const { return arrivals_; }
    [[nodiscard]] std::uint64_t delivered_count() const { return delivered_; }
    [[nodiscard]] std::uint64_t end_cycle() const { return load_.warm_up + load_.measured; }

    /// Mean cycles from creation to the arrival of the tail, of the packets made in the window.
    [[nodiscard]] double mean_latency() const
    {
        double sum = 0;
        double count = 0;
        for (const Arrival& arrival : arrivals_)
        {
            const std::uint64_t made = clock_.edge_at_or_after(arrival.created);
            if (made >= load_.warm_up && arrival.delivered != kNever)
            {
                sum += static_cast<double>(clock_.edge_at_or_after(arrival.delivered) - made);
                ++count;
            }
        }
        return sum / count;
    }
    /// Flits per node and cycle that arrived in the window.
    [[nodiscard]] double accepted() const
    {
        std::uint64_t packets = 0;
        for (const Arrival& arrival : arrivals_)
        {
            if (arrival.delivered != kNever)
            {
                const std::uint64_t cycle = clock_.edge_at_or_after(arrival.delivered);
                packets += cycle >= load_.warm_up && cycle < end_cycle() ? 1 : 0;
            }
        }
        return static_cast<double>(packets * load_.packet_flits) /
               static_cast<double>(load_.measured * nodes_);
    }

private:
    struct Source : Wakeable
    {
        Source(Traffic& owner, std::uint32_t number)
            : traffic(&owner), node(number), random(owner.load_.seed * 7919 + number)
        {
        }
        void schedule(std::uint64_t from)
        {
            const double rate =
                traffic->load_.flits_per_node_and_cycle / traffic->load_.packet_flits;
            const double gap = std::floor(std::log1p(-uniform()) / std::log1p(-rate));
            const std::uint64_t cycle = from + (rate < 1 ? static_cast<std::uint64_t>(gap) : 0);
            next = cycle < traffic->end_cycle() ? traffic->clock_.tick_of(cycle) : kNever;
            if (next != kNever)
            {
                traffic->wheel_.wake_at(node, Phase::traverse, next);
            }
        }
        double uniform() { return static_cast<double>(random() >> 11U) * 0x1p-53; }
        void wake(Phase /*phase*/) override
        {
            Wheel& wheel = traffic->wheel_;
            if (wheel.now() == next)
            {
                const auto target = static_cast<std::uint32_t>(random() % traffic->nodes_);
                if (traffic->load_.to_self || target != node)
                {
                    queue.push_back(static_cast<std::uint32_t>(traffic->arrivals_.size()));
                    traffic->arrivals_.push_back({node, target, next, kNever, kNever});
                }
                schedule(traffic->clock_.edge_at_or_after(next) + 1);
            }
            if (free && !queue.empty())
            {
                const std::uint32_t tag = queue.front();
                queue.pop_front();
                free = false;
                transfer.tag = tag;
                transfer.from = NodeId(node);
                transfer.to.assign(1, NodeId(traffic->arrivals_[tag].to));
                transfer.bytes = traffic->bytes_;
                traffic->fabric_->send(transfer);
            }
        }
        Traffic* traffic;
        std::uint32_t node;
        std::mt19937_64 random;
        Tick next = kNever;
        bool free = true;
        std::deque<std::uint32_t> queue;
        Transfer transfer;
    };

    Load load_;
    std::uint32_t nodes_;
    Wheel wheel_;
    Clock clock_;
    DomainIndex domain_;
    std::unique_ptr<Fabric> fabric_;
    std::uint64_t bytes_;
    std::vector<Source> sources_;
    std::vector<Arrival> arrivals_;
    std::uint64_t delivered_ = 0;
};

/// Memory ports none, 4 VCs of 8 flits, 64-bit flits, one header flit, 1 GHz.
inline config::ChipConfig mesh_chip(std::uint32_t rows, std::uint32_t columns)
{
    config::ChipConfig chip;
    chip.tiles.rows = rows;
    chip.tiles.columns = columns;
    chip.noc.kind = "mesh";
    chip.noc.clock = Clock(1000);
    chip.noc.flit_bits = 64;
    chip.noc.packet_flits = 64;
    chip.memory.ports = 0;
    return chip;
}

} // namespace tessera::noc::testing
