// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "base/log_pattern.h"
#include "tessera/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>

namespace tessera
{
namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// Topics and glob of each pattern, as "op buffer @t1".
std::vector<std::string> read(const std::string& text)
{
    std::vector<std::string> all;
    for (const LogPattern& pattern : log_patterns({text}))
    {
        std::string line;
        for (const Topic topic : pattern.topics)
        {
            line += std::string(name_of(topic)) + ' ';
        }
        all.push_back(line + '@' + pattern.glob);
    }
    return all;
}

TEST(LogPattern, AGlobHoldsForAllTopicsBackToTheOneBefore)
{
    EXPECT_THAT(read("op"), ElementsAre("op @*"));
    EXPECT_THAT(read("op,buffer"), ElementsAre("op buffer @*"));
    EXPECT_THAT(read("op,buffer@t1"), ElementsAre("op buffer @t1"));
    EXPECT_THAT(read("op@*,buffer@t1"), ElementsAre("op @*", "buffer @t1"));
    EXPECT_THAT(read("op,noc@t1.*,port,buffer@t2,memory"),
                ElementsAre("op noc @t1.*", "port buffer @t2", "memory @*"));
    EXPECT_THAT(read("all@mem0"), ElementsAre("op noc flit buffer port memory wheel @mem0"));
    for (const char* const wrong : {"", "op,", "ops", "op@", "op@t1,", "@t1"})
    {
        EXPECT_THROW((void)log_patterns({wrong}), UsageError) << wrong;
    }
}

TEST(LogPattern, AGlobNamesAUnitOrWhatItIsAPartOf)
{
    for (const char* const glob : {"t1", "t1.m0", "t?", "t*", "t1.*", "*.m0", "*", "t[12]"})
    {
        EXPECT_TRUE(names_unit(glob, "t1.m0")) << glob;
    }
    for (const char* const glob : {"t", "t10", "m0", "t1.m", "t1.m00", "T1", "", "t1."})
    {
        EXPECT_FALSE(names_unit(glob, "t1.m0")) << glob;
    }
    EXPECT_TRUE(names_unit("t1", "t1"));
    EXPECT_FALSE(names_unit("t1", "t10"));
    EXPECT_FALSE(names_unit("t1", "t10.m0"));
}

TEST(LogPattern, AGlobThatNamesNothingIsRefused)
{
    std::array<std::vector<std::string>, kTopics> units;
    units[static_cast<unsigned>(Topic::op)] = {"t0.m0", "t0.ni", "t3.m0", "t3.ni", "mem0"};
    units[static_cast<unsigned>(Topic::buffer)] = {"t0", "t3"};
    const auto check = [&](const std::string& text) { check_units(log_patterns({text}), units); };
    for (const char* const right : {"op", "op,buffer@t3", "op,buffer@mem0", "all", "all@mem0",
                                    "buffer@t3", "op@t3.ni,buffer@t0"})
    {
        EXPECT_NO_THROW(check(right)) << right;
    }
    EXPECT_THAT([&] { check("op@tile3"); },
                ThrowsMessage<UsageError>(HasSubstr(
                    "the glob 'tile3' names no unit of op; they are called t0.m0 to t3.m0, t0.ni "
                    "to t3.ni, mem0")));
    EXPECT_THAT([&] { check("op@t0.m1"); },
                ThrowsMessage<UsageError>(HasSubstr("did you mean 't0.m0'?")));
    EXPECT_THROW(check("buffer@mem0"), UsageError) << "memory has no buffer";
    EXPECT_THROW(check("op@t3,buffer@mem0"), UsageError) << "each glob of several";
    EXPECT_THROW(check("flit"), UsageError) << "this chip has nothing to log there";
}

TEST(Log, WritesTheLinesOfTopicsAndUnitsAskedFor)
{
    std::ostringstream out;
    Log log({"op,buffer@t1", "memory"}, out);
    EXPECT_TRUE(log.wants(Topic::op));
    EXPECT_FALSE(log.wants(Topic::noc));
    for (const char* const unit : {"mem0", "t1.m0", "t2.m0", "t1"})
    {
        for (const Topic topic : {Topic::op, Topic::buffer, Topic::memory})
        {
            log.write(7, topic, unit, "x");
        }
    }
    EXPECT_EQ(out.str(), "7 mem0 memory x\n"
                         "7 t1.m0 op x\n7 t1.m0 buffer x\n7 t1.m0 memory x\n"
                         "7 t2.m0 memory x\n"
                         "7 t1 op x\n7 t1 buffer x\n7 t1 memory x\n");
}

} // namespace
} // namespace tessera
