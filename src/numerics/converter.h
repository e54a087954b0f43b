// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/philox.h"
#include "numerics/scheme.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera::numerics
{

/// One converter's codes by binary search: a successive approximation does exactly this with the
/// levels of its capacitors, and among a flash converter's sorted thresholds it counts comparators.
class CodeTable
{
public:
    /// `which`: distinguishes the converters of a chip. Thresholds are multiplied by `quanta`, the
    /// sums' units per level.
    CodeTable(const Scheme& scheme, const Draws& draws, std::array<std::uint32_t, 2> which,
              double quanta);

    [[nodiscard]] std::int32_t operator()(float sum) const
    {
        std::size_t code = 0;
        for (std::size_t bit = thresholds_.size() / 2; bit > 0; bit /= 2)
        {
            code += sum >= thresholds_[code + bit] ? bit : 0;
        }
        return static_cast<std::int32_t>(code) - middle_;
    }

private:
    std::vector<float> thresholds_; ///< [code]: the least sum that is `code` or more
    std::int32_t middle_ = 0;       ///< code of zero
};

/// Does the converter differ from a uniform one, so that it needs a table?
[[nodiscard]] bool needs_table(const ConverterScheme& converter);
/// Least and greatest code of a uniform converter.
[[nodiscard]] std::array<float, 2> code_range(const Scheme& scheme);

} // namespace tessera::numerics
