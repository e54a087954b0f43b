// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera::numerics
{

/// How cells that hold only positive values make signed weights.
enum class Signs : std::uint8_t
{
    differential,          ///< two cells; their columns are subtracted before the converter
    differential_separate, ///< two cells; each column is converted, the codes are subtracted
    offset,        ///< w + 2^(bits-1) in one cell; every array has one column more, the reference
                   ///< column, which holds the 2^(bits-1): it is converted too, and its code is
                   ///< subtracted from those of the array's own columns
    sign_magnitude ///< |w| in one cell, whose whole current, that of level 0 too, is steered to
                   ///< one of two lines, which are subtracted before the converter. Each line
                   ///< has a switch of its own: a weight of 0 closes neither
};

/// What the rows are driven with.
enum class InputCoding : std::uint8_t
{
    positive,        ///< unsigned, in slices, the lowest first
    twos_complement, ///< bit by bit; the top bit counts negative
    two_pass,        ///< positive parts, then the magnitudes of the negative ones; subtracted
    zero_point       ///< unsigned codes q that mean q - z; -z times the sum of the weights is added
};

enum class Rounding : std::uint8_t
{
    ideal,  ///< exact whole levels, whatever their size
    uniform ///< `bits` bits, clipped at both ends
};

/// How a conversion's range is chosen.
enum class Range : std::uint8_t
{
    full,      ///< whatever a column can give
    granular,  ///< one code per level of a cell, clipped at 2^bits
    calibrated ///< `limit`, found from data
};

/// The circuit, where the converter is not just uniform.
enum class Circuit : std::uint8_t
{
    uniform,
    sar,  ///< binary capacitors with mismatch, searched bit by bit
    flash ///< 2^bits - 1 comparators with offsets, counted
};

struct ConverterScheme
{
    Rounding rounding = Rounding::uniform;
    unsigned bits = 8;
    Range range = Range::full;
    double limit = 0; ///< calibrated: greatest magnitude, in levels
    Circuit circuit = Circuit::uniform;
    double mismatch = 0;          ///< sar: relative deviation (1 sigma) of a unit capacitor
    double comparator_offset = 0; ///< flash: 1 sigma of each comparator, in codes
    double offset = 0;            ///< of the whole converter, in codes
    double gain = 1;
    double inl = 0;              ///< greatest bow of the transfer curve, in codes
    std::size_t shared_by = 128; ///< neighbouring columns on one converter
};

/// How a matrix of whole numbers is held in crossbars and multiplied.
struct Scheme
{
    unsigned weight_bits = 8; ///< signed: -2^(bits-1) .. 2^(bits-1) - 1
    unsigned cell_bits = 2;
    Signs signs = Signs::differential;
    unsigned input_bits = 8;
    unsigned slice_bits = 1; ///< input bits that a row is driven with at a time
    InputCoding coding = InputCoding::positive;
    std::int64_t zero_point = 0; ///< of InputCoding::zero_point
    std::size_t rows = 128;      ///< of an array; those below it are another partition
    std::size_t columns = 128;   ///< of an array, in weights: it has array_columns() of cells
    ConverterScheme converter;
};

/// Throws InputError naming the member that cannot be.
void check(const Scheme& scheme);

/// Cells (per sign) that hold one weight.
[[nodiscard]] unsigned weight_slices(const Scheme& scheme);
/// Times that the rows are driven for one vector, both passes included.
[[nodiscard]] unsigned input_slices(const Scheme& scheme);
/// Physical cells side by side that hold one weight.
[[nodiscard]] unsigned cells_per_weight(const Scheme& scheme);
/// Columns of cells of a whole array: those of its weights, and the reference column of
/// Signs::offset.
[[nodiscard]] std::size_t array_columns(const Scheme& scheme);
/// Reference columns of a matrix of so many columns of weights: one for each array that it lies in.
[[nodiscard]] std::size_t reference_columns(const Scheme& scheme, std::size_t columns);
/// Where a column of weights begins among all columns of cells: arrays lie side by side, each with
/// its reference column last.
[[nodiscard]] std::size_t first_cell(const Scheme& scheme, std::size_t column);
/// Does a conversion see both signs?
[[nodiscard]] bool signed_conversion(const Scheme& scheme);
/// Greatest magnitude that a column of `rows` rows can give, in levels of a cell.
[[nodiscard]] std::int64_t greatest_sum(const Scheme& scheme, std::size_t rows);
/// The fewest converter bits that lose nothing of a column of `rows` rows.
[[nodiscard]] unsigned lossless_bits(const Scheme& scheme, std::size_t rows);
/// Steps from zero to the end of the converter's range: the greatest code of both signs.
[[nodiscard]] double greatest_code(const Scheme& scheme);
/// Levels of a cell that one code of the converter stands for.
[[nodiscard]] double code_step(const Scheme& scheme);

} // namespace tessera::numerics
