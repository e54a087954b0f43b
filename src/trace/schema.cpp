// SPDX-License-Identifier: Apache-2.0
#include "trace/schema.h"

#include "trace/rules.h"

#include <nlohmann/json.hpp>

namespace tessera::trace
{
namespace
{

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMax32 = 0xffff'ffffU;

Json whole(std::uint64_t minimum, std::uint64_t maximum)
{
    return {{"type", "integer"}, {"minimum", minimum}, {"maximum", maximum}};
}

Json list(const Json& items, std::uint64_t minimum, std::uint64_t maximum)
{
    return {{"type", "array"}, {"items", items}, {"minItems", minimum}, {"maxItems", maximum}};
}

Json object(Json properties, std::vector<const char*> required)
{
    return {{"type", "object"},
            {"properties", std::move(properties)},
            {"required", std::move(required)},
            {"patternProperties", {{"^x-", true}}},
            {"additionalProperties", false}};
}

Json text(const char* pattern)
{
    return {{"type", "string"}, {"pattern", pattern}};
}

Json property(Key key, const Field& field)
{
    Json result;
    switch (field.form)
    {
    case Form::number:
        result = whole(field.minimum, field.maximum);
        break;
    case Form::text:
        result = {{"type", "string"}};
        break;
    case Form::numbers:
        result = list(whole(field.minimum, field.maximum), 0, kMaxFanIn);
        break;
    case Form::box:
        result = list(whole(0, field.maximum), 6, 6);
        break;
    case Form::destinations:
        result = list(
            object({{"at", text("^(t|mem)(0|[1-9][0-9]*)$")}, {"uses", whole(0, kMax32)}}, {"at"}),
            1, kMaxFanIn);
        break;
    case Form::arguments:
        result = {{"type", "object"}, {"additionalProperties", {{"type", "integer"}}}};
        break;
    case Form::truth:
        result = {{"const", true}};
        break;
    }
    if (key == Key::op)
    {
        result = {{"enum", Json::array()}};
        for (unsigned kind = 0; kind < kOpKinds; ++kind)
        {
            result["enum"].push_back(name_of(static_cast<OpKind>(kind)));
        }
    }
    if (key == Key::at)
    {
        result = text("^(t(0|[1-9][0-9]*)\\.(m(0|[1-9][0-9]*)|vec|ni)|mem(0|[1-9][0-9]*))$");
    }
    if (key == Key::crc32)
    {
        result = text("^[0-9a-f]{8}$");
    }
    if (key == Key::fn)
    {
        result = {{"oneOf", Json::array()}};
        for (const Function& function : functions())
        {
            result["oneOf"].push_back({{"const", function.name}, {"description", function.doc}});
        }
    }
    result["description"] = field.doc;
    return result;
}

/// What an operation of one kind must and must not have.
Json rule_of(OpKind kind)
{
    Json required = Json::array();
    Json forbidden = Json::object();
    for (unsigned i = 0; i < kOperationKeys; ++i)
    {
        const std::string name(fields()[i].name);
        if ((required_keys(kind) >> i & 1U) != 0)
        {
            required.push_back(name);
        }
        if ((allowed_keys(kind) >> i & 1U) == 0)
        {
            forbidden[name] = false;
        }
    }
    if (kind == OpKind::mvm || kind == OpKind::program)
    {
        forbidden["n"] = {{"minimum", 1}};
    }
    if (kind == OpKind::move || kind == OpKind::store)
    {
        forbidden["in"] = {{"minItems", 1}, {"maxItems", 1}};
    }
    if (kind == OpKind::program)
    {
        forbidden["in"] = {{"maxItems", 1}};
    }
    if (kind == OpKind::store)
    {
        forbidden["to"] = {{"maxItems", 1}};
    }
    return {{"if", {{"properties", {{"op", {{"const", name_of(kind)}}}}}}},
            {"then", {{"required", required}, {"properties", forbidden}}}};
}

/// For a vec: the arguments of its function.
Json rule_of(const Function& function)
{
    Json arguments = Json::object();
    for (const char* argument : function.arguments)
    {
        arguments[argument] = true;
    }
    return {{"if", {{"properties", {{"fn", {{"const", function.name}}}}}, {"required", {"fn"}}}},
            {"then",
             {{"properties",
               {{"args", {{"properties", arguments}, {"additionalProperties", false}}}}}}}};
}

Json operation_schema()
{
    Json properties = Json::object();
    for (unsigned i = 0; i < kOperationKeys; ++i)
    {
        properties[std::string(fields()[i].name)] = property(static_cast<Key>(i), fields()[i]);
    }
    Json known = object(properties, {"id", "op", "at"});
    known["allOf"] = Json::array();
    for (unsigned kind = 0; kind < kOpKinds; ++kind)
    {
        known["allOf"].push_back(rule_of(static_cast<OpKind>(kind)));
    }
    for (const Function& function : functions())
    {
        known["allOf"].push_back(rule_of(function));
    }
    return {{"description", "an operation; kinds beginning with x- are ignored"},
            {"type", "object"},
            {"required", {"op"}},
            {"if", {{"properties", {{"op", text("^x-")}}}}},
            {"then", true},
            {"else", known}};
}

Json header_schema()
{
    const Json count = whole(0, kMaxNumber);
    const Json index = whole(0, kMax32 - 1);
    const Json bits = whole(1, kMaxBits);
    const Json name = {{"type", "string"}};
    const Json tensor =
        object({{"name", name}, {"shape", list(whole(1, kMax32), 3, 3)}, {"bits", bits}},
               {"shape", "bits"});
    const Json layer = object({{"name", name},
                               {"kind", name},
                               {"output", index},
                               {"vectors", count},
                               {"input_bits", bits}},
                              {});
    const Json range = list(whole(0, kMax32), 2, 2);
    const Json block = object({{"layer", index},
                               {"copy", whole(0, kMax32)},
                               {"rows", range},
                               {"columns", range},
                               {"at", text("^t(0|[1-9][0-9]*)\\.m(0|[1-9][0-9]*)$")},
                               {"corner", range},
                               {"replicas", whole(1, kMax32)},
                               {"references", whole(0, 1)}},
                              {"rows", "columns", "at"});
    Json result = object(
        {{"format", {{"const", "tessera-trace"}}},
         {"version", {{"const", "1.0"}}},
         {"producer", name},
         {"network", object({{"name", name},
                             {"tensors", {{"type", "array"}, {"items", tensor}}},
                             {"layers", {{"type", "array"}, {"items", layer}}}},
                            {})},
         {"mapping", {{"type", "object"}, {"additionalProperties", name}}},
         {"placement", object({{"blocks", {{"type", "array"}, {"items", block}}}}, {"blocks"})},
         {"tiles", whole(0, kMaxTiles)},
         {"memory_ports", whole(0, kMaxMemoryPorts)},
         {"counts", object({{"operations", count},
                            {"units", {{"type", "object"}, {"additionalProperties", count}}}},
                           {"operations", "units"})},
         {"window", count}},
        {"format", "version", "tiles", "counts", "window"});
    result["description"] = "the first line";
    return result;
}

Json end_schema()
{
    Json properties = Json::object();
    std::vector<const char*> required;
    for (unsigned i = kOperationKeys; i < kKeys; ++i)
    {
        const Field& field = fields()[i];
        properties[std::string(field.name)] = property(static_cast<Key>(i), field);
        required.push_back(field.name.data());
    }
    Json result = object(properties, required);
    result["description"] = "the last line";
    return result;
}

} // namespace

std::string schema()
{
    const Json result = {
        {"$schema", "https://json-schema.org/draft/2020-12/schema"},
        {"$id", "trace-1.0.schema.json"},
        {"title", "One line of a Tessera trace, version 1.0"},
        {"if", {{"required", {"format"}}}},
        {"then", {{"$ref", "#/$defs/header"}}},
        {"else",
         {{"if", {{"required", {"end"}}}},
          {"then", {{"$ref", "#/$defs/end"}}},
          {"else", {{"$ref", "#/$defs/operation"}}}}},
        {"$defs",
         {{"header", header_schema()}, {"operation", operation_schema()}, {"end", end_schema()}}}};
    return result.dump(2) + '\n';
}

} // namespace tessera::trace
