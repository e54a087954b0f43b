// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/tick.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <variant>
#include <vector>

namespace tessera::record
{

/// A time in a table: printed in ns, picoseconds in JSON.
struct TimeCell
{
    Tick ps = 0;
};
/// A difference of times.
struct TimeChangeCell
{
    std::int64_t ps = 0;
};
/// A share of a whole: printed in per cent, 0 to 1 in JSON.
struct ShareCell
{
    double value = 0;
};

/// std::monostate: nothing to say ("-", null).
using Cell = std::variant<std::monostate, std::string, std::uint64_t, double, TimeCell,
                          TimeChangeCell, ShareCell>;

/// Rows under named columns, for people (aligned text) and programs (JSON).
struct Table
{
    std::string title;                ///< the same in every run
    std::vector<std::string> columns; ///< JSON keys; times get "_ps" there
    std::vector<std::vector<Cell>> rows;
    std::string note; ///< printed after the title, e.g. "20 of 96"
};

/// Title, header and rows; the first column to the left, numbers to the right.
void print(std::ostream& out, const Table& table);
/// [{"column": value, ...}, ...]
[[nodiscard]] nlohmann::ordered_json to_json(const Table& table);
/// Text of a document in which names may hold any bytes.
[[nodiscard]] std::string dump(const nlohmann::ordered_json& document);

/// "1.250" for 1250 ps: exact.
[[nodiscard]] std::string nanoseconds(Tick ps);

} // namespace tessera::record
