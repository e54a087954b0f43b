// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/trace.h"

#include <string>
#include <vector>

namespace tessera::trace
{

/// Writes operations in the canonical form: keys in the order of trace::Key, no blanks, integers
/// only, defaults left out.
class LineFormat
{
public:
    explicit LineFormat(const Header& header);
    /// Appends the line of a valid operation, newline included.
    void append(std::string& out, const Operation& operation) const;

private:
    std::uint32_t tiles_;
    std::vector<std::string> names_; ///< of units, in quotes
};

/// `{"end":true,"ops":N,"crc32":"xxxxxxxx"}` and a newline.
[[nodiscard]] std::string end_line(std::uint64_t operations, std::uint32_t crc);
[[nodiscard]] std::string hex(std::uint32_t crc);
/// Continues a CRC-32 (begun with 0) over more bytes.
[[nodiscard]] std::uint32_t crc32_of(std::uint32_t crc, const char* data, std::size_t size);

} // namespace tessera::trace
