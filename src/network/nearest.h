// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace tessera::network
{

/// `text` in single quotes, shortened and without control characters: fit for a message.
[[nodiscard]] std::string in_quotes(const std::string& text);

/// "did you mean 'stride'? " if one of `known` is close to `wrong` (edit distance of at most a
/// third of the longer one, case ignored), else "". The first of equally close ones.
[[nodiscard]] std::string did_you_mean(const std::string& wrong,
                                       const std::vector<std::string>& known);

} // namespace tessera::network
