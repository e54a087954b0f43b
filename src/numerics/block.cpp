// SPDX-License-Identifier: Apache-2.0
#include "numerics/block.h"

#include "base/philox.h"
#include "numerics/kernels.h"
#include "numerics/product.h"
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
constexpr int kMostFraction = 15;         ///< bits below one level
constexpr int kLeastFraction = 8;
constexpr std::size_t kMostThresholds = std::size_t{1} << 28U; ///< of a block: 1 GiB
constexpr double kExact = 0x1p24; ///< floats count without gaps up to here

std::size_t rounded_up(std::size_t value, std::size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/// A power of two's exponent so that `greatest` times it, and what rounding `terms` terms adds,
/// stays exact.
int exponent_below(double greatest, std::size_t terms)
{
    return static_cast<int>(
        std::floor(std::log2((kExact - static_cast<double>(terms)) / std::max(greatest, 1e-30))));
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
      step_(code_step(scheme)),
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
    if (needs_table(scheme_.converter))
    {
        make_tables();
    }
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
    const bool exact = analog.levels.rows() == 0;
    const bool noisy = analog.read_sigma.rows() != 0;
    const std::size_t width = groups_.back().first + groups_.back().count;
    const double drive = std::exp2(scheme_.slice_bits) - 1;

    const auto level = [&](std::size_t row, std::size_t physical)
    {
        return exact ? static_cast<double>(cells.levels(row, physical))
                     : static_cast<double>(analog.levels(row, physical));
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
        if (scheme_.signs == Signs::sign_magnitude)
        {
            const int steering = cells.steering(row, column);
            return of(row, at) * (variance ? steering * steering : steering);
        }
        return of(row, at);
    };
    const auto variance_of = [&](std::size_t row, std::size_t physical)
    {
        const double sigma = analog.read_sigma(row, physical);
        return sigma * sigma;
    };

    double greatest = 0;
    double greatest_variance = 0;
    std::vector<Matrix<double>> values;
    std::vector<Matrix<double>> variances;
    for (std::size_t first = 0; first < rows_; first += scheme_.rows)
    {
        const std::size_t count = std::min(scheme_.rows, rows_ - first);
        Matrix<double> value(count, width);
        Matrix<double> variance(noisy ? count : 0, noisy ? width : 0);
        for (std::size_t row = 0; row < count; ++row)
        {
            for (const Group& group : groups_)
            {
                for (std::size_t column = 0; column < group.count; ++column)
                {
                    value(row, group.first + column) =
                        combined(first + row, group, column, level, false);
                    if (noisy)
                    {
                        variance(row, group.first + column) =
                            combined(first + row, group, column, variance_of, true);
                    }
                }
            }
        }
        for (std::size_t column = 0; column < width; ++column)
        {
            double sum = 0;
            double variance_sum = 0;
            for (std::size_t row = 0; row < count; ++row)
            {
                sum += std::abs(value(row, column));
                variance_sum += noisy ? variance(row, column) : 0;
            }
            greatest = std::max(greatest, sum * drive);
            greatest_variance = std::max(greatest_variance, variance_sum * drive * drive);
        }
        values.push_back(std::move(value));
        variances.push_back(std::move(variance));
    }

    const auto terms = static_cast<std::size_t>(static_cast<double>(scheme_.rows) * drive);
    if (!exact)
    {
        const int fraction = std::min(kMostFraction, exponent_below(greatest, terms));
        if (fraction < kLeastFraction)
        {
            throw InputError({"", 0, "rows"},
                             "sums of this many cells leave fewer than 8 bits below a level",
                             "use fewer rows per partition, or smaller input slices or cells");
        }
        quanta_ = std::exp2(fraction);
    }
    int variance_exponent = 0;
    if (noisy)
    {
        const auto variance_terms =
            static_cast<std::size_t>(static_cast<double>(scheme_.rows) * drive * drive);
        variance_exponent =
            exponent_below(greatest_variance, std::min<std::size_t>(variance_terms, 1U << 23U));
        variance_exponent -= variance_exponent & 1; // its root is a power of two
        variance_exponent = std::min(variance_exponent, 60);
        noise_scale_ = static_cast<float>(quanta_ * std::exp2(-variance_exponent / 2));
    }
    for (std::size_t part = 0; part < values.size(); ++part)
    {
        Partition partition;
        partition.first_row = part * scheme_.rows;
        partition.cells = Matrix<float>(values[part].rows(), width);
        partition.variances = Matrix<float>(variances[part].rows(), variances[part].columns());
        for (std::size_t row = 0; row < values[part].rows(); ++row)
        {
            for (std::size_t column = 0; column < width; ++column)
            {
                partition.cells(row, column) =
                    static_cast<float>(std::nearbyint(values[part](row, column) * quanta_));
                if (noisy)
                {
                    partition.variances(row, column) = static_cast<float>(std::nearbyint(
                        variances[part](row, column) * std::exp2(variance_exponent)));
                }
            }
        }
        partitions_.push_back(std::move(partition));
    }
}

void Block::make_tables()
{
    const std::size_t converters =
        partitions_.size() * groups_.size() *
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
    for (std::size_t partition = 0; partition < partitions_.size(); ++partition)
    {
        for (std::size_t group = 0; group < groups_.size(); ++group)
        {
            for (std::size_t column = 0; column < columns_; column += scheme_.converter.shared_by)
            {
                tables_.emplace_back(scheme_, draws,
                                     std::array<std::uint32_t, 2>{identity_.block, number++},
                                     quanta_);
            }
        }
    }
}

void Block::read(Tile& tile, std::size_t partition) const
{
    reading_->read(partition, tile.count * tile.slices,
                   tile.inputs.row(0) + partitions_[partition].first_row, tile.inputs.columns(),
                   tile.read);
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
    const std::size_t first = partitions_[partition].first_row;
    const std::size_t rows = partitions_[partition].cells.rows();
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
    const Partition& part = partitions_[partition];
    const Matrix<float>& squares = tile.squares.rows() != 0 ? tile.squares : tile.inputs;
    const std::size_t rows = part.cells.rows();
    product(tile.count * tile.slices, count, rows, squares.row(0), squares.columns(),
            part.variances.row(0) + group.first + column, part.variances.columns(),
            tile.variances.row(0), tile.variances.columns());
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
            add_noise(tile.sums.row(row), tile.variances.row(row), normal.data(), count,
                      noise_scale_);
        }
    }
}

