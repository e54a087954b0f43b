// SPDX-License-Identifier: Apache-2.0
#include "numerics/sums.h"

#include "numerics/kernels.h"
#include "numerics/product.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

namespace tessera::numerics
{
namespace
{

constexpr double kSingle = 0x1p24; ///< floats count without gaps up to here
constexpr double kDouble = 0x1p53;
constexpr int kMostSingleFraction = 15; ///< bits below one level
constexpr int kMostDoubleFraction = 40;
constexpr int kMostVarianceExponent = 60;
/// Units that a variance is at least, so that rounding changes it by less than 1 / 128 of it.
constexpr double kLeastUnits = 64;

/// A power of two's exponent so that `greatest` times it, and what rounding `terms` terms adds,
/// stays below `exact`.
int exponent_below(double exact, double greatest, double terms)
{
    return static_cast<int>(std::floor(std::log2((exact - terms) / std::max(greatest, 1e-30))));
}

/// Greatest sum of a column's magnitudes.
double greatest_sum(const std::vector<Matrix<double>>& terms)
{
    double greatest = 0;
    for (const Matrix<double>& part : terms)
    {
        std::vector<double> sums(part.columns());
        for (std::size_t row = 0; row < part.rows(); ++row)
        {
            std::transform(sums.begin(), sums.end(), part.row(row), sums.begin(),
                           [](double sum, double term) { return sum + std::abs(term); });
        }
        greatest = std::accumulate(sums.begin(), sums.end(), greatest,
                                   [](double most, double sum) { return std::max(most, sum); });
    }
    return greatest;
}

/// Terms times a power of two, whole or as they are.
template <class Real>
std::vector<Matrix<Real>> scaled(const std::vector<Matrix<double>>& terms, double factor,
                                 bool whole)
{
    std::vector<Matrix<Real>> result;
    for (const Matrix<double>& part : terms)
    {
        Matrix<Real>& held = result.emplace_back(part.rows(), part.columns());
        for (std::size_t row = 0; row < part.rows(); ++row)
        {
            std::transform(part.row(row), part.row(row) + part.columns(), held.row(row),
                           [&](double term)
                           {
                               const double units = term * factor;
                               return static_cast<Real>(whole ? std::nearbyint(units) : units);
                           });
        }
    }
    return result;
}

} // namespace

LevelSums::LevelSums(const std::vector<Matrix<double>>& terms, const SumBounds& bounds)
    : greatest_(greatest_sum(terms) * bounds.drive)
{
    const double driven = static_cast<double>(bounds.rows) * bounds.drive;
    if (bounds.whole)
    {
        single_ = scaled<float>(terms, 1, true);
        return;
    }
    const int single = std::min(kMostSingleFraction, exponent_below(kSingle, greatest_, driven));
    if (driven * std::exp2(-single - 1) <= bounds.tolerance)
    {
        quanta_ = std::exp2(single);
        single_ = scaled<float>(terms, quanta_, true);
        return;
    }
    quanta_ = std::exp2(std::min(kMostDoubleFraction, exponent_below(kDouble, greatest_, driven)));
    double_ = scaled<double>(terms, quanta_, true);
}

void LevelSums::add_up(std::size_t partition, const Drives& drives, const ColumnRange& columns,
                       Matrix<float>& sums, Work& work) const
{
    const std::size_t rows = this->rows(partition);
    if (double_.empty())
    {
        const Matrix<float>& cells = single_[partition];
        product(drives.count, columns.count, rows, drives.first, drives.stride,
                cells.row(0) + columns.first, cells.columns(), sums.row(0), sums.columns());
        return;
    }
    if (work.drives.rows() < drives.count || work.drives.columns() < rows)
    {
        work.drives = Matrix<double>(drives.count, rows);
    }
    if (work.sums.rows() < drives.count || work.sums.columns() < columns.count)
    {
        work.sums = Matrix<double>(drives.count, columns.count);
    }
    for (std::size_t input = 0; input < drives.count; ++input)
    {
        std::copy_n(drives.first + input * drives.stride, rows, work.drives.row(input));
    }
    const Matrix<double>& cells = double_[partition];
    product(drives.count, columns.count, rows, work.drives.row(0), work.drives.columns(),
            cells.row(0) + columns.first, cells.columns(), work.sums.row(0), work.sums.columns());
    for (std::size_t input = 0; input < drives.count; ++input)
    {
        std::transform(work.sums.row(input), work.sums.row(input) + columns.count, sums.row(input),
                       [](double sum) { return static_cast<float>(sum); });
    }
}

VarianceSums::VarianceSums(const std::vector<Matrix<double>>& terms, const SumBounds& bounds)
{
    const double square = bounds.drive * bounds.drive;
    const double greatest = greatest_sum(terms) * square;
    greatest_ = std::sqrt(greatest);
    double most = 0;
    double least = std::numeric_limits<double>::infinity(); // of those that are not 0
    for (const Matrix<double>& part : terms)
    {
        for (std::size_t row = 0; row < part.rows(); ++row)
        {
            for (std::size_t column = 0; column < part.columns(); ++column)
            {
                const double variance = part(row, column);
                most = std::max(most, variance);
                least = variance > 0 ? std::min(least, variance) : least;
            }
        }
    }
    constexpr double kMostRounded = 0x1p23;
    const double rounded = std::min(static_cast<double>(bounds.rows) * square, kMostRounded);
    int exponent = std::min(kMostVarianceExponent, exponent_below(kSingle, greatest, rounded));
    exact_ = least * std::exp2(exponent - (exponent & 1)) >= kLeastUnits;
    if (!exact_)
    {
        exponent = -std::ilogb(most);
    }
    exponent -= exponent & 1; // its root is a power of two
    scale_ = std::exp2(-exponent / 2);
    variances_ = scaled<float>(terms, std::exp2(exponent), exact_);
}

void VarianceSums::add_up(std::size_t partition, const Drives& squares, const ColumnRange& columns,
                          Matrix<float>& sums) const
{
    const Matrix<float>& part = variances_[partition];
    const auto sum = [&](auto&& multiply)
    {
        multiply(squares.count, columns.count, part.rows(), squares.first, squares.stride,
                 part.row(0) + columns.first, part.columns(), sums.row(0), sums.columns());
    };
    if (exact_)
    {
        sum([](auto... arguments) { product(arguments...); });
        return;
    }
    sum(ordered_product);
}

} // namespace tessera::numerics
