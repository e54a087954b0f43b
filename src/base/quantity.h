// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/error.h"
#include "tessera/tick.h"

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace tessera
{

/// What a quantity with a unit measures. Every quantity is a whole number of its base unit.
enum class Dimension : std::uint8_t
{
    time,      ///< picoseconds
    frequency, ///< hertz
    size,      ///< bytes
    rate,      ///< bytes per second
    energy     ///< attojoules
};

/// Which values whoever asks accepts, in base units: what remedies name lies in this range. The
/// range itself is checked by the one who asks.
struct QuantityRange
{
    std::uint64_t least = 0;
    std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
};

/// Reads "1.4 us", "128 Kibit", "2.5 pJ", "1.28 GHz" or "12.8 GB/s" exactly, in decimal arithmetic,
/// as a count of the dimension's base unit. A blank before the unit may be left out. Throws
/// InputError at `place` for a missing or wrong unit (listing the accepted ones), a malformed
/// number, more than 20 significant digits, a value that is not a whole number of base units, and
/// one beyond 2^64 - 1.
[[nodiscard]] std::uint64_t parse_quantity(Dimension dimension, std::string_view text,
                                           const Place& place, const QuantityRange& range = {});
/// Shortest exact text that parse_quantity() reads back as `value`: 1'400'000 ps is "1.4 us". Of
/// texts of the same length the one with the larger unit, binary before decimal.
[[nodiscard]] std::string print_quantity(Dimension dimension, std::uint64_t value);

/// Reads a time ("1.4 us") or a number of clock cycles ("3 cycles", "1 cycle"). Throws InputError
/// like parse_quantity().
[[nodiscard]] Duration parse_duration(std::string_view text, const Place& place,
                                      const QuantityRange& range = {});
/// "3 cycles", "1.4 us", "0 ps". Contract: the duration is one that parse_duration() can return,
/// not a sum of cycles and time.
[[nodiscard]] std::string print_duration(Duration duration);

/// "ps, ns, us, ms or s": for messages and documentation.
[[nodiscard]] std::string unit_names(Dimension dimension);
/// Regular expressions (ECMA-262) of what the two parsers take, value limits aside.
[[nodiscard]] std::string quantity_pattern(Dimension dimension);
[[nodiscard]] std::string duration_pattern();

} // namespace tessera
