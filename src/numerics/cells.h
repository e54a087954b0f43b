// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/matrix.h"
#include "numerics/scheme.h"

#include <cstdint>

namespace tessera::numerics
{

/// The levels that cells are to hold. Physical columns lie as on the chip: array by array, in it
/// weight by weight, in that slice by slice (the lowest first), of a pair the positive cell first;
/// last in each array the reference column of Signs::offset, whose cells hold 2^(bits-1) in the
/// place of the top slice.
struct Cells
{
    Matrix<std::uint8_t> levels;
    /// sign_magnitude: the line that all cells of a weight are switched to, -1 or 1; 0, for a
    /// weight of 0: to none, so that they give neither current nor noise. Else empty.
    Matrix<std::int8_t> steering;
};

/// Throws InputError for a weight that does not fit.
[[nodiscard]] Cells cells_of(const Scheme& scheme, const Matrix<std::int32_t>& weights);

/// One vector's drive values by input slice: `slices` has a row per input slice, lowest first (of
/// two passes: all of the positive one first). Throws InputError for an input out of range.
void slice_inputs(const Scheme& scheme, const std::int32_t* inputs, std::size_t rows, float* slices,
                  std::size_t stride);

} // namespace tessera::numerics
