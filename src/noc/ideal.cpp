// SPDX-License-Identifier: Apache-2.0
#include "base/touch_list.h"
#include "noc/geometry.h"
#include "noc/kinds.h"

#include <deque>

namespace tessera::noc
{
namespace
{

/// No contention: a source is free at once, everything arrives `noc.latency` later.
class Ideal : public Fabric, public Wakeable
{
public:
    Ideal(const config::ChipConfig& chip, Wheel& wheel, WakeIndex index, FabricListener& listener)
        : geometry_(chip),
          clock_(chip.noc.clock),
          latency_(chip.noc.latency),
          wheel_(wheel),
          index_(index),
          listener_(listener),
          bytes_(geometry_.nodes(), 0)
    {
        wheel_.attach(index_, *this, "ideal");
    }

    void send(const Transfer& transfer) override
    {
        bytes_[transfer.from.index()] += transfer.bytes;
        touched_.touch(transfer.from.index());
        sent_.push_back(transfer.tag);
        const Tick arrival = work_end(clock_, wheel_.now(), latency_);
        arrivals_.push_back({arrival, transfer.tag, transfer.to.size()});
        wheel_.wake_now(index_, Phase::arrive);
        wheel_.wake_at(index_, Phase::arrive, arrival);
    }

    void wake(Phase /*phase*/) override
    {
        // What the listener sends from here on belongs to a later round.
        for (std::size_t left = sent_.size(); left > 0; --left)
        {
            const std::uint32_t tag = sent_.front();
            sent_.pop_front();
            listener_.sent(tag);
        }
        // Every transfer takes equally long: arrivals come in the order of sending.
        while (!arrivals_.empty() && arrivals_.front().tick <= wheel_.now())
        {
            const Arrival arrival = arrivals_.front();
            arrivals_.pop_front();
            for (std::size_t destination = 0; destination < arrival.destinations; ++destination)
            {
                listener_.delivered(arrival.tag, destination);
            }
        }
    }

    [[nodiscard]] Tick zero_load(const Transfer& /*transfer*/, Tick start) const override
    {
        return work_end(clock_, start, latency_) - start;
    }

    /// A source is free at once: it sends all bytes when it sends the first.
    [[nodiscard]] std::vector<LinkSummary> links(Tick /*at*/) const override
    {
        std::vector<LinkSummary> all;
        for (std::uint32_t node = 0; node < geometry_.nodes(); ++node)
        {
            all.push_back({geometry_.name(NodeId(node)), bytes_[node], 0, 0});
        }
        return all;
    }

    void watch() override { touched_.start(bytes_.size()); }
    void changes(Tick /*at*/, const LookAtLink& look) override
    {
        touched_.take(
            [&](std::uint32_t node)
            {
                look(node, {bytes_[node], 0, 0});
                return false;
            });
    }

    [[nodiscard]] std::vector<FabricUnit> units() override
    {
        return {{"ideal",
                 this,
                 {{"latency_cycles", std::to_string(latency_.cycles)},
                  {"latency_ps", std::to_string(latency_.ticks)}}}};
    }

private:
    struct Arrival
    {
        Tick tick;
        std::uint32_t tag;
        std::size_t destinations;
    };

    Geometry geometry_;
    Clock clock_;
    Duration latency_;
    Wheel& wheel_;
    WakeIndex index_;
    FabricListener& listener_;
    std::vector<std::uint64_t> bytes_; ///< sent, by source
    TouchList touched_;                ///< sources
    std::deque<std::uint32_t> sent_;   ///< tags whose source is to be told
    std::deque<Arrival> arrivals_;
};

} // namespace

std::size_t ideal_wake_count(const config::ChipConfig& /*chip*/)
{
    return 1;
}

std::unique_ptr<Fabric> make_ideal(const config::ChipConfig& chip, Wheel& wheel, WakeIndex first,
                                   FabricListener& listener)
{
    return std::make_unique<Ideal>(chip, wheel, first, listener);
}

} // namespace tessera::noc
