// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace tessera::numerics
{

/// A dense matrix, row by row.
template <class T> class Matrix
{
public:
    Matrix() = default;
    Matrix(std::size_t rows, std::size_t columns, T value = T())
        : rows_(rows), columns_(columns), values_(rows * columns, value)
    {
    }

    [[nodiscard]] std::size_t rows() const { return rows_; }
    [[nodiscard]] std::size_t columns() const { return columns_; }
    [[nodiscard]] T& operator()(std::size_t row, std::size_t column)
    {
        return values_[row * columns_ + column];
    }
    [[nodiscard]] const T& operator()(std::size_t row, std::size_t column) const
    {
        return values_[row * columns_ + column];
    }
    [[nodiscard]] T* row(std::size_t index) { return values_.data() + index * columns_; }
    [[nodiscard]] const T* row(std::size_t index) const
    {
        return values_.data() + index * columns_;
    }
    [[nodiscard]] bool operator==(const Matrix& other) const
    {
        return rows_ == other.rows_ && columns_ == other.columns_ && values_ == other.values_;
    }

private:
    std::size_t rows_ = 0;
    std::size_t columns_ = 0;
    std::vector<T> values_;
};

} // namespace tessera::numerics
