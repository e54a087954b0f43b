// SPDX-License-Identifier: Apache-2.0
#include "numerics/block.h"
#include "numerics/cells.h"
#include "tessera/error.h"
#include "unit/effort.h"

#include <cmath>
#include <cstdlib>
#include <gtest/gtest.h>
#include <random>
#include <string>

namespace tessera::numerics
{
namespace
{

/// Standard deviation of one read of a cell, in levels, as a file of a device may describe it.
enum class Noise
{
    constant,     ///< in uS
    proportional, ///< to a conductance that spans two orders of magnitude
    faint         ///< four orders: cells that are off have 1e-8 of the variance of others
};

struct Case
{
    std::size_t rows = 128;
    unsigned slice_bits = 1;
    unsigned cell_bits = 1;
    Signs signs = Signs::differential;
    Noise noise = Noise::constant;
};

std::string name_of(const Case& its)
{
    const char* const signs[] = {"differential", "separate", "offset", "steered"};
    const char* const noises[] = {"constant", "proportional", "faint"};
    return std::to_string(its.rows) + "_rows_" + std::to_string(its.slice_bits) + "_bit_slices_" +
           std::to_string(its.cell_bits) + "_bit_cells_" + signs[static_cast<int>(its.signs)] +
           '_' + noises[static_cast<int>(its.noise)];
}

std::vector<Case> all_cases()
{
    std::vector<Case> all;
    for (std::size_t rows = 16; rows <= 1024; rows *= 2)
    {
        for (unsigned slice_bits = 1; slice_bits <= 8; ++slice_bits)
        {
            for (unsigned cell_bits = 1; cell_bits <= 4; ++cell_bits)
            {
                for (const Signs signs : {Signs::differential, Signs::differential_separate,
                                          Signs::offset, Signs::sign_magnitude})
                {
                    for (const Noise noise : {Noise::constant, Noise::proportional, Noise::faint})
                    {
                        all.push_back({rows, slice_bits, cell_bits, signs, noise});
                    }
                }
            }
        }
    }
    return all;
}

/// Every combination's neighbours appear: rows, slices, cells, signs and noises in turn.
std::vector<Case> some_cases()
{
    std::vector<Case> some;
    for (unsigned i = 0; i < 40; ++i)
    {
        some.push_back({std::size_t{16} << i % 7, 1 + i % 8, 1 + i % 4,
                        static_cast<Signs>((i + i / 4) % 4), static_cast<Noise>(i % 3)});
    }
    return some;
}

Scheme scheme_of(const Case& its)
{
    Scheme scheme;
    scheme.weight_bits = its.cell_bits + 2; // two slices
    scheme.cell_bits = its.cell_bits;
    scheme.signs = its.signs;
    scheme.slice_bits = its.slice_bits;
    scheme.rows = its.rows;
    return scheme;
}

double sigma_of(const Case& its, double level)
{
    const double most = (1 << its.cell_bits) - 1;
    const double fraction = level / most;
    return its.noise == Noise::constant       ? 0.05
           : its.noise == Noise::proportional ? 0.05 * most * (0.01 + 0.99 * fraction)
                                              : 0.05 * most * (1e-4 + fraction);
}

/// Every cell's standard deviation, by row and physical column.
Matrix<float> sigmas_of(const Case& its, const Cells& cells)
{
    Matrix<float> sigmas(cells.levels.rows(), cells.levels.columns());
    for (std::size_t row = 0; row < sigmas.rows(); ++row)
    {
        for (std::size_t column = 0; column < sigmas.columns(); ++column)
        {
            sigmas(row, column) = static_cast<float>(sigma_of(its, cells.levels(row, column)));
        }
    }
    return sigmas;
}

/// The variance that a weight's cells of one slice (and side) give at drive 1, from the weight.
double variance_of(const Case& its, const Scheme& scheme, std::int32_t weight, unsigned slice,
                   int side)
{
    const auto digit = [&](std::int64_t stored)
    { return static_cast<double>(stored >> (slice * its.cell_bits) & ((1 << its.cell_bits) - 1)); };
    const auto square = [&](double level)
    {
        const double sigma = sigma_of(its, level);
        return sigma * sigma;
    };
    const double magnitude = digit(std::abs(weight));
    switch (its.signs)
    {
    case Signs::differential:
        return square(magnitude) + square(0);
    case Signs::differential_separate:
        return square((weight < 0) == (side == 1) ? magnitude : 0);
    case Signs::offset:
        return square(digit(weight + (1 << (scheme.weight_bits - 1))));
    default:
        return weight == 0 ? 0 : square(magnitude);
    }
}

class EveryScheme : public testing::Test
{
protected:
    std::mt19937 random_{7};

