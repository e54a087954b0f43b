// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "trace/compact.h"

#include <cstddef>
#include <vector>

namespace tessera::compiler
{

/// Keeps stages apart: no operation of a stage starts before every operation of the stage before
/// has ended, by few edges from the last of the one to the first of the other.
class Barrier
{
public:
    /// Transfers that nothing in their stage waits for go in turns: the k-th of a network interface
    /// starts after the (k - kInFlight)-th has ended, so that the last few stand for all of them.
    static constexpr std::size_t kInFlight = 4;

    /// Adds the edges for the stage that consists of the operations from `first` on. Its images
    /// enter when the one `in_flight` before them has left.
    void close(trace::CompactTrace& operations, std::size_t first, std::uint32_t in_flight = kAll);

    static constexpr std::uint32_t kAll = ~std::uint32_t{0}; ///< images may be in flight together

private:
    std::vector<OpId> last_; ///< of the stage before: when these have ended, all have
};

} // namespace tessera::compiler
