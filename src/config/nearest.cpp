// SPDX-License-Identifier: Apache-2.0
#include "config/nearest.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

namespace tessera::config
{
namespace
{

constexpr std::size_t kLongestWord = 64; // nobody misspells more; keeps hostile keys cheap

/// Edit distance with transpositions of neighbours (optimal string alignment).
std::size_t distance(const std::string& a, const std::string& b)
{
    std::vector<std::size_t> before_last(b.size() + 1);
    std::vector<std::size_t> last(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(last.begin(), last.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i)
    {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j)
        {
            const std::size_t changed = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, changed});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
            {
                row[j] = std::min(row[j], before_last[j - 2] + 1);
            }
        }
        std::swap(before_last, last);
        std::swap(last, row);
    }
    return last[b.size()];
}

} // namespace

std::optional<std::string> nearest(const std::string& word,
                                   const std::vector<std::string>& candidates)
{
    if (word.size() > kLongestWord)
    {
        return std::nullopt;
    }
    std::size_t best = kLongestWord;
    std::optional<std::string> found;
    for (const std::string& candidate : candidates)
    {
        const std::size_t edits = distance(word, candidate);
        const std::size_t longer = std::max(word.size(), candidate.size());
        if (edits < best && edits <= std::max<std::size_t>(1, longer / 3))
        {
            best = edits;
            found = candidate;
        }
    }
    return found;
}

std::string joined(const std::vector<std::string>& words)
{
    std::string text;
    for (const std::string& word : words)
    {
        text += (text.empty() ? "" : ", ") + word;
    }
    return text;
}

} // namespace tessera::config
