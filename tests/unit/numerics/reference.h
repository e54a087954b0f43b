// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/matrix.h"
#include "numerics/scheme.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace tessera::reference
{

// Products by the definition, in plain loops over vectors, columns, partitions, slices and cells.
// Of src/numerics only the descriptions of schemes are used, none of its functions.

using numerics::InputCoding;
using numerics::Matrix;
using numerics::Range;
using numerics::Rounding;
using numerics::Scheme;
using numerics::Signs;

struct Product
{
    std::vector<std::vector<std::int64_t>> codes;
    double step = 1;
    std::vector<std::int64_t> correction;
};

inline std::int64_t power(std::int64_t base, unsigned exponent)
{
    return exponent == 0 ? 1 : base * power(base, exponent - 1);
}

/// Digit `index` of a number that is not negative.
inline std::int64_t digit(std::int64_t value, std::int64_t base, unsigned index)
{
    return value / power(base, index) % base;
}

/// `actual`: levels by row and physical column, or empty. `off`: what a steered cell of level 0
/// conducts, in levels.
inline Product multiply(const Scheme& scheme, const Matrix<std::int32_t>& weights,
                        const Matrix<float>& actual, const Matrix<std::int32_t>& inputs,
                        double off = 0)
{
    off = scheme.signs == Signs::sign_magnitude ? off : 0;
    const std::int64_t cell_base = power(2, scheme.cell_bits);
    const std::int64_t drive_base = power(2, scheme.slice_bits);
    const std::int64_t half = power(2, scheme.weight_bits - 1);
    const unsigned cells = (scheme.weight_bits + scheme.cell_bits - 1) / scheme.cell_bits;
    const unsigned drives = (scheme.input_bits + scheme.slice_bits - 1) / scheme.slice_bits;
    const bool pairs =
        scheme.signs == Signs::differential || scheme.signs == Signs::differential_separate;
    const bool folded =
        scheme.signs == Signs::differential || scheme.signs == Signs::sign_magnitude;
    const std::size_t rows = weights.rows();
    const std::size_t columns = weights.columns();
    // Arrays lie side by side, each with its own reference behind its last weight.
    const std::size_t weight_cells = std::size_t{cells} * (pairs ? 2 : 1);
    const auto references_before = [&](std::size_t column)
    { return scheme.signs == Signs::offset ? column / scheme.columns : 0; };

    // A cell by weight, slice and side (1: the negative one).
    const auto level = [&](std::size_t row, std::size_t column, unsigned slice, int side) -> double
    {
        const std::size_t physical = column * weight_cells + references_before(column) +
                                     (pairs ? 2 * slice + static_cast<unsigned>(side) : slice);
        if (actual.rows() != 0)
        {
            return actual(row, physical);
        }
        const std::int64_t weight = weights(row, column);
        if (scheme.signs == Signs::offset)
        {
            return static_cast<double>(digit(weight + half, cell_base, slice));
        }
        if (pairs && (weight < 0) != (side == 1))
        {
            return 0;
        }
        return static_cast<double>(digit(weight < 0 ? -weight : weight, cell_base, slice));
    };
    // Of the array that holds a column of weights.
    const auto reference_level = [&](std::size_t row, std::size_t column) -> double
    {
        std::size_t last = column;
        while (last + 1 < columns && (last + 1) % scheme.columns != 0)
        {
            ++last;
        }
        return actual.rows() != 0 ? actual(row, (last + 1) * weight_cells + references_before(last))
                                  : static_cast<double>(half / power(cell_base, cells - 1));
    };
    // What one converted line gets from a row. Lines: 0 the (folded or positive) one, 1 negative.
    const auto line = [&](std::size_t row, std::size_t column, unsigned slice, int which) -> double
    {
        if (scheme.signs == Signs::differential)
        {
            return level(row, column, slice, 0) - level(row, column, slice, 1);
        }
        if (scheme.signs == Signs::sign_magnitude)
        {
            const std::int32_t weight = weights(row, column);
            return weight == 0 ? 0
                               : (weight < 0 ? -(level(row, column, slice, 0) + off)
                                             : level(row, column, slice, 0) + off);
        }
        return level(row, column, slice, which);
    };
    const int lines = scheme.signs == Signs::differential_separate ? 2 : 1;

    Product product;
    const double full = static_cast<double>(scheme.rows) * static_cast<double>(cell_base - 1) *
                        static_cast<double>(drive_base - 1);
    const bool ideal = scheme.converter.rounding == Rounding::ideal;
    const unsigned bits = scheme.converter.bits;
    if (!ideal && scheme.converter.range != Range::granular)
    {
        const double limit =
            scheme.converter.range == Range::calibrated ? scheme.converter.limit : full;
        product.step =
            limit / std::max(1.0, static_cast<double>(power(2, folded ? bits - 1 : bits) - 1));
    }
    // Levels are held to a power of two that keeps all sums below 2^24, of no more than 15 bits.
    // Where that may move a sum by more than an eighth of a code, below 2^53, of no more than 40
    // bits.
    double quantum = 1;
    if (actual.rows() != 0 || off != 0)
    {
        double greatest = 0;
        for (std::size_t first = 0; first < rows; first += scheme.rows)
        {
            const std::size_t end = std::min(rows, first + scheme.rows);
            for (std::size_t column = 0; column < columns; ++column)
            {
                for (unsigned slice = 0; slice < cells; ++slice)
                {
                    for (int which = 0; which < lines; ++which)
                    {
                        double sum = 0;
                        for (std::size_t row = first; row < end; ++row)
                        {
                            sum += std::fabs(line(row, column, slice, which));
                        }
                        greatest = std::max(greatest, sum * static_cast<double>(drive_base - 1));
                    }
                }
            }
            for (std::size_t column = 0; scheme.signs == Signs::offset && column < columns;
                 column += scheme.columns)
            {
                double sum = 0;
                for (std::size_t row = first; row < end; ++row)
                {
                    sum += std::fabs(reference_level(row, column));
                }
                greatest = std::max(greatest, sum * static_cast<double>(drive_base - 1));
            }
        }
        const double driven =
            static_cast<double>(scheme.rows) * static_cast<double>(drive_base - 1);
        const auto finest = [&](int bits, double most)
        {
            while (greatest * std::ldexp(1.0, bits) > most - driven)
            {
                --bits;
            }
            return std::ldexp(1.0, -bits);
        };
        quantum = finest(15, 16777216.0);
        if (driven * quantum / 2 > product.step / 8)
        {
            quantum = finest(40, 9007199254740992.0);
        }
    }

    const auto code = [&](double sum) -> std::int64_t
    {
        const auto scaled =
            static_cast<float>(sum / quantum) * static_cast<float>(quantum / product.step);
        float rounded = std::floor(scaled);
        const float rest = scaled - rounded;
        if (rest > 0.5F || (rest == 0.5F && std::fmod(rounded, 2.0F) != 0))
        {
            rounded += 1;
        }
        if (ideal)
        {
            return static_cast<std::int64_t>(rounded);
        }
        const auto least = static_cast<float>(folded ? -power(2, bits - 1) : 0);
        const auto most = static_cast<float>(folded ? power(2, bits - 1) - 1 : power(2, bits) - 1);
        return static_cast<std::int64_t>(std::min(std::max(rounded, least), most));
    };
    const auto held = [&](double value) { return std::nearbyint(value / quantum) * quantum; };

    product.codes.assign(inputs.rows(), std::vector<std::int64_t>(columns, 0));
    product.correction.assign(columns, 0);
    for (std::size_t vector = 0; vector < inputs.rows(); ++vector)
    {
        for (int pass = 0; pass < (scheme.coding == InputCoding::two_pass ? 2 : 1); ++pass)
        {
            for (unsigned drive = 0; drive < drives; ++drive)
            {
                const bool negative_bit =
                    scheme.coding == InputCoding::twos_complement && drive + 1 == drives;
                const std::int64_t factor =
                    power(drive_base, drive) * (negative_bit ? -1 : 1) * (pass == 1 ? -1 : 1);
                std::vector<double> driven(rows);
                for (std::size_t row = 0; row < rows; ++row)
                {
                    std::int64_t input = inputs(vector, row);
                    if (scheme.coding == InputCoding::twos_complement && input < 0)
                    {
                        input += power(2, scheme.input_bits);
                    }
                    if (scheme.coding == InputCoding::two_pass)
                    {
                        input = pass == 0 ? std::max<std::int64_t>(input, 0)
                                          : std::max<std::int64_t>(-input, 0);
                    }
                    driven[row] = static_cast<double>(digit(input, drive_base, drive));
                }
                for (std::size_t first = 0; first < rows; first += scheme.rows)
                {
                    const std::size_t end = std::min(rows, first + scheme.rows);
                    std::int64_t reference = 0;
                    for (std::size_t column = 0; column < columns; ++column)
                    {
                        if (scheme.signs == Signs::offset && column % scheme.columns == 0)
                        {
                            double sum = 0;
                            for (std::size_t row = first; row < end; ++row)
                            {
                                sum += driven[row] * held(reference_level(row, column));
                            }
                            reference = code(sum) * power(cell_base, cells - 1);
                        }
                        std::int64_t total = -reference;
                        for (unsigned slice = 0; slice < cells; ++slice)
                        {
                            for (int which = 0; which < lines; ++which)
                            {
                                double sum = 0;
                                for (std::size_t row = first; row < end; ++row)
                                {
                                    sum += driven[row] * held(line(row, column, slice, which));
                                }
                                total +=
                                    code(sum) * power(cell_base, slice) * (which == 1 ? -1 : 1);
                            }
                        }
                        product.codes[vector][column] += factor * total;
                    }
                }
            }
        }
    }
    for (std::size_t column = 0; scheme.coding == InputCoding::zero_point && column < columns;
         ++column)
    {
        for (std::size_t row = 0; row < rows; ++row)
        {
            product.correction[column] -= scheme.zero_point * weights(row, column);
        }
    }
    return product;
}

} // namespace tessera::reference
