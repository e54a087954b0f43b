// SPDX-License-Identifier: Apache-2.0
#include "numerics/block.h"

#include "tessera/error.h"
#include "unit/numerics/reference.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <thread>

namespace tessera::numerics
{
namespace
{

using Random = std::mt19937_64;

std::int64_t pick(Random& random, std::int64_t least, std::int64_t most)
{
    return std::uniform_int_distribution<std::int64_t>(least, most)(random);
}

Matrix<std::int32_t> whole(Random& random, std::size_t rows, std::size_t columns,
                           std::int64_t least, std::int64_t most)
{
    Matrix<std::int32_t> matrix(rows, columns);
    for (std::size_t row = 0; row < rows; ++row)
    {
        for (std::size_t column = 0; column < columns; ++column)
        {
            // The ends more often than by chance.
            const std::int64_t dice = pick(random, 0, 9);
            matrix(row, column) = static_cast<std::int32_t>(
                dice == 0 ? least : (dice == 1 ? most : pick(random, least, most)));
        }
    }
    return matrix;
}

Matrix<std::int32_t> random_weights(Random& random, const Scheme& scheme, std::size_t rows,
                                    std::size_t columns)
{
    const std::int64_t half = std::int64_t{1} << (scheme.weight_bits - 1);
    return whole(random, rows, columns, -half, half - 1);
}

Matrix<std::int32_t> random_inputs(Random& random, const Scheme& scheme, std::size_t count,
                                   std::size_t rows)
{
    const bool has_sign =
        scheme.coding == InputCoding::twos_complement || scheme.coding == InputCoding::two_pass;
    const std::int64_t values = std::int64_t{1} << scheme.input_bits;
    return has_sign ? whole(random, count, rows, -values / 2, values / 2 - 1)
                    : whole(random, count, rows, 0, values - 1);
}

Scheme random_scheme(Random& random)
{
    Scheme scheme;
    scheme.weight_bits = static_cast<unsigned>(pick(random, 1, 9));
    scheme.cell_bits = static_cast<unsigned>(pick(random, 1, 4));
    scheme.signs = static_cast<Signs>(pick(random, 0, 3));
    scheme.input_bits = static_cast<unsigned>(pick(random, 1, 9));
    scheme.coding = static_cast<InputCoding>(pick(random, 0, 3));
    scheme.slice_bits = scheme.coding == InputCoding::twos_complement
                            ? 1
                            : static_cast<unsigned>(pick(random, 1, 4));
    scheme.zero_point = pick(random, 0, 100);
    scheme.rows = static_cast<std::size_t>(pick(random, 1, 40));
    scheme.columns = static_cast<std::size_t>(pick(random, 1, 20));
    scheme.converter.rounding = static_cast<Rounding>(pick(random, 0, 1));
    scheme.converter.bits = static_cast<unsigned>(pick(random, 1, 12));
    scheme.converter.range = static_cast<Range>(pick(random, 0, 2));
    scheme.converter.limit = static_cast<double>(pick(random, 1, 300));
    return scheme;
}

Matrix<float> disturbed(Random& random, const Scheme& scheme, const Matrix<std::int32_t>& weights)
{
    const Cells cells = cells_of(scheme, weights);
    std::normal_distribution<float> normal(0, 0.1F);
    Matrix<float> levels(cells.levels.rows(), cells.levels.columns());
    for (std::size_t row = 0; row < levels.rows(); ++row)
    {
        for (std::size_t column = 0; column < levels.columns(); ++column)
        {
            levels(row, column) = static_cast<float>(cells.levels(row, column)) + normal(random);
        }
    }
    return levels;
}

TEST(Block, EqualsTheReferenceBitForBit)
{
    Random random(1);
    for (int trial = 0; trial < 400; ++trial)
    {
        const Scheme scheme = random_scheme(random);
        const auto rows = static_cast<std::size_t>(pick(random, 1, 90));
        const auto columns = static_cast<std::size_t>(pick(random, 1, trial % 40 == 0 ? 300 : 20));
        const Matrix<std::int32_t> weights = random_weights(random, scheme, rows, columns);
        const Matrix<std::int32_t> inputs =
            random_inputs(random, scheme, static_cast<std::size_t>(pick(random, 1, 5)), rows);
        Analog analog;
        if (trial % 2 == 1)
        {
            analog.levels = disturbed(random, scheme, weights);
            analog.off = static_cast<double>(pick(random, 0, 8)) * 0.3;
        }
        const Block block(scheme, weights, analog);
        const Matrix<std::int64_t> fast = block.multiply(inputs);
        const reference::Product slow =
            reference::multiply(scheme, weights, analog.levels, inputs, analog.off);
        ASSERT_EQ(block.step(), slow.step) << trial;
        for (std::size_t column = 0; column < columns; ++column)
        {
            ASSERT_EQ(block.correction(column), slow.correction[column]);
            for (std::size_t vector = 0; vector < inputs.rows(); ++vector)
            {
                ASSERT_EQ(fast(vector, column), slow.codes[vector][column])
                    << "trial " << trial << ", column " << column;
            }
        }
    }
}

TEST(Block, EveryArrayHasItsReferenceColumn)
{
    const auto columns_of = [](Signs signs, std::size_t columns)
    {
        Scheme scheme; // 8 bits in cells of 2
        scheme.signs = signs;
        scheme.columns = 16;
        return cells_of(scheme, Matrix<std::int32_t>(3, columns, -128)).levels;
    };
    EXPECT_EQ(columns_of(Signs::offset, 15).columns(), 15U * 4 + 1);
    EXPECT_EQ(columns_of(Signs::offset, 16).columns(), 16U * 4 + 1);
    EXPECT_EQ(columns_of(Signs::offset, 17).columns(), 17U * 4 + 2);
    EXPECT_EQ(columns_of(Signs::offset, 33).columns(), 33U * 4 + 3);
    EXPECT_EQ(columns_of(Signs::sign_magnitude, 17).columns(), 17U * 4);
    EXPECT_EQ(columns_of(Signs::differential, 17).columns(), 17U * 8);
    // Weights of -128 leave their cells empty.
    const Matrix<std::uint8_t> levels = columns_of(Signs::offset, 17);
    for (std::size_t column = 0; column < levels.columns(); ++column)
    {
        EXPECT_EQ(levels(2, column), column == 64 || column == 69 ? 2 : 0) << column;
    }
    Scheme scheme;
    for (const auto& [signs, columns] :
         {std::pair{Signs::offset, 513U}, std::pair{Signs::sign_magnitude, 512U},
          std::pair{Signs::differential, 1024U}, std::pair{Signs::differential_separate, 1024U}})
    {
        scheme.signs = signs;
        EXPECT_EQ(array_columns(scheme), columns);
    }
}

std::int64_t dot(const Matrix<std::int32_t>& weights, const Matrix<std::int32_t>& inputs,
                 std::size_t vector, std::size_t column, std::int64_t zero)
{
    std::int64_t sum = 0;
    for (std::size_t row = 0; row < weights.rows(); ++row)
    {
        sum += (inputs(vector, row) - zero) * std::int64_t{weights(row, column)};
    }
    return sum;
}

/// Are all products with these converter bits exact?
bool exact(Random& random, Scheme scheme, unsigned bits)
{
    scheme.converter.rounding = Rounding::uniform;
    scheme.converter.range = Range::granular;
    scheme.converter.bits = bits;
    const std::int64_t half = std::int64_t{1} << (scheme.weight_bits - 1);
    Matrix<std::int32_t> weights = random_weights(random, scheme, 2 * scheme.rows, 6);
    Matrix<std::int32_t> inputs = random_inputs(random, scheme, 3, weights.rows());
    // The greatest sums of both signs: all cells and all drives at their ends.
    const std::int64_t most_input = (std::int64_t{1} << scheme.input_bits) - 1;
    for (std::size_t row = 0; row < weights.rows(); ++row)
    {
        weights(row, 0) = static_cast<std::int32_t>(half - 1);
        weights(row, 1) = static_cast<std::int32_t>(1 - half);
        inputs(0, row) =
            static_cast<std::int32_t>(scheme.coding == InputCoding::twos_complement ? -1
                                      : scheme.coding == InputCoding::two_pass      ? most_input / 2
                                                                                    : most_input);
    }
    const Block block(scheme, weights);
    const Matrix<std::int64_t> codes = block.multiply(inputs);
    for (std::size_t vector = 0; vector < inputs.rows(); ++vector)
    {
        for (std::size_t column = 0; column < weights.columns(); ++column)
        {
            const std::int64_t zero =
                scheme.coding == InputCoding::zero_point ? scheme.zero_point : 0;
            if (codes(vector, column) + block.correction(column) !=
                dot(weights, inputs, vector, column, zero))
            {
                return false;
            }
        }
    }
    return true;
}

TEST(Block, LosslessBitsAreEnoughAndOneLessIsNot)
{
    Random random(2);
    for (const Signs signs :
         {Signs::differential, Signs::differential_separate, Signs::offset, Signs::sign_magnitude})
    {
        for (const InputCoding coding : {InputCoding::positive, InputCoding::twos_complement,
                                         InputCoding::two_pass, InputCoding::zero_point})
        {
            Scheme scheme;
            scheme.weight_bits = 5; // 15 and -15 fill both 2-bit cells
            scheme.cell_bits = 2;
            scheme.signs = signs;
            scheme.coding = coding;
            scheme.zero_point = 77;
            scheme.rows = 21; // 63 levels: 6 bits
            const unsigned bits = lossless_bits(scheme, scheme.rows);
            EXPECT_EQ(bits, signed_conversion(scheme) ? 7U : 6U);
            EXPECT_TRUE(exact(random, scheme, bits));
            EXPECT_FALSE(exact(random, scheme, bits - 1));
        }
    }
}

TEST(Block, NoisyResultsDoNotDependOnBatchOrThread)
{
    Random random(3);
    Scheme scheme;
    scheme.rows = 100;
    const Matrix<std::int32_t> weights = random_weights(random, scheme, 230, 301);
    Analog analog;
    analog.levels = disturbed(random, scheme, weights);
    analog.read_sigma = Matrix<float>(analog.levels.rows(), analog.levels.columns(), 0.05F);
    const Block block(scheme, weights, analog, {9, 4, 2});
    const Matrix<std::int32_t> inputs = random_inputs(random, scheme, 70, 230);
    std::vector<VectorIdentity> vectors;
    for (std::uint32_t vector = 0; vector < 70; ++vector)
    {
        vectors.push_back({vector / 7, vector % 7});
    }
    const Matrix<std::int64_t> all = block.multiply(inputs, vectors);
    const auto check_some = [&](std::size_t begin, std::size_t end)
    {
        for (std::size_t vector = begin; vector < end; ++vector)
        {
            Matrix<std::int32_t> one(1, 230);
            std::copy_n(inputs.row(vector), 230, one.row(0));
            const Matrix<std::int64_t> alone = block.multiply(one, {vectors[vector]});
            for (std::size_t column = 0; column < 301; ++column)
            {
                ASSERT_EQ(alone(0, column), all(vector, column));
            }
        }
    };
    std::thread other(check_some, 0, 35);
    check_some(35, 70);
    other.join();
    // Noise is there, and belongs to the vector's identity.
    std::vector<VectorIdentity> renamed = vectors;
    renamed[5].pixel += 1;
    const Matrix<std::int64_t> again = block.multiply(inputs, renamed);
    std::size_t changed = 0;
    for (std::size_t column = 0; column < 301; ++column)
    {
        EXPECT_EQ(again(4, column), all(4, column));
        changed += again(5, column) != all(5, column) ? 1 : 0;
    }
    EXPECT_GT(changed, 100U);
}

/// Moments of conversions that see only noise: columns of one slice, one weight bit.
TEST(Block, ReadNoiseHasItsVarianceAndIsIndependent)
{
    Scheme scheme;
    scheme.weight_bits = 2;
    scheme.cell_bits = 2;
    scheme.input_bits = 2;
    scheme.slice_bits = 1;
    scheme.rows = 50;
    scheme.signs = Signs::sign_magnitude;
    scheme.converter.range = Range::calibrated;
    scheme.converter.limit = 60;
    scheme.converter.bits = 16;
    const std::size_t columns = 100;
    const Matrix<std::int32_t> weights(50, columns, 1);
    Analog analog;
    analog.levels = Matrix<float>(50, columns, 1.0F);
    analog.read_sigma = Matrix<float>(50, columns, 0.1F);
    for (std::size_t row = 0; row < 50; ++row)
    {
        analog.read_sigma(row, 1) = 0.02F * static_cast<float>(row % 5);
    }
    const Block block(scheme, weights, analog, {1, 2, 3});
    const std::size_t count = 10'000;
    Matrix<std::int32_t> inputs(count, 50, 3);
    std::vector<VectorIdentity> vectors;
    for (std::uint32_t vector = 0; vector < count; ++vector)
    {
        vectors.push_back({vector / 100, vector % 100});
        inputs(vector, 49) = 0; // a row that is not driven makes no noise
    }
    const Matrix<std::int64_t> codes = block.multiply(inputs, vectors);
    // Two slices: noise n0 + 2 n1, each of variance `rows driven` * sigma^2.
    const double expected = 49 * 0.1 * 0.1 * 5;
    double mean = 0;
    double square = 0;
    double fourth = 0;
    double neighbours = 0;
    double next_vector = 0;
    double other = 0;
    const auto noise = [&](std::size_t vector, std::size_t column)
    { return static_cast<double>(codes(vector, column)) * block.step() - 49 * 3; };
    double samples = 0;
    for (std::size_t vector = 0; vector < count; ++vector)
    {
        other += noise(vector, 1) * noise(vector, 1);
        for (std::size_t column = 2; column < columns; ++column)
        {
            const double value = noise(vector, column);
            samples += 1;
            mean += value;
            square += value * value;
            fourth += value * value * value * value;
            neighbours += column > 2 ? value * noise(vector, column - 1) : 0;
            next_vector += vector > 0 ? value * noise(vector - 1, column) : 0;
        }
    }
    const double error = 1 / std::sqrt(samples);
    EXPECT_NEAR(mean / samples, 0, 5 * std::sqrt(expected) * error);
    EXPECT_NEAR(square / samples, expected, 5 * std::sqrt(2.0) * expected * error);
    EXPECT_NEAR(fourth / samples / expected / expected, 3, 5 * std::sqrt(96.0) * error);
    EXPECT_NEAR(neighbours / samples, 0, 5 * expected * error);
    EXPECT_NEAR(next_vector / samples, 0, 5 * expected * error);
    // Rows 0..48 with sigma 0.02 (row % 5): nine times 0 to 4 in full, and 0 to 3 once more.
    const double of_other = 0.0004 * (9 * 30 + 14) * 5;
    EXPECT_NEAR(other / count, of_other, 5 * std::sqrt(2.0) * of_other / std::sqrt(count));
}

TEST(Block, CircuitsWithoutFlawsAreUniform)
{
    Random random(4);
    for (const Circuit circuit : {Circuit::sar, Circuit::flash})
    {
        Scheme scheme;
        scheme.rows = 40;
        scheme.converter.bits = 6;
        scheme.converter.shared_by = 7;
        const Matrix<std::int32_t> weights = random_weights(random, scheme, 60, 30);
        const Matrix<std::int32_t> inputs = random_inputs(random, scheme, 4, 60);
        // 120 levels over 31 codes: a sum is never half way between two.
        const Matrix<std::int64_t> uniform = Block(scheme, weights).multiply(inputs);
        scheme.converter.circuit = circuit;
        EXPECT_TRUE(uniform == Block(scheme, weights).multiply(inputs));
        scheme.converter.mismatch = 0.05;
        scheme.converter.comparator_offset = 0.5;
        const Matrix<std::int64_t> flawed = Block(scheme, weights).multiply(inputs);
        EXPECT_FALSE(uniform == flawed);
        EXPECT_TRUE(flawed == Block(scheme, weights).multiply(inputs));
    }
}

TEST(Block, OffsetAndGainMoveCodes)
{
    Scheme scheme;
    scheme.weight_bits = 2;
    scheme.input_bits = 1;
    scheme.rows = 64;
    scheme.converter.range = Range::granular;
    const Matrix<std::int32_t> weights(64, 1, 1);
    const Matrix<std::int32_t> inputs(1, 64, 1);
    scheme.converter.offset = 3;
    EXPECT_EQ(Block(scheme, weights).multiply(inputs)(0, 0), 67);
    scheme.converter.offset = 0;
    scheme.converter.gain = 1.25;
    EXPECT_EQ(Block(scheme, weights).multiply(inputs)(0, 0), 80);
    scheme.converter.gain = 1;
    scheme.converter.inl = 4; // at three quarters of the range: three quarters of it
    EXPECT_EQ(Block(scheme, weights).multiply(inputs)(0, 0), 67);
}

TEST(Block, RefusesWhatCannotBe)
{
    Scheme scheme;
    const Matrix<std::int32_t> weights(4, 2, 5);
    const auto refuses = [&](const Scheme& wrong) { EXPECT_THROW(check(wrong), InputError); };
    Scheme wrong = scheme;
    wrong.cell_bits = 0;
    refuses(wrong);
    wrong = scheme;
    wrong.coding = InputCoding::twos_complement;
    wrong.slice_bits = 2;
    refuses(wrong);
    wrong = scheme;
    wrong.rows = 65536;
    wrong.slice_bits = 8;
    wrong.cell_bits = 4;
    refuses(wrong);
    wrong = scheme;
    wrong.converter.gain = std::numeric_limits<double>::quiet_NaN();
    refuses(wrong);

    wrong = scheme;
    wrong.converter.circuit = Circuit::flash;
    wrong.converter.bits = 16;
    wrong.converter.shared_by = 1;
    EXPECT_THROW(Block(wrong, Matrix<std::int32_t>(4, 2000)), InputError);

    EXPECT_THROW(Block(scheme, Matrix<std::int32_t>(4, 2, 128)), InputError);
    EXPECT_THROW(Block(scheme, Matrix<std::int32_t>()), InputError);
    Analog analog;
    analog.levels = Matrix<float>(4, 16, 1.0F);
    analog.levels(3, 7) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THROW(Block(scheme, weights, analog), InputError);
    analog.levels = Matrix<float>(4, 3, 1.0F);
    EXPECT_THROW(Block(scheme, weights, analog), InputError);
    const Block block(scheme, weights);
    EXPECT_THROW(static_cast<void>(block.multiply(Matrix<std::int32_t>(1, 3))), InputError);
    EXPECT_THROW(static_cast<void>(block.multiply(Matrix<std::int32_t>(1, 4, 256))), InputError);
    EXPECT_THROW(static_cast<void>(block.multiply(Matrix<std::int32_t>(1, 4, -1))), InputError);
}

} // namespace
} // namespace tessera::numerics
