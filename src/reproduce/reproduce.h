// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace tessera::reproduce
{

/// A paper whose figures are computed here again.
struct Paper
{
    const char* name;
    const char* summary;
    /// Member "rows": objects of "quantity", "published" (null: no figure), "ours",
    /// "difference_percent" (null without a published figure), "status"; beside it what is the
    /// paper's own: objects of numbers and texts, and lists of such, in tables of one kind each.
    nlohmann::ordered_json (*run)();
};
[[nodiscard]] const std::vector<Paper>& papers();

/// One entry of "rows".
[[nodiscard]] nlohmann::ordered_json row(const std::string& quantity,
                                         const nlohmann::ordered_json& published, double ours,
                                         const std::string& status);

// One function per paper, in a file of its own.
[[nodiscard]] nlohmann::ordered_json aidac();

} // namespace tessera::reproduce
