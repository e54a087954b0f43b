// SPDX-License-Identifier: Apache-2.0
#include "numerics/device.h"

#include "tessera/error.h"
#include "tessera/installation.h"

#include <cmath>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::numerics
{
namespace
{

const std::string kCell = R"("format":"tessera-device","version":"1.0","name":"cell",
"conductance":{"off_uS":10,"on_uS":40,"bits":2,"source":"s","status":"assumed"})";

Device cell(const std::string& more)
{
    return parse_device(parse_json("{" + kCell + more + "}", "cell.json"));
}

std::string sourced(const std::string& key, const std::string& members)
{
    return ",\"" + key + "\":{" + members + R"(,"source":"s","status":"assumed"})";
}

const std::string kSigma = R"("sigma":{"over":"conductance_uS","coefficients":[2]})";

struct Spread
{
    double mean = 0;
    double sigma = 0;
};

/// In uS, of the cells of `cell`.
Spread moments(const Written& written)
{
    const Matrix<float>& levels = written.analog.levels;
    const auto count = static_cast<double>(levels.rows() * levels.columns());
    double sum = 0;
    double square = 0;
    for (std::size_t row = 0; row < levels.rows(); ++row)
    {
        for (std::size_t column = 0; column < levels.columns(); ++column)
        {
            const double value = 10 + 10 * static_cast<double>(levels(row, column));
            sum += value;
            square += value * value;
        }
    }
    return {sum / count, std::sqrt(square / count - sum / count * sum / count)};
}

std::string refusal(const std::string& text)
{
    try
    {
        static_cast<void>(parse_device(parse_json(text, "cell.json")));
    }
    catch (const InputError& error)
    {
        return error.what();
    }
    return "accepted";
}

TEST(DeviceFiles, AllShippedLoadAndWrite)
{
    std::size_t count = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(data_directory() + "/models/devices"))
    {
        if (entry.path().extension() != ".json")
        {
            continue;
        }
        ++count;
        const Device device = load_device(entry.path().stem().string());
        EXPECT_EQ(device.name, entry.path().stem().string());
        Writing writing;
        writing.steps = device.steps();
        const Written written = write_cells(device, Matrix<std::uint8_t>(10, 10, 2), writing);
        EXPECT_EQ(written.analog.levels.rows(), 10U);
    }
    EXPECT_GE(count, 8U);
    EXPECT_THROW(static_cast<void>(load_device("genric")), InputError);
}

TEST(DeviceFiles, FitsGiveTheirPublishedValues)
{
    const Device milo = load_device("rram-50-225");
    EXPECT_NEAR(milo.programming->at(100, milo.on), 3.871621, 1e-9);
    const Device wan = load_device("neurram-1s");
    EXPECT_NEAR(wan.programming->at(20, wan.on),
                0.348 + 16.030 / 2 - 43.853 / 4 + 45.393 / 8 - 16.815 / 16, 1e-9);
    const Device cmo = load_device("hfox-cmo-2");
    EXPECT_NEAR(cmo.programming->at(50, cmo.on), 0.0112185 + 0.0112903 * 50, 1e-9);
}

TEST(DeviceFiles, SayWhatIsWrong)
{
    using testing::HasSubstr;
    EXPECT_THAT(refusal("{" + kCell + R"(,"programing":{}})"), HasSubstr("did you mean"));
    EXPECT_THAT(refusal("{" + kCell + sourced("read_noise", R"("sigma":3)") + "}"),
                HasSubstr("/read_noise/sigma"));
    EXPECT_THAT(refusal(R"({"format":"tessera-device","version":"1.0","name":"x"})"),
                HasSubstr("conductance"));
    EXPECT_THAT(refusal("{" + kCell + sourced("faults", R"("stuck_on":0.6,"stuck_off":0.6)") + "}"),
                HasSubstr("0.6 is out of range"));
    EXPECT_THAT(refusal("{" + kCell + sourced("programming", kSigma + R"(,"contains":["verify"])") +
                        sourced("verify", R"("window_uS":1,"pulses":3)") + "}"),
                HasSubstr("twice"));
}

TEST(Writing, StepsContainedOrNotDescribedAreRefused)
{
    const Device device = cell(sourced("programming", kSigma + R"(,"contains":["relaxation"])"));
    Writing writing;
    writing.steps = {Step::programming, Step::relaxation};
    const Matrix<std::uint8_t> levels(2, 2);
    EXPECT_THROW(static_cast<void>(write_cells(device, levels, writing)), InputError);
    writing.steps = {Step::read_noise};
    EXPECT_THROW(static_cast<void>(write_cells(device, levels, writing)), InputError);
    writing.steps = {};
    writing.cell_bits = 3;
    EXPECT_THROW(static_cast<void>(write_cells(device, levels, writing)), InputError);
}

TEST(Writing, SpreadIsThatOfTheCurve)
{
    const Device device = cell(sourced("programming", kSigma));
    Writing writing;
    writing.steps = {Step::programming};
    const Spread spread = moments(write_cells(device, Matrix<std::uint8_t>(400, 500, 2), writing));
    EXPECT_NEAR(spread.mean, 30, 5 * 2 / std::sqrt(2e5));
    EXPECT_NEAR(spread.sigma, 2, 5 * 2 / std::sqrt(4e5));
}

