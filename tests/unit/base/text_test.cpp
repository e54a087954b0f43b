// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <random>
#include <string>

namespace tessera
{
namespace
{

TEST(Printable, KeepsWhatIsText)
{
    for (const char* text : {"", "plain", "größer", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"})
    {
        EXPECT_EQ(printable(text), text);
    }
}

TEST(Printable, EscapesWhatATerminalWouldObeyOrCannotShow)
{
    EXPECT_EQ(printable("a\x1B[31m"), "a\\x1b[31m");
    EXPECT_EQ(printable("a\x7F"), "a\\x7f");
    EXPECT_EQ(printable("a\xC2\x9B"), "a\\xc2\\x9b");                 // a control of eight bits
    EXPECT_EQ(printable("a\xE2\x80\xAE"), "a\\xe2\\x80\\xae");        // from right to left
    EXPECT_EQ(printable("\xFF\xFE"), "\\xff\\xfe");                   // in no text
    EXPECT_EQ(printable("\xC3"), "\\xc3");                            // cut short
    EXPECT_EQ(printable("\xC0\xAF"), "\\xc0\\xaf");                   // longer than needed
    EXPECT_EQ(printable("\xED\xA0\x80"), "\\xed\\xa0\\x80");          // a surrogate
    EXPECT_EQ(printable("\xF4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80"); // beyond the last
    EXPECT_EQ(printable("a\nb"), "a\\x0ab");
    EXPECT_EQ(printable("a\nb", true), "a\nb");
    EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\x00b");
}

TEST(Utf8, IsKnownAsTheJsonLibraryKnowsIt)
{
    std::mt19937 random(7);
    const auto accepts = [](const std::string& text)
    {
        try
        {
            return !nlohmann::json(text).dump().empty();
        }
        catch (const nlohmann::json::exception&)
        {
            return false;
        }
    };
    constexpr unsigned char leads[] = {0x41, 0x80, 0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED,
                                       0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF, 0x90, 0x9F, 0xA0};
    std::uint32_t sound = 0;
    for (int i = 0; i < 20000; ++i)
    {
        std::string text;
        for (auto k = random() % 5; k != 0; --k)
        {
            text += static_cast<char>(leads[random() % std::size(leads)]);
        }
        EXPECT_EQ(is_utf8(text), accepts(text)) << printable(text);
        EXPECT_TRUE(is_utf8(printable(text)));
        sound += is_utf8(text) ? 1 : 0;
    }
    EXPECT_GT(sound, 1000U);
    EXPECT_LT(sound, 19000U);
}

} // namespace
} // namespace tessera
