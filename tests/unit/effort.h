// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

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

} // namespace tessera::test
