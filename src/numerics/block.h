// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/cells.h"
#include "numerics/converter.h"
#include "numerics/matrix.h"
#include "numerics/processes.h"
#include "numerics/scheme.h"
#include "numerics/sums.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace tessera::numerics
{

/// Crossbars whose columns' sums are not products with a matrix. Reads depend on nothing but their
/// drives, and may be made on any thread.
class Reading
{
public:
    Reading() = default;
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    virtual ~Reading() = default;
    /// Sums, in levels, of all physical columns of a partition for `count` inputs: one drive value
    /// per row each, `stride` apart. An input's sums have the same bits whichever are beside it.
    virtual void read(std::size_t partition, std::size_t count, const float* drives,
                      std::size_t stride, Matrix<float>& levels) const = 0;
};

/// What the cells of a block really are, in levels above the off state, by row and physical column
/// (as in Cells). Empty matrices: exactly what they should be; no read noise.
struct Analog
{
    Matrix<float> levels;
    Matrix<float> read_sigma; ///< white noise of one read of the cell at full drive, in levels
    std::shared_ptr<const Reading> reading; ///< null: sums are those of the levels
    double off = 0; ///< conductance of level 0, in levels; steered cells give it to their line
    /// Steered cells: what `off` adds to sums is taken away again (it leaves differences of two
    /// cells by itself).
    bool off_cancels = false;
    SlowNoise slow; ///< changes conductances between reads
};

/// What a block's errors depend on beside the vector.
struct BlockIdentity
{
    std::uint64_t seed = 0;
    std::uint32_t layer = 0;
    std::uint32_t block = 0;
    std::uint32_t write_count = 1; ///< writes of its cells, this one included
};

/// Which vector this is: the noise of a conversion depends on it, not on when it is made.
struct VectorIdentity
{
    std::uint32_t image = 0;
    std::uint32_t pixel = 0;
};

/// A matrix of weights in crossbars, and its products with input vectors as the converters see
/// them. Immutable: any number of threads may multiply at once. A vector's result has the same bits
/// in every batch and on every thread.
class Block
{
public:
    /// Throws InputError for a scheme, weights or levels that cannot be.
    Block(const Scheme& scheme, const Matrix<std::int32_t>& weights, const Analog& analog = {},
          const BlockIdentity& identity = {});

    [[nodiscard]] std::size_t rows() const { return rows_; }
    [[nodiscard]] std::size_t columns() const { return columns_; }
    /// Units of an accumulator: levels per code.
    [[nodiscard]] double step() const { return conversion_.step; }
    /// What is added to column `column` after scaling: -z times the sum of its weights, for the
    /// bias to contain. 0 unless inputs have a zero point.
    [[nodiscard]] std::int64_t correction(std::size_t column) const { return correction_[column]; }

    /// What shift-and-add holds after each of the vectors (rows of `inputs`), in codes; times
    /// step() plus correction() it is the product. `vectors` is not looked at without read noise,
    /// and may then be empty. `moments` has the state of cells that fluctuate, or they do not; what
    /// a change of conductance does to a sum is added as the cell itself would be without wires.
    /// Throws InputError for wrong shapes and inputs out of range.
    [[nodiscard]] Matrix<std::int64_t> multiply(const Matrix<std::int32_t>& inputs,
                                                const std::vector<VectorIdentity>& vectors = {},
                                                const Moments& moments = {}) const;

    /// What multiply() gives of converters with another range.
    struct Converted
    {
        double step = 1; ///< as step()
        Matrix<std::int64_t> codes;
    };
    /// With Range::calibrated and each of `limits`. Columns are read once for all of them, so that
    /// all see the same noise.
    [[nodiscard]] std::vector<Converted> at_limits(const std::vector<double>& limits,
                                                   const Matrix<std::int32_t>& inputs,
                                                   const std::vector<VectorIdentity>& vectors = {},
                                                   const Moments& moments = {}) const;
    /// Variances of the white noise that multiply() adds to conversions of a partition, in levels
    /// squared: by vector and input slice, and by column of each weight slice (of separate pairs:
    /// and side), last the reference column. Empty without read noise.
    [[nodiscard]] Matrix<double> noise_variances(const Matrix<std::int32_t>& inputs,
                                                 std::size_t partition) const;

    /// For multiply(): the state of this block's cells at the beginning of the time that `start`
    /// tells apart from others. Null: they do not fluctuate.
    [[nodiscard]] std::unique_ptr<Fluctuation> fluctuation(std::uint32_t start) const;

private:
    /// Neighbouring columns of a partition's matrix that are treated alike.
    struct Group
    {
        std::size_t first = 0;
        std::size_t count = 0;
        unsigned shift = 0; ///< of the codes
        std::int64_t sign = 1;
        bool reference = false; ///< one column for those of each array
    };
    /// What turns sums into codes.
    struct Conversion
    {
        double step = 1;               ///< levels a code
        std::vector<CodeTable> tables; ///< by partition, group and column / shared_by
    };
    struct Tile;

    void make_groups();
    [[nodiscard]] std::size_t width() const { return groups_.back().first + groups_.back().count; }
    [[nodiscard]] std::size_t partitions() const
    {
        return (rows_ + scheme_.rows - 1) / scheme_.rows;
    }
    void check_inputs(const Matrix<std::int32_t>& inputs) const;
    void check_sums() const;
    [[nodiscard]] Tile make_tile(std::size_t vectors, std::size_t columns) const;
    void drive(Tile& tile, const Matrix<std::int32_t>& inputs) const;
    [[nodiscard]] static Drives squares_of(const Tile& tile, std::size_t first_row);
    void keep_conductances(const Cells& cells, const Analog& analog);
    void fill(const Cells& cells, const Analog& analog);
    [[nodiscard]] Conversion conversion_of(const Scheme& scheme) const;
    void read(Tile& tile, std::size_t partition) const;
    void fluctuate(Tile& tile, std::size_t partition) const;
    /// Calls take(vector and input slice, column - `column`, level) for a group's part of sums of
    /// physical columns.
    template <class Take>
    void each_sum(const Tile& tile, const Matrix<float>& sums, std::size_t group_index,
                  std::size_t column, std::size_t count, Take take) const;
    /// Codes by conversion.
    [[nodiscard]] std::vector<Matrix<std::int64_t>>
    convert_all(const std::vector<const Conversion*>& conversions,
                const Matrix<std::int32_t>& inputs, const std::vector<VectorIdentity>& vectors,
                const Moments& moments) const;
    template <class Code>
    void run(Tile& tile, const std::vector<const Conversion*>& conversions,
             std::vector<Matrix<std::int64_t>>& outputs) const;
    template <class Code>
    void convert_tile(const Tile& tile, const Conversion& conversion, std::size_t partition,
                      const Group& group, std::size_t column, std::size_t count,
                      Matrix<std::int64_t>& outputs) const;
    void disturb(Tile& tile, std::size_t partition, const Group& group, std::size_t group_index,
                 std::size_t column, std::size_t count) const;

    Scheme scheme_;
    BlockIdentity identity_;
    std::size_t rows_;
    std::size_t columns_;
    std::vector<std::int64_t> correction_;
    std::vector<Group> groups_;
    /// By column of the partitions' matrices, the physical one; of a pair that is subtracted, the
    /// positive one.
    std::vector<std::size_t> physical_of_;
    LevelSums levels_;
    VarianceSums variances_; ///< empty without read noise
    std::shared_ptr<const Reading> reading_;
    std::size_t physical_ = 0; ///< columns of cells, of all arrays
    SlowNoise slow_;
    Matrix<float> conductances_; ///< of cells that fluctuate: row, physical column, in levels
    Conversion conversion_;
};

} // namespace tessera::numerics
