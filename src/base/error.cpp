// SPDX-License-Identifier: Apache-2.0
#include "tessera/error.h"

#include "base/text.h"

namespace tessera
{
namespace
{

/// Fit for one line of a terminal: input may hold anything, and any amount of it.
std::string shown(const std::string& text)
{
    constexpr std::size_t kLongest = 2000;
    const std::string result = printable(text.substr(0, kLongest));
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
