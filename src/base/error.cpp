// SPDX-License-Identifier: Apache-2.0
#include "tessera/error.h"

namespace tessera
{
namespace
{

std::string compose(const Place& place, const std::string& problem, const std::string& remedy)
{
    std::string text = place.file;
    if (place.line != 0)
    {
        text += ':' + std::to_string(place.line);
    }
    if (!place.pointer.empty())
    {
        text += (text.empty() ? "" : ": ") + place.pointer;
    }
    text += (text.empty() ? "" : ": ") + problem;
    if (!remedy.empty())
    {
        text += "; " + remedy;
    }
    return text;
}

} // namespace

InputError::InputError(const Place& place, const std::string& problem, const std::string& remedy)
    : Error(ExitCode::bad_input, compose(place, problem, remedy)), place_(place)
{
}

} // namespace tessera
