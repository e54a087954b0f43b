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

/// The unit of a value in the same row, which text and JSON give in different ones.
struct UnitCell
{
    const char* text = "";
    const char* json = "";
};

/// std::monostate: nothing to say ("-", null). Truth is "yes" or "no" in text.
using Cell = std::variant<std::monostate, std::string, std::uint64_t, double, bool, TimeCell,
                          TimeChangeCell, ShareCell, UnitCell>;

/// What a column holds, whatever the run: so its name in JSON and its unit in text are always the
/// same.
enum class ColumnKind : std::uint8_t
{
    text,   ///< to the left
    number, ///< or truth
    time,   ///< TimeCell or TimeChangeCell
    share,  ///< ShareCell
    mixed   ///< values of different figures
};
struct Column
{
    std::string name; ///< key in JSON; of times with "_ps" there
    ColumnKind kind = ColumnKind::number;
};
[[nodiscard]] inline Column text(const char* name)
{
    return {name, ColumnKind::text};
}
[[nodiscard]] inline Column number(const char* name)
{
    return {name, ColumnKind::number};
}
[[nodiscard]] inline Column time(const char* name)
{
    return {name, ColumnKind::time};
}
[[nodiscard]] inline Column share(const char* name)
{
    return {name, ColumnKind::share};
}

/// Rows under named columns, for people (aligned text) and programs (JSON).
struct Table
{
    std::string title; ///< key in JSON: the same in every run
    std::vector<Column> columns;
    std::vector<std::vector<Cell>> rows; ///< a cell a column, of its kind or empty
    std::string note;                    ///< printed after the title, e.g. "20 of 96"
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
