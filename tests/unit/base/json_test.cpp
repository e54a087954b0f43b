// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace tessera
{
namespace
{

using nlohmann::json;
using testing::HasSubstr;

std::string nested(std::size_t depth)
{
    return std::string(depth, '[') + std::string(depth, ']');
}

InputError refusal(const std::string& text, const JsonLimits& limits = {})
{
    try
    {
        (void)parse_json(text, "f.json", limits);
    }
    catch (const InputError& error)
    {
        return error;
    }
    ADD_FAILURE() << "accepted: " << text;
    return {{}, "", ""};
}

TEST(Json, ReadsTheSameAsTheLibrary)
{
    const std::string text =
        R"({"a": [1, -2, 3.5, "x", null, true, {"b": {}}], "c/d~": [], "e": ""})";
    EXPECT_EQ(parse_json(text, "f").value(), json::parse(text));
    EXPECT_EQ(parse_json("7", "f").value(), json(7));
    EXPECT_EQ(parse_json("18446744073709551615", "f").value(), json(18446744073709551615U));
}

TEST(Json, KnowsTheLineOfEveryValue)
{
    const JsonDocument document = parse_json("{\n"
                                             "  \"number\": 1\n"
                                             "  ,\n"
                                             "  \"list\": [10,\n"
                                             "    20\n"
                                             "    ,\r\n"
                                             "    \"text\"],\n"
                                             "  \"a/b~c\":\n"
                                             "    { \"deep\": 3\n"
                                             "    },\n"
                                             "  \"flag\": true\n"
                                             "}\n",
                                             "f.json");
    const auto line = [&](const std::string& pointer) { return document.place(pointer).line; };
    EXPECT_EQ(line(""), 1U);
    EXPECT_EQ(line("/number"), 2U);
    EXPECT_EQ(line("/list"), 4U);
    EXPECT_EQ(line("/list/0"), 4U);
    EXPECT_EQ(line("/list/1"), 5U);
    EXPECT_EQ(line("/list/2"), 7U);
    EXPECT_EQ(line("/a~1b~0c"), 9U);
    EXPECT_EQ(line("/a~1b~0c/deep"), 9U);
    EXPECT_EQ(line("/flag"), 11U);
    EXPECT_EQ(line("/a~1b~0c/missing/x"), 9U) << "nearest value around it";
    EXPECT_EQ(line("/missing"), 1U);
    EXPECT_EQ(document.place("/flag").file, "f.json");
    EXPECT_EQ(document.place("/missing").pointer, "/missing");
}

TEST(Json, LinesAgreeWithAPrettyPrint)
{
    // dump(1) puts every scalar on a line of its own: count them.
    json value = json::array();
    for (int i = 0; i < 100; ++i)
    {
        value.push_back(i % 3 == 0 ? json(i) : i % 3 == 1 ? json("s") : json(nullptr));
    }
    const JsonDocument document = parse_json(value.dump(1), "f");
    for (std::uint64_t i = 0; i < 100; ++i)
    {
        EXPECT_EQ(document.place('/' + std::to_string(i)).line, i + 2);
    }
}

TEST(Json, RefusesDuplicateKeys)
{
    const InputError error = refusal("{\"a\": {\"x\": 1,\n \"y\": 2,\n \"x\": 3}}");
    EXPECT_EQ(error.place().line, 3U);
    EXPECT_EQ(error.place().pointer, "/a/x");
    EXPECT_THAT(error.what(), HasSubstr("appears twice"));
    EXPECT_NO_THROW((void)parse_json(R"({"a": {"x": 1}, "b": {"x": 1}})", "f"));
}

TEST(Json, SyntaxErrorsNameTheLine)
{
    EXPECT_EQ(refusal("").place().line, 1U);
    EXPECT_EQ(refusal("{\n\"a\": 1,\n}").place().line, 3U);
    EXPECT_EQ(refusal("[1,\n2\n3]").place().line, 3U);
    EXPECT_EQ(refusal("{\"a\": 1}\n{").place().line, 2U);
    EXPECT_EQ(refusal("[\n\"unclosed\n]").place().line, 2U);
    EXPECT_THAT(refusal("[1,]").what(), HasSubstr("f.json:1: not valid JSON: syntax error"));
    for (const char* const text :
         {"nul", "[NaN]", "[Infinity]", "[-inf]", "[01]", "[1.]", "{a: 1}", "{\"a\" 1}",
          "[\"\\x\"]", "[\"\xff\"]", "// c\n1", "\x01", "[1}"})
    {
        EXPECT_EQ(refusal(text).code(), ExitCode::bad_input) << text;
    }
}

TEST(Json, RefusesNumbersBeyondDouble)
{
    EXPECT_THAT(refusal("[\n1e999]").what(), HasSubstr("1e999"));
    EXPECT_EQ(refusal("[\n1e999]").place().line, 2U);
}

TEST(Json, DepthIsLimited)
{
    EXPECT_NO_THROW((void)parse_json(nested(64), "f"));
    EXPECT_THAT(refusal(nested(65)).what(), HasSubstr("deeper than 64"));
    EXPECT_THAT(refusal(std::string(1'000'000, '[')).what(), HasSubstr("deeper than 64"));
    EXPECT_THAT(refusal(nested(3), {100, 2}).what(), HasSubstr("deeper than 2"));
}

TEST(Json, SizeIsLimited)
{
    EXPECT_NO_THROW((void)parse_json("[" + std::string(8, ' ') + "]", "f", {10, 64}));
    EXPECT_THAT(refusal("[" + std::string(9, ' ') + "]", {10, 64}).what(),
                HasSubstr("longer than 10 bytes"));
}

TEST(Json, FilesAreReadOrRefused)
{
    const std::string path = testing::TempDir() + "json_test.json";
    std::ofstream(path) << "{\"a\":\n 1}";
    EXPECT_EQ(load_json(path).value(), json({{"a", 1}}));
    EXPECT_EQ(load_json(path).place("/a").line, 2U);
    EXPECT_THROW((void)load_json(path, {5, 64}), InputError);
    std::filesystem::remove(path);
    EXPECT_THROW((void)load_json(path), IoError);
    EXPECT_THROW((void)load_json(testing::TempDir()), InputError) << "a folder";
    EXPECT_THROW((void)load_json("/dev/zero"), InputError) << "a device without an end";
}

TEST(Json, PointersAreEscaped)
{
    EXPECT_EQ(pointer_to("", "a"), "/a");
    EXPECT_EQ(pointer_to("/a", "b/c~d"), "/a/b~1c~0d");
    EXPECT_EQ(pointer_to("/a", ""), "/a/");
}

TEST(Json, EveryTypeHasAName)
{
    EXPECT_STREQ(type_name(json(nullptr)), "null");
    EXPECT_STREQ(type_name(json::object()), "an object");
    EXPECT_STREQ(type_name(json::array()), "a list");
    EXPECT_STREQ(type_name(json("x")), "text");
    EXPECT_STREQ(type_name(json(true)), "true or false");
    EXPECT_STREQ(type_name(json(1)), "a whole number");
    EXPECT_STREQ(type_name(json(-1)), "a whole number");
    EXPECT_STREQ(type_name(json(1.5)), "a number with a fraction");
}

TEST(Json, CountsValuesOfAnyKind)
{
    JsonLimits limits;
    limits.values = 5;
    EXPECT_NO_THROW((void)parse_json("[[[[1]]]]", "f", limits));
    EXPECT_THAT(refusal("[[[[1,\n2]]]]", limits).what(), HasSubstr("f.json:2: has more than 5"));
    EXPECT_NO_THROW((void)parse_json(R"(["a,b,c,d,e,f,g,h"])", "f", limits)) << "no values";
}

TEST(Json, LongKeysCostTheirLengthOnce)
{
    // Every pointer in it is a megabyte long: all of them together would be 400 GB.
    const std::string key(1'000'000, 'k');
    std::string text = "{\"" + key + "\":[0";
    for (int i = 1; i < 400'000; ++i)
    {
        text += ",\n" + std::to_string(i);
    }
    const JsonDocument document = parse_json(text + "]}", "f");
    EXPECT_EQ(document.place("/" + key + "/399999").line, 400'000U);
    EXPECT_EQ(document.place("/" + key + "/400000").line, 1U) << "not there";
}

TEST(Json, MovingKeepsLines)
{
    JsonDocument document = parse_json("{\"a\":\n[1,\n{\"b\":\n2}]}", "f");
    const JsonDocument moved = std::move(document);
    EXPECT_EQ(moved.place("/a/1/b").line, 4U);
    EXPECT_EQ(moved.place("/a/0").line, 2U);
}

TEST(Json, RefusesNulBytesAnywhere)
{
    using std::string_literals::operator""s;
    EXPECT_THAT(refusal("{}\0"s).what(), HasSubstr("f.json:1: not valid JSON"));
    EXPECT_THAT(refusal("\n\n{\0}"s).what(), HasSubstr("f.json:3: not valid JSON"));
    EXPECT_THAT(refusal("\"\0\""s).what(), HasSubstr("f.json:1: not valid JSON"));
}

} // namespace
} // namespace tessera
