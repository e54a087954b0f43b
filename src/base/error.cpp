// SPDX-License-Identifier: Apache-2.0
#include "tessera/error.h"

namespace tessera
{
namespace
{

/// Fit for one line of a terminal: input may hold anything, and any amount of it.
std::string shown(const std::string& text)
{
    constexpr std::size_t kLongest = 2000;
    constexpr const char* kDigits = "0123456789abcdef";
    std::string result;
    for (std::size_t i = 0; i < text.size() && i < kLongest; ++i)
    {
        const auto code = static_cast<unsigned char>(text[i]);
        if (code < 0x20 || code == 0x7f)
        {
            result += "\\x";
            result += kDigits[code >> 4U];
            result += kDigits[code & 15U];
            continue;
        }
        result += text[i];
    }
    return text.size() > kLongest ? result + "..." : result;
}

std::string compose(const Place& place, const std::string& problem, const std::string& remedy)
{
    std::string text = shown(place.file);
    if (place.line != 0)
    {
        text += ':' + std::to_string(place.line);
    }
    if (!place.pointer.empty())
    {
        text += (text.empty() ? "" : ": ") + shown(place.pointer);
    }
    text += (text.empty() ? "" : ": ") + shown(problem);
    if (!remedy.empty())
    {
        text += "; " + shown(remedy);
    }
    return text;
}

} // namespace

InputError::InputError(const Place& place, const std::string& problem, const std::string& remedy)
    : Error(ExitCode::bad_input, compose(place, problem, remedy)),
      place_(place),
      problem_(problem),
      remedy_(remedy)
{
}

} // namespace tessera
