// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tessera
{

// Words of messages about input.

/// The candidate that `word` is most likely a misspelling of (smallest edit distance, where
/// swapping two neighbours counts one, case ignored; the first of equals); nothing when none is
/// near.
[[nodiscard]] std::optional<std::string> nearest(const std::string& word,
                                                 const std::vector<std::string>& candidates);

/// "did you mean 'stride'? " when a candidate is near, else "".
[[nodiscard]] std::string did_you_mean(const std::string& word,
                                       const std::vector<std::string>& candidates);

/// `text` in single quotes, shortened and without control characters: fit for a message.
[[nodiscard]] std::string in_quotes(const std::string& text);

/// "a, b, c"
[[nodiscard]] std::string joined(const std::vector<std::string>& words);

} // namespace tessera
