// SPDX-License-Identifier: Apache-2.0
#include "base/h5_guard.h"

#include "tessera/error.h"

#include <csignal>
#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdexcept>
#include <string>
#include <vector>

namespace tessera::h5
{
namespace
{

using testing::HasSubstr;

const char* const kFile = "/proc/self/exe"; // any file will do

std::string refusal(const std::function<void()>& action)
{
    try
    {
        const Lock lock;
        survive(kFile, action);
    }
    catch (const InputError& error)
    {
        return error.what();
    }
    return "";
}

TEST(Survive, ReturnsWhenAllIsWell)
{
    bool here = false;
    EXPECT_EQ(refusal([&] { here = true; }), "");
    EXPECT_FALSE(here) << "it ran elsewhere";
}

TEST(Survive, TellsThatTheLibraryCrashed)
{
    EXPECT_THAT(refusal([] { std::abort(); }),
                HasSubstr("fail with signal 6; the file is damaged"));
    EXPECT_NE(refusal([] { _exit(7); }), "");
}

TEST(Survive, NeedsNoStatusOfItsChild)
{
    std::signal(SIGCHLD, SIG_IGN); // then there is none
    EXPECT_EQ(refusal([] {}), "");
    EXPECT_THAT(refusal([] { std::abort(); }), HasSubstr("the file is damaged"));
    std::signal(SIGCHLD, SIG_DFL);
}

TEST(Survive, ThrowsWhatTheActionThrew)
{
    const InputError thrown({"a.h5", 7, "/x"}, "is \xc3\xa9 wrong", "make it right");
    EXPECT_EQ(refusal([&] { throw thrown; }), thrown.what());
    try
    {
        survive(kFile, [] { throw IoError("cannot read it"); });
        FAIL() << "did not throw";
    }
    catch (const IoError& error)
    {
        EXPECT_STREQ(error.what(), "cannot read it");
    }
}

TEST(Survive, LeavesTheUnexpectedToTheCaller)
{
    EXPECT_EQ(refusal([] { throw std::runtime_error("a mistake of ours"); }), "");
}

TEST(Survive, BoundsTime)
{
    EXPECT_THAT(refusal(
                    []
                    {
                        for (volatile unsigned i = 0;;)
                        {
                            i = i + 1;
                        }
                    }),
                HasSubstr("more time or memory"));
}

TEST(Survive, BoundsMemory)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "sanitizers reserve all addresses";
#endif
    const auto take = [](std::size_t mebibytes)
    {
        return [mebibytes]
        {
            const std::vector<char> bytes(mebibytes << 20U);
            if (bytes.front() != 0)
            {
                std::abort();
            }
        };
    };
    EXPECT_EQ(refusal(take(400)), "");
    EXPECT_THAT(refusal(take(600)), HasSubstr("more time or memory"));
}

TEST(Survive, LetsTheChildLock)
{
    EXPECT_EQ(refusal([] { const Lock lock; }), "");
}

} // namespace
} // namespace tessera::h5
