// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"
#include "tessera/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace tessera::cli
{
namespace
{

using ::testing::HasSubstr;

struct Outcome
{
    int code;
    std::string out;
    std::string err;
};

Outcome call(const Arguments& arguments)
{
    std::ostringstream out;
    std::ostringstream err;
    const int code = run(arguments, {out, err});
    return {code, out.str(), err.str()};
}

TEST(Reproduce, BadUsageIsRefused)
{
    const Outcome none = call({"reproduce"});
    EXPECT_EQ(none.code, 2);
    EXPECT_THAT(none.err, HasSubstr("name is missing"));
    const Outcome unknown = call({"reproduce", "clsa"});
    EXPECT_EQ(unknown.code, 2);
    EXPECT_THAT(unknown.err, HasSubstr("there is no reproduction 'clsa'; use clsa-cim"));
    EXPECT_EQ(call({"reproduce", "clsa-cim", "extra"}).code, 2);
    EXPECT_EQ(call({"reproduce", "clsa-cim", "--slow"}).code, 2);
}

TEST(Reproduce, LeavesFilesAndReplacesThemOnlyWhenTold)
{
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("tessera-reproduce-" + std::to_string(getpid()));
    std::filesystem::remove_all(folder);
    const Arguments arguments = {"reproduce", "clsa-cim", "--quick",
                                 "--json",    "-o",       folder.string()};
    const Outcome first = call(arguments);
    ASSERT_EQ(first.code, 0) << first.err;
    EXPECT_EQ(nlohmann::json::parse(first.out).at("name"), "clsa-cim");
    std::ifstream file(folder / "report.json");
    std::ostringstream content;
    content << file.rdbuf();
    EXPECT_EQ(content.str(), first.out);
    EXPECT_GT(std::filesystem::file_size(folder / "report.txt"), 100U);
    const Outcome second = call(arguments);
    EXPECT_EQ(second.code, 2);
    EXPECT_THAT(second.err, HasSubstr("--force"));
    std::filesystem::remove_all(folder);
}

} // namespace
} // namespace tessera::cli
