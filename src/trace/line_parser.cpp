// SPDX-License-Identifier: Apache-2.0
#include "trace/line_parser.h"

#include "trace/header.h"
#include "trace/rules.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <simdjson.h>

namespace tessera::trace
{
namespace
{

using simdjson::error_code;
using simdjson::ondemand::object;
using simdjson::ondemand::value;
static_assert(kLinePadding >= simdjson::SIMDJSON_PADDING);

[[noreturn]] void fail(std::string pointer, std::string problem, std::string remedy)
{
    throw Malformed{std::move(pointer), std::move(problem), std::move(remedy)};
}

/// Pointers are put together only when something is wrong: this is the way to the value at hand.
struct Where
{
    std::string_view key;
    std::int64_t index = -1;
    std::string_view member = {};

    [[nodiscard]] std::string pointer() const
    {
        std::string text = "/" + std::string(key);
        if (index >= 0)
        {
            text += '/' + std::to_string(index);
        }
        return member.empty() ? text : text + '/' + std::string(member);
    }
};

[[noreturn]] void not_json(error_code error, const std::string& pointer = "")
{
    fail(pointer, std::string("is not valid JSON: ") + simdjson::error_message(error),
         "every line is one JSON object");
}

/// For an error while reading a value that should have been `wanted`.
[[noreturn]] void wrong_value(error_code error, const Where& where, const std::string& wanted)
{
    switch (error)
    {
    case simdjson::INCORRECT_TYPE:
    case simdjson::NUMBER_ERROR:
    case simdjson::NUMBER_OUT_OF_RANGE:
        fail(where.pointer(), "is not " + wanted, "write one");
    default:
        not_json(error, where.pointer());
    }
}

[[noreturn]] void wrong_number(const Where& where, std::uint64_t minimum, std::uint64_t maximum)
{
    fail(where.pointer(),
         "is not a whole number from " + std::to_string(minimum) + " to " + std::to_string(maximum),
         "write one without sign, fraction or exponent");
}

std::uint64_t number(value& json, const Where& where, std::uint64_t maximum)
{
    std::uint64_t result = 0;
    const error_code error = json.get_uint64().get(result);
    if (error == simdjson::SUCCESS && result <= maximum)
    {
        return result;
    }
    if (error == simdjson::SUCCESS || error == simdjson::INCORRECT_TYPE ||
        error == simdjson::NUMBER_ERROR)
    {
        wrong_number(where, 0, maximum);
    }
    wrong_value(error, where, "a number");
}

/// The eight bytes at `text` as they stand; so many are readable behind everything in a line.
std::uint64_t eight_bytes(const char* text)
{
    std::uint64_t result = 0;
    std::memcpy(&result, text, sizeof(result));
    return result;
}

/// High bit of every byte of `bytes` that equals `c`; right up to the first such byte.
std::uint64_t matches(std::uint64_t bytes, char c)
{
    constexpr std::uint64_t kOnes = 0x0101'0101'0101'0101U;
    const std::uint64_t zero = bytes ^ (kOnes * static_cast<unsigned char>(c));
    return (zero - kOnes) & ~zero & (kOnes << 7U);
}

/// A key of at most seven bytes and its length as one number, 0 for a longer one: keys are compared
/// without a branch per byte. `readable` as eight_bytes() has them.
std::uint64_t packed(std::uint64_t readable, std::size_t size)
{
    const std::uint64_t length = size;
    return size > 7 ? 0 : (readable & ((std::uint64_t{1} << (8 * size)) - 1)) ^ length << 56U;
}

/// Contents of a JSON string that begins behind its quote at `raw`, if it holds no escapes.
std::optional<std::string_view> plain(const char* raw)
{
    const std::uint64_t bytes = eight_bytes(raw);
    const std::uint64_t quotes = matches(bytes, '"');
    if (quotes != 0 && matches(bytes, '\\') == 0)
    {
        return std::string_view(raw, static_cast<std::size_t>(__builtin_ctzll(quotes)) / 8);
    }
    std::size_t length = 0;
    while (raw[length] != '"' && raw[length] != '\\')
    {
        ++length;
    }
    return raw[length] == '"' ? std::optional(std::string_view(raw, length)) : std::nullopt;
}

std::string_view text(value& json, const Where& where)
{
    const std::string_view token = json.raw_json_token();
    simdjson::ondemand::raw_json_string raw;
    const auto contents = token.front() == '"' ? plain(token.data() + 1) : std::nullopt;
    if (contents && json.get_raw_json_string().get(raw) == simdjson::SUCCESS)
    {
        return *contents;
    }
    std::string_view result;
    if (const error_code error = json.get_string().get(result))
    {
        wrong_value(error, where, "text");
    }
    return result;
}

/// Calls `each(value, index)` for the entries of a list.
template <class Each> void for_each(value& json, const Where& where, Each each)
{
    simdjson::ondemand::array list;
    if (const error_code error = json.get_array().get(list))
    {
        wrong_value(error, where, "a list");
    }
    std::int64_t index = 0;
    for (auto item : list)
    {
        if (item.error() != simdjson::SUCCESS)
        {
            not_json(item.error(), where.pointer());
        }
        // By reference: copies of these small objects take most of the time.
        value&& entry = std::move(item).value_unsafe(); // NOLINT(performance-move-const-arg)
        each(entry, index);
        ++index;
    }
}

/// Calls `each(key, value)` for the members of an object.
template <class Each> void for_each_member(object json, const std::string& pointer, Each each)
{
    for (auto member : json)
    {
        if (member.error() != simdjson::SUCCESS)
        {
            not_json(member.error(), pointer);
        }
        simdjson::ondemand::field&& field = std::move(member).value_unsafe();
        // Keys hardly ever hold escapes; only those that do are copied.
        std::string_view key;
        if (const auto contents = plain(field.key().raw()))
        {
            key = *contents;
        }
        else if (const error_code error = field.unescaped_key().get(key))
        {
            not_json(error, pointer);
        }
        each(key, field.value());
    }
}

std::string_view raw_json(value& json, bool is_array, const Where& where)
{
    std::string_view raw;
    simdjson::ondemand::array array;
    object members;
    error_code error = is_array ? json.get_array().get(array) : json.get_object().get(members);
    if (error == simdjson::SUCCESS)
    {
        error = is_array ? array.raw_json().get(raw) : members.raw_json().get(raw);
    }
    if (error != simdjson::SUCCESS)
    {
        not_json(error, where.pointer());
    }
    return raw;
}

/// What an ignored key holds must be JSON too, though nobody looks at it.
void skip(value& json, const Where& where)
{
    std::string_view raw;
    const auto type = json.type();
    if (type.error() != simdjson::SUCCESS)
    {
        not_json(type.error(), where.pointer());
    }
    if (type.value_unsafe() == simdjson::ondemand::json_type::array ||
        type.value_unsafe() == simdjson::ondemand::json_type::object)
    {
        raw = raw_json(json, type.value_unsafe() == simdjson::ondemand::json_type::array, where);
    }
    else
    {
        raw = json.raw_json_token();
    }
    if (!nlohmann::json::accept(raw))
    {
        fail(where.pointer(), "is not valid JSON", "every line is one JSON object");
    }
}

Box box(value& json, const Where& where)
{
    Box result;
    std::int64_t count = 0;
    for_each(json, where,
             [&](value& entry, std::int64_t index)
             {
                 if (index < 6)
                 {
                     result.bounds[static_cast<std::size_t>(index)] = static_cast<std::uint32_t>(
                         number(entry, {where.key, index}, 0xffff'ffffU));
                 }
                 else
                 {
                     skip(entry, {where.key, index});
                 }
                 count = index + 1;
             });
    if (count != 6)
    {
        fail(where.pointer(), "has " + std::to_string(count) + " entries",
             "give [row begin, row end, column begin, column end, channel begin, channel end]");
    }
    return result;
}

bool is_extension(std::string_view key)
{
    return key.substr(0, 2) == "x-";
}

/// Looks for the kind of operation in a line that is JSON but nothing that Tessera knows. Keeps
/// nothing else of it: lines may be long.
class KindFinder : public nlohmann::json_sax<nlohmann::json>
{
public:
    /// The outermost object has one "op", and that begins with x-.
    [[nodiscard]] bool ignored() const { return kinds_ == 1 && extension_; }

    bool null() override { return scalar(); }
    bool boolean(bool /*value*/) override { return scalar(); }
    bool number_integer(number_integer_t /*value*/) override { return scalar(); }
    bool number_unsigned(number_unsigned_t /*value*/) override { return scalar(); }
    bool number_float(number_float_t /*value*/, const string_t& /*text*/) override
    {
        return scalar();
    }
    bool string(string_t& value) override
    {
        extension_ = extension_ || (expected_ && is_extension(value));
        return scalar();
    }
    bool binary(binary_t& /*value*/) override { return false; } // only binary formats call it
    bool start_object(std::size_t /*elements*/) override { return open(); }
    bool key(string_t& name) override
    {
        expected_ = depth_ == 1 && name == "op";
        kinds_ += expected_ ? 1 : 0;
        return true;
    }
    bool end_object() override { return close(); }
    bool start_array(std::size_t /*elements*/) override
    {
        return depth_ != 0 && open(); // a line is an object
    }
    bool end_array() override { return close(); }
    bool parse_error(std::size_t /*position*/, const std::string& /*last_token*/,
                     const nlohmann::json::exception& /*error*/) override
    {
        return false;
    }

private:
    bool scalar()
    {
        expected_ = false;
        return depth_ != 0;
    }
    bool open()
    {
        expected_ = false;
        ++depth_;
        return true;
    }
    bool close()
    {
        --depth_;
        return true;
    }

    std::size_t depth_ = 0;
    unsigned kinds_ = 0;
    bool expected_ = false; ///< the next value is the kind
    bool extension_ = false;
};

} // namespace

class LineParser::Implementation
{
public:
    explicit Implementation(const Header& header)
        : header_(&header), index_(header), rules_(header), fields_(fields())
    {
        for (unsigned i = 0; i < kKeys; ++i)
        {
            char name[sizeof(std::uint64_t)] = {}; // NOLINT(*avoid-c-arrays)
            fields_[i].name.copy(name, sizeof(name));
            names_[i] = packed(eight_bytes(name), fields_[i].name.size());
        }
    }

    Line parse(const char* line, std::size_t size, std::size_t capacity, Operation& operation,
               EndLine& end);

private:
    [[nodiscard]] unsigned find_key(std::string_view key, unsigned expected) const;
    void read(Key key, value& json, Operation& operation, EndLine& end);
    void read_ids(Key key, value& json, std::vector<OpId>& ids) const;
    void read_destinations(value& json, Operation& operation) const;
    static void read_arguments(value& json, Operation& operation);
    void read_unit(value& json, Operation& operation) const;
    void check_keys(unsigned seen, const Operation& operation) const;
    [[noreturn]] void unknown_key(std::string_view key) const;

    const Header* header_;
    UnitIndex index_;
    Rules rules_;
    const std::vector<Field>& fields_;
    std::array<std::uint64_t, kKeys> names_{}; ///< packed() names of the keys
    simdjson::ondemand::parser parser_;
    bool extension_ = false;           ///< the kind of this line begins with x-
    std::vector<std::string> ignored_; ///< keys of this line that begin with x-
};

/// Position of a key in the table. Lines come mostly in canonical order, so the search begins at
/// the key that would be next.
unsigned LineParser::Implementation::find_key(std::string_view key, unsigned expected) const
{
    const std::uint64_t wanted = packed(eight_bytes(key.data()), key.size());
    for (unsigned i = expected; i < kKeys; ++i)
    {
        if (names_[i] == wanted)
        {
            return i;
        }
    }
    for (unsigned i = 0; i < expected; ++i)
    {
        if (names_[i] == wanted)
        {
            return i;
        }
    }
    return kKeys;
}

void LineParser::Implementation::unknown_key(std::string_view key) const
{
    std::string list;
    for (unsigned i = 0; i < kOperationKeys; ++i)
    {
        list += (list.empty() ? "" : ", ") + std::string(fields_[i].name);
    }
    fail("/" + std::string(key), "is an unknown key",
         "use " + list + ", or a key beginning with x- for what Tessera should ignore");
}

void LineParser::Implementation::read_ids(Key key, value& json, std::vector<OpId>& ids) const
{
    const std::string_view name = fields_[static_cast<std::size_t>(key)].name;
    for_each(json, {name},
             [&](value& entry, std::int64_t index)
             {
                 if (ids.size() == kMaxFanIn)
                 {
                     fail("/" + std::string(name), "has more than 65535 entries",
                          "combine some of them in an operation of their own");
                 }
                 ids.emplace_back(number(entry, {name, index}, kMaxNumber));
             });
}

void LineParser::Implementation::read_destinations(value& json, Operation& operation) const
{
    for_each(
        json, {"to"},
        [&](value& entry, std::int64_t index)
        {
            if (operation.to.size() == kMaxFanIn)
            {
                fail("/to", "has more than 65535 entries", "split the transfer");
            }
            object members;
            if (const error_code error = entry.get_object().get(members))
            {
                wrong_value(error, {"to", index}, R"(an object {"at":...,"uses":...})");
            }
            Destination destination;
            bool has_uses = false;
            const std::string none;
            for_each_member(
                members, none,
                [&](std::string_view key, value& member)
                {
                    const Where where{"to", index, key};
                    if ((key == "at" && destination.at.valid()) || (key == "uses" && has_uses))
                    {
                        fail(where.pointer(), "appears twice", "give every key once");
                    }
                    if (key == "at")
                    {
                        const std::string_view name = text(member, where);
                        const auto node = parse_node(name, header_->tiles, header_->memory_ports);
                        if (!node)
                        {
                            fail(where.pointer(), '"' + std::string(name) + "\" does not exist",
                                 "use t0 to t" + std::to_string(header_->tiles - 1) +
                                     ", or mem0, ... for a store");
                        }
                        destination.at = *node;
                    }
                    else if (key == "uses")
                    {
                        destination.uses =
                            static_cast<std::uint32_t>(number(member, where, 0xffff'ffffU));
                        has_uses = true;
                    }
                    else if (is_extension(key))
                    {
                        skip(member, where);
                    }
                    else
                    {
                        fail(where.pointer(), "is an unknown key", "use at and uses");
                    }
                });
            if (!destination.at.valid())
            {
                fail(Where{"to", index}.pointer(), "lacks \"at\"", "add it");
            }
            operation.to.push_back(destination);
        });
}

void LineParser::Implementation::read_arguments(value& json, Operation& operation)
{
    object members;
    if (const error_code error = json.get_object().get(members))
    {
        wrong_value(error, {"args"}, "an object");
    }
    for_each_member(members, "/args",
                    [&](std::string_view key, value& member)
                    {
                        const Where where{"args", -1, key};
                        std::int64_t argument = 0;
                        if (const error_code error = member.get_int64().get(argument))
                        {
                            wrong_value(error, where, "a whole number of 64 bits");
                        }
                        if (!operation.arguments.emplace(key, argument).second)
                        {
                            fail(where.pointer(), "appears twice", "give every key once");
                        }
                    });
}

void LineParser::Implementation::read_unit(value& json, Operation& operation) const
{
    const std::string_view name = text(json, {"at"});
    const auto unit = parse_unit(name, header_->tiles, header_->memory_ports);
    if (!unit)
    {
        fail("/at", '"' + std::string(name) + "\" is not a unit of this chip",
             "use t<tile>.m<macro>, t<tile>.vec, t<tile>.ni or mem<port>, within the header's "
             "tiles and memory_ports");
    }
    operation.at = index_.find(*unit);
    if (!operation.at.valid())
    {
        fail("/at", '"' + std::string(name) + "\" is not in the header's counts.units",
             "list every unit with the number of its operations");
    }
}

void LineParser::Implementation::read(Key key, value& json, Operation& operation, EndLine& end)
{
    const Field& field = fields_[static_cast<std::size_t>(key)];
    const auto any = [&] { return number(json, {field.name}, field.maximum); };
    const auto small = [&] { return static_cast<std::uint32_t>(any()); };
    switch (key)
    {
    case Key::id:
        operation.id = OpId(any());
        break;
    case Key::op:
    {
        const std::string_view name = text(json, {field.name});
        const auto kind = find_kind(name);
        extension_ = is_extension(name);
        if (!kind && !extension_)
        {
            fail("/op", '"' + std::string(name) + "\" is an unknown kind of operation",
                 "use mvm, vec, move, load, store or program, or a name beginning with x- for "
                 "what Tessera should ignore");
        }
        operation.kind = kind.value_or(OpKind::mvm);
        break;
    }
    case Key::at:
        read_unit(json, operation);
        break;
    case Key::block:
        operation.block = BlockId(small());
        break;
    case Key::ofm:
        operation.ofm = box(json, {field.name});
        break;
    case Key::n:
        operation.n = small();
        break;
    case Key::bits:
        operation.bits = static_cast<std::uint8_t>(any());
        break;
    case Key::bytes:
        operation.bytes = any();
        break;
    case Key::uses:
        operation.uses = small();
        break;
    case Key::in:
        read_ids(key, json, operation.in);
        break;
    case Key::after:
        read_ids(key, json, operation.after);
        break;
    case Key::into:
        operation.into = static_cast<std::int32_t>(any());
        break;
    case Key::to:
        read_destinations(json, operation);
        break;
    case Key::release:
        operation.release = any();
        break;
    case Key::start:
        operation.start_hint = any();
        break;
    case Key::layer:
        operation.layer = LayerId(small());
        break;
    case Key::img:
        operation.image = small();
        break;
    case Key::fn:
    {
        const std::string_view name = text(json, {field.name});
        const auto function = find_function(name);
        if (!function)
        {
            fail("/fn", '"' + std::string(name) + "\" is an unknown function",
                 "the schema configs/schema/trace-1.0.schema.json lists them");
        }
        operation.function = *function;
        break;
    }
    case Key::args:
        read_arguments(json, operation);
        break;
    case Key::tensor:
        operation.tensor = TensorId(small());
        break;
    case Key::box:
        operation.box = box(json, {field.name});
        break;
    case Key::address:
        operation.address = any();
        break;
    case Key::end:
    {
        bool truth = false;
        const error_code error = json.get_bool().get(truth);
        if (error != simdjson::SUCCESS || !truth)
        {
            fail("/end", "is not true", R"(the last line is {"end":true,"ops":...,"crc32":"..."})");
        }
        break;
    }
    case Key::ops:
        end.operations = any();
        break;
    case Key::crc32:
    {
        const std::string_view digits = text(json, {field.name});
        const auto [last, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), end.crc, 16);
        if (digits.size() != 8 || error != std::errc() || last != digits.data() + 8 ||
            digits.find_first_of("ABCDEF") != std::string_view::npos)
        {
            fail("/crc32", "is not a checksum", "write 8 lower-case hex digits");
        }
        break;
    }
    }
}

void LineParser::Implementation::check_keys(unsigned seen, const Operation& operation) const
{
    const char* const kind = name_of(operation.kind);
    const unsigned unexpected = seen & ~allowed_keys(operation.kind);
    const unsigned missing = required_keys(operation.kind) & ~seen;
    if ((unexpected | missing) == 0)
    {
        return;
    }
    for (unsigned key = 0; key < kKeys; ++key)
    {
        const std::string name(fields_[key].name);
        if ((missing >> key & 1U) != 0)
        {
            // Without its kind nothing more can be said about an operation.
            fail("", "lacks \"" + name + "\"",
                 "every " + std::string((seen & bit(Key::op)) != 0 ? kind : "operation") +
                     " has one");
        }
        if ((unexpected >> key & 1U) != 0)
        {
            fail("/" + name, std::string(kind) + " has no \"" + name + "\"", "leave it out");
        }
    }
}

Line LineParser::Implementation::parse(const char* line, std::size_t size, std::size_t capacity,
                                       Operation& operation, EndLine& end)
{
    operation.clear();
    end = EndLine();
    extension_ = false;
    ignored_.clear();
    simdjson::ondemand::document document;
    if (const error_code error = parser_.iterate(line, size, capacity).get(document))
    {
        not_json(error);
    }
    object members;
    if (const error_code error = document.get_object().get(members))
    {
        if (error == simdjson::INCORRECT_TYPE)
        {
            fail("", "is not a JSON object", "every line is one JSON object");
        }
        not_json(error);
    }
    unsigned seen = 0;
    unsigned expected = 0;
    for_each_member(members, {},
                    [&](std::string_view key, value& json)
                    {
                        const unsigned found = find_key(key, expected);
                        if (found == kKeys)
                        {
                            if (!is_extension(key))
                            {
                                unknown_key(key);
                            }
                            ignored_.emplace_back(key);
                            skip(json, {key});
                            return;
                        }
                        if ((seen >> found & 1U) != 0)
                        {
                            fail("/" + std::string(key), "appears twice", "give every key once");
                        }
                        seen |= 1U << found;
                        expected = found + 1;
                        read(static_cast<Key>(found), json, operation, end);
                    });
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
    {
        fail("", "has something behind the JSON object", "every line is one JSON object");
    }
    if (ignored_.size() > 1)
    {
        std::sort(ignored_.begin(), ignored_.end());
        const auto twice = std::adjacent_find(ignored_.begin(), ignored_.end());
        if (twice != ignored_.end())
        {
            fail("/" + *twice, "appears twice", "give every key once");
        }
    }
    constexpr unsigned kEndKeys = bit(Key::end) | bit(Key::ops) | bit(Key::crc32);
    if ((seen & kEndKeys) != 0)
    {
        if (seen != kEndKeys)
        {
            fail("", "is neither an operation nor a complete last line",
                 R"(the last line is {"end":true,"ops":...,"crc32":"..."})");
        }
        return Line::end;
    }
    if (extension_)
    {
        return Line::ignored;
    }
    check_keys(seen, operation);
    rules_.check(operation);
    return Line::operation;
}

LineParser::LineParser(const Header& header)
    : implementation_(std::make_unique<Implementation>(header))
{
}

LineParser::~LineParser() = default;

Line LineParser::parse(const char* text, std::size_t size, std::size_t capacity,
                       Operation& operation, EndLine& end)
{
    if (std::memchr(text, '\0', size) != nullptr)
    {
        fail("", "is not valid JSON: there is a NUL byte", "every line is one JSON object");
    }
    try
    {
        return implementation_->parse(text, size, capacity, operation, end);
    }
    catch (const Malformed&)
    {
        // An ignored kind may give other meanings to the keys; only then does a second look pay.
        KindFinder finder;
        if (nlohmann::json::sax_parse(text, text + size, &finder) && finder.ignored())
        {
            return Line::ignored;
        }
        throw;
    }
}

} // namespace tessera::trace
