// SPDX-License-Identifier: Apache-2.0
#include "base/quantity.h"

#include "base/integer.h"
#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <vector>

namespace tessera
{
namespace
{

/// One unit = numerator / denominator base units.
struct Unit
{
    const char* name;
    std::uint64_t numerator;
    std::uint64_t denominator = 1;
    bool printed = true; ///< false: read only (an alias, or a unit that hides what is meant)
};

constexpr std::uint64_t kKilo = 1'000;
constexpr std::uint64_t kMega = 1'000'000;
constexpr std::uint64_t kGiga = 1'000'000'000;
constexpr std::uint64_t kTera = 1'000'000'000'000;
constexpr std::uint64_t kKibi = std::uint64_t{1} << 10U;
constexpr std::uint64_t kMebi = std::uint64_t{1} << 20U;
constexpr std::uint64_t kGibi = std::uint64_t{1} << 30U;
constexpr std::uint64_t kTebi = std::uint64_t{1} << 40U;

/// From large to small: printing prefers what comes first.
const std::vector<Unit>& units_of(Dimension dimension)
{
    static const std::array<std::vector<Unit>, 5> units{{
        {{"s", kTera},
         {"ms", kGiga},
         {"us", kMega},
         {"\u00b5s", kMega, 1, false},
         {"\u03bcs", kMega, 1, false},
         {"ns", kKilo},
         {"ps", 1}},
        {{"THz", kTera}, {"GHz", kGiga}, {"MHz", kMega}, {"kHz", kKilo}, {"Hz", 1}},
        {{"TiB", kTebi},
         {"TB", kTera},
         {"GiB", kGibi},
         {"GB", kGiga},
         {"MiB", kMebi},
         {"MB", kMega},
         {"KiB", kKibi},
         {"kB", kKilo},
         {"B", 1},
         {"Gibit", kGibi, 8, false},
         {"Gbit", kGiga, 8, false},
         {"Mibit", kMebi, 8, false},
         {"Mbit", kMega, 8, false},
         {"Kibit", kKibi, 8, false},
         {"kbit", kKilo, 8, false},
         {"bit", 1, 8, false}},
        {{"TB/s", kTera},
         {"GB/s", kGiga},
         {"MB/s", kMega},
         {"kB/s", kKilo},
         {"B/s", 1},
         {"TiB/s", kTebi, 1, false},
         {"GiB/s", kGibi, 1, false},
         {"MiB/s", kMebi, 1, false},
         {"KiB/s", kKibi, 1, false},
         {"Tbit/s", kTera, 8, false},
         {"Gbit/s", kGiga, 8, false},
         {"Mbit/s", kMega, 8, false},
         {"kbit/s", kKilo, 8, false},
         {"bit/s", 1, 8, false}},
        {{"J", kTera * kMega},
         {"mJ", kTera * kKilo},
         {"uJ", kTera},
         {"nJ", kGiga},
         {"pJ", kMega},
         {"fJ", kKilo},
         {"aJ", 1}},
    }};
    return units[static_cast<std::size_t>(dimension)];
}

struct BaseUnit
{
    const char* words;
    const char* symbol;
};

const BaseUnit& base_of(Dimension dimension)
{
    static constexpr std::array<BaseUnit, 5> names{{{"picoseconds", "ps"},
                                                    {"hertz", "Hz"},
                                                    {"bytes", "B"},
                                                    {"bytes per second", "B/s"},
                                                    {"attojoules", "aJ"}}};
    return names[static_cast<std::size_t>(dimension)];
}

/// mantissa / 10^scale
struct Decimal
{
    Wide mantissa = 0;
    unsigned scale = 0;
};

struct Split
{
    std::string_view number;
    std::string_view unit;
};

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

std::string quoted(std::string_view text)
{
    constexpr std::size_t longest = 60;
    return '"' + std::string(text.substr(0, longest)) + (text.size() > longest ? "...\"" : "\"");
}

Split split(std::string_view text)
{
    const std::size_t number_end = std::min(text.find_first_not_of("+-.0123456789"), text.size());
    const std::size_t unit_begin = std::min(text.find_first_not_of(' ', number_end), text.size());
    return {text.substr(0, number_end), text.substr(unit_begin)};
}

/// Nothing for what is not digits with at most one point between digits, or is too long.
std::optional<Decimal> parse_decimal(std::string_view text)
{
    constexpr unsigned most_digits = 20;
    constexpr unsigned most_scale = 30; // 8 x 10^30 fits into 128 bits with room to spare
    const std::size_t point = text.find('.');
    const std::string_view whole = text.substr(0, point);
    std::string_view fraction;
    if (point != std::string_view::npos)
    {
        fraction = text.substr(point + 1);
        if (fraction.empty())
        {
            return std::nullopt;
        }
    }
    if (whole.empty() || !std::all_of(whole.begin(), whole.end(), is_digit) ||
        !std::all_of(fraction.begin(), fraction.end(), is_digit))
    {
        return std::nullopt;
    }
    fraction = fraction.substr(0, fraction.find_last_not_of('0') + 1);
    std::string digits = std::string(whole) + std::string(fraction);
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
    if (digits.size() > most_digits || fraction.size() > most_scale)
    {
        return std::nullopt;
    }
    Decimal decimal;
    decimal.scale = static_cast<unsigned>(fraction.size());
    for (const char c : digits)
    {
        decimal.mantissa = decimal.mantissa * 10U + static_cast<unsigned>(c - '0');
    }
    return decimal;
}

/// `least`: the smallest value that is accepted, in words.
Decimal read_number(std::string_view number, std::string_view text, const Place& place,
                    const std::string& units, const std::string& least)
{
    if (number.empty())
    {
        throw InputError(place, quoted(text) + " does not start with a number",
                         "write a number and a unit: " + units);
    }
    if (number.front() == '-')
    {
        throw InputError(place, quoted(text) + " is negative", "give at least " + least);
    }
    const std::optional<Decimal> decimal = parse_decimal(number);
    if (!decimal)
    {
        throw InputError(place, quoted(text) + " does not start with a plain decimal number",
                         "write digits with at most one point between them, at most 20 of them "
                         "significant, such as 12.8");
    }
    return *decimal;
}

/// decimal x unit in base units.
std::uint64_t exact(const Decimal& decimal, const Unit& unit, std::string_view text,
                    const Place& place, const BaseUnit& base, const QuantityRange& range)
{
    Wide divisor = unit.denominator;
    for (unsigned i = 0; i < decimal.scale; ++i)
    {
        divisor *= 10U;
    }
    const Wide scaled = decimal.mantissa * unit.numerator;
    const Wide value = scaled / divisor;
    if (value > std::numeric_limits<std::uint64_t>::max())
    {
        throw InputError(place, quoted(text) + " is too large",
                         "give at most " + std::to_string(range.most) + ' ' + base.symbol);
    }
    const auto whole = static_cast<std::uint64_t>(value);
    if (scaled % divisor != 0)
    {
        throw InputError(place, quoted(text) + " is not a whole number of " + base.words,
                         "round it, for example to " +
                             std::to_string(std::clamp(whole, range.least, range.most)) + ' ' +
                             base.symbol);
    }
    return whole;
}

const Unit* find_unit(Dimension dimension, std::string_view name)
{
    const std::vector<Unit>& units = units_of(dimension);
    const auto found = std::find_if(units.begin(), units.end(),
                                    [name](const Unit& unit) { return unit.name == name; });
    return found == units.end() ? nullptr : &*found;
}

const Unit& read_unit(Dimension dimension, const Split& parts, std::string_view text,
                      const Place& place, const std::string& accepted)
{
    const Unit* const unit = find_unit(dimension, parts.unit);
    if (unit == nullptr)
    {
        throw InputError(place,
                         quoted(text) + (parts.unit.empty()
                                             ? " has no unit"
                                             : " has the unknown unit " + quoted(parts.unit)),
                         "write the number with one of " + accepted);
    }
    return *unit;
}

/// value / unit as a decimal without an exponent; nothing when that is below 1 (except in the base
/// unit) or longer than `most` characters.
std::optional<std::string> in_unit(std::uint64_t value, const Unit& unit, std::size_t most)
{
    if (value < unit.numerator && unit.numerator != 1)
    {
        return std::nullopt;
    }
    std::string text = std::to_string(value / unit.numerator);
    Wide rest = value % unit.numerator;
    if (rest != 0)
    {
        text += '.';
    }
    while (rest != 0 && text.size() <= most)
    {
        rest *= 10U;
        text += static_cast<char>('0' + static_cast<int>(rest / unit.numerator));
        rest %= unit.numerator;
    }
    if (text.size() > most)
    {
        return std::nullopt;
    }
    return text;
}

std::string pattern_of(Dimension dimension, const std::string& more)
{
    std::string names = more;
    for (const Unit& unit : units_of(dimension))
    {
        names += names.empty() ? "" : "|";
        names += unit.name;
    }
    return "^[0-9]+(\\.[0-9]+)? *(" + names + ")$";
}

const std::string& duration_units()
{
    static const std::string names = unit_names(Dimension::time) + ", or cycles";
    return names;
}

} // namespace

std::uint64_t parse_quantity(Dimension dimension, std::string_view text, const Place& place,
                             const QuantityRange& range)
{
    const Split parts = split(text);
    const std::string accepted = unit_names(dimension);
    const Decimal number =
        read_number(parts.number, text, place, accepted, print_quantity(dimension, range.least));
    const Unit& unit = read_unit(dimension, parts, text, place, accepted);
    return exact(number, unit, text, place, base_of(dimension), range);
}

std::string print_quantity(Dimension dimension, std::uint64_t value)
{
    constexpr std::size_t any_length = 40;
    std::string number;
    const char* name = "";
    for (const Unit& unit : units_of(dimension))
    {
        if (!unit.printed)
        {
            continue;
        }
        const std::size_t most = number.empty() ? any_length : number.size() - 1;
        if (std::optional<std::string> shorter = in_unit(value, unit, most))
        {
            number = *std::move(shorter);
            name = unit.name;
        }
    }
    return number + ' ' + name;
}

Duration parse_duration(std::string_view text, const Place& place, const QuantityRange& range)
{
    const Split parts = split(text);
    const Decimal number = read_number(parts.number, text, place, duration_units(),
                                       print_quantity(Dimension::time, range.least));
    if (parts.unit == "cycles" || parts.unit == "cycle")
    {
        return Duration::of_cycles(
            exact(number, Unit{"cycles", 1}, text, place, {"cycles", "cycles"}, range));
    }
    const Unit& unit = read_unit(Dimension::time, parts, text, place, duration_units());
    return Duration::of_ticks(exact(number, unit, text, place, base_of(Dimension::time), range));
}

std::string print_duration(Duration duration)
{
    if (duration.cycles == 0)
    {
        return print_quantity(Dimension::time, duration.ticks);
    }
    return std::to_string(duration.cycles) + (duration.cycles == 1 ? " cycle" : " cycles");
}

std::string unit_names(Dimension dimension)
{
    std::vector<std::string> names;
    for (const Unit& unit : units_of(dimension))
    {
        if (static_cast<unsigned char>(unit.name[0]) <
            0x80U) // the two spellings of micro are aliases
        {
            names.emplace_back(unit.name);
        }
    }
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i)
    {
        text += i == 0 ? "" : i + 1 == names.size() ? " or " : ", ";
        text += names[i];
    }
    return text;
}

std::string quantity_pattern(Dimension dimension)
{
    return pattern_of(dimension, "");
}

std::string duration_pattern()
{
    return pattern_of(Dimension::time, "cycles|cycle");
}

} // namespace tessera
