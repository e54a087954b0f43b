// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/error.h"

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera
{

/// What parse_json() refuses to exceed.
struct JsonLimits
{
    std::size_t bytes = std::size_t{16} << 20U;
    std::size_t depth = 64;         ///< objects and arrays inside each other
    std::size_t values = 2'000'000; ///< of any kind; each costs memory
};

/// A JSON text with the line of every value, so that messages can point at what they are about.
class JsonDocument
{
public:
    /// Where the values inside the outermost one begin, by their addresses in rising order.
    using Lines = std::vector<std::pair<const nlohmann::json*, std::uint32_t>>;

    /// `line`: of the value itself; 0: not known.
    JsonDocument(std::string file, nlohmann::json value, std::uint32_t line, Lines lines)
        : file_(std::move(file)), value_(std::move(value)), line_(line), lines_(std::move(lines))
    {
    }
    // What is inside the value keeps its address when the document moves, not when it is copied.
    JsonDocument(JsonDocument&&) = default;
    JsonDocument& operator=(JsonDocument&&) = default;
    JsonDocument(const JsonDocument&) = delete;
    JsonDocument& operator=(const JsonDocument&) = delete;
    ~JsonDocument() = default;

    [[nodiscard]] const std::string& file() const { return file_; }
    [[nodiscard]] const nlohmann::json& value() const { return value_; }
    /// File, line and pointer of a JSON pointer ("" is the whole document). For a value that is not
    /// there, the line of the nearest one around it that is.
    [[nodiscard]] Place place(const std::string& pointer) const;

private:
    std::string file_;
    nlohmann::json value_;
    std::uint32_t line_;
    Lines lines_;
};

/// Reads one JSON value. `file` is used in messages. Throws InputError naming file and line for a
/// syntax error, a key that appears twice in its object, a number beyond double's range, and a text
/// beyond the limits. Memory: a small multiple of the text, and about 200 bytes a value.
[[nodiscard]] JsonDocument parse_json(std::string_view text, const std::string& file,
                                      const JsonLimits& limits = {});
/// The same from a file, or from a pipe that somebody has opened already (`<(...)`). Throws
/// InputError for folders, named pipes, sockets and devices, IoError when it cannot be read.
[[nodiscard]] JsonDocument load_json(const std::string& path, const JsonLimits& limits = {});

/// `pointer` extended by one object key, escaped as RFC 6901 wants.
[[nodiscard]] std::string pointer_to(const std::string& pointer, std::string_view key);
/// The text of a value, over several lines with `indent` blanks a level, or on one line. What is no
/// UTF-8 in it (a file's name may be anything) is replaced by U+FFFD.
template <class Json> [[nodiscard]] std::string text_of(const Json& value, int indent = -1)
{
    return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}
/// "an object", "a number", "text", ...: for messages.
[[nodiscard]] const char* type_name(const nlohmann::json& value);

} // namespace tessera
