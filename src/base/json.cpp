// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include "base/input_file.h"
#include "base/nearest.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <iterator>
#include <utility>

namespace tessera
{
namespace
{

using nlohmann::json;

/// Line of the character that the parser read last.
struct Cursor
{
    std::uint32_t line = 1;
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
            throw InputError({file_, cursor_.line, pointer_to(pointer(), name)},
                             "the key " + in_quotes(name) + " appears twice",
                             "delete one of the two");
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

    /// Contract: called once, when all has been read.
    [[nodiscard]] JsonDocument take_document()
    {
        std::sort(lines_.begin(), lines_.end());
        return {file_, std::move(root_), line_, std::move(lines_)};
    }

private:
    struct Open
    {
        json* value; ///< stays valid: nothing is added to an outer container meanwhile
        std::string key;
        /// Of a list's entries, which change their addresses while the list grows.
        std::vector<std::uint32_t> lines;
    };

    /// Of the container at hand.
    [[nodiscard]] std::string pointer() const
    {
        std::string text;
        for (std::size_t i = 0; i + 1 < open_.size(); ++i)
        {
            const Open& around = open_[i];
            text =
                pointer_to(text, around.value->is_array() ? std::to_string(around.value->size() - 1)
                                                          : around.key);
        }
        return text;
    }

    json* place_value(json value)
    {
        if (++values_ > limits_.values)
        {
            throw InputError({file_, cursor_.line, ""},
                             "has more than " + std::to_string(limits_.values) + " values",
                             "check that it is the right file, or divide it");
        }
        if (open_.empty())
        {
            line_ = cursor_.line;
            root_ = std::move(value);
            return &root_;
        }
        Open& around = open_.back();
        if (around.value->is_array())
        {
            around.lines.push_back(cursor_.line);
            around.value->push_back(std::move(value));
            return &around.value->back();
        }
        json& slot = (*around.value)[around.key];
        slot = std::move(value);
        lines_.emplace_back(&slot, cursor_.line);
        return &slot;
    }

    bool add(json value)
    {
        place_value(std::move(value));
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
        json* const placed = place_value(std::move(container));
        open_.push_back({placed, "", {}});
        return true;
    }

    bool close()
    {
        const Open& closed = open_.back();
        for (std::size_t i = 0; i < closed.lines.size(); ++i)
        {
            lines_.emplace_back(&(*closed.value)[i], closed.lines[i]);
        }
        open_.pop_back();
        return true;
    }

    const std::string& file_;
    const JsonLimits& limits_;
    const Cursor& cursor_;
    json root_;
    std::vector<Open> open_;
    std::uint32_t line_ = 0;
    JsonDocument::Lines lines_;
    std::size_t values_ = 0;
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

/// The member that one component of a JSON pointer names; null when there is none.
const json* member_of(const json& value, const std::string& component)
{
    if (value.is_array())
    {
        std::size_t index = 0;
        const char* const last = component.data() + component.size();
        const auto [end, error] = std::from_chars(component.data(), last, index);
        return error == std::errc() && end == last && index < value.size() ? &value[index]
                                                                           : nullptr;
    }
    if (!value.is_object())
    {
        return nullptr;
    }
    std::string key;
    for (std::size_t i = 0; i < component.size(); ++i)
    {
        const bool escape = component[i] == '~' && i + 1 < component.size();
        key += !escape ? component[i] : component[i + 1] == '1' ? '/' : '~';
        i += escape ? 1 : 0;
    }
    const auto found = value.find(key);
    return found == value.end() ? nullptr : &*found;
}

} // namespace

Place JsonDocument::place(const std::string& pointer) const
{
    std::uint64_t line = line_;
    const json* value = &value_;
    for (std::size_t begin = 1; begin <= pointer.size();)
    {
        const std::size_t end = std::min(pointer.find('/', begin), pointer.size());
        value = member_of(*value, pointer.substr(begin, end - begin));
        if (value == nullptr)
        {
            break;
        }
        const auto found = std::lower_bound(lines_.begin(), lines_.end(), value,
                                            [](const auto& entry, const json* address)
                                            { return std::less<>()(entry.first, address); });
        line = found != lines_.end() && found->first == value ? found->second : line;
        begin = end + 1;
    }
    return {file_, line, pointer};
}

JsonDocument parse_json(std::string_view text, const std::string& file, const JsonLimits& limits)
{
    check_size(text.size(), file, limits);
    const std::size_t nul = text.find('\0');
    if (nul != std::string_view::npos) // the library would take it for the end
    {
        const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<long>(nul), '\n');
        throw InputError({file, static_cast<std::uint64_t>(line), ""},
                         "not valid JSON: there is a NUL byte", "correct the text near this line");
    }
    Cursor cursor;
    Builder builder(file, limits, cursor);
    json::sax_parse(CountingIterator(text.data(), &cursor),
                    CountingIterator(text.data() + text.size(), &cursor), &builder);
    return builder.take_document();
}

JsonDocument load_json(const std::string& path, const JsonLimits& limits)
{
    InputFile file(path, InputFile::Pipes::read);
    // One byte more than allowed tells that there is more.
    return parse_json(file.read_all(limits.bytes + 1), path, limits);
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
