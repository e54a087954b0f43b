// SPDX-License-Identifier: Apache-2.0
#include "base/nearest.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

namespace tessera
{
namespace
{

constexpr std::size_t kLongestWord = 256;      // nobody misspells more; keeps hostile words cheap
constexpr std::size_t kMostWork = 100'000'000; // letters compared: a fraction of a second

char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Edit distance with transpositions of neighbours (optimal string alignment).
std::size_t distance(const std::string& a, const std::string& b)
{
    std::vector<std::size_t> before_last(b.size() + 1);
    std::vector<std::size_t> last(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(last.begin(), last.end(), std::size_t{0});
    const auto same = [&](std::size_t i, std::size_t j) { return lower(a[i]) == lower(b[j]); };
    for (std::size_t i = 1; i <= a.size(); ++i)
    {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j)
        {
            const std::size_t changed = last[j - 1] + (same(i - 1, j - 1) ? 0 : 1);
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, changed});
            if (i > 1 && j > 1 && same(i - 1, j - 2) && same(i - 2, j - 1))
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
    std::size_t best = kLongestWord + 1;
    std::size_t work = 0; ///< an error must not take long where there are many names
    std::optional<std::string> found;
    for (const std::string& candidate : candidates)
    {
        const std::size_t longer = std::max(word.size(), candidate.size());
        const std::size_t most = std::max<std::size_t>(1, longer / 3);
        // Lengths alone rule most out.
        if (longer - std::min(word.size(), candidate.size()) > std::min(most, best))
        {
            continue;
        }
        work += word.size() * candidate.size();
        if (work > kMostWork)
        {
            break;
        }
        const std::size_t edits = distance(word, candidate);
        if (edits < best && edits <= most)
        {
            best = edits;
            found = candidate;
        }
    }
    return found;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates)
{
    const std::optional<std::string> meant = nearest(word, candidates);
    return meant ? "did you mean " + in_quotes(*meant) + "? " : "";
}

std::string in_quotes(const std::string& text)
{
    constexpr std::size_t kLongest = 64;
    std::string result = "'" + text.substr(0, kLongest);
    std::replace_if(
        result.begin(), result.end(),
        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return result + (text.size() > kLongest ? "...'" : "'");
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

} // namespace tessera