template <class Code>
void Block::convert_tile(const Tile& tile, std::size_t partition, const Group& group,
                         std::size_t column, std::size_t count, Matrix<std::int64_t>& outputs) const
{
    const bool two_pass = scheme_.coding == InputCoding::two_pass;
    const std::size_t once = two_pass ? tile.slices / 2 : tile.slices;
    const auto [least, most] = code_range(scheme_);
    const auto per_code = static_cast<float>(1 / (step_ * quanta_));
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
                if (tables_.empty())
                {
                    convert(codes.data(), sums, count, scheme_.slice_bits, per_code, least, most,
                            sign);
                    continue;
                }
                for (std::size_t i = 0; i < count; ++i)
                {
                    const CodeTable& converter =
                        tables_[table + (column + i) * per_column / scheme_.converter.shared_by];
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

template <class Code> void Block::run(Tile& tile, Matrix<std::int64_t>& outputs) const
{
    for (std::size_t index = 0; index < partitions_.size(); ++index)
    {
        const Partition& partition = partitions_[index];
        const std::size_t rows = partition.cells.rows();
        const auto in_quanta = [this](double level)
        { return static_cast<float>(std::nearbyint(level * quanta_)); };
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
                    product(tile.count * tile.slices, count, rows,
                            tile.inputs.row(0) + partition.first_row, tile.inputs.columns(),
                            partition.cells.row(0) + groups_[group].first + column,
                            partition.cells.columns(), tile.sums.row(0), tile.sums.columns());
                }
                if (tile.moments.cells != nullptr)
                {
                    each_sum(tile, tile.changed, group, column, count,
                             [&](std::size_t row, std::size_t i, double level)
                             { tile.sums(row, i) += in_quanta(level); });
                }
                if (partition.variances.rows() != 0)
                {
                    disturb(tile, index, groups_[group], group, column, count);
                }
                convert_tile<Code>(tile, index, groups_[group], column, count, outputs);
            }
        }
    }
}

Matrix<std::int64_t> Block::multiply(const Matrix<std::int32_t>& inputs,
                                     const std::vector<VectorIdentity>& vectors,
                                     const Moments& moments) const
{
    if (inputs.columns() != rows_)
    {
        throw InputError({"", 0, "inputs"},
                         "have " + std::to_string(inputs.columns()) + " values for " +
                             std::to_string(rows_) + " rows of weights",
                         "give as many values as the weights have rows");
    }
    const bool noisy = partitions_.front().variances.rows() != 0;
    if (noisy && vectors.size() != inputs.rows())
    {
        throw InputError({"", 0, "vectors"}, "do not say which each input is",
                         "read noise needs the image and pixel of every vector");
    }
    Tile tile;
    tile.slices = input_slices(scheme_);
    tile.vectors = &vectors;
    const std::size_t at_once =
        std::min(inputs.rows(), std::max<std::size_t>(1, kTileRows / tile.slices));
    const std::size_t width = rounded_up(std::min(columns_, kTileColumns), 16);
    tile.inputs = Matrix<float>(at_once * tile.slices, rows_);
    tile.sums = Matrix<float>(at_once * tile.slices, width);
    if (noisy)
    {
        tile.variances = tile.sums;
    }
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
        scheme_.converter.rounding == Rounding::ideal ? 25 : scheme_.converter.bits;
    const bool small = code_bits + scheme_.input_bits + scheme_.slice_bits <= 30;
    Matrix<std::int64_t> outputs(inputs.rows(), columns_);
    for (tile.first = 0; tile.first < inputs.rows(); tile.first += at_once)
    {
        tile.count = std::min(at_once, inputs.rows() - tile.first);
        for (std::size_t vector = 0; vector < tile.count; ++vector)
        {
            slice_inputs(scheme_, inputs.row(tile.first + vector), rows_,
                         tile.inputs.row(vector * tile.slices), rows_);
        }
        if (noisy && scheme_.slice_bits > 1)
        {
            tile.squares = tile.inputs;
            for (std::size_t row = 0; row < tile.squares.rows(); ++row)
            {
                std::transform(tile.squares.row(row), tile.squares.row(row) + rows_,
                               tile.squares.row(row), [](float value) { return value * value; });
            }
        }
        small ? run<std::int32_t>(tile, outputs) : run<std::int64_t>(tile, outputs);
    }
    return outputs;
}

} // namespace tessera::numerics
