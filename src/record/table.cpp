// SPDX-License-Identifier: Apache-2.0
#include "record/table.h"

#include "base/json.h"

#include <algorithm>
#include <fmt/format.h>

namespace tessera::record
{
namespace
{

template <class... Visitors> struct Overloaded : Visitors...
{
    using Visitors::operator()...;
};
template <class... Visitors> Overloaded(Visitors...) -> Overloaded<Visitors...>;

std::string to_text(const Cell& cell)
{
    return std::visit(Overloaded{[](std::monostate) { return std::string("-"); },
                                 [](const std::string& text) { return text; },
                                 [](std::uint64_t value) { return std::to_string(value); },
                                 [](double value) { return fmt::format("{:.3f}", value); },
                                 [](bool value) { return std::string(value ? "yes" : "no"); },
                                 [](UnitCell unit) { return std::string(unit.text); },
                                 [](TimeCell time) { return nanoseconds(time.ps); },
                                 [](TimeChangeCell time)
                                 {
                                     const auto bits = static_cast<std::uint64_t>(time.ps);
                                     return (time.ps < 0 ? "-" : "+") +
                                            nanoseconds(time.ps < 0 ? 0 - bits : bits);
                                 },
                                 [](ShareCell share)
                                 { return fmt::format("{:.3f}", 100 * share.value); }},
                      cell);
}

nlohmann::ordered_json to_value(const Cell& cell)
{
    return std::visit(
        Overloaded{[](std::monostate) { return nlohmann::ordered_json(); },
                   [](TimeCell time) { return nlohmann::ordered_json(time.ps); },
                   [](TimeChangeCell time) { return nlohmann::ordered_json(time.ps); },
                   [](ShareCell share) { return nlohmann::ordered_json(share.value); },
                   [](UnitCell unit) { return nlohmann::ordered_json(unit.json); },
                   [](const auto& value) { return nlohmann::ordered_json(value); }},
        cell);
}

std::string header_of(const Column& column)
{
    return column.name + (column.kind == ColumnKind::time    ? " [ns]"
                          : column.kind == ColumnKind::share ? " [%]"
                                                             : "");
}

/// What a terminal shows: continuation bytes of UTF-8 take no place.
std::size_t width(const std::string& text)
{
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(),
                      [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

} // namespace

void print(std::ostream& out, const Table& table)
{
    std::vector<std::vector<std::string>> lines(1 + table.rows.size());
    for (std::size_t c = 0; c < table.columns.size(); ++c)
    {
        lines[0].push_back(header_of(table.columns[c]));
        for (std::size_t r = 0; r < table.rows.size(); ++r)
        {
            lines[r + 1].push_back(to_text(table.rows[r][c]));
        }
    }
    out << table.title << (table.note.empty() ? "" : " (" + table.note + ")") << '\n';
    std::vector<std::size_t> widths(table.columns.size(), 0);
    for (const auto& line : lines)
    {
        for (std::size_t c = 0; c < line.size(); ++c)
        {
            widths[c] = std::max(widths[c], width(line[c]));
        }
    }
    for (const auto& line : lines)
    {
        std::string text;
        for (std::size_t c = 0; c < line.size(); ++c)
        {
            const std::string blanks(widths[c] - width(line[c]), ' ');
            const bool left = c == 0 || table.columns[c].kind == ColumnKind::text;
            text += "  ";
            text += left ? line[c] + blanks : blanks + line[c];
        }
        text.erase(text.find_last_not_of(' ') + 1);
        out << text << '\n';
    }
}

nlohmann::ordered_json to_json(const Table& table)
{
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const std::vector<Cell>& cells : table.rows)
    {
        nlohmann::ordered_json row = nlohmann::ordered_json::object();
        for (std::size_t c = 0; c < table.columns.size(); ++c)
        {
            const Column& column = table.columns[c];
            row[column.name + (column.kind == ColumnKind::time ? "_ps" : "")] = to_value(cells[c]);
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

std::string dump(const nlohmann::ordered_json& document)
{
    return text_of(document, 2) + '\n';
}

std::string nanoseconds(Tick ps)
{
    return fmt::format("{}.{:03}", ps / 1000, ps % 1000);
}

} // namespace tessera::record
