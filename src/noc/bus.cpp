// SPDX-License-Identifier: Apache-2.0
#include "noc/geometry.h"
#include "noc/kinds.h"
#include "tessera/error.h"

#include <algorithm>
#include <deque>

namespace tessera::noc
{
namespace
{

/// One transfer at a time, in the order of (tick, round, source). All destinations listen at once.
class Bus : public Fabric, public Wakeable
{
public:
    Bus(const config::ChipConfig& chip, Wheel& wheel, WakeIndex index, FabricListener& listener)
        : clock_(chip.noc.clock),
          bytes_per_cycle_(chip.noc.bytes_per_cycle),
          wheel_(wheel),
          index_(index),
          listener_(listener)
    {
        if (bytes_per_cycle_ == 0)
        {
            throw InputError({"", 0, "/noc/bytes_per_cycle"}, "must be at least 1",
                             "give the bytes that the bus carries in one cycle");
        }
        wheel_.attach(index_, *this, "bus");
    }

    void send(const Transfer& transfer) override
    {
        this_round_.push_back({transfer.from, transfer.tag, transfer.to.size(), transfer.bytes});
        // Sends come in traverse: the next round sorts out those of this one.
        wheel_.wake_now(index_, Phase::allocate);
    }

    void wake(Phase phase) override { phase == Phase::arrive ? finish() : allocate(); }

    [[nodiscard]] Tick zero_load(const Transfer& transfer, Tick start) const override
    {
        return clock_.after(start, cycles(transfer.bytes)) - start;
    }

    [[nodiscard]] std::vector<LinkSummary> links(Tick at) const override
    {
        const LinkFigures figures = up_to(at);
        return {{"bus", figures.flits, figures.busy, figures.stalled}};
    }

    void watch() override {}
    void changes(Tick at, const LookAtLink& look) override { look(0, up_to(at)); }

    [[nodiscard]] std::vector<FabricUnit> units() override
    {
        return {{"bus", this, {{"bytes_per_cycle", std::to_string(bytes_per_cycle_)}}}};
    }

private:
    struct Request
    {
        NodeId from;
        std::uint32_t tag;
        std::size_t destinations;
        std::uint64_t bytes;
    };

    [[nodiscard]] std::uint64_t cycles(std::uint64_t bytes) const
    {
        return bytes == 0 ? 0 : (bytes - 1) / bytes_per_cycle_ + 1;
    }

    /// Of a transfer that goes on, the bytes of every cycle that is over have been carried.
    [[nodiscard]] LinkFigures up_to(Tick at) const
    {
        LinkFigures figures{bytes_, busy_, stalled_};
        if (transferring_)
        {
            const Tick until = std::min(at, end_);
            std::uint64_t over = clock_.edge_at_or_after(until);
            over -= clock_.tick_of(over) > until ? 1 : 0;
            over -= clock_.edge_at_or_after(start_);
            const std::uint64_t bytes = queue_.front().bytes;
            figures.flits += over >= cycles(bytes) ? bytes : over * bytes_per_cycle_;
            figures.busy += until - start_;
        }
        if (waiting_)
        {
            figures.stalled += at - waiting_since_;
        }
        return figures;
    }

    void finish()
    {
        const Request done = queue_.front();
        queue_.pop_front();
        transferring_ = false;
        busy_ += end_ - start_;
        bytes_ += done.bytes;
        listener_.sent(done.tag);
        for (std::size_t destination = 0; destination < done.destinations; ++destination)
        {
            listener_.delivered(done.tag, destination);
        }
        if (!queue_.empty())
        {
            wheel_.wake_now(index_, Phase::allocate);
        }
    }

    void allocate()
    {
        std::sort(this_round_.begin(), this_round_.end(),
                  [](const Request& a, const Request& b) { return a.from < b.from; });
        queue_.insert(queue_.end(), this_round_.begin(), this_round_.end());
        this_round_.clear();
        if (!transferring_ && !queue_.empty())
        {
            begin();
        }
        const bool waiting = queue_.size() > (transferring_ ? 1 : 0);
        if (waiting != waiting_)
        {
            if (waiting_)
            {
                stalled_ += wheel_.now() - waiting_since_;
            }
            waiting_since_ = wheel_.now();
            waiting_ = waiting;
        }
    }

    void begin()
    {
        const Tick now = wheel_.now();
        start_ = clock_.align(now);
        if (start_ != now)
        {
            wheel_.wake_at(index_, Phase::allocate, start_);
            return;
        }
        transferring_ = true;
        end_ = clock_.after(start_, cycles(queue_.front().bytes));
        wheel_.wake_at(index_, Phase::arrive, end_);
    }

    Clock clock_;
    std::uint64_t bytes_per_cycle_;
    Wheel& wheel_;
    WakeIndex index_;
    FabricListener& listener_;
    std::vector<Request> this_round_;
    std::deque<Request> queue_; ///< its front is on the bus while transferring_
    bool transferring_ = false;
    Tick start_ = 0;
    Tick end_ = 0;
    std::uint64_t bytes_ = 0;
    Tick busy_ = 0;
    bool waiting_ = false; ///< somebody's turn has not come
    Tick waiting_since_ = 0;
    Tick stalled_ = 0;
};

} // namespace

std::size_t bus_wake_count(const config::ChipConfig& /*chip*/)
{
    return 1;
}

std::unique_ptr<Fabric> make_bus(const config::ChipConfig& chip, Wheel& wheel, WakeIndex first,
                                 FabricListener& listener)
{
    return std::make_unique<Bus>(chip, wheel, first, listener);
}

} // namespace tessera::noc
