// SPDX-License-Identifier: Apache-2.0
#include "numerics/scheme.h"

#include "base/integer.h"
#include "config/cells.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace tessera::numerics
{
namespace
{

void within(const char* name, double value, double least, double most)
{
    if (!(value >= least && value <= most)) // NaN is outside
    {
        throw InputError({"", 0, name}, "must not be " + std::to_string(value),
                         "give a number in " + std::to_string(least) + ".." + std::to_string(most));
    }
}

} // namespace

void check(const Scheme& scheme)
{
    const ConverterScheme& converter = scheme.converter;
    within("weight_bits", scheme.weight_bits, 1, 16);
    within("cell_bits", scheme.cell_bits, 1, 4);
    within("input_bits", scheme.input_bits, 1, 16);
    within("slice_bits", scheme.slice_bits, 1, 8);
    within("rows", static_cast<double>(scheme.rows), 1, 65536);
    within("columns", static_cast<double>(scheme.columns), 1, 65536);
    within("converter.bits", converter.bits, 1, 16);
    within("converter.mismatch", converter.mismatch, 0, 1);
    within("converter.comparator_offset", converter.comparator_offset, 0, 1e6);
    within("converter.offset", converter.offset, -1e6, 1e6);
    within("converter.gain", converter.gain, 1e-3, 1e3);
    within("converter.inl", converter.inl, -1e6, 1e6);
    within("converter.shared_by", static_cast<double>(converter.shared_by), 1, 65536);
    if (converter.range == Range::calibrated)
    {
        within("converter.limit", converter.limit, 1e-6, 1e9);
    }
    if (scheme.coding == InputCoding::twos_complement && scheme.slice_bits != 1)
    {
        throw InputError({"", 0, "slice_bits"},
                         "two's complement inputs need a slice of one bit, because their top bit "
                         "counts negative",
                         "set slice_bits to 1, or drive the inputs in two passes");
    }
    if (greatest_sum(scheme, scheme.rows) >= std::int64_t{1} << 24U)
    {
        throw InputError({"", 0, "rows"}, "a column can exceed 2^24 levels, where sums lose digits",
                         "use fewer rows per partition, or smaller input slices or cells");
    }
}

unsigned weight_slices(const Scheme& scheme)
{
    // Magnitudes reach 2^(bits-1), which has `bits` bits, as the shifted weight has.
    return config::cells_per_weight(scheme.weight_bits, scheme.cell_bits, false);
}

unsigned input_slices(const Scheme& scheme)
{
    const unsigned once = (scheme.input_bits + scheme.slice_bits - 1) / scheme.slice_bits;
    return scheme.coding == InputCoding::two_pass ? 2 * once : once;
}

unsigned cells_per_weight(const Scheme& scheme)
{
    const bool pairs =
        scheme.signs == Signs::differential || scheme.signs == Signs::differential_separate;
    return config::cells_per_weight(scheme.weight_bits, scheme.cell_bits, pairs);
}

std::size_t array_columns(const Scheme& scheme)
{
    return scheme.columns * cells_per_weight(scheme) + (scheme.signs == Signs::offset ? 1 : 0);
}

std::size_t reference_columns(const Scheme& scheme, std::size_t columns)
{
    return scheme.signs == Signs::offset ? ceil_div(columns, scheme.columns) : 0;
}

std::size_t first_cell(const Scheme& scheme, std::size_t column)
{
    const std::size_t references = scheme.signs == Signs::offset ? column / scheme.columns : 0;
    return column * cells_per_weight(scheme) + references;
}

bool signed_conversion(const Scheme& scheme)
{
    return scheme.signs == Signs::differential || scheme.signs == Signs::sign_magnitude;
}

std::int64_t greatest_sum(const Scheme& scheme, std::size_t rows)
{
    const std::int64_t level = (std::int64_t{1} << scheme.cell_bits) - 1;
    const std::int64_t input = (std::int64_t{1} << scheme.slice_bits) - 1;
    return static_cast<std::int64_t>(rows) * level * input;
}

unsigned lossless_bits(const Scheme& scheme, std::size_t rows)
{
    return bit_length(greatest_sum(scheme, rows)) + (signed_conversion(scheme) ? 1 : 0);
}

double greatest_code(const Scheme& scheme)
{
    const unsigned magnitude_bits = scheme.converter.bits - (signed_conversion(scheme) ? 1 : 0);
    return std::max(1.0, std::exp2(magnitude_bits) - 1);
}

double code_step(const Scheme& scheme)
{
    const ConverterScheme& converter = scheme.converter;
    if (converter.rounding == Rounding::ideal || converter.range == Range::granular)
    {
        return 1;
    }
    const double greatest = converter.range == Range::calibrated
                                ? converter.limit
                                : static_cast<double>(greatest_sum(scheme, scheme.rows));
    return greatest / greatest_code(scheme);
}

} // namespace tessera::numerics
