// SPDX-License-Identifier: Apache-2.0
#include "chip/buffer.h"

#include <algorithm>
#include <utility>

namespace tessera::chip
{

void Buffer::advance(Tick now)
{
    byte_ticks_ += static_cast<double>(used_) * static_cast<double>(now - since_);
    if (watch_ != nullptr)
    {
        const Tick from = std::max(since_, watch_->begin);
        recent_ += static_cast<double>(used_) * static_cast<double>(now - from);
        touch();
    }
    since_ = now;
}

void Buffer::take(std::uint64_t bytes, Tick now)
{
    advance(now);
    used_ += bytes;
    peak_ = std::max(peak_, used_);
}

void Buffer::give_back(std::uint64_t bytes, Tick now)
{
    advance(now);
    used_ -= bytes;
}

BufferSummary Buffer::summary(Tick at) const
{
    const double rest = static_cast<double>(used_) * static_cast<double>(at - since_);
    const double mean = at == 0 ? 0 : (byte_ticks_ + rest) / static_cast<double>(at);
    return {name_, capacity_, peak_, mean, waits_};
}

double Buffer::take_recent(Tick at)
{
    const Tick from = std::max(since_, watch_->begin);
    return std::exchange(recent_, 0) + static_cast<double>(used_) * static_cast<double>(at - from);
}

void SpaceAllocator::ask(UnitId unit)
{
    asking_.push_back(unit);
    wheel_.wake_now(index_, Phase::allocate);
}

void SpaceAllocator::give_back(NodeId tile, std::uint64_t bytes, OpId operation)
{
    Buffer& buffer = buffers_[tile.index()];
    buffer.give_back(bytes, wheel_.now());
    if (Log* const log = wheel_.log(Topic::buffer))
    {
        log->write(wheel_.now(), Topic::buffer, buffer.name(),
                   "the end of operation " + std::to_string(operation.value()) + " frees " +
                       std::to_string(bytes) + " B, " + std::to_string(buffer.used()) +
                       " B are taken");
    }
    if (!buffer.touched_)
    {
        buffer.touched_ = true;
        buffer.freed_by_ = operation;
        touched_.push_back(tile.value());
    }
    else if (!buffer.freed_by_.valid() || operation < buffer.freed_by_)
    {
        buffer.freed_by_ = operation;
    }
    if (!buffer.queue_.empty())
    {
        wheel_.wake_now(index_, Phase::allocate);
    }
}

void SpaceAllocator::wake(Phase /*phase*/)
{
    std::sort(asking_.begin(), asking_.end());
    for (const UnitId unit : asking_)
    {
        admit(unit);
    }

    // What can be granted does not depend on the order of looking: a buffer has one first request,
    // and granting it takes nothing from the first request of another buffer.
    worklist_ = touched_;
    serve();
    for (const std::uint32_t tile : touched_)
    {
        buffers_[tile].touched_ = false;
        buffers_[tile].freed_by_ = OpId::none();
    }
    touched_.clear();
    for (const UnitId unit : asking_)
    {
        SpaceRequest& request = requests_[unit.index()];
        request.waiting = !request.tiles.empty();
        for (const NodeId tile : request.tiles)
        {
            ++buffers_[tile.index()].waits_;
            buffers_[tile.index()].touch();
            log(buffers_[tile.index()], unit, "waits for", request.bytes);
        }
    }
    asking_.clear();
}

void SpaceAllocator::admit(UnitId unit)
{
    SpaceRequest& request = requests_[unit.index()];
    request.tiles.clear();
    request.bytes = 0;
    request.waiting = false;
    clients_[unit.index()]->describe(request);
    if (request.bytes == 0 || request.tiles.empty())
    {
        request.tiles.clear();
        clients_[unit.index()]->granted(OpId::none());
        return;
    }
    for (const NodeId tile : request.tiles)
    {
        Buffer& buffer = buffers_[tile.index()];
        buffer.queue_.push_back(unit);
        log(buffer, unit, "asks for", request.bytes);
        if (!buffer.touched_)
        {
            buffer.touched_ = true;
            touched_.push_back(tile.value());
        }
    }
}

void SpaceAllocator::log(const Buffer& buffer, UnitId unit, const char* what,
                         std::uint64_t bytes) const
{
    if (Log* const log = wheel_.log(Topic::buffer))
    {
        log->write(wheel_.now(), Topic::buffer, buffer.name(),
                   wheel_.name(unit.value()) + " " + what + " " + std::to_string(bytes) + " B, " +
                       std::to_string(buffer.used()) + " B are taken");
    }
}

bool SpaceAllocator::grantable(UnitId unit) const
{
    const SpaceRequest& request = requests_[unit.index()];
    return std::all_of(request.tiles.begin(), request.tiles.end(),
                       [&](NodeId tile)
                       {
                           const Buffer& buffer = buffers_[tile.index()];
                           return buffer.queue_.front() == unit && buffer.fits(request.bytes);
                       });
}

void SpaceAllocator::serve()
{
    while (!worklist_.empty())
    {
        Buffer& buffer = buffers_[worklist_.back()];
        worklist_.pop_back();
        while (!buffer.queue_.empty() && grantable(buffer.queue_.front()))
        {
            const UnitId unit = buffer.queue_.front();
            SpaceRequest& request = requests_[unit.index()];
            OpId because;
            for (const NodeId tile : request.tiles)
            {
                const OpId freed_by = buffers_[tile.index()].freed_by_;
                because = freed_by.valid() && (!because.valid() || freed_by < because) ? freed_by
                                                                                       : because;
            }
            for (const NodeId tile : request.tiles)
            {
                Buffer& taken = buffers_[tile.index()];
                taken.queue_.pop_front();
                taken.take(request.bytes, wheel_.now());
                log(taken, unit, "gets", request.bytes);
                // Whoever stood behind this request was let forward by what let it through.
                taken.freed_by_ = because;
                if (!taken.touched_)
                {
                    taken.touched_ = true;
                    touched_.push_back(tile.value());
                }
                if (&taken != &buffer)
                {
                    worklist_.push_back(tile.value());
                }
            }
            request.tiles.clear(); // nothing is asked for any more
            clients_[unit.index()]->granted(request.waiting ? because : OpId::none());
        }
    }
}

} // namespace tessera::chip
