// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>
#include <vector>

namespace tessera
{
namespace
{

using nlohmann::json;

/// Line of the character that the parser read last.
struct Cursor
{
    std::uint64_t line = 1;
    bool at_line_end = false;

    void read(char c)
    {
        if (at_line_end)
        {
            ++line;
        }
        at_line_end = c == '\n';
    }
};

/// Hands characters to the parser and counts lines on the way: the parser's callbacks do not tell
/// where they are. The parser looks ahead by one character only after a number; when that is a line
/// end, the cursor is still on the number's line.
class CountingIterator
{
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    CountingIterator(const char* at, Cursor* cursor) : at_(at), cursor_(cursor) {}
    reference operator*() const { return *at_; }
    CountingIterator& operator++()
    {
        cursor_->read(*at_);
        ++at_;
        return *this;
    }
    CountingIterator operator++(int)
    {
        CountingIterator before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(const CountingIterator& a, const CountingIterator& b)
    {
        return a.at_ == b.at_;
    }
    friend bool operator!=(const CountingIterator& a, const CountingIterator& b)
    {
        return !(a == b);
    }

private:
    const char* at_;
    Cursor* cursor_;
};

/// Builds the value; remembers lines; refuses what JSON allows and a config must not contain.
class Builder : public nlohmann::json_sax<json>
{
public:
    Builder(const std::string& file, const JsonLimits& limits, const Cursor& cursor)
        : file_(file), limits_(limits), cursor_(cursor)
    {
    }

    bool null() override { return add(json(nullptr)); }
    bool boolean(bool value) override { return add(json(value)); }
    bool number_integer(number_integer_t value) override { return add(json(value)); }
    bool number_unsigned(number_unsigned_t value) override { return add(json(value)); }
    bool number_float(number_float_t value, const string_t& /*text*/) override
    {
        return add(json(value));
    }
    bool string(string_t& value) override { return add(json(std::move(value))); }
    bool binary(binary_t& /*value*/) override { return false; } // only binary formats call it
    bool start_object(std::size_t /*elements*/) override { return open(json::object()); }
    bool end_object() override { return close(); }
    bool start_array(std::size_t /*elements*/) override { return open(json::array()); }
    bool end_array() override { return close(); }

    bool key(string_t& name) override
    {
        Open& object = open_.back();
        if (object.value->contains(name))
        {
            throw InputError({file_, cursor_.line, pointer_to(object.pointer, name)},
                             "the key \"" + name + "\" appears twice", "delete one of the two");
        }
        object.key = std::move(name);
        return true;
    }

    bool parse_error(std::size_t /*position*/, const std::string& /*last_token*/,
                     const json::exception& error) override
    {
        // "[json.exception.parse_error.101] parse error at line 3, column 5: syntax error while
        // ..."
        std::string problem = error.what();
        problem.erase(0, problem.find("] ") + 2);
        if (problem.compare(0, 11, "parse error") == 0)
        {
            problem.erase(0, problem.find(": ") + 2);
        }
        throw InputError({file_, cursor_.line, ""}, "not valid JSON: " + problem,
                         "correct the text near this line");
    }

    [[nodiscard]] json take_value() { return std::move(root_); }
    [[nodiscard]] std::unordered_map<std::string, std::uint64_t> take_lines()
    {
        return std::move(lines_);
    }

private:
    struct Open
    {
        json* value; ///< stays valid: nothing is added to an outer container meanwhile
        std::string pointer;
        std::string key;
    };

    [[nodiscard]] std::string next_pointer() const
    {
        if (open_.empty())
        {
            return "";
        }
        const Open& around = open_.back();
        return pointer_to(around.pointer, around.value->is_array()
                                              ? std::to_string(around.value->size())
                                              : around.key);
    }

    json* place_value(json value, const std::string& pointer)
    {
        lines_.emplace(pointer, cursor_.line);
        if (open_.empty())
        {
            root_ = std::move(value);
            return &root_;
        }
        Open& around = open_.back();
        if (around.value->is_array())
        {
            around.value->push_back(std::move(value));
            return &around.value->back();
        }
        json& slot = (*around.value)[around.key];
        slot = std::move(value);
        return &slot;
    }

    bool add(json value)
    {
        place_value(std::move(value), next_pointer());
        return true;
    }

    bool open(json container)
    {
        if (open_.size() == limits_.depth)
        {
            throw InputError({file_, cursor_.line, ""},
                             "objects and arrays are nested deeper than " +
                                 std::to_string(limits_.depth),
                             "flatten the structure");
        }
        std::string pointer = next_pointer();
        json* const placed = place_value(std::move(container), pointer);
        open_.push_back({placed, std::move(pointer), ""});
        return true;
    }

    bool close()
    {
        open_.pop_back();
        return true;
    }

    const std::string& file_;
    const JsonLimits& limits_;
    const Cursor& cursor_;
    json root_;
    std::vector<Open> open_;
    std::unordered_map<std::string, std::uint64_t> lines_;
};

void check_size(std::uint64_t bytes, const std::string& file, const JsonLimits& limits)
{
    if (bytes > limits.bytes)
    {
        throw InputError({file, 0, ""},
                         "the text is longer than " + std::to_string(limits.bytes) + " bytes",
                         "split the file, or check that it is the right one");
    }
}

} // namespace

Place JsonDocument::place(const std::string& pointer) const
{
    std::string around = pointer;
    for (;;)
    {
        const auto found = lines_.find(around);
        if (found != lines_.end())
        {
            return {file_, found->second, pointer};
        }
        if (around.empty())
        {
            return {file_, 0, pointer};
        }
        around.erase(around.rfind('/'));
    }
}

JsonDocument parse_json(std::string_view text, const std::string& file, const JsonLimits& limits)
{
    check_size(text.size(), file, limits);
    if (static_cast<std::size_t>(std::count(text.begin(), text.end(), ',')) > limits.values)
    {
        throw InputError({file, 0, ""},
                         "has more than " + std::to_string(limits.values) + " values",
                         "check that it is the right file, or divide it");
    }
    Cursor cursor;
    Builder builder(file, limits, cursor);
    json::sax_parse(CountingIterator(text.data(), &cursor),
                    CountingIterator(text.data() + text.size(), &cursor), &builder);
    return {file, builder.take_value(), builder.take_lines()};
}

JsonDocument load_json(const std::string& path, const JsonLimits& limits)
{
    const auto fail = [&path](const std::string& why)
    { return IoError("cannot read " + path + ": " + why); };
    std::ifstream stream(path, std::ios::binary);
    if (!stream)
    {
        throw fail(std::generic_category().message(errno));
    }
    std::string text;
    std::array<char, 65536> chunk{};
    while (stream && text.size() <= limits.bytes) // a device may have no end
    {
        stream.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
        text.append(chunk.data(), static_cast<std::size_t>(stream.gcount()));
    }
    if (stream.bad())
    {
        throw fail(std::generic_category().message(errno));
    }
    return parse_json(text, path, limits);
}

std::string pointer_to(const std::string& pointer, std::string_view key)
{
    std::string extended = pointer + '/';
    for (const char c : key)
    {
        extended += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    }
    return extended;
}

const char* type_name(const json& value)
{
    switch (value.type())
    {
    case json::value_t::null:
        return "null";
    case json::value_t::object:
        return "an object";
    case json::value_t::array:
        return "a list";
    case json::value_t::string:
        return "text";
    case json::value_t::boolean:
        return "true or false";
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
        return "a whole number";
    case json::value_t::number_float:
        return "a number with a fraction";
    default:
        return "binary data";
    }
}

} // namespace tessera
