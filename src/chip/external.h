// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/wheel.h"
#include "tessera/ids.h"
#include "tessera/tick.h"
#include "tessera/trace.h"

#include <algorithm>
#include <cstdint>
#include <deque>

namespace tessera::chip
{

/// What a unit asks of somebody outside the chip: a memory port of a memory, a macro of another
/// model of a macro.
struct ExternalRequest
{
    UnitId unit;           ///< that asks
    std::uint32_t tag = 0; ///< comes back in Chip::answer()
    Tick at = 0;           ///< not before now
    /// Stays as it is until the answer. Its `bytes` are what a memory transfers.
    const trace::Operation* operation = nullptr;
    std::uint64_t address = 0; ///< memory: of the first byte
};

/// Requests on their way out. Whoever drives the wheel takes them: after the tick in which they
/// were made, and before the wheel comes to the tick for which they are meant.
class Outbox
{
public:
    explicit Outbox(Wheel& wheel) : wheel_(wheel) {}

    /// Contract: called while the wheel delivers a tick, which will be the last one of its run.
    void put(const ExternalRequest& request)
    {
        const auto later = std::upper_bound(requests_.begin(), requests_.end(), request,
                                            [](const ExternalRequest& a, const ExternalRequest& b)
                                            { return a.at < b.at; });
        requests_.insert(later, request);
        ++asked_;
        wheel_.pause_after(wheel_.delivered());
    }
    [[nodiscard]] bool empty() const { return requests_.empty(); }
    /// Tick of the next request, kNever: none.
    [[nodiscard]] Tick next() const { return requests_.empty() ? kNever : requests_.front().at; }
    /// Contract: not empty.
    [[nodiscard]] ExternalRequest take()
    {
        const ExternalRequest request = requests_.front();
        requests_.pop_front();
        return request;
    }
    /// Requests so far, and answers to them.
    [[nodiscard]] std::uint64_t asked() const { return asked_; }
    [[nodiscard]] std::uint64_t answered() const { return answered_; }
    void note_answer() { ++answered_; }

private:
    Wheel& wheel_;
    std::deque<ExternalRequest> requests_; ///< by `at`, then in the order of asking
    std::uint64_t asked_ = 0;
    std::uint64_t answered_ = 0;
};

} // namespace tessera::chip
