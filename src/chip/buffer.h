// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/touch_list.h"
#include "base/wheel.h"
#include "tessera/ids.h"
#include "tessera/summary.h"
#include "tessera/tick.h"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace tessera::chip
{

/// Which buffers have changed since the beginning of a stretch of time.
struct BufferWatch
{
    TouchList touched;
    Tick begin = 0;
};

/// The data memory of one tile: how much is taken, and who waits for room, in the order of asking.
class Buffer
{
public:
    Buffer(std::string name, std::uint64_t capacity) : name_(std::move(name)), capacity_(capacity)
    {
    }

    [[nodiscard]] bool fits(std::uint64_t bytes) const { return bytes <= capacity_ - used_; }
    void take(std::uint64_t bytes, Tick now);
    void give_back(std::uint64_t bytes, Tick now);

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] std::uint64_t capacity() const { return capacity_; }
    [[nodiscard]] std::uint64_t used() const { return used_; }
    [[nodiscard]] const std::deque<UnitId>& queue() const { return queue_; }
    [[nodiscard]] std::uint64_t waits() const { return waits_; }
    /// Totals up to tick `at`, before which nothing more happens.
    [[nodiscard]] BufferSummary summary(Tick at) const;

    /// Touches `number` in `watch` whenever something changes; both outlive the last event.
    void tell(BufferWatch& watch, std::size_t number)
    {
        watch_ = &watch;
        number_ = number;
    }
    /// Bytes taken x ps since watch.begin, up to tick `at`. Call once per stretch of time, if the
    /// buffer was touched in it.
    [[nodiscard]] double take_recent(Tick at);

private:
    friend class SpaceAllocator;
    void advance(Tick now);
    void touch()
    {
        if (watch_ != nullptr)
        {
            watch_->touched.touch(number_);
        }
    }

    std::string name_;
    std::uint64_t capacity_;
    std::uint64_t used_ = 0;
    std::uint64_t peak_ = 0;
    std::uint64_t waits_ = 0;
    double byte_ticks_ = 0;
    Tick since_ = 0;
    BufferWatch* watch_ = nullptr; ///< nullptr: nobody asks
    std::size_t number_ = 0;
    double recent_ = 0;        ///< of byte_ticks_: since watch_->begin
    std::deque<UnitId> queue_; ///< units whose head operation waits for room here
    // Within one allocate phase: what made room, to say because of whom a request was granted.
    OpId freed_by_;
    bool touched_ = false;
};

/// What the head operation of a unit asks for: `bytes` in each of `tiles`, all or nothing.
struct SpaceRequest
{
    std::vector<NodeId> tiles;
    std::uint64_t bytes = 0;
    bool waiting = false; ///< it was not granted in the round in which it was made
};

/// Answers of the allocator.
class SpaceClient
{
public:
    virtual ~SpaceClient() = default;
    /// Called in phase allocate when the request is first looked at: what it needs. No tiles or no
    /// bytes: granted at once.
    virtual void describe(SpaceRequest& request) = 0;
    /// The space is taken. `because`: the operation that made room, none() when there was no wait.
    virtual void granted(OpId because) = 0;
};

/// Hands out buffer space: requests queue per buffer in the order in which they were made (same
/// round: by unit) and are granted when they are first in all their queues and fit everywhere.
class SpaceAllocator final : public Wakeable
{
public:
    SpaceAllocator(Wheel& wheel, WakeIndex index, std::vector<Buffer>& buffers,
                   std::vector<SpaceClient*>& clients)
        : wheel_(wheel),
          index_(index),
          buffers_(buffers),
          clients_(clients),
          requests_(clients.size())
    {
    }

    /// Phase arrive: the head operation of `unit` asks.
    void ask(UnitId unit);
    /// Phase arrive: the end of `operation` gives `bytes` back.
    void give_back(NodeId tile, std::uint64_t bytes, OpId operation);
    void wake(Phase phase) override;

    [[nodiscard]] std::uint64_t capacity(NodeId tile) const
    {
        return buffers_[tile.index()].capacity();
    }
    [[nodiscard]] const SpaceRequest& request(UnitId unit) const { return requests_[unit.index()]; }

private:
    void admit(UnitId unit);
    void serve();
    void log(const Buffer& buffer, UnitId unit, const char* what, std::uint64_t bytes) const;
    [[nodiscard]] bool grantable(UnitId unit) const;

    Wheel& wheel_;
    WakeIndex index_;
    std::vector<Buffer>& buffers_;
    std::vector<SpaceClient*>& clients_;
    std::vector<SpaceRequest> requests_;  ///< by unit; a unit has at most one
    std::vector<UnitId> asking_;          ///< of this round
    std::vector<std::uint32_t> touched_;  ///< buffers something changed in
    std::vector<std::uint32_t> worklist_; ///< of these: still to be looked at
};

} // namespace tessera::chip
