// SPDX-License-Identifier: Apache-2.0
#include "numerics/model_reader.h"

#include "base/nearest.h"
#include "tessera/error.h"
#include "tessera/installation.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <system_error>

namespace tessera::numerics
{

using nlohmann::json;

ModelReader::ModelReader(const JsonDocument& document, const json& value, std::string pointer)
    : document_(document), value_(value), pointer_(std::move(pointer))
{
    if (!value.is_object())
    {
        fail(pointer_, std::string("must not be ") + type_name(value), "give an object");
    }
}

void ModelReader::fail(const std::string& pointer, const std::string& problem,
                       const std::string& remedy) const
{
    throw InputError(document_.place(pointer), problem, remedy);
}

const json* ModelReader::find(const char* key)
{
    known_.emplace_back(key);
    const auto found = value_.find(key);
    return found == value_.end() ? nullptr : &*found;
}

const json& ModelReader::get(const char* key)
{
    const json* found = find(key);
    if (found == nullptr)
    {
        fail(pointer_, std::string("has no \"") + key + '"', std::string("give \"") + key + '"');
    }
    return *found;
}

double ModelReader::number(const char* key, double least, double most)
{
    return number_of(get(key), pointer_to(pointer_, key), least, most);
}

double ModelReader::number(const char* key, double least, double most, double otherwise)
{
    const json* found = find(key);
    return found == nullptr ? otherwise : number_of(*found, pointer_to(pointer_, key), least, most);
}

double ModelReader::number_of(const json& value, const std::string& pointer, double least,
                              double most) const
{
    const std::string remedy = "give a number in " + json(least).dump() + ".." + json(most).dump();
    if (!value.is_number())
    {
        fail(pointer, std::string("must not be ") + type_name(value), remedy);
    }
    const auto number = value.get<double>();
    if (!(number >= least && number <= most))
    {
        fail(pointer, value.dump() + " is out of range", remedy);
    }
    return number;
}

unsigned ModelReader::count(const char* key, unsigned least, unsigned most)
{
    const double value = number(key, least, most);
    if (value != std::floor(value))
    {
        fail(pointer_to(pointer_, key), "is not whole", "give a whole number");
    }
    return static_cast<unsigned>(value);
}

std::string ModelReader::text(const char* key)
{
    const json& value = get(key);
    if (!value.is_string() || value.get_ref<const std::string&>().empty())
    {
        fail(pointer_to(pointer_, key), "must be a text", "give a text that is not empty");
    }
    return value.get<std::string>();
}

std::string ModelReader::word(const char* key, const std::vector<std::string>& words)
{
    std::string value = text(key);
    if (std::find(words.begin(), words.end(), value) == words.end())
    {
        fail(pointer_to(pointer_, key), in_quotes(value) + " is not known here",
             did_you_mean(value, words) + "known: " + joined(words));
    }
    return value;
}

ModelReader ModelReader::object(const char* key)
{
    const json& value = get(key);
    return {document_, value, pointer_to(pointer_, key)};
}

std::optional<ModelReader> ModelReader::part(const char* key)
{
    const json* found = find(key);
    return found == nullptr ? std::nullopt
                            : std::optional<ModelReader>(std::in_place, document_, *found,
                                                         pointer_to(pointer_, key));
}

void ModelReader::sourced()
{
    static_cast<void>(text("source"));
    static_cast<void>(word("status", statuses()));
}

void ModelReader::finish() const
{
    for (const auto& [key, value] : value_.items())
    {
        if (std::find(known_.begin(), known_.end(), key) == known_.end())
        {
            fail(pointer_to(pointer_, key), "unknown key " + in_quotes(key),
                 did_you_mean(key, known_) + "known: " + joined(known_));
        }
    }
}

const std::vector<std::string>& statuses()
{
    static const std::vector<std::string> list{"cited", "derived", "assumed", "calibrated"};
    return list;
}

std::string find_model(const std::string& folder, const std::string& what, const std::string& name,
                       const Place& asked)
{
    namespace fs = std::filesystem;
    if (name.find('/') != std::string::npos || fs::path(name).extension() == ".json")
    {
        std::error_code none; // not there
        if (!fs::exists(name, none))
        {
            throw InputError(asked, "there is no file " + in_quotes(name),
                             std::string("give the path of one, or the name of a ") + what);
        }
        return name;
    }
    const fs::path shelf = fs::path(data_directory()) / "models" / folder;
    fs::path file = shelf / (name + ".json");
    std::error_code error;
    if (!fs::is_regular_file(file, error))
    {
        std::vector<std::string> names;
        for (fs::directory_iterator entry(shelf, error), end; !error && entry != end;
             entry.increment(error))
        {
            if (entry->path().extension() == ".json")
            {
                names.push_back(entry->path().stem().string());
            }
        }
        std::sort(names.begin(), names.end());
        throw InputError(asked, "there is no " + what + ' ' + in_quotes(name),
                         did_you_mean(name, names) + "known: " + joined(names) +
                             "; or give the path of a file");
    }
    return file.string();
}

} // namespace tessera::numerics
