// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace tessera::test
{

/// How many of `count` random cases a test tries here. Under a sanitizer, where each takes many
/// times as long, the first eighth: the sanitizer looks at the code that is run, not at how often.
template <class Count> constexpr Count effort(Count count)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return std::max<Count>(count / 8, 1);
#else
    return count;
#endif
}

/// All of the cases, or under a sanitizer every seventh: lists are often of two, four or eight by
/// something.
template <class Case> std::vector<Case> effort(const std::vector<Case>& cases)
{
    const std::size_t step = effort(8) == 8 ? 1 : 7;
    std::vector<Case> some;
    for (std::size_t i = 0; i < cases.size(); i += step)
    {
        some.push_back(cases[i]);
    }
    return some;
}

} // namespace tessera::test
