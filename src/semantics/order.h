// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "semantics/effort.h"
#include "tessera/trace.h"

#include <cstdint>
#include <vector>

namespace tessera::semantics
{

/// What must have started before what, whatever the time of operations: operands, order edges, and
/// units, which start operations in the order of the trace.
class Order
{
public:
    explicit Order(std::size_t units) : latest_(units, kNone) {}

    /// Operations in the order of the trace. Throws Malformed for the 2^32-th reference.
    void add(const trace::Operation& operation);

    /// `later`, which may be the next one to be added, cannot start before `earlier` has ended:
    /// some operation that starts no later than it is `after` `earlier`.
    [[nodiscard]] bool waits(const trace::Operation& later, OpId earlier, Effort& effort);

private:
    static constexpr std::uint32_t kNone = 0xffff'ffffU;

    [[nodiscard]] std::uint32_t position(OpId id) const;

    std::vector<OpId> ids_;
    std::vector<std::uint32_t> references_; ///< `in`, the one before on its unit, then `after`
    std::vector<std::uint32_t> begin_{0};   ///< by operation: where its references begin
    std::vector<std::uint32_t> after_;      ///< by operation: where its `after` begin
    std::vector<std::uint32_t> latest_;     ///< by unit
    std::vector<std::uint32_t> seen_;       ///< by operation: search that has met it
    std::uint32_t searches_ = 0;
};

} // namespace tessera::semantics
