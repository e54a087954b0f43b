// SPDX-License-Identifier: Apache-2.0
#include "numerics/block.h"
#include "numerics/processes.h"
#include "unit/effort.h"
#include "unit/numerics/reference.h"

#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <random>

namespace tessera::numerics
{
namespace
{

SlowNoise flicker(double sigma, double shortest, double longest, unsigned processes)
{
    SlowNoise noise;
    noise.flicker = Flicker{sigma, shortest, longest, processes};
    return noise;
}

SlowNoise telegraph(double amplitude, double mean_full, double mean_empty)
{
    SlowNoise noise;
    noise.telegraph = Telegraph{amplitude, mean_full, mean_empty};
    return noise;
}

/// Changes of all cells at a time.
Matrix<float> at(Fluctuation& state, std::size_t rows, std::size_t columns, double time)
{
    Matrix<float> changes(rows, columns);
    for (std::size_t row = 0; row < rows; ++row)
    {
        const float* const its = state.changes(row, time);
        std::copy(its, its + columns, changes.row(row));
    }
    return changes;
}

/// Mean of the products of what the cells have beside `mean`.
double covariance(const Matrix<float>& a, const Matrix<float>& b, double mean = 0)
{
    double sum = 0;
    for (std::size_t row = 0; row < a.rows(); ++row)
    {
        for (std::size_t column = 0; column < a.columns(); ++column)
        {
            sum += (double{a(row, column)} - mean) * (double{b(row, column)} - mean);
        }
    }
    return sum / static_cast<double>(a.rows() * a.columns());
}

/// Of 1/f noise between reads `lag` apart.
double covariance(const Flicker& noise, double lag)
{
    double sum = 0;
    for (unsigned i = 0; i < noise.processes; ++i)
    {
        const double place = noise.processes == 1 ? 0 : i / (noise.processes - 1.0);
        sum += std::exp(-lag / (noise.shortest * std::pow(noise.longest / noise.shortest, place)));
    }
    return noise.sigma * noise.sigma * sum / noise.processes;
}

constexpr std::size_t kRows = test::effort(1000U);
constexpr std::size_t kColumns = 1000; // a million cells
/// Of a mean of that many products of normals, in their variance.
const double kError = 4 * std::sqrt(2.0 / static_cast<double>(kRows * kColumns));

TEST(Fluctuation, FlickerHasTheCovarianceOfItsRelaxations)
{
    const SlowNoise noise = flicker(0.1, 1e-6, 1e-3, 4);
    Fluctuation state(noise, kRows, kColumns, {5, 0, 0});
    const Matrix<float> start = at(state, kRows, kColumns, 0);
    EXPECT_NEAR(covariance(start, start), 0.01, 0.01 * kError);
    // Multiples of what the slowest is held for, so that nothing is held too long.
    const double hold = 1e-3 * Fluctuation::kHeld;
    for (const double holds : {1.0, 8.0, 64.0, 200.0}) // each from the one before
    {
        const Matrix<float> now = at(state, kRows, kColumns, holds * hold);
        EXPECT_NEAR(covariance(now, now), 0.01, 0.01 * kError);
        // Times of the faster ones are rounded down to less than a 64th of them.
        EXPECT_NEAR(covariance(start, now), covariance(*noise.flicker, holds * hold),
                    0.01 * kError + 1e-6)
            << holds;
    }
}

TEST(Fluctuation, StepsOfAnyLengthAreExact)
{
    const SlowNoise noise = flicker(0.1, 1e-3, 1e-3, 1);
    const auto after = [&](const std::vector<double>& times)
    {
        Fluctuation state(noise, kRows, kColumns, {5, 0, 0});
        const Matrix<float> start = at(state, kRows, kColumns, 0);
        Matrix<float> now;
        for (const double time : times)
        {
            now = at(state, kRows, kColumns, time);
        }
        return covariance(start, now);
    };
    const double expected = 0.01 * std::exp(-1.5);
    EXPECT_NEAR(after({1.5e-3}), expected, 0.01 * kError);
    EXPECT_NEAR(after({0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1.5e-3}), expected, 0.01 * kError);
}

TEST(Fluctuation, IsHeldForA64thOfTheTimeConstant)
{
    constexpr double constant = 0x1p-10;
    constexpr double hold = constant * Fluctuation::kHeld; // exact
    constexpr double tick = 1e-12;
    Fluctuation state(flicker(0.1, constant, constant, 1), 1, 64, {5, 0, 0});
    const auto now = [&](double time) { return at(state, 1, 64, time); };
    const Matrix<float> first = now(0);
    EXPECT_TRUE(now(hold - tick) == first);
    const Matrix<float> second = now(hold);
    EXPECT_FALSE(second == first);
    EXPECT_TRUE(now(2 * hold - tick) == second);
    EXPECT_FALSE(now(2 * hold) == second);
    const Matrix<float> third = now(2 * hold);
    EXPECT_TRUE(now(hold) == third) << "there is no way back";
}

TEST(Fluctuation, CellsRowsAndStartsAreIndependentAndRepeatable)
{
    SlowNoise noise = flicker(0.1, 1e-6, 1e-3, 3);
    noise.telegraph = Telegraph{0.1, 1e-3, 1e-3};
    const auto read = [&](const FluctuationIdentity& identity)
    {
        Fluctuation state(noise, kRows, kColumns, identity);
        return at(state, kRows, kColumns, 1e-5);
    };
    const Matrix<float> one = read({5, 0, 0});
    EXPECT_TRUE(read({5, 0, 0}) == one);
    double mean = 0;
    for (std::size_t row = 0; row < kRows; ++row)
    {
        for (std::size_t column = 0; column < kColumns; ++column)
        {
            mean += double{one(row, column)} / static_cast<double>(kRows * kColumns);
        }
    }
    EXPECT_NEAR(mean, -0.05, 1e-3);
    const double variance = covariance(one, one, -0.05);
    for (const FluctuationIdentity& other : {FluctuationIdentity{6, 0, 0}, {5, 1, 0}, {5, 0, 1}})
    {
        EXPECT_NEAR(covariance(one, read(other), -0.05), 0, variance * kError);
    }
    Matrix<float> shifted = one;
    for (std::size_t row = 0; row < kRows; ++row)
    {
        std::rotate(shifted.row(row), shifted.row(row) + 1, shifted.row(row) + kColumns);
    }
    EXPECT_NEAR(covariance(one, shifted, -0.05), 0, variance * kError) << "neighbours in a row";
    for (std::size_t row = 0; row < kRows; ++row)
    {
        std::copy(one.row((row + 1) % kRows), one.row((row + 1) % kRows) + kColumns,
                  shifted.row(row));
    }
    EXPECT_NEAR(covariance(one, shifted, -0.05), 0, variance * kError) << "neighbours in a column";
}

TEST(Fluctuation, TrapsAreFullTheirShareOfTimeAndForget)
{
    constexpr double full = 0.25;
    Fluctuation state(telegraph(0.5, 0x1p-10, 3 * 0x1p-10), kRows, kColumns, {5, 0, 0});
    const double constant = 0.75 * 0x1p-10;
    const Matrix<float> start = at(state, kRows, kColumns, 0);
    // A full trap takes 0.5 away: mean -0.125, variance 0.25 x share x (1 - share).
    const double variance = 0.25 * full * (1 - full);
    EXPECT_NEAR(covariance(start, start, -0.5 * full), variance, variance * kError);
    for (std::size_t column = 0; column < kColumns; ++column)
    {
        ASSERT_TRUE(start(0, column) == 0 || start(0, column) == -0.5F) << column;
    }
    for (const double constants : {0.25, 1.0, 3.0})
    {
        const Matrix<float> now = at(state, kRows, kColumns, constants * constant);
        EXPECT_NEAR(covariance(start, now, -0.5 * full), variance * std::exp(-constants),
                    variance * kError)
            << constants;
    }
}

TEST(Fluctuation, NoConductanceIsNegative)
{
    Fluctuation state(flicker(1, 1e-3, 1e-3, 1), 1, 1000, {5, 0, 0});
    const Matrix<float> changes = at(state, 1, 1000, 0);
    EXPECT_EQ(*std::min_element(changes.row(0), changes.row(0) + 1000), -1.0F);
}

// ---- in a block --------------------------------------------------------------------------------

/// Levels as they are at a time, of rows that are driven.
Matrix<float> moved(const Matrix<float>& levels, double off, Fluctuation& state, double time,
                    const std::function<bool(std::size_t)>& driven)
{
    Matrix<float> now = levels;
    for (std::size_t row = 0; row < levels.rows(); ++row)
    {
        const float* const changes = driven(row) ? state.changes(row, time) : nullptr;
        for (std::size_t column = 0; changes != nullptr && column < levels.columns(); ++column)
        {
            now(row, column) += (levels(row, column) + static_cast<float>(off)) * changes[column];
        }
    }
    return now;
}

/// Vector after vector and slice after slice from the definition: equal but for sums that lie
/// closer to a threshold than rounding levels to parts of them moves them.
TEST(Block, FluctuatesFromSliceToSliceAsTheDefinitionSays)
{
    std::mt19937_64 random(7);
    const auto pick = [&](int least, int most)
    { return std::uniform_int_distribution<int>(least, most)(random); };
    std::size_t outputs = 0;
    std::size_t equal = 0;
    std::size_t still = 0; // that would be the same without fluctuation
    constexpr unsigned trials = test::effort(160U);
    for (unsigned trial = 0; trial < trials; ++trial)
    {
        Scheme scheme;
        scheme.weight_bits = static_cast<unsigned>(pick(2, 6));
        scheme.cell_bits = static_cast<unsigned>(pick(1, 3));
        scheme.signs = static_cast<Signs>(trial % 4);
        scheme.input_bits = static_cast<unsigned>(pick(1, 4));
        scheme.slice_bits = 1;
        scheme.rows = static_cast<std::size_t>(pick(1, 40));
        scheme.converter.bits = 10;
        const auto rows = static_cast<std::size_t>(pick(1, 60));
        const auto columns = static_cast<std::size_t>(pick(1, 20));
        const int half = 1 << (scheme.weight_bits - 1);
        Matrix<std::int32_t> weights(rows, columns);
        for (std::size_t row = 0; row < rows; ++row)
        {
            std::generate_n(weights.row(row), columns, [&]() { return pick(-half, half - 1); });
        }
        Matrix<std::int32_t> inputs(4, rows);
        for (std::size_t vector = 0; vector < inputs.rows(); ++vector)
        {
            std::generate_n(inputs.row(vector), rows,
                            [&]() { return pick(0, (1 << scheme.input_bits) - 1); });
        }
        const Cells cells = cells_of(scheme, weights);
        Analog analog;
        analog.levels = Matrix<float>(rows, cells.levels.columns());
        for (std::size_t row = 0; row < rows; ++row)
        {
            std::copy(cells.levels.row(row), cells.levels.row(row) + cells.levels.columns(),
                      analog.levels.row(row));
        }
        analog.off = 0.25;
        analog.slow = flicker(0.05, 1e-6, 1e-4, 3);
        analog.slow.telegraph = Telegraph{0.1, 1e-5, 1e-5};
        const Block block(scheme, weights, analog, {3, 1, trial});
        const auto cells_of_block = block.fluctuation(9);
        constexpr double start = 2e-5;
        constexpr double interval = 8e-6;
        const Matrix<std::int64_t> codes =
            block.multiply(inputs, {}, {cells_of_block.get(), start, interval});
        const Matrix<std::int64_t> quiet = block.multiply(inputs);

        Fluctuation state(analog.slow, rows, cells.levels.columns(), {3, trial, 9});
        for (std::size_t vector = 0; vector < inputs.rows(); ++vector)
        {
            std::vector<std::int64_t> total(columns, 0);
            for (unsigned slice = 0; slice < scheme.input_bits; ++slice)
            {
                Matrix<std::int32_t> bits(1, rows);
                std::transform(inputs.row(vector), inputs.row(vector) + rows, bits.row(0),
                               [&](std::int32_t input) { return input >> slice & 1; });
                const double time = start + static_cast<double>(vector) * interval +
                                    slice * interval / scheme.input_bits;
                Scheme one = scheme;
                one.input_bits = 1;
                const reference::Product product =
                    reference::multiply(one, weights,
                                        moved(analog.levels, analog.off, state, time,
                                              [&](std::size_t row) { return bits(0, row) != 0; }),
                                        bits, analog.off);
                for (std::size_t column = 0; column < columns; ++column)
                {
                    total[column] += product.codes[0][column] * (1 << slice);
                }
            }
            for (std::size_t column = 0; column < columns; ++column)
            {
                ++outputs;
                equal += codes(vector, column) == total[column] ? 1 : 0;
                still += codes(vector, column) == quiet(vector, column) ? 1 : 0;
                // At most one code of each conversion.
                EXPECT_LT(std::abs(codes(vector, column) - total[column]),
                          1 << (scheme.weight_bits + scheme.input_bits + 1))
                    << trial;
            }
        }
    }
    EXPECT_GT(equal * 100, outputs * 95);
    EXPECT_LT(still * 100, outputs * 30);
}

/// Variances and covariances of sums between slices, vectors and columns, from many beginnings.
TEST(Block, FluctuatingSumsHaveTheCovariancesOfTheirCells)
{
    constexpr std::size_t rows = 8;
    constexpr std::size_t columns = 64;
    constexpr std::uint32_t starts = test::effort(16'000U); // times columns: a million
    constexpr double constant = 0x1p-16;
    constexpr double interval = constant / 2; // of two slices: a quarter between them
    Scheme scheme;
    scheme.weight_bits = 2;
    scheme.cell_bits = 2;
    scheme.input_bits = 2;
    scheme.slice_bits = 1;
    scheme.rows = rows;
    scheme.signs = Signs::sign_magnitude;
    scheme.converter.range = Range::calibrated;
    scheme.converter.limit = 16;
    scheme.converter.bits = 16;
    Analog analog;
    analog.levels = Matrix<float>(rows, columns, 1.0F);
    analog.off = 0.5; // a cell conducts 1.5
    analog.slow = flicker(0.02, constant, constant, 1);
    const Block block(scheme, Matrix<std::int32_t>(rows, columns, 1), analog, {1, 2, 3});
    // The low slice of 5 rows, the high slice of 3 of them, both slices of 4.
    Matrix<std::int32_t> inputs(3, rows);
    std::fill_n(inputs.row(0), 5, 1);
    std::fill_n(inputs.row(1), 3, 2);
    std::fill_n(inputs.row(2), 4, 3);
    const std::vector<double> exact{1.5 * 5, 1.5 * 6, 1.5 * 12};
    Matrix<double> products(3, 3);
    double neighbours = 0;
    for (std::uint32_t start = 0; start < starts; ++start)
    {
        const auto cells = block.fluctuation(start);
        const Matrix<std::int64_t> codes = block.multiply(inputs, {}, {cells.get(), 0, interval});
        for (std::size_t column = 0; column < columns; ++column)
        {
            const auto noise = [&](std::size_t vector, std::size_t where)
            { return static_cast<double>(codes(vector, where)) * block.step() - exact[vector]; };
            for (std::size_t a = 0; a < 3; ++a)
            {
                for (std::size_t b = a; b < 3; ++b)
                {
                    products(a, b) += noise(a, column) * noise(b, column);
                }
            }
            neighbours += noise(0, column) * noise(0, (column + 1) % columns);
        }
    }
    const double samples = double{starts} * columns;
    const double cell = 1.5 * 1.5 * 0.02 * 0.02;
    const auto kept = [](double intervals) { return std::exp(-intervals / 2); };
    // Vector i's slices are at i and i + 1/2 intervals; high slices count twice.
    const double two_slices = 4 * cell * (1 + 4 + 4 * kept(0.5));
    const auto near = [&](double sum, double expected, double a, double b)
    {
        EXPECT_NEAR(sum / samples, expected,
                    4 * std::sqrt((a * b + expected * expected) / samples) + 1e-6);
    };
    near(products(0, 0), 5 * cell, 5 * cell, 5 * cell);
    near(products(1, 1), 3 * 4 * cell, 12 * cell, 12 * cell);
    near(products(2, 2), two_slices, two_slices, two_slices);
    near(products(0, 1), 3 * 2 * cell * kept(1.5), 5 * cell, 12 * cell);
    near(products(0, 2), 4 * cell * (kept(2) + 2 * kept(2.5)), 5 * cell, two_slices);
    near(products(1, 2), 3 * 2 * cell * (kept(0.5) + 2 * kept(1)), 12 * cell, two_slices);
    near(neighbours, 0, 5 * cell, 5 * cell);
}

TEST(Block, CellsThatDoNotFluctuateHaveNoState)
{
    Scheme scheme;
    scheme.rows = 4;
    EXPECT_EQ(Block(scheme, Matrix<std::int32_t>(4, 2, 1)).fluctuation(0), nullptr);
}

} // namespace
} // namespace tessera::numerics
