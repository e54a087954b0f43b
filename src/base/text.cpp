// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <cstddef>
#include <cstdint>

namespace tessera
{
namespace
{

struct Character
{
    std::size_t bytes = 1;
    std::uint32_t code = 0;
    bool sound = false;
};

/// The first character of a text that is not empty, as RFC 3629 has it: no longer form than needed,
/// no surrogates, nothing beyond U+10FFFF.
Character first_of(std::string_view text)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = byte(0);
    if (lead < 0x80)
    {
        return {1, lead, true};
    }
    const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes)
    {
        return {};
    }
    std::uint32_t code = lead & (0x7FU >> bytes);
    for (std::size_t i = 1; i < bytes; ++i)
    {
        if ((byte(i) & 0xC0U) != 0x80)
        {
            return {};
        }
        code = code << 6U | (byte(i) & 0x3FU);
    }
    const bool too_long = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    return {bytes, code, !too_long && !surrogate && code <= 0x10FFFF};
}

bool is_shown(std::uint32_t code)
{
    const bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
    const bool direction = code == 0x200E || code == 0x200F || (code >= 0x202A && code <= 0x202E) ||
                           (code >= 0x2066 && code <= 0x2069);
    return !control && !direction;
}

} // namespace

std::string printable(std::string_view text, bool lines)
{
    constexpr const char* digits = "0123456789abcdef";
    std::string result;
    while (!text.empty())
    {
        const Character its = first_of(text);
        const std::size_t bytes = its.sound ? its.bytes : 1;
        if ((its.sound && is_shown(its.code)) || (lines && text.front() == '\n'))
        {
            result += text.substr(0, bytes);
        }
        else
        {
            for (const char character : text.substr(0, bytes))
            {
                const auto code = static_cast<unsigned char>(character);
                result += {'\\', 'x', digits[code >> 4U], digits[code & 15U]};
            }
        }
        text.remove_prefix(bytes);
    }
    return result;
}

bool is_utf8(std::string_view text)
{
    while (!text.empty())
    {
        const Character its = first_of(text);
        if (!its.sound)
        {
            return false;
        }
        text.remove_prefix(its.bytes);
    }
    return true;
}

} // namespace tessera
