// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/trace.h"

#include <cstddef>
#include <memory>

namespace tessera::trace
{

/// What a line of a trace (after the first) is.
enum class Line : std::uint8_t
{
    operation,
    ignored, ///< an operation of a kind beginning with "x-"
    end
};

/// Contents of the last line.
struct EndLine
{
    std::uint64_t operations = 0;
    std::uint32_t crc = 0;
};

/// Bytes that must be readable behind a line handed to LineParser.
inline constexpr std::size_t kLinePadding = 64;

/// Turns lines into operations, reusing all memory. Accepts any key order and blanks.
class LineParser
{
public:
    /// Keeps a reference to the header; needs sorted units.
    explicit LineParser(const Header& header);
    ~LineParser();
    LineParser(const LineParser&) = delete;
    LineParser& operator=(const LineParser&) = delete;

    /// Reads the line of `size` bytes; `capacity` >= size + kLinePadding bytes are readable. Checks
    /// form, keys and everything that Rules checks. Throws Malformed.
    Line parse(const char* text, std::size_t size, std::size_t capacity, Operation& operation,
               EndLine& end);

private:
    class Implementation;
    std::unique_ptr<Implementation> implementation_;
};

} // namespace tessera::trace