    /// Columns: mixed, of zeros, of the ends of the range.
    Matrix<std::int32_t> weights_for(const Scheme& scheme, std::size_t rows)
    {
        const std::int32_t half = 1 << (scheme.weight_bits - 1);
        Matrix<std::int32_t> weights(rows, 4);
        for (std::size_t row = 0; row < rows; ++row)
        {
            weights(row, 0) = static_cast<std::int32_t>(random_() % (2 * half)) - half;
            weights(row, 2) = half - 1;
            weights(row, 3) = row % 16 == 0 ? -half : 0;
        }
        return weights;
    }
};

/// Computed, not sampled: what is drawn has the variance that the driven cells have, whichever
/// they are.
TEST_F(EveryScheme, CarriesTheVarianceOfItsCells)
{
    for (const Case& its : test::effort(all_cases()))
    {
        const Scheme scheme = scheme_of(its);
        const std::size_t rows = its.rows + 5; // another partition
        const Matrix<std::int32_t> weights = weights_for(scheme, rows);
        Analog analog;
        analog.read_sigma = sigmas_of(its, cells_of(scheme, weights));
        const Block block(scheme, weights, analog);
        Matrix<std::int32_t> inputs(3, rows);
        std::fill_n(inputs.row(0), rows, 255);
        std::generate_n(inputs.row(1), rows, [&] { return static_cast<int>(random_() % 256); });
        inputs(2, 1) = inputs(2, rows - 1) = 1; // of cells at the ends, only such that are off
        const unsigned slices = input_slices(scheme);
        const unsigned sides = its.signs == Signs::differential_separate ? 2 : 1;
        for (std::size_t partition = 0; partition < 2; ++partition)
        {
            const Matrix<double> carried = block.noise_variances(inputs, partition);
            for (std::size_t at = 0; at < carried.rows(); ++at)
            {
                for (std::size_t sum = 0; sum < carried.columns(); ++sum)
                {
                    const std::size_t column = sum % 4;
                    const auto group = static_cast<unsigned>(sum / 4);
                    const bool reference = group == weight_slices(scheme) * sides;
                    double expected = 0;
                    for (std::size_t row = partition * its.rows;
                         row < std::min(rows, (partition + 1) * its.rows); ++row)
                    {
                        const int drive =
                            inputs(at / slices, row) >> (at % slices * its.slice_bits) &
                            ((1 << its.slice_bits) - 1);
                        const double one =
                            reference ? variance_of(its, scheme, 0, weight_slices(scheme) - 1, 0)
                                      : variance_of(its, scheme, weights(row, column),
                                                    group / sides, static_cast<int>(group % sides));
                        expected += one * drive * drive;
                    }
                    ASSERT_NEAR(carried(at, sum), expected, 0.01 * expected)
                        << name_of(its) << ", sum " << sum << " of slice " << at;
                }
            }
        }
    }
}

/// Standard deviation of a product of one slice over what its cells have together, from 2e5 draws.
double drawn(const Case& its)
{
    constexpr std::size_t columns = 256;
    constexpr std::size_t count = 782;
    Scheme scheme = scheme_of(its);
    scheme.weight_bits = its.cell_bits;
    scheme.input_bits = its.slice_bits;
    scheme.columns = columns; // of one array: with one reference column
    const std::int32_t half = 1 << (scheme.weight_bits - 1);
    Matrix<std::int32_t> weights(its.rows, columns);
    for (std::size_t row = 0; row < its.rows; ++row)
    {
        std::fill_n(weights.row(row), columns,
                    std::max(-half, std::min(static_cast<std::int32_t>(row % 3) - 1, half - 1)));
    }
    const Cells cells = cells_of(scheme, weights);
    Analog analog;
    analog.read_sigma = sigmas_of(its, cells);
    if (its.signs == Signs::offset)
    {
        for (std::size_t row = 0; row < its.rows; ++row)
        {
            analog.read_sigma(row, columns) = 0; // it would be the same draw in all columns
        }
    }
    const double drive = std::exp2(its.slice_bits) - 1;
    double variance = 0;
    for (std::size_t row = 0; row < its.rows; ++row)
    {
        for (int side = 0; side < (its.signs == Signs::differential_separate ? 2 : 1); ++side)
        {
            variance += drive * drive * variance_of(its, scheme, weights(row, 0), 0, side);
        }
    }
    // Sums in the middle of fine codes.
    const bool both = signed_conversion(scheme);
    const double limit = 16 * std::sqrt(variance);
    scheme.converter.range = Range::calibrated;
    scheme.converter.limit = limit;
    scheme.converter.bits = 16;
    const double level = both ? 0 : limit / 2 / drive / static_cast<double>(its.rows);
    analog.levels =
        Matrix<float>(cells.levels.rows(), cells.levels.columns(), static_cast<float>(level));
    const Block block(scheme, weights, analog, {11, 1, 2});
    const Matrix<std::int32_t> inputs(count, its.rows, static_cast<std::int32_t>(drive));
    std::vector<VectorIdentity> vectors;
    for (std::uint32_t vector = 0; vector < count; ++vector)
    {
        vectors.push_back({0, vector});
    }
    const Matrix<std::int64_t> codes = block.multiply(inputs, vectors);
    double sum = 0;
    double squares = 0;
    for (std::size_t vector = 0; vector < count; ++vector)
    {
        for (std::size_t column = 0; column < columns; ++column)
        {
            const double value = static_cast<double>(codes(vector, column)) * block.step();
            sum += value;
            squares += value * value;
        }
    }
    const double draws = static_cast<double>(count * columns);
    return std::sqrt((squares / draws - std::pow(sum / draws, 2)) / variance);
}

/// With TESSERA_ALL_NOISE=1 in the environment every combination, some minutes, else 40 of them.
TEST_F(EveryScheme, DrawsTheNoiseOfItsCells)
{
    const bool all = std::getenv("TESSERA_ALL_NOISE") != nullptr;
    for (const Case& its : all ? all_cases() : test::effort(some_cases()))
    {
        EXPECT_NEAR(drawn(its), 1, 0.01) << name_of(its);
    }
}

/// Weight matrices of all kinds, of which the extreme ones have the greatest sums.
std::vector<Matrix<std::int32_t>> kinds_of_weights(const Scheme& scheme, std::size_t rows)
{
    const std::int32_t half = 1 << (scheme.weight_bits - 1);
    std::mt19937 random(3);
    std::vector<Matrix<std::int32_t>> kinds;
    kinds.emplace_back(rows, 2, 0);
    kinds.emplace_back(rows, 2, half - 1);
    kinds.emplace_back(rows, 2, -half);
    Matrix<std::int32_t> mixed(rows, 2);
    for (std::size_t row = 0; row < rows; ++row)
    {
        mixed(row, 0) = static_cast<std::int32_t>(random() % (2 * half)) - half;
        mixed(row, 1) = row % 2 == 0 ? half - 1 : -half;
    }
    kinds.push_back(mixed);
    return kinds;
}

/// What a column's slice and side give at full drive.
double sum_of(const Scheme& scheme, const Matrix<std::int32_t>& weights, const Analog& analog,
              std::size_t cell, std::size_t column)
{
    const unsigned per_weight = cells_per_weight(scheme);
    double sum = 0;
    for (std::size_t row = 0; row < weights.rows(); ++row)
    {
        const float* const levels = analog.levels.row(row) + column * per_weight;
        sum +=
            scheme.signs == Signs::differential ? double{levels[cell]} - double{levels[cell + 1]}
            : scheme.signs == Signs::sign_magnitude
                ? double{levels[cell]} * ((weights(row, column) > 0) - (weights(row, column) < 0))
                : double{levels[cell]};
    }
    return sum * (std::exp2(scheme.slice_bits) - 1);
}

/// A scheme that is taken for one matrix is taken for all, and its sums keep their digits.
TEST_F(EveryScheme, IsTakenWhateverTheWeights)
{
    for (const Case& its : test::effort(all_cases()))
    {
        if (its.noise != Noise::constant || its.rows % 128 != 0)
        {
            continue;
        }
        Scheme scheme = scheme_of(its);
        scheme.weight_bits = its.cell_bits + 1;
        scheme.input_bits = its.slice_bits;
        scheme.converter.rounding = Rounding::ideal;
        for (const Matrix<std::int32_t>& weights : kinds_of_weights(scheme, its.rows))
        {
            const Cells cells = cells_of(scheme, weights);
            Analog analog;
            analog.levels = Matrix<float>(cells.levels.rows(), cells.levels.columns());
            for (std::size_t row = 0; row < its.rows; ++row)
            {
                for (std::size_t cell = 0; cell < cells.levels.columns(); ++cell)
                {
                    // Above their levels all: nothing averages out.
                    analog.levels(row, cell) = 1.0123F * cells.levels(row, cell) + 0.0021F;
                }
            }
            const Block block(scheme, weights, analog);
            const Matrix<std::int64_t> codes = block.multiply(Matrix<std::int32_t>(
                1, its.rows, static_cast<std::int32_t>(std::exp2(its.slice_bits) - 1)));
            const bool pairs = cells_per_weight(scheme) == 2 * weight_slices(scheme);
            for (std::size_t column = 0; column < 2; ++column)
            {
                double expected = 0;
                double tolerance = 0;
                for (unsigned slice = 0; slice < weight_slices(scheme); ++slice)
                {
                    const double worth = std::exp2(slice * its.cell_bits);
                    const auto of = [&](unsigned cell)
                    { return worth * sum_of(scheme, weights, analog, cell, column); };
                    expected += of(pairs ? 2 * slice : slice);
                    expected -= its.signs == Signs::differential_separate ? of(2 * slice + 1) : 0;
                    tolerance += 2 * worth;
                }
                if (its.signs == Signs::offset)
                {
                    const double worth = std::exp2((weight_slices(scheme) - 1) * its.cell_bits);
                    double reference = 0;
                    for (std::size_t row = 0; row < its.rows; ++row)
                    {
                        reference += double{analog.levels(row, cells.levels.columns() - 1)};
                    }
                    expected -= worth * reference * (std::exp2(its.slice_bits) - 1);
                }
                // Half a code a conversion, and a rounding to single precision.
                ASSERT_NEAR(static_cast<double>(codes(0, column)), expected,
                            0.65 * tolerance + 1e-7 * std::abs(expected))
                    << name_of(its) << " column " << column;
            }
        }
    }
}

TEST(Schemes, EndAtTheSameRowsForAllWeights)
{
    Scheme scheme;
    scheme.weight_bits = 5; // 15 fills a cell
    scheme.cell_bits = 4;
    scheme.slice_bits = 8;
    scheme.converter.rounding = Rounding::ideal;
    constexpr std::size_t most = 4386; // times 15 levels and 255: 766 below 2^24
    for (std::size_t kind = 0; kind < 4; ++kind)
    {
        scheme.rows = most;
        const Matrix<std::int32_t> weights = kinds_of_weights(scheme, most)[kind];
        const Cells cells = cells_of(scheme, weights);
        Analog analog;
        analog.levels = Matrix<float>(cells.levels.rows(), cells.levels.columns());
        for (std::size_t row = 0; row < most; ++row)
        {
            std::transform(cells.levels.row(row), cells.levels.row(row) + cells.levels.columns(),
                           analog.levels.row(row), [](std::uint8_t level) { return 2.0F * level; });
        }
        const Block block(scheme, weights, analog);
        const Matrix<std::int64_t> codes = block.multiply(Matrix<std::int32_t>(1, most, 255));
        std::int64_t sum = 0;
        for (std::size_t row = 0; row < most; ++row)
        {
            sum += weights(row, 0);
        }
        EXPECT_EQ(codes(0, 0), 2 * 255 * sum) << "beyond 2^24 levels, and not clipped there";
        scheme.rows = most + 1;
        try
        {
            const Block other(scheme, weights);
            ADD_FAILURE() << "taken for kind " << kind;
        }
        catch (const InputError& error)
        {
            EXPECT_EQ(error.place().pointer, "rows");
            EXPECT_NE(error.remedy().find("fewer rows"), std::string::npos);
        }
    }
}

TEST(Schemes, RefuseLevelsBeyondAllSums)
{
    Scheme scheme;
    scheme.converter.rounding = Rounding::ideal;
    scheme.rows = 16;
    Analog analog;
    analog.levels = Matrix<float>(16, 8, 0.0F);
    const Matrix<std::int32_t> weights(16, 1, 1);
    analog.levels(3, 0) = 0x1p30F;
    EXPECT_NO_THROW(Block(scheme, weights, analog));
    analog.levels(3, 0) = 0x1.1p30F;
    EXPECT_THROW(Block(scheme, weights, analog), InputError);
    analog.levels(3, 0) = 0;
    analog.read_sigma = Matrix<float>(16, 8, 0x1p28F);
    EXPECT_THROW(Block(scheme, weights, analog), InputError);
}

// Steered cells: the sign switches all that a cell conducts.

Scheme steered_scheme(unsigned slice_bits)
{
    Scheme scheme;
    scheme.weight_bits = 5;
    scheme.cell_bits = 2;
    scheme.signs = Signs::sign_magnitude;
    scheme.input_bits = 4;
    scheme.slice_bits = slice_bits;
    scheme.rows = 64;
    scheme.converter.rounding = Rounding::ideal;
    return scheme;
}

Analog levels_of(const Cells& cells)
{
    Analog analog;
    analog.levels = Matrix<float>(cells.levels.rows(), cells.levels.columns());
    for (std::size_t row = 0; row < cells.levels.rows(); ++row)
    {
        std::copy_n(cells.levels.row(row), cells.levels.columns(), analog.levels.row(row));
    }
    return analog;
}

TEST(SteeredCells, GiveTheirOffCurrentToTheLineOfTheirSign)
{
    std::mt19937 random(5);
    for (const double ratio : {1e-3, 0.01, 0.1, 0.3, 0.5, 0.9}) // off / on
    {
        for (const unsigned slice_bits : {1U, 2U, 4U})
        {
            const Scheme scheme = steered_scheme(slice_bits);
            Matrix<std::int32_t> weights(64, 5);
            Matrix<std::int32_t> inputs(6, 64);
            for (std::size_t row = 0; row < 64; ++row)
            {
                for (std::size_t column = 0; column < 3; ++column)
                {
                    weights(row, column) = static_cast<std::int32_t>(random() % 32) - 16;
                }
                weights(row, 3) = row < 10 ? 1 : 0; // magnitudes with cells at level 0
                weights(row, 4) = -1;
                for (std::size_t vector = 0; vector < 6; ++vector)
                {
                    inputs(vector, row) = static_cast<std::int32_t>(random() % 16);
                }
            }
            Analog analog = levels_of(cells_of(scheme, weights));
            analog.off = 3 * ratio / (1 - ratio);
            const Matrix<std::int64_t> steered = Block(scheme, weights, analog).multiply(inputs);
            analog.off_cancels = true;
            const Matrix<std::int64_t> cancelled = Block(scheme, weights, analog).multiply(inputs);
            const double of_weight = 1 + 4 + 16; // off currents of all slices
            for (std::size_t vector = 0; vector < 6; ++vector)
            {
                for (std::size_t column = 0; column < 5; ++column)
                {
                    std::int64_t product = 0;
                    std::int64_t signs = 0;
                    for (std::size_t row = 0; row < 64; ++row)
                    {
                        const std::int32_t weight = weights(row, column);
                        product += std::int64_t{weight} * inputs(vector, row);
                        signs += ((weight > 0) - (weight < 0)) * inputs(vector, row);
                    }
                    EXPECT_EQ(cancelled(vector, column), product);
                    // Half a level in each of the conversions.
                    EXPECT_NEAR(static_cast<double>(steered(vector, column)),
                                static_cast<double>(product) +
                                    analog.off * of_weight * static_cast<double>(signs),
                                0.51 * of_weight * 15)
                        << ratio << ", slices of " << slice_bits;
                }
            }
        }
    }
}

TEST(SteeredCells, AreCutOffUnderAWeightOfZero)
{
    const Scheme scheme = steered_scheme(1);
    const Matrix<std::int32_t> weights(64, 3, 0);
    Analog analog = levels_of(cells_of(scheme, weights));
    analog.off = 2;
    analog.levels(3, 1) = 3; // stuck
    analog.read_sigma = Matrix<float>(64, analog.levels.columns(), 1.0F);
    const Block block(scheme, weights, analog);
    EXPECT_TRUE(block.multiply(Matrix<std::int32_t>(1, 64, 15), {VectorIdentity()}) ==
                Matrix<std::int64_t>(1, 3, 0));
}

TEST(SteeredCells, AreTheOnlyOnesWithAnOffCurrent)
{
    for (const Signs signs : {Signs::differential, Signs::differential_separate, Signs::offset})
    {
        Scheme scheme = steered_scheme(2);
        scheme.signs = signs;
        const Matrix<std::int32_t> weights(64, 3, -5);
        Analog analog = levels_of(cells_of(scheme, weights));
        analog.off = 2;
        EXPECT_TRUE(Block(scheme, weights, analog).multiply(Matrix<std::int32_t>(1, 64, 15)) ==
                    Matrix<std::int64_t>(1, 3, -5 * 64 * 15));
    }
}

/// Without levels, too: slow noise of steered cells changes all of what they conduct.
TEST(SteeredCells, FluctuateWithoutGivenLevels)
{
    Scheme scheme = steered_scheme(4);
    scheme.converter.rounding = Rounding::uniform;
    scheme.converter.range = Range::calibrated;
    scheme.converter.limit = 128;
    scheme.converter.bits = 16;
    const Matrix<std::int32_t> weights(64, 1, 1);
    Analog analog;
    analog.slow.flicker = Flicker{0.001, 1e-6, 1e-6, 1}; // a hundredth of a level in sums
    const Block block(scheme, weights, analog, {1, 2, 3});
    const auto cells = block.fluctuation(0);
    const Matrix<std::int32_t> inputs(1, 64, 1);
    const std::int64_t still = block.multiply(inputs)(0, 0);
    const std::int64_t moved = block.multiply(inputs, {}, {cells.get(), 0, 1})(0, 0);
    EXPECT_NEAR(static_cast<double>(still) * block.step(), 64, 0.01);
    EXPECT_NE(moved, still);
}

} // namespace
} // namespace tessera::numerics
