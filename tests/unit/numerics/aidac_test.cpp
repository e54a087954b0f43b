// SPDX-License-Identifier: Apache-2.0
#include "numerics/aidac.h"

#include "base/philox.h"
#include "numerics/aidac_cost.h"
#include "tessera/error.h"

#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>
#include <thread>
#include <tuple>

namespace tessera::numerics
{
namespace
{

using testing::HasSubstr;

Matrix<std::int32_t> random_matrix(std::size_t rows, std::size_t columns, std::int32_t least,
                                   std::int32_t most, unsigned seed)
{
    std::mt19937 generator(seed);
    std::uniform_int_distribution<std::int32_t> value(least, most);
    Matrix<std::int32_t> matrix(rows, columns);
    for (std::size_t row = 0; row < rows; ++row)
    {
        for (std::size_t column = 0; column < columns; ++column)
        {
            matrix(row, column) = value(generator);
        }
    }
    return matrix;
}

std::int64_t exact(const Matrix<std::int32_t>& inputs, const Matrix<std::int32_t>& weights,
                   std::size_t vector, std::size_t column)
{
    std::int64_t sum = 0;
    for (std::size_t row = 0; row < weights.rows(); ++row)
    {
        sum += std::int64_t{inputs(vector, row)} * weights(row, column);
    }
    return sum;
}

std::vector<VectorIdentity> named(std::size_t count)
{
    std::vector<VectorIdentity> vectors(count);
    for (std::size_t i = 0; i < count; ++i)
    {
        vectors[i] = {3, static_cast<std::uint32_t>(i)};
    }
    return vectors;
}

/// 2-bit operands in arrays of 8 rows and 4 outputs: small enough to follow every charge.
AidacModel small_model()
{
    AidacModel model = load_aidac("aidac-28nm");
    model.array_rows = 8;
    model.array_outputs = 4;
    model.unit_ff = 1;
    model.vtc_input_ff = 3;
    return model;
}

double deviation(const std::vector<double>& values)
{
    double sum = 0;
    double squares = 0;
    for (const double value : values)
    {
        sum += value;
        squares += value * value;
    }
    const auto count = static_cast<double>(values.size());
    return std::sqrt((squares - sum * sum / count) / (count - 1));
}

struct Operands
{
    unsigned weight_bits;
    unsigned input_bits;
    AidacSigns signs;
    std::size_t rows;
    std::size_t columns;
};

class AidacIdeal : public testing::TestWithParam<Operands>
{
};

TEST_P(AidacIdeal, IsTheIntegerProductAndItsQuantisationHalfAStep)
{
    const Operands& p = GetParam();
    const AidacModel model = load_aidac("aidac-28nm");
    const AidacScheme scheme{p.weight_bits, p.input_bits, p.signs};
    const std::int32_t span = 1 << p.weight_bits;
    const std::int32_t least = p.signs == AidacSigns::none ? 0 : -span / 2;
    const auto weights = random_matrix(p.rows, p.columns, least, least + span - 1, 5);
    auto inputs = random_matrix(4, p.rows, 0, (1 << p.input_bits) - 1, 6);
    for (std::size_t row = 0; row < p.rows; ++row)
    {
        inputs(0, row) = (1 << p.input_bits) - 1;
        inputs(1, row) = 0;
    }
    AidacErrors errors = AidacErrors::none();
    const AidacBlock ideal(model, scheme, weights, errors);
    errors.quantisation = true;
    const AidacBlock quantised(model, scheme, weights, errors, {}, ideal.calibrated(inputs));
    const auto products = ideal.product(inputs);
    const auto codes = quantised.multiply(inputs);
    for (std::size_t vector = 0; vector < inputs.rows(); ++vector)
    {
        for (std::size_t column = 0; column < p.columns; ++column)
        {
            const auto expected = static_cast<double>(exact(inputs, weights, vector, column));
            EXPECT_NEAR(products(vector, column), expected, 1e-4);
            EXPECT_NEAR(static_cast<double>(codes(vector, column)) * quantised.step(), expected,
                        0.5 * quantised.step() * (1 + 1e-9));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, AidacIdeal,
                         testing::Values(Operands{8, 8, AidacSigns::none, 1024, 40},
                                         Operands{8, 8, AidacSigns::offset, 1024, 32},
                                         Operands{8, 8, AidacSigns::paired, 300, 17},
                                         Operands{6, 6, AidacSigns::offset, 129, 33},
                                         Operands{4, 4, AidacSigns::paired, 64, 5},
                                         Operands{4, 4, AidacSigns::none, 1, 1}));

/// Products with the largest operands, and how many are wrong behind a converter of `bits` bits
/// whose step is one unit.
std::size_t wrong_products(unsigned bits, const AidacScheme& scheme, std::size_t rows)
{
    AidacModel model = load_aidac("aidac-28nm");
    model.tdc_bits = bits;
    const bool has_sign = scheme.signs != AidacSigns::none;
    const std::int32_t span = 1 << scheme.weight_bits;
    const std::int32_t least = has_sign ? -span / 2 : 0;
    Matrix<std::int32_t> weights = random_matrix(rows, 4, least, least + span - 1, 3);
    Matrix<std::int32_t> inputs = random_matrix(3, rows, 0, (1 << scheme.input_bits) - 1, 4);
    for (std::size_t row = 0; row < rows; ++row)
    {
        weights(row, 0) = least;
        weights(row, 1) = least + span - 1;
        inputs(0, row) = (1 << scheme.input_bits) - 1;
    }
    AidacErrors errors = AidacErrors::none();
    errors.quantisation = true;
    AidacReadout readout = AidacBlock(model, scheme, weights, errors).nominal();
    readout.range = readout.gain * aidac_volts_per_unit(model, scheme) * std::exp2(bits);
    const AidacBlock block(model, scheme, weights, errors, {}, readout);
    EXPECT_NEAR(block.step(), 1, 1e-12);
    const Matrix<std::int64_t> codes = block.multiply(inputs);
    std::size_t wrong = 0;
    for (std::size_t vector = 0; vector < inputs.rows(); ++vector)
    {
        for (std::size_t column = 0; column < weights.columns(); ++column)
        {
            wrong += codes(vector, column) != exact(inputs, weights, vector, column) ? 1U : 0U;
        }
    }
    return wrong;
}

TEST(AidacLosslessBits, HoldEverySumAndOneFewerDoesNot)
{
    for (const auto& [scheme, rows, bits] :
         {std::tuple(AidacScheme{4, 4, AidacSigns::none}, 8, 11U),     // 8 x 15 x 15 = 1800
          std::tuple(AidacScheme{4, 4, AidacSigns::offset}, 8, 11U),   // -8 x 15 x 8 = -960
          std::tuple(AidacScheme{4, 4, AidacSigns::paired}, 9, 12U),   // -1080
          std::tuple(AidacScheme{4, 1, AidacSigns::offset}, 128, 11U), // -1024 is the least code
          std::tuple(AidacScheme{4, 1, AidacSigns::offset}, 129, 12U),
          std::tuple(AidacScheme{8, 8, AidacSigns::offset}, 1024, 26U)})
    {
        EXPECT_EQ(aidac_lossless_bits(scheme, rows), bits);
        EXPECT_EQ(wrong_products(bits, scheme, rows), 0U) << rows << " rows";
        EXPECT_GT(wrong_products(bits - 1, scheme, rows), 0U) << rows << " rows";
    }
}

/// Of a column whose weights are all `weight`, all rows driven fully.
std::int64_t nominal_sum(const AidacModel& model, const AidacScheme& scheme, std::int32_t weight)
{
    AidacErrors errors = AidacErrors::none();
    errors.quantisation = true;
    const AidacBlock block(model, scheme, Matrix<std::int32_t>(128, 1, weight), errors);
    const std::int32_t most = (1 << scheme.input_bits) - 1;
    return std::llround(block.product(Matrix<std::int32_t>(1, 128, most))(0, 0));
}

TEST(AidacBlock, NominalReadoutHoldsTheGreatestSums)
{
    AidacModel model = load_aidac("aidac-28nm");
    for (unsigned bits = 1; bits <= 5; ++bits)
    {
        const std::int32_t half = 1 << (bits - 1);
        for (const AidacSigns signs : {AidacSigns::offset, AidacSigns::paired, AidacSigns::none})
        {
            const AidacScheme scheme{bits, 3, signs};
            model.tdc_bits = aidac_lossless_bits(scheme, 128);
            const bool none = signs == AidacSigns::none;
            for (const std::int32_t weight :
                 {none ? 0 : -half, none ? 2 * half - 1 : half - 1, none ? 1 : -1})
            {
                EXPECT_EQ(nominal_sum(model, scheme, weight), 128 * 7 * weight)
                    << bits << " bits, signs " << static_cast<int>(signs);
            }
        }
    }
}

TEST(AidacBlock, ColumnTimesAddUpDownTheGrid)
{
    const AidacModel model = load_aidac("aidac-28nm");
    const auto weights = random_matrix(300, 40, -128, 127, 13); // 3 arrays down, 2 beside
    const auto inputs = random_matrix(1, 300, 0, 255, 14);
    const double unit = aidac_volts_per_unit(model, {});
    const AidacBlock block(model, {}, weights, AidacErrors::none());
    const Matrix<double> volts = block.voltages(inputs.row(0));
    ASSERT_EQ(volts.rows(), 3U);
    ASSERT_EQ(volts.columns(), 2U * 33);
    for (std::size_t column = 0; column < 40; ++column)
    {
        const std::size_t group = column / 32 * 33 + column % 32;
        const std::size_t reference = column / 32 * 33 + 32;
        double chain = 0;
        for (std::size_t array = 0; array < 3; ++array)
        {
            // An array sees its own rows only: weights with their offset.
            std::int64_t sum = 0;
            for (std::size_t row = 128 * array; row < std::min<std::size_t>(300, 128 * (array + 1));
                 ++row)
            {
                sum += std::int64_t{inputs(0, row)} * (weights(row, column) + 128);
            }
            EXPECT_NEAR(volts(array, group) / unit, static_cast<double>(sum), 1e-4);
            chain += volts(array, group) - volts(array, reference);
        }
        EXPECT_NEAR(chain / unit, static_cast<double>(exact(inputs, weights, 0, column)), 1e-3);
        EXPECT_NEAR(block.product(inputs)(0, column), chain / unit, 1e-3);
    }
}

TEST(AidacErrors, ConverterRangeClips)
{
    const AidacModel model = load_aidac("aidac-28nm");
    Matrix<std::int32_t> weights(128, 2, 127);
    weights(0, 1) = -128;
    for (std::size_t row = 0; row < 128; ++row)
    {
        weights(row, 1) = -128;
    }
    const Matrix<std::int32_t> inputs(1, 128, 255);
    AidacErrors errors = AidacErrors::none();
    errors.quantisation = true;
    AidacReadout readout = AidacBlock(model, {}, weights, errors).nominal();
    readout.range /= 4;
    const auto codes = AidacBlock(model, {}, weights, errors, {}, readout).multiply(inputs);
    EXPECT_EQ(codes(0, 0), 127);
    EXPECT_EQ(codes(0, 1), -128);
}

/// Follows the charge of every cell through one product, with kT/C whenever a switch opens.
double followed_charge(const AidacModel& model, const Matrix<std::int32_t>& inputs,
                       const Matrix<std::int32_t>& weights, std::mt19937& generator)
{
    std::normal_distribution<double> normal;
    const double kt = 1.380649e-23 * model.temperature_k;
    const double c = model.unit_ff * 1e-15;
    const std::size_t rows = 8;
    const std::size_t cells = 10; // 4 outputs and the reference, of 2 bits
    std::vector<std::vector<double>> charge(rows, std::vector<double>(cells));
    for (std::size_t row = 0; row < rows; ++row)
    {
        double sum = 0;
        for (std::size_t cell = 0; cell < cells; ++cell)
        {
            // Units of 2 cells: one empty, then 1 and 2 for the bits; then the reference.
            const bool on = (cell >= 2 && cell < 4 && (inputs(0, row) & 1) != 0) ||
                            (cell >= 4 && cell < 8 && (inputs(0, row) & 2) != 0);
            sum += (on ? model.supply_v * c : 0) + std::sqrt(kt * c) * normal(generator);
        }
        // Opening the row: independent charges, whose sum stays as it was.
        double mean = 0;
        for (double& one : charge[row])
        {
            one = std::sqrt(kt * c) * normal(generator);
            mean += one / static_cast<double>(cells);
        }
        for (double& one : charge[row])
        {
            one += sum / static_cast<double>(cells) - mean;
        }
    }
    // The first output: bit columns 0 and 1.
    double line_charge = std::sqrt(kt * model.vtc_input_ff * 1e-15) * normal(generator);
    double line = model.vtc_input_ff * 1e-15;
    for (std::size_t bit = 0; bit < 2; ++bit)
    {
        double sum = 0;
        for (std::size_t row = 0; row < rows; ++row)
        {
            const bool keeps = (weights(row, 0) >> bit & 1) != 0;
            sum += keeps ? charge[row][bit] : std::sqrt(kt * c) * normal(generator);
        }
        const double column = static_cast<double>(rows) * c;
        const double part = column / (bit == 0 ? 2 : 1);
        line_charge += sum * part / column +
                       std::sqrt(kt * part * (column - part) / column) * normal(generator);
        line += part;
    }
    return line_charge / line;
}

TEST(AidacErrors, ThermalNoiseIsThatOfFollowedCharges)
{
    const AidacModel model = small_model();
    const AidacScheme scheme{2, 2, AidacSigns::none};
    const auto inputs = random_matrix(1, 8, 0, 3, 1);
    const auto weights = random_matrix(8, 4, 0, 3, 2);
    AidacErrors errors = AidacErrors::none();
    const double expected =
        AidacBlock(model, scheme, weights, errors).voltages(inputs.row(0))(0, 0);
    errors.thermal = true;
    const AidacBlock block(model, scheme, weights, errors, {11, 0, 0});
    constexpr std::size_t trials = 20000;
    std::vector<double> ours;
    std::vector<double> theirs;
    std::mt19937 generator(4);
    double mean = 0;
    for (std::size_t i = 0; i < trials; ++i)
    {
        ours.push_back(block.voltages(inputs.row(0), {0, static_cast<std::uint32_t>(i)})(0, 0));
        theirs.push_back(followed_charge(model, inputs, weights, generator));
        mean += theirs.back() / trials;
    }
    // The noises of a row's cells correlate by one in their number; the model leaves that out.
    EXPECT_NEAR(deviation(ours) / deviation(theirs), 1, 0.05);
    EXPECT_NEAR(mean, expected, 5 * deviation(theirs) / std::sqrt(double{trials}));
}

TEST(AidacErrors, ThermalNoiseHasItsClosedForm)
{
    const AidacModel model = load_aidac("aidac-28nm");
    const AidacScheme scheme;
    // No weight bit is set: rows' noise reaches no column.
    const Matrix<std::int32_t> weights(128, 1, -128);
    AidacErrors errors = AidacErrors::none();
    errors.thermal = true;
    const AidacBlock block(model, scheme, weights, errors, {5, 0, 0});
    std::vector<double> volts;
    const std::vector<std::int32_t> inputs(128, 100);
    for (std::uint32_t i = 0; i < 20000; ++i)
    {
        volts.push_back(block.voltages(inputs.data(), {0, i})(0, 0));
    }
    EXPECT_NEAR(deviation(volts) / aidac_sum_noise(model, scheme), 1, 0.02);
    const double kt = 1.380649e-23 * 300;
    EXPECT_NEAR(aidac_row_noise(model, scheme), std::sqrt(kt / (264 * 2.65e-15)), 1e-9);
    AidacModel larger = model;
    larger.unit_ff *= 4;
    larger.vtc_input_ff *= 4;
    EXPECT_NEAR(aidac_sum_noise(model, scheme) / aidac_sum_noise(larger, scheme), 2, 1e-12);
}

TEST(AidacErrors, JitterActsAtTheInputOfTheGain)
{
    const AidacModel model = load_aidac("aidac-28nm");
    const auto weights = random_matrix(256, 1, -128, 127, 8);
    const auto inputs = random_matrix(1, 256, 0, 20, 9);
    AidacErrors errors = AidacErrors::none();
    errors.jitter = true;
    AidacReadout readout = AidacBlock(model, {}, weights, errors).nominal();
    const double unit = aidac_volts_per_unit(model, {});
    for (const double factor : {1.0, 8.0})
    {
        readout.gain *= factor;
        const AidacBlock block(model, {}, weights, errors, {}, readout);
        std::vector<double> products;
        for (std::uint32_t i = 0; i < 5000; ++i)
        {
            products.push_back(block.product(inputs, {{0, i}})(0, 0));
        }
        // Two arrays in the column's chain, two in the reference's, whatever the gain.
        EXPECT_NEAR(deviation(products) * unit / (model.vtc_noise_mv * 1e-3 * 2), 1, 0.04);
    }
}

TEST(AidacErrors, MismatchOfAnInputConversionHasItsClosedForm)
{
    AidacModel model = small_model();
    model.array_rows = 1;
    model.array_outputs = 16;
    model.vtc_input_ff = 0;
    model.mismatch_percent = 2;
    const AidacScheme scheme{1, 4, AidacSigns::none};
    const Matrix<std::int32_t> weights(1, 1, 1);
    AidacErrors errors = AidacErrors::none();
    errors.mismatch = true;
    for (const double unit_ff : {1.0, 4.0})
    {
        model.unit_ff = unit_ff;
        std::vector<double> volts;
        const std::int32_t input = 8; // 8 of 17 cells
        for (std::uint64_t chip = 0; chip < 5000; ++chip)
        {
            volts.push_back(
                AidacBlock(model, scheme, weights, errors, {chip, 0, 0}).voltages(&input)(0, 0));
        }
        const double closed =
            0.9 * 0.02 / std::sqrt(unit_ff) * std::sqrt(8.0 * 9.0 / (17.0 * 17.0 * 17.0));
        EXPECT_NEAR(deviation(volts) / closed, 1, 0.05);
    }
}

TEST(AidacErrors, MismatchOfProductsFallsWithTheRootOfTheCapacitor)
{
    const auto rms = [](double unit_ff)
    {
        AidacModel model = load_aidac("aidac-28nm");
        model.unit_ff = unit_ff;
        const auto weights = random_matrix(256, 32, -128, 127, 21);
        const auto inputs = random_matrix(8, 256, 0, 255, 22);
        AidacErrors errors = AidacErrors::none();
        errors.mismatch = true;
        double squares = 0;
        for (std::uint64_t chip = 0; chip < 4; ++chip)
        {
            const AidacBlock block(model, {}, weights, errors, {chip, 0, 0});
            const auto products = block.product(inputs);
            for (std::size_t vector = 0; vector < 8; ++vector)
            {
                for (std::size_t column = 0; column < 32; ++column)
                {
                    squares +=
                        std::pow(products(vector, column) -
                                     static_cast<double>(exact(inputs, weights, vector, column)),
                                 2);
                }
            }
        }
        return std::sqrt(squares);
    };
    EXPECT_NEAR(rms(1) / rms(4), 2, 0.06);
    EXPECT_NEAR(rms(4) / rms(16), 2, 0.06);
}

TEST(AidacErrors, EveryErrorMovesTheProduct)
{
    AidacModel model = load_aidac("aidac-28nm");
    const auto weights = random_matrix(128, 8, -128, 127, 31);
    const auto inputs = random_matrix(1, 128, 0, 255, 32);
    for (bool AidacErrors::*error :
         {&AidacErrors::mismatch, &AidacErrors::thermal, &AidacErrors::injection,
          &AidacErrors::leakage, &AidacErrors::converter, &AidacErrors::jitter})
    {
        AidacErrors errors = AidacErrors::none();
        errors.*error = true;
        const double product =
            AidacBlock(model, {}, weights, errors).product(inputs, named(1))(0, 0);
        const auto integer = static_cast<double>(exact(inputs, weights, 0, 0));
        EXPECT_NE(product, integer);
        EXPECT_NEAR(product, integer, 0.02 * 128 * 255 * 255);
    }
}

TEST(AidacBlock, TheSameBitsInEveryBatchAndOnEveryThread)
{
    const AidacModel model = load_aidac("yoco-28nm");
    const auto weights = random_matrix(200, 40, -128, 127, 41);
    const auto inputs = random_matrix(8, 200, 0, 255, 42);
    const BlockIdentity identity{9, 2, 3};
    const AidacBlock block(model, {}, weights, {}, identity);
    const auto together = block.multiply(inputs, named(8));
    Matrix<std::int64_t> apart(8, 40);
    std::vector<std::thread> threads;
    for (std::size_t vector = 0; vector < 8; ++vector)
    {
        threads.emplace_back(
            [&, vector]
            {
                const AidacBlock same(model, {}, weights, {}, identity);
                Matrix<std::int32_t> one(1, 200);
                std::copy_n(inputs.row(vector), 200, one.row(0));
                const auto codes = same.multiply(one, {named(8)[vector]});
                std::copy_n(codes.row(0), 40, apart.row(vector));
            });
    }
    for (std::thread& thread : threads)
    {
        thread.join();
    }
    EXPECT_EQ(together, apart);
    EXPECT_FALSE(together ==
                 AidacBlock(model, {}, weights, {}, {10, 2, 3}).multiply(inputs, named(8)));
}

TEST(AidacBlock, CalibrationMakesStepsAsSmallAsTheDataAllows)
{
    const AidacModel model = load_aidac("aidac-28nm");
    const auto weights = random_matrix(1024, 32, -20, 20, 51);
    const auto inputs = random_matrix(16, 1024, 0, 40, 52);
    AidacErrors errors = AidacErrors::none();
    errors.quantisation = true;
    const AidacBlock nominal(model, {}, weights, errors);
    const AidacBlock fitted(model, {}, weights, errors, {}, nominal.calibrated(inputs));
    EXPECT_GT(nominal.step(), 20 * fitted.step());
    EXPECT_LE(fitted.readout().gain, nominal.readout().gain * model.vtc_gain_ratio);
    EXPECT_GE(fitted.readout().range, 256 * model.tdc_finest_ps * 1e-12);
    const auto products = fitted.product(inputs);
    for (std::size_t vector = 0; vector < 16; ++vector)
    {
        EXPECT_NEAR(products(vector, 7), static_cast<double>(exact(inputs, weights, vector, 7)),
                    0.5 * fitted.step() * (1 + 1e-9));
    }
}

TEST(AidacCell, GatedCellsReadWrongBitsOfPoorDevices)
{
    AidacModel model = load_aidac("yoco-28nm");
    const auto weights = random_matrix(128, 32, -128, 127, 61);
    EXPECT_EQ(AidacBlock(model, {}, weights).wrong_bits(), 0U);
    model.gate_reference_us = 100; // the low resistance just reaches the threshold
    model.gate_threshold_v = 0.45;
    model.gate_us_per_v = 20;
    EXPECT_GT(AidacBlock(model, {}, weights).wrong_bits(), 100U);
    AidacErrors perfect;
    perfect.device = false;
    model = load_aidac("yoco-28nm");
    EXPECT_EQ(AidacBlock(model, {}, weights, perfect).wrong_bits(), 0U);
}

/// What a write leaves in an RRAM is new; capacitors and circuits stay what they are.
TEST(AidacCell, WritingAgainDrawsTheErrorsOfRramAnew)
{
    const auto weights = random_matrix(256, 8, -128, 127, 61);
    const auto inputs = random_matrix(4, 256, 0, 255, 62);
    AidacModel gated = load_aidac("yoco-28nm");
    gated.gate_reference_us = 100;
    gated.gate_threshold_v = 0.45;
    gated.gate_us_per_v = 20;
    const auto product = [&](const AidacModel& model, std::uint32_t write_count) {
        return AidacBlock(model, {}, weights, {}, {3, 1, 2, write_count}).product(inputs, named(4));
    };
    EXPECT_TRUE(product(gated, 1) == product(gated, 1));
    EXPECT_FALSE(product(gated, 1) == product(gated, 2));
    const AidacModel sram = load_aidac("aidac-28nm");
    EXPECT_TRUE(product(sram, 1) == product(sram, 2));
}

std::string refusal(const std::string& text)
{
    try
    {
        static_cast<void>(parse_aidac(parse_json(text, "m.json")));
    }
    catch (const InputError& error)
    {
        return error.what();
    }
    return "accepted";
}

std::string variant(const std::string& members, const std::string& constants)
{
    return R"({"format":"tessera-aidac","version":"1.0","name":"m","extends":"yoco-28nm")" +
           members + ",\"constants\":{" + constants + "}}";
}

std::string constant(const std::string& name, const std::string& value,
                     const std::string& status = "assumed")
{
    return '"' + name + "\":{\"value\":" + value + ",\"source\":\"s\",\"status\":\"" + status +
           "\"}";
}

std::string calibrated(const std::string& name, const std::string& figure)
{
    return '"' + name + R"(":{"value":0,"source":"s","status":"calibrated","calibrated_on":")" +
           figure + "\"}";
}

TEST(AidacCell, AnRramThatIsTheSwitchMustHoldTheCharge)
{
    const std::string message = refusal(variant(R"(,"cell":"rram-direct")", ""));
    // 1 MOhm x 2.65 fF; multiply and share take 3.5 ns.
    EXPECT_THAT(message,
                HasSubstr("R_HRS C is 2.65 ns (1000 kOhm x 2.65 fF), the hold time 3.5 ns"));
    EXPECT_THAT(message, HasSubstr("must be 350 ns"));
    EXPECT_EQ(
        refusal(variant(R"(,"cell":"rram-direct")", constant("unit_fF", "349.9"))).find("m.json"),
        0U);
    EXPECT_EQ(refusal(variant(R"(,"cell":"rram-direct")", constant("unit_fF", "350"))), "accepted");
}

TEST(AidacModel, BadFilesAreRefusedWithARemedy)
{
    EXPECT_EQ(refusal(variant("", "")), "accepted");
    EXPECT_THAT(refusal(variant("", constant("unit_ff", "1"))),
                HasSubstr("did you mean 'unit_fF'"));
    EXPECT_THAT(refusal(variant("", constant("unit_fF", "-1"))),
                HasSubstr("m.json:1: /constants/unit_fF/value: -1 is out of range"));
    EXPECT_THAT(refusal(variant("", constant("tdc_bits", "7.5"))), HasSubstr("is not whole"));
    EXPECT_THAT(refusal(variant("", constant("unit_fF", "1", "guessed"))),
                HasSubstr("'guessed' is not known here"));
    EXPECT_THAT(refusal(variant("", R"("unit_fF":{"value":1,"status":"assumed"})")),
                HasSubstr("has no \"source\""));
    EXPECT_THAT(refusal(variant("", constant("vtc_fJ", "1", "calibrated"))),
                HasSubstr("has no \"calibrated_on\""));
    EXPECT_THAT(refusal(variant("", calibrated("vtc_fJ", "efficiency"))),
                HasSubstr("is calibrated on efficiency, and so is unit_fF; calibrate one constant "
                          "a figure"));
    EXPECT_EQ(refusal(variant("", calibrated("vtc_fJ", "error"))), "accepted");
    EXPECT_THAT(
        refusal(
            R"({"format":"tessera-aidac","version":"1.0","name":"m","cell":"sram","constants":{}})"),
        HasSubstr("has no \"array_rows\""));
    EXPECT_THAT(refusal(variant(R"(,"cell":"flash")", "")), HasSubstr("'flash' is not known here"));
    EXPECT_THAT(refusal(variant(R"(,"device":"genric")", "")), HasSubstr("did you mean 'generic'"));
}

TEST(AidacModel, WhatDoesNotFitTogetherIsRefused)
{
    const AidacModel model = load_aidac("aidac-28nm");
    const Matrix<std::int32_t> weights(10, 2, 1);
    EXPECT_THROW(AidacBlock(model, {4, 8, AidacSigns::offset}, weights), InputError);
    AidacModel odd = model;
    odd.array_rows = 100;
    EXPECT_THROW(AidacBlock(odd, {}, weights), InputError);
    EXPECT_THROW(AidacBlock(model, {}, Matrix<std::int32_t>(10, 2, 128)), InputError);
    EXPECT_THROW(AidacBlock(model, {}, Matrix<std::int32_t>()), InputError);
    const AidacBlock block(model, {}, weights);
    EXPECT_THROW(static_cast<void>(block.multiply(Matrix<std::int32_t>(1, 9, 1), named(1))),
                 InputError);
    EXPECT_THROW(static_cast<void>(block.multiply(Matrix<std::int32_t>(1, 10, 256), named(1))),
                 InputError);
    EXPECT_THROW(static_cast<void>(block.multiply(Matrix<std::int32_t>(1, 10, 1))), InputError);
}

TEST(AidacCost, PairedColumnsCostTwiceTheArrays)
{
    const AidacModel model = load_aidac("aidac-28nm");
    const AidacCost offset = aidac_cost(model, {}, 1024, 256);
    EXPECT_EQ(offset.chained, 8U);
    EXPECT_EQ(offset.beside, 8U);
    EXPECT_EQ(offset.cells, 1024U * 8 * 33 * 8);
    EXPECT_EQ(offset.conversions, 64U * 33);
    EXPECT_EQ(offset.tdcs, 256U);
    const AidacCost paired = aidac_cost(model, {8, 8, AidacSigns::paired}, 1024, 256);
    EXPECT_EQ(paired.cells, 2 * offset.cells);
    EXPECT_EQ(paired.tdcs, 256U);
    EXPECT_EQ(aidac_cost(model, {}, 129, 33).chained, 2U);
    EXPECT_EQ(aidac_cost(model, {}, 128, 32).beside, 1U);
}

TEST(AidacCost, CapacitorsTakeWhatTheirGroupsAreChargedWith)
{
    AidacModel model = load_aidac("aidac-28nm");
    const AidacScheme scheme;
    const AidacCost cost = aidac_cost(model, scheme, 128, 32);
    const auto inputs = random_matrix(1, 128, 0, 255, 71);
    double charge = 0; // of every row's groups, counted
    double level = 0;
    for (std::size_t row = 0; row < 128; ++row)
    {
        for (unsigned bit = 0; bit < 8; ++bit)
        {
            charge += (inputs(0, row) >> bit & 1) != 0 ? std::exp2(bit) * 2.65e-15 * 0.9 : 0;
        }
        level += inputs(0, row) / 255.0 / 128;
    }
    const auto capacitors = [&]
    {
        for (const EnergyTerm& term : aidac_energy(model, scheme, cost, level))
        {
            if (term.component == "capacitors")
            {
                return term.joules;
            }
        }
        return 0.0;
    };
    const double before = capacitors();
    EXPECT_NEAR(before / (charge * 0.9), 1, 1e-12);
    model.supply_v *= 2;
    EXPECT_NEAR(capacitors() / before, 4, 1e-12);
    model.unit_ff *= 3;
    EXPECT_NEAR(capacitors() / before, 12, 1e-12);
}

TEST(AidacCost, StagesHoldTheCapacitorsUntilTheChainHasEnded)
{
    AidacModel model = load_aidac("aidac-28nm");
    const AidacTiming timing = aidac_timing(model, 8);
    EXPECT_EQ(timing.latency(), 3500U + 1500 + 2000 + 2000 + 10'000 + 900);
    EXPECT_EQ(timing.interval(), 19'000U);
    EXPECT_EQ(aidac_timing(model, 7).interval(), 18'750U);
    model.vtc_samples = 1;
    EXPECT_EQ(aidac_timing(model, 8).interval(), 10'000U);
    // The capacitors are the bottleneck again when their stages take longer than the chain.
    model.charge_ns = 4.5;
    EXPECT_EQ(aidac_timing(model, 8).interval(), 10'000U);
    model.charge_ns = 4.501;
    EXPECT_EQ(aidac_timing(model, 8).interval(), 10'001U);
    model.digitise_ns = 10.002;
    EXPECT_EQ(aidac_timing(model, 8).interval(), 10'002U);
}

} // namespace
} // namespace tessera::numerics
