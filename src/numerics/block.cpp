// SPDX-License-Identifier: Apache-2.0
#include "numerics/block.h"

#include "base/philox.h"
#include "numerics/kernels.h"
#include "numerics/purpose.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace tessera::numerics
{
namespace
{

constexpr std::size_t kTileRows = 512;    ///< vectors times input slices
constexpr std::size_t kTileColumns = 256; ///< a multiple of kNormalChunk; the tile stays in L2
constexpr std::size_t kMostThresholds = std::size_t{1} << 28U; ///< of a block: 1 GiB
/// Part of a code that rounding what cells hold may change a sum by.
constexpr double kTolerance = 0.125;
constexpr double kNormalEnd = 6.67;   ///< no draw of normals() is greater
constexpr double kMostSum = 0x1p80;   ///< levels; 2^15 units of them are a float still
constexpr double kMostTotal = 0x1p62; ///< of shifted codes, which 64 bits hold

std::size_t rounded_up(std::size_t value, std::size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

void check_finite(const Matrix<float>& values, const Cells& cells, const char* what, bool positive)
{
    if (values.rows() == 0)
    {
        return;
    }
    if (values.rows() != cells.levels.rows() || values.columns() != cells.levels.columns())
    {
        throw InputError({"", 0, what},
                         "has " + std::to_string(values.rows()) + " x " +
                             std::to_string(values.columns()) + " values for " +
                             std::to_string(cells.levels.rows()) + " x " +
                             std::to_string(cells.levels.columns()) + " cells",
                         "give one value per physical cell");
    }
    for (std::size_t row = 0; row < values.rows(); ++row)
    {
        for (std::size_t column = 0; column < values.columns(); ++column)
        {
            const float value = values(row, column);
            if (!std::isfinite(value) || (positive && value < 0))
            {
                throw InputError(
                    {"", 0,
                     std::string(what) + '/' + std::to_string(row) + '/' + std::to_string(column)},
                    "must not be " + std::to_string(value),
                    positive ? "give a finite number that is not negative"
                             : "give a finite number");
            }
        }
    }
}

} // namespace

/// Some vectors' work space.
struct Block::Tile
{
    std::size_t first = 0; ///< vector
    std::size_t count = 0;
    std::size_t slices = 0;
    const std::vector<VectorIdentity>* vectors = nullptr;
    Matrix<float> inputs;  ///< vector and input slice, row
    Matrix<float> squares; ///< of them; empty when they are the same
    Matrix<float> sums;
    Matrix<float> variances;
    LevelSums::Work work;
    // Vector and input slice, physical column:
    Matrix<float> read;    ///< where a Reading gives sums
    Matrix<float> changed; ///< what fluctuations add to sums, in levels
    Moments moments;
};

Block::Block(const Scheme& scheme, const Matrix<std::int32_t>& weights, const Analog& analog,
             const BlockIdentity& identity)
    : scheme_((check(scheme), scheme)),
      identity_(identity),
      rows_(weights.rows()),
      columns_(weights.columns()),
      correction_(weights.columns())
{
    if (rows_ == 0 || columns_ == 0)
    {
        throw InputError({"", 0, "weights"}, "are empty", "give at least one row and column");
    }
    const Cells cells = cells_of(scheme, weights);
    check_finite(analog.levels, cells, "levels", false);
    check_finite(analog.read_sigma, cells, "read_sigma", true);
    if (scheme.coding == InputCoding::zero_point)
    {
        for (std::size_t row = 0; row < rows_; ++row)
        {
            for (std::size_t column = 0; column < columns_; ++column)
            {
                correction_[column] -= scheme.zero_point * weights(row, column);
            }
        }
    }
    reading_ = analog.reading;
    physical_ = cells.levels.columns();
    slow_ = analog.slow;
    if (slow_.any())
    {
        keep_conductances(cells, analog);
    }
    make_groups();
    fill(cells, analog);
    check_sums();
    conversion_ = conversion_of(scheme_);
}

void Block::make_groups()
{
    const bool separate = scheme_.signs == Signs::differential_separate;
    const unsigned slices = weight_slices(scheme_);
    std::size_t first = 0;
    for (unsigned slice = 0; slice < slices; ++slice)
    {
        for (int side = 0; side < (separate ? 2 : 1); ++side)
        {
            groups_.push_back(
                {first, columns_, slice * scheme_.cell_bits, side == 0 ? 1 : -1, false});
            first += columns_;
        }
    }
    if (scheme_.signs == Signs::offset)
    {
        groups_.push_back({first, reference_columns(scheme_, columns_),
                           (slices - 1) * scheme_.cell_bits, -1, true});
    }
    // Groups are slices, of separate pairs slice and side, in the order of a weight's cells.
    const unsigned per_weight = cells_per_weight(scheme_);
    const std::size_t step = scheme_.signs == Signs::differential ? 2 : 1;
    for (std::size_t group = 0; group < groups_.size(); ++group)
    {
        for (std::size_t column = 0; column < groups_[group].count; ++column)
        {
            // A reference column lies behind the last weight of its array.
            const std::size_t last = std::min((column + 1) * scheme_.columns, columns_) - 1;
            physical_of_.push_back(groups_[group].reference
                                       ? first_cell(scheme_, last) + per_weight
                                       : first_cell(scheme_, column) + step * group);
        }
    }
}

void Block::fill(const Cells& cells, const Analog& analog)
{
    const bool noisy = analog.read_sigma.rows() != 0;
    const bool steered = scheme_.signs == Signs::sign_magnitude;
    const double off = steered && !analog.off_cancels ? analog.off : 0;
    const bool levels_given = analog.levels.rows() != 0;

    const auto level = [&](std::size_t row, std::size_t physical)
    {
        return off + (levels_given ? static_cast<double>(analog.levels(row, physical))
                                   : static_cast<double>(cells.levels(row, physical)));
    };
    // The value (or variance) that each column's sum takes from a row.
    const auto combined =
        [&](std::size_t row, const Group& group, std::size_t column, auto&& of, bool variance)
    {
        const std::size_t at = physical_of_[group.first + column];
        if (scheme_.signs == Signs::differential)
        {
            const double negative = of(row, at + 1);
            return of(row, at) + (variance ? negative : -negative);
        }
        if (steered)
        {
            const int steering = cells.steering(row, column);
            return of(row, at) * (variance ? steering * steering : steering);
        }
        return of(row, at);
    };
    const auto terms = [&](auto&& of, bool variance)
    {
        std::vector<Matrix<double>> parts;
        for (std::size_t first = 0; first < rows_; first += scheme_.rows)
        {
            Matrix<double>& part =
                parts.emplace_back(std::min(scheme_.rows, rows_ - first), width());
            for (std::size_t row = 0; row < part.rows(); ++row)
            {
                for (const Group& group : groups_)
                {
                    for (std::size_t column = 0; column < group.count; ++column)
                    {
                        part(row, group.first + column) =
                            combined(first + row, group, column, of, variance);
                    }
                }
            }
        }
        return parts;
    };
    // Ranges that are yet to be found may have steps of a level.
    const double step = scheme_.converter.range == Range::calibrated
                            ? std::min(1.0, code_step(scheme_))
                            : code_step(scheme_);
    const SumBounds bounds{scheme_.rows, std::exp2(scheme_.slice_bits) - 1, kTolerance * step,
                           !levels_given && off == 0 && !slow_.any()};
    levels_ = LevelSums(terms(level, false), bounds);
    if (noisy)
    {
        const auto variance_of = [&](std::size_t row, std::size_t physical)
        {
            const double sigma = analog.read_sigma(row, physical);
            return sigma * sigma;
        };
        variances_ = VarianceSums(terms(variance_of, true), bounds);
    }
}

/// Throws InputError where sums could be beyond what conversions and accumulators take. Cells of a
/// scheme's levels are far from it, whatever the weights.
void Block::check_sums() const
{
    const double changes =
        slow_.flicker ? kNormalEnd * slow_.flicker->sigma * std::sqrt(slow_.flicker->processes) : 0;
    const double greatest = levels_.greatest() * (1 + changes) + kNormalEnd * variances_.greatest();
    const bool ideal = scheme_.converter.rounding == Rounding::ideal;
    const double total = ideal ? greatest * static_cast<double>(partitions()) *
                                     std::exp2(scheme_.input_bits + scheme_.weight_bits)
                               : 0;
    if (!(greatest <= (ideal ? double{code_range(scheme_)[1]} : kMostSum)) || total > kMostTotal)
    {
        throw InputError({"", 0, "levels"},
                         "let a column's sum reach " + std::to_string(greatest) +
                             " levels, beyond what can be converted or added up",
                         "give levels and noise within a few times those of the cells");
    }
}

Block::Conversion Block::conversion_of(const Scheme& scheme) const
{
    Conversion conversion{code_step(scheme), {}};
    if (!needs_table(scheme.converter))
    {
        return conversion;
    }
    const std::size_t converters =
        partitions() * groups_.size() *
        ((columns_ + scheme_.converter.shared_by - 1) / scheme_.converter.shared_by);
    if (converters << scheme_.converter.bits > kMostThresholds)
    {
        throw InputError({"", 0, "converter.shared_by"},
                         std::to_string(converters) + " converters with flaws of their own have "
                                                      "too many thresholds to keep",
                         "share them between more columns, or use fewer bits");
    }
    const Draws draws(identity_.seed);
    std::uint32_t number = 0;
    for (std::size_t partition = 0; partition < partitions(); ++partition)
    {
        for (std::size_t group = 0; group < groups_.size(); ++group)
        {
            for (std::size_t column = 0; column < columns_; column += scheme_.converter.shared_by)
            {
                conversion.tables.emplace_back(
                    scheme, draws, std::array<std::uint32_t, 2>{identity_.block, number++},
                    levels_.quanta());
            }
        }
    }
    return conversion;
}

void Block::read(Tile& tile, std::size_t partition) const
{
    reading_->read(partition, tile.count * tile.slices,
                   tile.inputs.row(0) + partition * scheme_.rows, tile.inputs.columns(), tile.read);
}

template <class Take>
void Block::each_sum(const Tile& tile, const Matrix<float>& sums, std::size_t group_index,
                     std::size_t column, std::size_t count, Take take) const
{
    const bool folded = scheme_.signs == Signs::differential;
    const std::size_t* const at = physical_of_.data() + groups_[group_index].first + column;
    for (std::size_t row = 0; row < tile.count * tile.slices; ++row)
    {
        const float* const its = sums.row(row);
        for (std::size_t i = 0; i < count; ++i)
        {
            take(row, i, folded ? double{its[at[i]]} - double{its[at[i] + 1]} : double{its[at[i]]});
        }
    }
}

void Block::keep_conductances(const Cells& cells, const Analog& analog)
{
    const bool exact = analog.levels.rows() == 0;
    conductances_ = Matrix<float>(rows_, physical_);
    for (std::size_t row = 0; row < rows_; ++row)
    {
        for (std::size_t column = 0; column < physical_; ++column)
        {
            const double level = exact ? static_cast<double>(cells.levels(row, column))
                                       : double{analog.levels(row, column)};
            const int steering = scheme_.signs == Signs::sign_magnitude
                                     ? cells.steering(row, column / cells_per_weight(scheme_))
                                     : 1;
            conductances_(row, column) = static_cast<float>(steering * (level + analog.off));
        }
    }
}

std::unique_ptr<Fluctuation> Block::fluctuation(std::uint32_t start) const
{
    return slow_.any() ? std::make_unique<Fluctuation>(
                             slow_, rows_, physical_,
                             FluctuationIdentity{identity_.seed, identity_.block, start})
                       : nullptr;
}

void Block::fluctuate(Tile& tile, std::size_t partition) const
{
    const std::size_t first = partition * scheme_.rows;
    const std::size_t rows = levels_.rows(partition);
    const double slice_interval = tile.moments.interval / static_cast<double>(tile.slices);
    for (std::size_t at = 0; at < tile.count * tile.slices; ++at)
    {
        const std::size_t vector = tile.first + at / tile.slices;
        const double time = tile.moments.start +
                            static_cast<double>(vector) * tile.moments.interval +
                            static_cast<double>(at % tile.slices) * slice_interval;
        float* const changed = tile.changed.row(at);
        std::fill_n(changed, physical_, 0.0F);
        for (std::size_t row = first; row < first + rows; ++row)
        {
            const float drive = tile.inputs(at, row);
            if (drive != 0)
            {
                add_products(changed, conductances_.row(row),
                             tile.moments.cells->changes(row, time), physical_, drive);
            }
        }
    }
}

void Block::disturb(Tile& tile, std::size_t partition, const Group& group, std::size_t group_index,
                    std::size_t column, std::size_t count) const
{
    variances_.add_up(partition, squares_of(tile, partition * scheme_.rows),
                      {group.first + column, count}, tile.variances);
    const auto scale = static_cast<float>(levels_.quanta() * variances_.scale());
    const Draws draws(identity_.seed);
    std::array<float, kTileColumns> normal;
    const std::size_t first = group_index * rounded_up(columns_, kNormalChunk) + column;
    for (std::size_t vector = 0; vector < tile.count; ++vector)
    {
        const VectorIdentity& which = (*tile.vectors)[tile.first + vector];
        const auto key = draws.words({which.image, identity_.layer, identity_.block,
                                      static_cast<std::uint32_t>(Purpose::conversion_key)});
        for (std::size_t slice = 0; slice < tile.slices; ++slice)
        {
            const std::size_t row = vector * tile.slices + slice;
            normals(normal.data(), count, first, which.pixel,
                    static_cast<std::uint32_t>(partition << 8U | slice),
                    static_cast<std::uint32_t>(Purpose::conversion), {key[0], key[1]});
            add_noise(tile.sums.row(row), tile.variances.row(row), normal.data(), count, scale);
        }
    }
}

template <class Code>
void Block::convert_tile(const Tile& tile, const Conversion& conversion, std::size_t partition,
                         const Group& group, std::size_t column, std::size_t count,
                         Matrix<std::int64_t>& outputs) const
{
    const bool two_pass = scheme_.coding == InputCoding::two_pass;
    const std::size_t once = two_pass ? tile.slices / 2 : tile.slices;
    const auto [least, most] = code_range(scheme_);
    const auto per_code = static_cast<float>(1 / (conversion.step * levels_.quanta()));
    const std::size_t group_index = static_cast<std::size_t>(&group - groups_.data());
    const std::size_t per_group =
        (columns_ + scheme_.converter.shared_by - 1) / scheme_.converter.shared_by;
    const std::size_t table = (partition * groups_.size() + group_index) * per_group;
    // Of a reference column, the first column of its array says which converter it has.
    const std::size_t per_column = group.reference ? scheme_.columns : 1;
    std::array<Code, kTileColumns> codes;
    for (std::size_t vector = 0; vector < tile.count; ++vector)
    {
        std::int64_t* const total = outputs.row(tile.first + vector);
        for (std::size_t pass = 0; pass < tile.slices / once; ++pass)
        {
            std::fill_n(codes.begin(), count, Code{0});
            for (std::size_t slice = once; slice-- > 0;)
            {
                const float* sums = tile.sums.row(vector * tile.slices + pass * once + slice);
                const bool top = slice + 1 == once;
                const std::int32_t sign =
                    top && scheme_.coding == InputCoding::twos_complement ? -1 : 1;
                if (conversion.tables.empty())
                {
                    convert(codes.data(), sums, count, scheme_.slice_bits, per_code, least, most,
                            sign);
                    continue;
                }
                for (std::size_t i = 0; i < count; ++i)
                {
                    const CodeTable& converter =
                        conversion.tables[table +
                                          (column + i) * per_column / scheme_.converter.shared_by];
                    codes[i] =
                        codes[i] * (Code{1} << scheme_.slice_bits) + sign * converter(sums[i]);
                }
            }
            const std::int64_t sign = pass == 0 ? group.sign : -group.sign;
            if (!group.reference)
            {
                add_shifted(total + column, codes.data(), count, group.shift, sign);
                continue;
            }
            for (std::size_t i = 0; i < count; ++i)
            {
                const std::int64_t all =
                    sign * (std::int64_t{1} << group.shift) * std::int64_t{codes[i]};
                const std::size_t first = (column + i) * scheme_.columns;
                std::for_each(total + first, total + std::min(first + scheme_.columns, columns_),
                              [all](std::int64_t& sum) { sum += all; });
            }
        }
    }
}

template <class Code>
void Block::run(Tile& tile, const std::vector<const Conversion*>& conversions,
                std::vector<Matrix<std::int64_t>>& outputs) const
{
    const auto in_quanta = [this](double level)
    { return static_cast<float>(std::nearbyint(level * levels_.quanta())); };
    for (std::size_t index = 0; index < partitions(); ++index)
    {
        const Drives drives{tile.inputs.row(0) + index * scheme_.rows, tile.count * tile.slices,
                            tile.inputs.columns()};
        if (reading_ != nullptr)
        {
            read(tile, index);
        }
        if (tile.moments.cells != nullptr)
        {
            fluctuate(tile, index);
        }
        for (std::size_t group = 0; group < groups_.size(); ++group)
        {
            for (std::size_t column = 0; column < groups_[group].count; column += kTileColumns)
            {
                const std::size_t count = std::min(kTileColumns, groups_[group].count - column);
                if (reading_ != nullptr)
                {
                    each_sum(tile, tile.read, group, column, count,
                             [&](std::size_t row, std::size_t i, double level)
                             { tile.sums(row, i) = in_quanta(level); });
                }
                else
                {
                    levels_.add_up(index, drives, {groups_[group].first + column, count}, tile.sums,
                                   tile.work);
                }
                if (tile.moments.cells != nullptr)
                {
                    each_sum(tile, tile.changed, group, column, count,
                             [&](std::size_t row, std::size_t i, double level)
                             { tile.sums(row, i) += in_quanta(level); });
                }
                if (!variances_.empty())
                {
                    disturb(tile, index, groups_[group], group, column, count);
                }
                for (std::size_t i = 0; i < conversions.size(); ++i)
                {
                    convert_tile<Code>(tile, *conversions[i], index, groups_[group], column, count,
                                       outputs[i]);
                }
            }
        }
    }
}

void Block::check_inputs(const Matrix<std::int32_t>& inputs) const
{
    if (inputs.columns() != rows_)
    {
        throw InputError({"", 0, "inputs"},
                         "have " + std::to_string(inputs.columns()) + " values for " +
                             std::to_string(rows_) + " rows of weights",
                         "give as many values as the weights have rows");
    }
}

/// For up to so many vectors and columns at once.
Block::Tile Block::make_tile(std::size_t vectors, std::size_t columns) const
{
    Tile tile;
    tile.slices = input_slices(scheme_);
    const std::size_t at_once =
        std::min(vectors, std::max<std::size_t>(1, kTileRows / tile.slices));
    const std::size_t width = rounded_up(columns, 16);
    tile.count = at_once;
    tile.inputs = Matrix<float>(at_once * tile.slices, rows_);
    tile.sums = Matrix<float>(at_once * tile.slices, width);
    if (!variances_.empty())
    {
        tile.variances = tile.sums;
    }
    return tile;
}

/// The drive values of a tile's vectors, and their squares.
void Block::drive(Tile& tile, const Matrix<std::int32_t>& inputs) const
{
    for (std::size_t vector = 0; vector < tile.count; ++vector)
    {
        slice_inputs(scheme_, inputs.row(tile.first + vector), rows_,
                     tile.inputs.row(vector * tile.slices), rows_);
    }
    if (!variances_.empty() && scheme_.slice_bits > 1)
    {
        tile.squares = tile.inputs;
        for (std::size_t row = 0; row < tile.squares.rows(); ++row)
        {
            std::transform(tile.squares.row(row), tile.squares.row(row) + rows_,
                           tile.squares.row(row), [](float value) { return value * value; });
        }
    }
}

Drives Block::squares_of(const Tile& tile, std::size_t first_row)
{
    const Matrix<float>& squares = tile.squares.rows() != 0 ? tile.squares : tile.inputs;
    return {squares.row(0) + first_row, tile.count * tile.slices, squares.columns()};
}

Matrix<double> Block::noise_variances(const Matrix<std::int32_t>& inputs,
                                      std::size_t partition) const
{
    check_inputs(inputs);
    if (variances_.empty() || inputs.rows() == 0)
    {
        return {};
    }
    const double unit = variances_.scale() * variances_.scale();
    Tile tile = make_tile(inputs.rows(), width());
    const std::size_t at_once = tile.count;
    Matrix<double> variances(inputs.rows() * tile.slices, width());
    for (tile.first = 0; tile.first < inputs.rows(); tile.first += at_once)
    {
        tile.count = std::min(at_once, inputs.rows() - tile.first);
        drive(tile, inputs);
        variances_.add_up(partition, squares_of(tile, partition * scheme_.rows), {0, width()},
                          tile.variances);
        for (std::size_t row = 0; row < tile.count * tile.slices; ++row)
        {
            const float* const sums = tile.variances.row(row);
            std::transform(sums, sums + width(), variances.row(tile.first * tile.slices + row),
                           [unit](float sum) { return double{sum} * unit; });
        }
    }
    return variances;
}

Matrix<std::int64_t> Block::multiply(const Matrix<std::int32_t>& inputs,
                                     const std::vector<VectorIdentity>& vectors,
                                     const Moments& moments) const
{
    return std::move(convert_all({&conversion_}, inputs, vectors, moments).front());
}

std::vector<Block::Converted> Block::at_limits(const std::vector<double>& limits,
                                               const Matrix<std::int32_t>& inputs,
                                               const std::vector<VectorIdentity>& vectors,
                                               const Moments& moments) const
{
    std::vector<Conversion> conversions;
    for (const double limit : limits)
    {
        Scheme scheme = scheme_;
        scheme.converter.range = Range::calibrated;
        scheme.converter.limit = limit;
        check(scheme);
        conversions.push_back(conversion_of(scheme));
    }
    std::vector<const Conversion*> all;
    for (const Conversion& conversion : conversions)
    {
        all.push_back(&conversion);
    }
    std::vector<Matrix<std::int64_t>> codes = convert_all(all, inputs, vectors, moments);
    std::vector<Converted> results;
    for (std::size_t i = 0; i < codes.size(); ++i)
    {
        results.push_back({conversions[i].step, std::move(codes[i])});
    }
    return results;
}

std::vector<Matrix<std::int64_t>>
Block::convert_all(const std::vector<const Conversion*>& conversions,
                   const Matrix<std::int32_t>& inputs, const std::vector<VectorIdentity>& vectors,
                   const Moments& moments) const
{
    check_inputs(inputs);
    if (!variances_.empty() && vectors.size() != inputs.rows())
    {
        throw InputError({"", 0, "vectors"}, "do not say which each input is",
                         "read noise needs the image and pixel of every vector");
    }
    Tile tile = make_tile(inputs.rows(), std::min(columns_, kTileColumns));
    const std::size_t at_once = tile.count;
    tile.vectors = &vectors;
    if (reading_ != nullptr)
    {
        tile.read = Matrix<float>(at_once * tile.slices, physical_);
    }
    if (moments.cells != nullptr)
    {
        tile.moments = moments;
        tile.changed = Matrix<float>(at_once * tile.slices, physical_);
    }
    // Codes of all slices side by side: do they fit 32 bits?
    const unsigned code_bits =
        scheme_.converter.rounding == Rounding::ideal ? 31 : scheme_.converter.bits;
    const bool small = code_bits + scheme_.input_bits + scheme_.slice_bits <= 30;
    std::vector<Matrix<std::int64_t>> outputs(conversions.size(),
                                              Matrix<std::int64_t>(inputs.rows(), columns_));
    for (tile.first = 0; tile.first < inputs.rows(); tile.first += at_once)
    {
        tile.count = std::min(at_once, inputs.rows() - tile.first);
        drive(tile, inputs);
        small ? run<std::int32_t>(tile, conversions, outputs)
              : run<std::int64_t>(tile, conversions, outputs);
    }
    return outputs;
}

} // namespace tessera::numerics
