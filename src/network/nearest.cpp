// SPDX-License-Identifier: Apache-2.0
#include "network/nearest.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace tessera::network
{
namespace
{

char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Levenshtein distance, case ignored.
std::size_t edit_distance(const std::string& a, const std::string& b)
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i)
    {
        std::size_t diagonal = row[0]++;
        for (std::size_t j = 0; j < b.size(); ++j)
        {
            const std::size_t above = row[j + 1];
            const std::size_t changed = diagonal + (lower(a[i]) == lower(b[j]) ? 0 : 1);
            row[j + 1] = std::min({above + 1, row[j] + 1, changed});
            diagonal = above;
        }
    }
    return row.back();
}

} // namespace

std::string in_quotes(const std::string& text)
{
    constexpr std::size_t kLongest = 64;
    std::string result = "'" + text.substr(0, kLongest);
    std::replace_if(
        result.begin(), result.end(),
        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return result + (text.size() > kLongest ? "...'" : "'");
}

std::string did_you_mean(const std::string& wrong, const std::vector<std::string>& known)
{
    constexpr std::size_t kLongest = 256; // nothing known is longer
    const std::string* nearest = nullptr;
    std::size_t best = wrong.size() > kLongest ? 0 : kLongest + 1;
    for (const std::string& candidate : known)
    {
        const std::size_t length = std::max(wrong.size(), candidate.size());
        // Lengths alone rule most out: an error must not take long on a large network.
        const std::size_t at_least = length - std::min(wrong.size(), candidate.size());
        if (at_least >= best || at_least * 3 > length)
        {
            continue;
        }
        const std::size_t distance = edit_distance(wrong, candidate);
        if (distance < best && distance * 3 <= length)
        {
            best = distance;
            nearest = &candidate;
        }
    }
    return nearest == nullptr ? "" : "did you mean " + in_quotes(*nearest) + "? ";
}

} // namespace tessera::network
