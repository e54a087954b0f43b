// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tessera::config
{

/// The candidate that `word` is most likely a misspelling of (smallest edit distance, where
/// swapping two neighbours counts one; the first of equals); nothing when none is near.
[[nodiscard]] std::optional<std::string> nearest(const std::string& word,
                                                 const std::vector<std::string>& candidates);

/// "a, b, c"
[[nodiscard]] std::string joined(const std::vector<std::string>& words);

} // namespace tessera::config