TEST(Writing, VerifyTruncatesAndCountsPulses)
{
    const Device device =
        cell(sourced("programming", kSigma) + sourced("verify", R"("window_uS":2,"pulses":3)"));
    Writing writing;
    writing.steps = {Step::programming, Step::verify};
    const Written written = write_cells(device, Matrix<std::uint8_t>(400, 500, 2), writing);
    // One pulse is accepted with the probability of one sigma.
    const double accepted = std::erf(1 / std::sqrt(2.0));
    const double left = 2e5 * std::pow(1 - accepted, 3);
    EXPECT_NEAR(static_cast<double>(written.given_up), left, 5 * std::sqrt(left));
    EXPECT_EQ(*std::max_element(written.row_pulses.begin(), written.row_pulses.end()), 3U);
    EXPECT_LT(moments(written).sigma, 1.4);
}

TEST(Writing, RelaxationAndRetentionFollowTime)
{
    const Device device = cell(
        sourced("relaxation",
                R"("mean_uS":0,"mean_uS_per_ln_s":-0.5,"sigma_uS":0.4,"sigma_uS_per_ln_s":0.1)") +
        sourced("retention", R"("exponent":0.1,"sigma":0,"from_s":1)"));
    Writing writing;
    const Matrix<std::uint8_t> levels(200, 500, 2);
    writing.time = 100;
    const double ln = std::log(100.0);
    writing.steps = {Step::relaxation};
    const Spread relaxed = moments(write_cells(device, levels, writing));
    EXPECT_NEAR(relaxed.mean, 30 - 0.5 * ln, 0.02);
    EXPECT_NEAR(relaxed.sigma, 0.4 + 0.1 * ln, 0.02);
    writing.steps = {Step::retention};
    EXPECT_NEAR(moments(write_cells(device, levels, writing)).mean, 30 * std::pow(100, -0.1), 1e-4);
}

TEST(Writing, FaultsStayAndEnduranceEnds)
{
    const Device device = cell(sourced("programming", kSigma) +
                               sourced("faults", R"("stuck_on":0.02,"stuck_off":0.03)") +
                               sourced("endurance", R"("cycles":1000,"shape":2)"));
    Writing writing;
    writing.steps = {Step::programming};
    writing.faults = {{3, 4, Fault::stuck_on}};
    const Matrix<std::uint8_t> levels(200, 500, 1);
    const Written first = write_cells(device, levels, writing);
    EXPECT_EQ(first.analog.levels(3, 4), 3);
    EXPECT_NEAR(static_cast<double>(first.stuck), 5000, 5 * std::sqrt(5000.0));
    writing.write_count = 2;
    const Written second = write_cells(device, levels, writing);
    std::size_t same = 0;
    for (std::size_t row = 0; row < 200; ++row)
    {
        for (std::size_t column = 0; column < 500; ++column)
        {
            const float before = first.analog.levels(row, column);
            const bool is_stuck = before == 0 || before == 3;
            same += before == second.analog.levels(row, column) ? 1 : 0;
            EXPECT_TRUE(!is_stuck || before == second.analog.levels(row, column));
        }
    }
    EXPECT_LE(same, first.stuck + 3);
    // Half of the cells survive cycles * ln(2)^(1/shape) writes.
    writing.write_count = static_cast<std::uint32_t>(1000 * std::sqrt(std::log(2.0)));
    const double dead = 1e5 * (0.05 + 0.95 / 2);
    EXPECT_NEAR(static_cast<double>(write_cells(device, levels, writing).stuck), dead,
                5 * std::sqrt(dead / 2) + 100);
}

TEST(Writing, PerfectCellsGiveTheIntegerProduct)
{
    const Device device = load_device("neurram-1s");
    Scheme scheme;
    scheme.converter.rounding = Rounding::ideal;
    Matrix<std::int32_t> weights(200, 9);
    Matrix<std::int32_t> inputs(2, 200);
    for (std::size_t row = 0; row < 200; ++row)
    {
        for (std::size_t column = 0; column < 9; ++column)
        {
            weights(row, column) = static_cast<std::int32_t>(row * 37 + column * 101) % 256 - 128;
        }
        inputs(0, row) = static_cast<std::int32_t>(row * 73 % 256);
        inputs(1, row) = 255;
    }
    Writing writing;
    const Matrix<std::uint8_t> levels = cells_of(scheme, weights).levels;
    const auto products = [&] {
        return Block(scheme, weights, write_cells(device, levels, writing).analog).multiply(inputs);
    };
    const Matrix<std::int64_t> perfect = products();
    EXPECT_TRUE(perfect == Block(scheme, weights).multiply(inputs));
    for (std::size_t column = 0; column < 9; ++column)
    {
        std::int64_t sum = 0;
        for (std::size_t row = 0; row < 200; ++row)
        {
            sum += 255 * std::int64_t{weights(row, column)};
        }
        EXPECT_EQ(perfect(1, column), sum);
    }
    writing.steps = {Step::programming};
    EXPECT_FALSE(perfect == products());
}

} // namespace
} // namespace tessera::numerics
