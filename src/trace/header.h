// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/trace.h"

#include <string>
#include <string_view>
#include <vector>

namespace tessera::trace
{

/// Canonical text of a trace's first line, without the newline. Throws InputError for text that is
/// not UTF-8.
[[nodiscard]] std::string header_text(const Header& header);

/// Reads a trace's first line. Units come out sorted as finalize() sorts them. `file` is used in
/// messages. Throws InputError.
[[nodiscard]] Header parse_header(std::string_view text, const std::string& file);

/// Throws Malformed unless everything that the header says of itself agrees: sorted units without
/// duplicates, indices in range, counts that add up.
void check_header(const Header& header);

/// Finds units by what they are. Needs sorted units.
class UnitIndex
{
public:
    explicit UnitIndex(const Header& header);
    /// UnitId::none() when the header does not list such a unit.
    [[nodiscard]] UnitId find(const TracedUnit& unit) const;

private:
    const Header* header_;
    std::vector<std::uint32_t> first_; ///< by node: its first unit; one more entry than nodes
};

} // namespace tessera::trace
