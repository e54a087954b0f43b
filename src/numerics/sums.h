// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/matrix.h"

#include <cstddef>
#include <vector>

namespace tessera::numerics
{

/// Inputs side by side: drive values by input and row.
struct Drives
{
    const float* first = nullptr;
    std::size_t count = 0;
    std::size_t stride = 0;
};

/// Neighbouring columns of a matrix.
struct ColumnRange
{
    std::size_t first = 0;
    std::size_t count = 0;
};

/// How the sums of a crossbar's columns are made.
struct SumBounds
{
    std::size_t rows = 1;   ///< of a partition
    double drive = 1;       ///< the greatest
    double tolerance = 0.1; ///< what rounding may change a sum by, in levels
    bool whole = false;     ///< cells hold whole levels, and sums stay below 2^24
};

/// The levels of columns' sums. Cells are held to a power of two of a level, which keeps every sum
/// exact, so that its bits do not depend on the order that it is added up in: in single precision
/// where that does not cost more than the tolerance, else in double.
class LevelSums
{
public:
    /// Space that products take.
    struct Work
    {
        Matrix<double> drives;
        Matrix<double> sums;
    };

    LevelSums() = default;
    /// `terms`: what columns take from rows, in levels, by partition.
    LevelSums(const std::vector<Matrix<double>>& terms, const SumBounds& bounds);

    /// Units of the sums per level, a power of two.
    [[nodiscard]] double quanta() const { return quanta_; }
    /// Greatest magnitude of a sum, in levels.
    [[nodiscard]] double greatest() const { return greatest_; }
    [[nodiscard]] std::size_t rows(std::size_t partition) const
    {
        return single_.empty() ? double_[partition].rows() : single_[partition].rows();
    }
    /// Sums of some columns, by input, rounded to single precision once.
    void add_up(std::size_t partition, const Drives& drives, const ColumnRange& columns,
                Matrix<float>& sums, Work& work) const;

private:
    double quanta_ = 1;
    double greatest_ = 0;
    std::vector<Matrix<float>> single_; ///< row, column: whole numbers of units
    std::vector<Matrix<double>> double_;
};

/// The variances of columns' sums whose cells have noise of their own. Each cell's variance counts
/// with an error below 1 %, however large its neighbours are: as a whole number of units in an
/// exact sum where single precision has room for that, else as it is in a sum of fixed order.
class VarianceSums
{
public:
    VarianceSums() = default;
    /// `terms`: by partition, row and column, in levels squared.
    VarianceSums(const std::vector<Matrix<double>>& terms, const SumBounds& bounds);

    /// Is there no noise at all?
    [[nodiscard]] bool empty() const { return variances_.empty(); }
    /// A sum's standard deviation, in levels, per root of what add_up() gives: a power of two.
    [[nodiscard]] double scale() const { return scale_; }
    /// Greatest standard deviation of a sum, in levels.
    [[nodiscard]] double greatest() const { return greatest_; }
    /// Sums for the squares of drives, by input.
    void add_up(std::size_t partition, const Drives& squares, const ColumnRange& columns,
                Matrix<float>& sums) const;

private:
    double scale_ = 1;
    double greatest_ = 0;
    bool exact_ = true; ///< whole numbers whose sums are exact
    std::vector<Matrix<float>> variances_;
};

} // namespace tessera::numerics
