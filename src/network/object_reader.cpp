// SPDX-License-Identifier: Apache-2.0
#include "network/object_reader.h"

#include "base/nearest.h"

#include <algorithm>

namespace tessera::network
{

using nlohmann::json;

void fail_in(const JsonDocument& document, const std::string& pointer, const std::string& problem,
             const std::string& remedy)
{
    throw InputError(document.place(pointer), problem, remedy);
}

std::string any_of(const std::vector<std::string>& choices)
{
    std::string list;
    for (std::size_t i = 0; i < choices.size(); ++i)
    {
        list += (i == 0 ? "" : i + 1 == choices.size() ? " or " : ", ") + choices[i];
    }
    return list;
}

ObjectReader::ObjectReader(const JsonDocument& document, const json& value, std::string pointer,
                           std::string what)
    : document_(document), value_(value), pointer_(std::move(pointer)), what_(std::move(what))
{
    if (!value_.is_object())
    {
        fail("must be an object, not " + std::string(type_name(value_)),
             "write {\"name\": ..., ...}");
    }
}

void ObjectReader::allow_only(const std::vector<std::string>& known) const
{
    for (auto member = value_.begin(); member != value_.end(); ++member)
    {
        if (std::find(known.begin(), known.end(), member.key()) == known.end())
        {
            fail(member.key(), "is not a key of " + what_,
                 did_you_mean(member.key(), known) + "its keys are " + any_of(known));
        }
    }
}

const json& ObjectReader::at(const std::string& key) const
{
    const auto found = value_.find(key);
    if (found == value_.end())
    {
        fail(key, "is missing", what_ + " needs it");
    }
    return *found;
}

std::uint32_t ObjectReader::whole(const json& value, const std::string& pointer,
                                  std::uint32_t least, std::uint32_t most) const
{
    const std::string remedy =
        "give a whole number from " + std::to_string(least) + " to " + std::to_string(most);
    if (!value.is_number_integer())
    {
        fail_in(document_, pointer,
                value.is_number() ? "must be a whole number"
                                  : "must be a number, not " + std::string(type_name(value)),
                remedy);
    }
    // Negative numbers are the only ones that are not unsigned.
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() < least ||
        value.get<std::uint64_t>() > most)
    {
        fail_in(document_, pointer, "is " + value.dump() + ", out of range", remedy);
    }
    return value.get<std::uint32_t>();
}

std::uint32_t ObjectReader::number(const std::string& key, std::uint32_t least,
                                   std::uint32_t most) const
{
    return whole(at(key), pointer_to(pointer_, key), least, most);
}

std::uint32_t ObjectReader::number_or(const std::string& key, std::uint32_t fallback,
                                      std::uint32_t least, std::uint32_t most) const
{
    return has(key) ? number(key, least, most) : fallback;
}

std::vector<std::uint32_t> ObjectReader::numbers(const std::string& key,
                                                 const std::vector<std::size_t>& sizes,
                                                 std::uint32_t least, std::uint32_t most,
                                                 bool or_number) const
{
    const json& value = at(key);
    if (or_number && !value.is_array())
    {
        return {number(key, least, most)};
    }
    if (!value.is_array() || std::find(sizes.begin(), sizes.end(), value.size()) == sizes.end())
    {
        std::vector<std::string> lengths;
        lengths.reserve(sizes.size());
        for (const std::size_t size : sizes)
        {
            lengths.push_back(std::to_string(size));
        }
        fail(key, "must be an array of " + any_of(lengths) + " whole numbers",
             or_number ? "or give a single number" : "give all of them");
    }
    std::vector<std::uint32_t> result;
    for (std::size_t i = 0; i < value.size(); ++i)
    {
        result.push_back(
            whole(value[i], pointer_to(pointer_to(pointer_, key), std::to_string(i)), least, most));
    }
    return result;
}

std::pair<std::uint32_t, std::uint32_t>
ObjectReader::pair(const std::string& key, std::uint32_t least, std::uint32_t most) const
{
    const std::vector<std::uint32_t> both = numbers(key, {2}, least, most, true);
    return {both.front(), both.back()};
}

bool ObjectReader::flag_or(const std::string& key, bool fallback) const
{
    if (!has(key))
    {
        return fallback;
    }
    if (!at(key).is_boolean())
    {
        fail(key, "must be true or false, not " + std::string(type_name(at(key))),
             "write it without quotes");
    }
    return at(key).get<bool>();
}

std::string ObjectReader::text(const std::string& key) const
{
    if (!at(key).is_string())
    {
        fail(key, "must be a string, not " + std::string(type_name(at(key))),
             "write it in double quotes");
    }
    return at(key).get<std::string>();
}

std::string ObjectReader::choice(const std::string& key,
                                 const std::vector<std::string>& allowed) const
{
    std::string value = text(key);
    if (std::find(allowed.begin(), allowed.end(), value) == allowed.end())
    {
        fail(key, in_quotes(value) + " is not known",
             did_you_mean(value, allowed) + "use " + any_of(allowed));
    }
    return value;
}

void ObjectReader::fail(const std::string& key, const std::string& problem,
                        const std::string& remedy) const
{
    fail_in(document_, pointer_to(pointer_, key), problem, remedy);
}

void ObjectReader::fail(const std::string& problem, const std::string& remedy) const
{
    fail_in(document_, pointer_, problem, remedy);
}

void ObjectReader::fail_at(const std::string& key, std::size_t index, const std::string& problem,
                           const std::string& remedy) const
{
    fail_in(document_, pointer_to(pointer_to(pointer_, key), std::to_string(index)), problem,
            remedy);
}

} // namespace tessera::network
