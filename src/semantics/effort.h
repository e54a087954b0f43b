// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/interrupt.h"
#include "trace/rules.h"

#include <cstdint>

namespace tessera::semantics
{

/// Keeps the time of a check proportional to the length of the trace: every reference in it allows
/// for so many steps, and work that a few lines cause by being cut in a hostile way runs out.
class Effort
{
public:
    static constexpr std::uint64_t kPerReference = 4096; ///< real traces take below 100
    static constexpr std::uint64_t kMostAtOnce = std::uint64_t{1} << 26U;

    void earn(std::uint64_t references) { left_ += references * kPerReference; }
    /// Throws Malformed when the steps are not left.
    void spend(std::uint64_t steps)
    {
        throw_if_interrupted();
        if (steps > kMostAtOnce || steps > left_)
        {
            throw trace::Malformed{"", "is cut into so many pieces that checking it takes too long",
                                   "let operations make and read fewer, larger boxes"};
        }
        left_ -= steps;
    }

private:
    std::uint64_t left_ = kMostAtOnce;
};

} // namespace tessera::semantics
