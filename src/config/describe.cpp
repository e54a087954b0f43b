// SPDX-License-Identifier: Apache-2.0
// What people and tools read about the keys: the JSON Schema and the reference page.
#include "base/quantity.h"
#include "config/chip_keys.h"
#include "config/load.h"

#include <algorithm>

namespace tessera::config
{
namespace
{

using nlohmann::json;

json text_like(const std::string& pattern)
{
    return {{"type", "string"}, {"pattern", pattern}};
}

json type_schema(const Key& key)
{
    const json whole = {{"type", "integer"}, {"minimum", key.least}, {"maximum", key.most}};
    json named = {{"type", "string"}, {"enum", key.choices}};
    switch (key.type)
    {
    case KeyType::count:
    {
        json schema = whole;
        if (key.multiple != 1)
        {
            schema["multipleOf"] = key.multiple;
        }
        return schema;
    }
    case KeyType::number:
        return {{"type", "number"}, {"minimum", key.least_number}, {"maximum", key.most_number}};
    case KeyType::size:
        return text_like(quantity_pattern(Dimension::size));
    case KeyType::frequency:
        return text_like(quantity_pattern(Dimension::frequency));
    case KeyType::rate:
        return text_like(quantity_pattern(Dimension::rate));
    case KeyType::energy:
        return text_like(quantity_pattern(Dimension::energy));
    case KeyType::duration:
        return text_like(duration_pattern());
    case KeyType::flag:
        return {{"type", "boolean"}};
    case KeyType::choice:
        return named;
    case KeyType::list:
        return {{"type", "array"}, {"items", named}, {"uniqueItems", true}};
    case KeyType::groups:
        return {{"type", "array"},
                {"items",
                 {{"type", "array"}, {"items", named}, {"minItems", 1}, {"uniqueItems", true}}}};
    case KeyType::text:
        return {{"type", "string"}, {"minLength", key.least}, {"maxLength", key.most}};
    case KeyType::costs:
        return {{"type", "object"},
                {"patternProperties", {{"^x-", true}, {"^[a-z][a-z0-9_]*$", whole}}},
                {"additionalProperties", false}};
    }
    return {};
}

json key_schema(const Key& key)
{
    json schema = type_schema(key);
    if (key.unlimited)
    {
        schema = {{"anyOf", {schema, {{"const", "unlimited"}}}}};
    }
    if (key.optional)
    {
        schema = {{"anyOf", {schema, {{"type", "null"}}}}};
    }
    const std::string range = range_text(key);
    schema["description"] = key.doc + (range.empty() ? "" : " Range: " + range + '.');
    if (key.default_doc.empty())
    {
        schema["default"] = key.read(ChipConfig{});
    }
    return schema;
}

json section_schema(const std::string& section)
{
    json properties = json::object();
    for (const std::string& member : members_of(section))
    {
        std::string path = section;
        path += section.empty() ? member : '.' + member;
        const Key* const key = find_key(path);
        properties[member] = key != nullptr ? key_schema(*key) : section_schema(path);
    }
    if (section.empty())
    {
        properties["$schema"] = {{"type", "string"}};
        properties["extends"] = {
            {"type", "string"},
            {"minLength", 1},
            {"description", "Chip config to start from: a path relative to this file, or the name "
                            "of a shipped chip."}};
    }
    else
    {
        properties["$preset"] = {{"type", "string"},
                                 {"description", "File presets/" + section +
                                                     "/<name>.json to start this section from."}};
    }
    return {{"type", "object"},
            {"description", section_doc(section)},
            {"properties", properties},
            {"patternProperties", {{"^x-", true}}},
            {"additionalProperties", false}};
}

std::string type_text(const Key& key)
{
    switch (key.type)
    {
    case KeyType::count:
        return "whole number";
    case KeyType::number:
        return "number";
    case KeyType::size:
        return "size";
    case KeyType::frequency:
        return "frequency";
    case KeyType::rate:
        return "rate";
    case KeyType::energy:
        return "energy";
    case KeyType::duration:
        return "duration";
    case KeyType::flag:
        return "flag";
    case KeyType::choice:
        return "choice";
    case KeyType::list:
        return "list";
    case KeyType::groups:
        return "list of lists";
    case KeyType::text:
        return "text";
    case KeyType::costs:
        return "map to whole numbers";
    }
    return "";
}

std::string section_of(const Key& key)
{
    const std::size_t dot = key.path.rfind('.');
    return dot == std::string::npos ? "" : key.path.substr(0, dot);
}

std::string row(const Key& key)
{
    const std::string value =
        key.default_doc.empty() ? '`' + key.read(ChipConfig{}).dump() + '`' : key.default_doc;
    return "| `" + key.path + "` | " + type_text(key) + " | " + value + " | " + range_text(key) +
           " | " + (key.mapping ? "yes" : "") + " | " + key.doc + " |\n";
}

} // namespace

std::string schema()
{
    json all = section_schema("");
    all["$schema"] = "https://json-schema.org/draft/2020-12/schema";
    all["$id"] = "chip-1.0.schema.json";
    all["title"] = "Tessera chip config, version 1.0";
    return all.dump(2) + '\n';
}

std::string reference_page()
{
    std::string page =
        "# Chip config reference\n\n"
        "Made from the table of keys by `tessera config doc`.\n\n"
        "A chip config is a JSON object. Every key has a default; an unknown key is an error, "
        "except "
        "keys that begin with `x-`, which are ignored. `extends` names the config to start from (a "
        "path relative to the file, or a shipped chip), `$preset` inside a section a file "
        "`presets/<section>/<name>.json` to start that section from; `--set noc.vcs=4` comes "
        "last.\n\n"
        "Quantities are text with a unit and are read exactly:\n\n";
    page += "- time: " + unit_names(Dimension::time) + "; a duration may also be `N cycles`\n";
    page += "- frequency: " + unit_names(Dimension::frequency) + '\n';
    page += "- size: " + unit_names(Dimension::size) + '\n';
    page += "- rate: " + unit_names(Dimension::rate) + '\n';
    page += "- energy: " + unit_names(Dimension::energy) + '\n';
    page +=
        "\n\"Mapping\" marks the keys that a trace is compiled for: a trace made for other "
        "values of them does not fit the chip. Those of `mapping` say how it was made: they are "
        "on record in the trace, which runs whatever the chip says there.\n";
    std::string section = "none yet";
    for (const Key& key : keys())
    {
        if (section_of(key) != section)
        {
            section = section_of(key);
            page += "\n## " + (section.empty() ? "Top level" : '`' + section + '`') + "\n\n" +
                    section_doc(section) +
                    "\n\n| key | type | default | range | mapping | meaning |\n"
                    "|---|---|---|---|---|---|\n";
        }
        page += row(key);
    }
    return page;
}

} // namespace tessera::config
