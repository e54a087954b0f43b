// SPDX-License-Identifier: Apache-2.0
#include "numerics/cells.h"

#include "tessera/error.h"

#include <algorithm>
#include <cstdlib>
#include <string>

namespace tessera::numerics
{
namespace
{

[[noreturn]] void out_of_range(const char* what, const std::string& where, std::int64_t value,
                               std::int64_t least, std::int64_t most)
{
    throw InputError({"", 0, where},
                     std::string(what) + ' ' + std::to_string(value) + " is out of range",
                     "quantise to " + std::to_string(least) + ".." + std::to_string(most));
}

} // namespace

Cells cells_of(const Scheme& scheme, const Matrix<std::int32_t>& weights)
{
    const std::int64_t half = std::int64_t{1} << (scheme.weight_bits - 1);
    const unsigned slices = weight_slices(scheme);
    const unsigned mask = (1U << scheme.cell_bits) - 1;
    const bool pairs = cells_per_weight(scheme) == 2 * slices;
    Cells cells;
    const bool reference = scheme.signs == Signs::offset;
    const auto top = static_cast<std::uint8_t>(half >> (scheme.cell_bits * (slices - 1)));
    cells.levels =
        Matrix<std::uint8_t>(weights.rows(), weights.columns() * cells_per_weight(scheme) +
                                                 reference_columns(scheme, weights.columns()));
    if (scheme.signs == Signs::sign_magnitude)
    {
        cells.steering = Matrix<std::int8_t>(weights.rows(), weights.columns());
    }
    for (std::size_t row = 0; row < weights.rows(); ++row)
    {
        std::uint8_t* level = cells.levels.row(row);
        for (std::size_t column = 0; column < weights.columns(); ++column)
        {
            const std::int64_t weight = weights(row, column);
            if (weight < -half || weight >= half)
            {
                out_of_range("weight", std::to_string(row) + '/' + std::to_string(column), weight,
                             -half, half - 1);
            }
            const bool negative = weight < 0;
            const auto stored = static_cast<unsigned>(
                scheme.signs == Signs::offset ? weight + half : std::abs(weight));
            for (unsigned slice = 0; slice < slices; ++slice)
            {
                const auto digit =
                    static_cast<std::uint8_t>((stored >> (slice * scheme.cell_bits)) & mask);
                if (pairs)
                {
                    *level++ = negative ? std::uint8_t{0} : digit;
                    *level++ = negative ? digit : std::uint8_t{0};
                }
                else
                {
                    *level++ = digit;
                }
            }
            if (scheme.signs == Signs::sign_magnitude)
            {
                cells.steering(row, column) =
                    static_cast<std::int8_t>(weight == 0 ? 0 : (negative ? -1 : 1));
            }
            const std::size_t next = column + 1;
            if (reference && (next % scheme.columns == 0 || next == weights.columns()))
            {
                *level++ = top; // the array ends
            }
        }
    }
    return cells;
}

void slice_inputs(const Scheme& scheme, const std::int32_t* inputs, std::size_t rows, float* slices,
                  std::size_t stride)
{
    const bool has_sign =
        scheme.coding == InputCoding::twos_complement || scheme.coding == InputCoding::two_pass;
    const std::int64_t least = has_sign ? -(std::int64_t{1} << (scheme.input_bits - 1)) : 0;
    const std::int64_t most = least + (std::int64_t{1} << scheme.input_bits) - 1;
    const unsigned count = input_slices(scheme);
    const unsigned once = scheme.coding == InputCoding::two_pass ? count / 2 : count;
    const unsigned mask = (1U << scheme.slice_bits) - 1;
    for (std::size_t row = 0; row < rows; ++row)
    {
        const std::int32_t input = inputs[row];
        if (input < least || input > most)
        {
            out_of_range("input", std::to_string(row), input, least, most);
        }
    }
    for (unsigned slice = 0; slice < count; ++slice)
    {
        float* into = slices + slice * stride;
        const unsigned shift = (slice % once) * scheme.slice_bits;
        const bool negated = slice >= once;
        for (std::size_t row = 0; row < rows; ++row)
        {
            const std::int32_t input = inputs[row];
            std::uint32_t pattern = static_cast<std::uint32_t>(input);
            if (scheme.coding == InputCoding::two_pass)
            {
                pattern = static_cast<std::uint32_t>(std::max(negated ? -input : input, 0));
            }
            into[row] = static_cast<float>(static_cast<std::int32_t>((pattern >> shift) & mask));
        }
    }
}

} // namespace tessera::numerics
