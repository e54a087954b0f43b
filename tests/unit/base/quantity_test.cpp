// SPDX-License-Identifier: Apache-2.0
#include "base/quantity.h"

#include <cstdint>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <regex.h>
#include <string>
#include <vector>

namespace tessera
{
namespace
{

using testing::HasSubstr;

const Place kHere{"chip.json", 7, "/key"};
constexpr std::uint64_t kLargest = std::numeric_limits<std::uint64_t>::max();
constexpr Dimension kDimensions[] = {Dimension::time, Dimension::frequency, Dimension::size,
                                     Dimension::rate, Dimension::energy};

/// Does a POSIX extended expression match? The patterns use nothing beyond those.
bool matches(const std::string& text, const std::string& pattern)
{
    regex_t compiled;
    EXPECT_EQ(regcomp(&compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB), 0) << pattern;
    const bool found = regexec(&compiled, text.c_str(), 0, nullptr, 0) == 0;
    regfree(&compiled);
    return found;
}

struct Reading
{
    Dimension dimension;
    const char* text;
    std::uint64_t value;
};

class Accepted : public testing::TestWithParam<Reading>
{
};

TEST_P(Accepted, IsExact)
{
    const Reading& reading = GetParam();
    EXPECT_EQ(parse_quantity(reading.dimension, reading.text, kHere), reading.value)
        << reading.text;
    EXPECT_TRUE(matches(reading.text, quantity_pattern(reading.dimension))) << reading.text;
}

INSTANTIATE_TEST_SUITE_P(
    Quantity, Accepted,
    testing::Values(
        Reading{Dimension::time, "1.4 us", 1'400'000}, Reading{Dimension::time, "0.001 ns", 1},
        Reading{Dimension::time, "85.7ns", 85'700},
        Reading{Dimension::time, "1.4   \u00b5s", 1'400'000},
        Reading{Dimension::time, "1.4 \u03bcs", 1'400'000},
        Reading{Dimension::time, "007.50 ns", 7'500}, Reading{Dimension::time, "0 s", 0},
        Reading{Dimension::time, "0.000000000001 s", 1},
        Reading{Dimension::time, "1.0000000000000000000000000000000000 ns", 1000},
        Reading{Dimension::time, "18446744073709551615 ps", kLargest},
        Reading{Dimension::time, "18446744.073709551615 s", kLargest},
        Reading{Dimension::frequency, "1.28 GHz", 1'280'000'000},
        Reading{Dimension::frequency, "100 MHz", 100'000'000},
        Reading{Dimension::frequency, "0.5 kHz", 500},
        Reading{Dimension::size, "128 Kibit", 16'384}, Reading{Dimension::size, "256 KiB", 262'144},
        Reading{Dimension::size, "64 kB", 64'000}, Reading{Dimension::size, "0.5 KiB", 512},
        Reading{Dimension::size, "0.0009765625 KiB", 1}, Reading{Dimension::size, "8 bit", 1},
        Reading{Dimension::size, "12 Gbit", 1'500'000'000},
        Reading{Dimension::rate, "12.8 GB/s", 12'800'000'000},
        Reading{Dimension::rate, "1600 Mbit/s", 200'000'000},
        Reading{Dimension::energy, "2.5 pJ", 2'500'000},
        Reading{Dimension::energy, "0.39 pJ", 390'000},
        Reading{Dimension::energy, "1 J", 1'000'000'000'000'000'000}));

struct Refusal
{
    Dimension dimension;
    const char* text;
    const char* said;
};

class Refused : public testing::TestWithParam<Refusal>
{
};

TEST_P(Refused, SaysWhyAndWhere)
{
    const Refusal& refusal = GetParam();
    try
    {
        const std::uint64_t value = parse_quantity(refusal.dimension, refusal.text, kHere);
        FAIL() << '"' << refusal.text << "\" was read as " << value;
    }
    catch (const InputError& error)
    {
        EXPECT_THAT(error.what(), HasSubstr("chip.json:7: /key: "));
        EXPECT_THAT(error.what(), HasSubstr(refusal.said));
        EXPECT_EQ(error.code(), ExitCode::bad_input);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Quantity, Refused,
    testing::Values(Refusal{Dimension::time, "", "does not start with a number"},
                    Refusal{Dimension::time, "us", "does not start with a number"},
                    Refusal{Dimension::time, " 1 us", "does not start with a number"},
                    Refusal{Dimension::time, "1.4",
                            "has no unit; write the number with one of s, ms, us, ns or ps"},
                    Refusal{Dimension::time, "1.4 ", "has no unit"},
                    Refusal{Dimension::time, "1.4 us ", "unknown unit \"us \""},
                    Refusal{Dimension::time, "1.4 MHz",
                            "unknown unit \"MHz\"; write the number with one of s, ms"},
                    Refusal{Dimension::time, "1.4 US", "unknown unit"},
                    Refusal{Dimension::time, "3 cycles", "unknown unit"},
                    Refusal{Dimension::time, "1.0005 ns",
                            "not a whole number of picoseconds; round it, for example to 1000 ps"},
                    Refusal{Dimension::time, "0.5 ps", "round it, for example to 0 ps"},
                    Refusal{Dimension::time, "-1 ns", "is negative; give at least 0 ps"},
                    Refusal{Dimension::time, "+1 ns", "plain decimal number"},
                    Refusal{Dimension::time, "1. ns", "plain decimal number"},
                    Refusal{Dimension::time, ".5 ns", "plain decimal number"},
                    Refusal{Dimension::time, "1.2.3 ns", "plain decimal number"},
                    Refusal{Dimension::time, "1-2 ns", "plain decimal number"},
                    Refusal{Dimension::time, "1,5 ns", "unknown unit \",5 ns\""},
                    Refusal{Dimension::time, "1e3 ns", "unknown unit \"e3 ns\""},
                    Refusal{Dimension::time, "nan s", "does not start with a number"},
                    Refusal{Dimension::time, "inf s", "does not start with a number"},
                    Refusal{Dimension::time, "18446744073709551616 ps", "too large"},
                    Refusal{Dimension::time, "18446744.073709551616 s", "too large"},
                    Refusal{Dimension::time, "99999999999999999999 s", "too large"},
                    Refusal{Dimension::time, "100000000000000000000 s", "at most 20 of them"},
                    Refusal{Dimension::time, "0.0000000000000000000000000000001 s",
                            "at most 20 of them"},
                    Refusal{Dimension::size, "1 bit", "not a whole number of bytes"},
                    Refusal{Dimension::size, "64 KB", "unknown unit \"KB\""},
                    Refusal{Dimension::frequency, "1.5 Hz", "not a whole number of hertz"},
                    Refusal{Dimension::rate, "12.8 GB", "unknown unit"},
                    Refusal{Dimension::energy, "0.5 aJ", "not a whole number of attojoules"}));

/// The message about a text.
template <class Parse> std::string told(const Parse& parse)
{
    try
    {
        parse();
    }
    catch (const InputError& error)
    {
        return error.what();
    }
    return "";
}

TEST(Quantity, RemediesLieInTheRangeOfTheOneWhoAsks)
{
    const auto quantity = [](Dimension dimension, const char* text, const QuantityRange& range)
    { return told([&] { static_cast<void>(parse_quantity(dimension, text, {}, range)); }); };
    EXPECT_THAT(quantity(Dimension::time, "0.5 ps", {1, kLargest}), HasSubstr("example to 1 ps"));
    EXPECT_THAT(quantity(Dimension::time, "-1 ms", {1, kLargest}), HasSubstr("at least 1 ps"));
    EXPECT_THAT(quantity(Dimension::frequency, "0.1 Hz", {1'000, kLargest}),
                HasSubstr("example to 1000 Hz"));
    EXPECT_THAT(quantity(Dimension::time, "99999999 s", {0, 1'000}), HasSubstr("at most 1000 ps"));
    EXPECT_THAT(told(
                    [] {
                        static_cast<void>(parse_duration("0.5 cycles", {}, {1, kLargest}));
                    }),
                HasSubstr("example to 1 cycles"));
}

TEST(Quantity, PrintsTheShortestExactText)
{
    EXPECT_EQ(print_quantity(Dimension::time, 0), "0 ps");
    EXPECT_EQ(print_quantity(Dimension::time, 1), "1 ps");
    EXPECT_EQ(print_quantity(Dimension::time, 999), "999 ps");
    EXPECT_EQ(print_quantity(Dimension::time, 1'000), "1 ns");
    EXPECT_EQ(print_quantity(Dimension::time, 1'400'000), "1.4 us");
    EXPECT_EQ(print_quantity(Dimension::time, 100'000), "100 ns");
    EXPECT_EQ(print_quantity(Dimension::time, 1'000'001), "1000001 ps");
    EXPECT_EQ(print_quantity(Dimension::frequency, 1'280'000'000), "1.28 GHz");
    EXPECT_EQ(print_quantity(Dimension::size, 65'536), "64 KiB");
    EXPECT_EQ(print_quantity(Dimension::size, 64'000), "64 kB");
    EXPECT_EQ(print_quantity(Dimension::size, 1'000), "1 kB");
    EXPECT_EQ(print_quantity(Dimension::size, 1'024'000), "1000 KiB");
    EXPECT_EQ(print_quantity(Dimension::rate, 12'800'000'000), "12.8 GB/s");
    EXPECT_EQ(print_quantity(Dimension::energy, 2'500'000), "2.5 pJ");
    EXPECT_EQ(print_quantity(Dimension::time, kLargest), "18446744073709551615 ps");
}

TEST(Quantity, ReadsBackEverythingItPrints)
{
    std::mt19937_64 random(1);
    std::vector<std::uint64_t> values{0, 1, kLargest, kLargest - 1};
    for (unsigned shift = 0; shift < 64; ++shift)
    {
        values.push_back(std::uint64_t{1} << shift);
        values.push_back(random() >> shift);
    }
    for (std::uint64_t power = 1; power < kLargest / 10; power *= 10)
    {
        values.push_back(power);
        values.push_back(15 * power);
    }
    for (const Dimension dimension : kDimensions)
    {
        const std::string pattern = quantity_pattern(dimension);
        for (const std::uint64_t value : values)
        {
            const std::string text = print_quantity(dimension, value);
            EXPECT_EQ(parse_quantity(dimension, text, kHere), value) << text;
            EXPECT_TRUE(matches(text, pattern)) << text;
            EXPECT_LE(text.find(' '), std::to_string(value).size()) << text;
        }
    }
}

TEST(DurationText, IsATimeOrCycles)
{
    EXPECT_EQ(parse_duration("3 cycles", kHere), Duration::of_cycles(3));
    EXPECT_EQ(parse_duration("1 cycle", kHere), Duration::of_cycles(1));
    EXPECT_EQ(parse_duration("2.0 cycles", kHere), Duration::of_cycles(2));
    EXPECT_EQ(parse_duration("1.4 us", kHere), Duration::of_ticks(1'400'000));
    EXPECT_EQ(parse_duration("0 cycles", kHere), parse_duration("0 ps", kHere));
    EXPECT_TRUE(matches("3 cycles", duration_pattern()));
    EXPECT_TRUE(matches("1 cycle", duration_pattern()));
    EXPECT_FALSE(matches("3 bicycles", duration_pattern()));
    EXPECT_THROW((void)parse_duration("1.5 cycles", kHere), InputError);
    EXPECT_THROW((void)parse_duration("-1 cycles", kHere), InputError);
    EXPECT_THROW((void)parse_duration("18446744073709551616 cycles", kHere), InputError);
    try
    {
        (void)parse_duration("3", kHere);
        FAIL() << "a duration without a unit was accepted";
    }
    catch (const InputError& error)
    {
        EXPECT_THAT(error.what(), HasSubstr("s, ms, us, ns or ps, or cycles"));
    }
}

TEST(DurationText, IsPrintedCanonically)
{
    EXPECT_EQ(print_duration({}), "0 ps");
    EXPECT_EQ(print_duration(Duration::of_cycles(1)), "1 cycle");
    EXPECT_EQ(print_duration(Duration::of_cycles(30)), "30 cycles");
    EXPECT_EQ(print_duration(Duration::of_ticks(30'000)), "30 ns");
}

} // namespace
} // namespace tessera
