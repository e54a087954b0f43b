// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chip/completed.h"
#include "tessera/ids.h"

#include <tsl/robin_map.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace tessera::chip
{

/// Who is told when a datum becomes available or an operation ends.
class OperandListener
{
public:
    virtual ~OperandListener() = default;
    /// `slot`: what was given to DataTable when waiting began.
    virtual void arrived(std::uint32_t slot) = 0;
};

/// Live data of all tiles, and which operations have ended. A datum is what one operation put into
/// one tile: key (operation, node).
class DataTable
{
public:
    struct Datum
    {
        std::uint64_t bytes = 0;     ///< its size, as its operation declares it
        std::uint64_t footprint = 0; ///< bytes it holds in its buffer
        std::uint32_t uses_left = 0;
        bool produced = false; ///< its operation has started
        bool available = false;
        bool padding = false; ///< nothing but padding went into it
    };
    enum class Lookup : std::uint8_t
    {
        available,
        pending, ///< the listener will be told
        gone     ///< its operation has ended and nothing is left of it here
    };

    Lookup await(OpId operation, NodeId node, OperandListener& listener, std::uint32_t slot);
    /// True when `operation` has ended; else the listener will be told.
    bool await_end(OpId operation, OperandListener& listener, std::uint32_t slot);

    /// The operation has started: its result will be read `uses` times. `padding`: all that it
    /// reads is.
    void produce(OpId operation, NodeId node, std::uint64_t bytes, std::uint64_t footprint,
                 std::uint32_t uses, bool padding = false);
    /// Data have arrived: tells who waits. Returns the bytes to free when nobody will ever read
    /// them.
    std::uint64_t make_available(OpId operation, NodeId node);
    /// One use is over. Returns the bytes to free: the footprint after the last one, else 0;
    /// nothing when the datum has been read more often than declared.
    std::optional<std::uint64_t> use(OpId operation, NodeId node);
    /// Takes the footprint over (`into`); the datum then frees nothing.
    std::uint64_t take_footprint(OpId operation, NodeId node);
    void end(OpId operation);

    [[nodiscard]] bool ended(OpId operation) const { return completed_.contains(operation); }
    [[nodiscard]] const Datum* find(OpId operation, NodeId node) const;
    [[nodiscard]] std::size_t live() const { return data_.size(); }

    /// Every datum that is there, for diagnosis: visit(operation, node, datum).
    template <class Visit> void for_each(Visit visit) const
    {
        for (const auto& [key, entry] : data_)
        {
            if (entry.datum.produced)
            {
                visit(OpId(key >> kNodeBits), NodeId(static_cast<std::uint32_t>(key & kNodeMask)),
                      entry.datum);
            }
        }
    }

    /// Operation ids must stay below this to fit into a key.
    static constexpr std::uint64_t kMaxOperation = std::uint64_t{1} << 42U;

private:
    static constexpr unsigned kNodeBits = 22;
    static constexpr std::uint64_t kNodeMask = (std::uint64_t{1} << kNodeBits) - 1;
    static constexpr std::uint32_t kNoWaiter = ~std::uint32_t{0};

    struct Waiter
    {
        OperandListener* listener;
        std::uint32_t slot;
        std::uint32_t next;
    };
    struct Entry
    {
        Datum datum;
        std::uint32_t waiters = kNoWaiter;
    };
    [[nodiscard]] static std::uint64_t key(OpId operation, NodeId node)
    {
        return operation.value() << kNodeBits | node.value();
    }
    void add_waiter(std::uint32_t& head, OperandListener& listener, std::uint32_t slot);
    void tell(std::uint32_t head);

    tsl::robin_map<std::uint64_t, Entry, MixedHash> data_;
    tsl::robin_map<std::uint64_t, std::uint32_t, MixedHash>
        ends_; ///< operation -> first waiter for its end
    CompletedOperations completed_;
    std::vector<Waiter> waiters_;
    std::uint32_t free_waiter_ = kNoWaiter;
};

} // namespace tessera::chip
