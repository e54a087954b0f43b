// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/wheel.h"
#include "noc/fabric.h"

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace tessera::noc::testing
{

/// Sends given transfers at given ticks, in phase traverse, and notes what the fabric tells.
class Recorder : public FabricListener, public Wakeable
{
public:
    explicit Recorder(const config::ChipConfig& chip)
        : wheel_(1 + fabric_wake_count(chip)), fabric_(make_fabric(chip, wheel_, 1, *this))
    {
        wheel_.attach(0, *this, "recorder");
    }

    void send_at(Tick tick, Transfer transfer)
    {
        due_[tick].push_back(std::move(transfer));
        wheel_.wake_at(0, Phase::traverse, tick);
    }
    /// Sent as soon as `tag` has been, in the same tick and round.
    void send_after(std::uint32_t tag, Transfer transfer)
    {
        followers_.emplace(tag, std::move(transfer));
    }

    void sent(std::uint32_t tag) override
    {
        sent_.emplace_back(tag, wheel_.now());
        const auto follower = followers_.find(tag);
        if (follower != followers_.end())
        {
            due_[wheel_.now()].push_back(follower->second);
            wheel_.wake_now(0, Phase::traverse);
        }
    }
    void delivered(std::uint32_t tag, std::size_t index) override
    {
        delivered_[{tag, index}] = wheel_.now();
        ++deliveries_;
    }
    void wake(Phase /*phase*/) override
    {
        const std::vector<Transfer> transfers = std::exchange(due_[wheel_.now()], {});
        for (const Transfer& transfer : transfers)
        {
            fabric_->send(transfer);
        }
    }

    [[nodiscard]] Wheel& wheel() { return wheel_; }
    [[nodiscard]] Fabric& fabric() { return *fabric_; }
    /// (tag, tick) in the order of the calls.
    [[nodiscard]] const std::vector<std::pair<std::uint32_t, Tick>>& sent_log() const
    {
        return sent_;
    }
    [[nodiscard]] Tick delivered_at(std::uint32_t tag, std::size_t index = 0) const
    {
        const auto found = delivered_.find({tag, index});
        return found == delivered_.end() ? kNever : found->second;
    }
    [[nodiscard]] std::uint64_t deliveries() const { return deliveries_; }

private:
    Wheel wheel_;
    std::unique_ptr<Fabric> fabric_;
    std::map<Tick, std::vector<Transfer>> due_;
    std::multimap<std::uint32_t, Transfer> followers_;
    std::vector<std::pair<std::uint32_t, Tick>> sent_;
    std::map<std::pair<std::uint32_t, std::size_t>, Tick> delivered_;
    std::uint64_t deliveries_ = 0;
};

} // namespace tessera::noc::testing
