// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/aidac_model.h"
#include "numerics/block.h"
#include "numerics/matrix.h"

#include <cstdint>
#include <vector>

namespace tessera::numerics
{

/// How an AiDAC grid, whose cells hold only positive weights, makes signed products.
enum class AidacSigns : std::uint8_t
{
    none,   ///< weights are 0 or more; the reference column holds 0
    offset, ///< cells hold w + 2^(bits-1), the reference column 2^(bits-1): the sum of the inputs
            ///< leaves with the delays when it is subtracted
    paired  ///< two columns per weight, for either sign; their times are subtracted
};

struct AidacScheme
{
    unsigned weight_bits = 8;
    unsigned input_bits = 8; ///< unsigned inputs
    AidacSigns signs = AidacSigns::offset;
};

/// Which of the model's errors happen. Quantisation: codes are whole and end with the converter's
/// range; without it codes are times in units of a step, and product() is the only way to see them.
struct AidacErrors
{
    bool mismatch = true;
    bool thermal = true; ///< kT/C
    bool injection = true;
    bool leakage = true;
    bool converter = true; ///< gain, offset and bow of the voltage-to-time converters
    bool jitter = true;
    bool device = true; ///< of RRAM kinds: what programming leaves; else the cell's mean
    bool quantisation = true;

    [[nodiscard]] static constexpr AidacErrors none()
    {
        return {false, false, false, false, false, false, false, false};
    }
};

/// What calibration sets: of the voltage-to-time converters and the time-to-digital ones.
struct AidacReadout
{
    double gain = 0;  ///< seconds per volt
    double range = 0; ///< seconds: a step for each code of the time-to-digital converter
};

/// The parts that a grid of so many weights needs.
struct AidacCost
{
    std::size_t chained = 0;          ///< arrays on top of each other
    std::size_t beside = 0;           ///< arrays next to each other
    std::size_t rows = 0;             ///< of arrays, driven
    std::size_t cells = 0;            ///< capacitors, those of reference columns included
    std::size_t groups_per_array = 0; ///< groups of bit columns that are weighed
    std::size_t conversions = 0;      ///< voltage to time, in all arrays
    std::size_t tdcs = 0;
};
/// Throws InputError where scheme and array do not fit: 2^input_bits must divide the cells of a row
/// (without the reference column), 2^(weight_bits-1) the rows of an array.
[[nodiscard]] AidacCost aidac_cost(const AidacModel& model, const AidacScheme& scheme,
                                   std::size_t rows, std::size_t columns);

/// Bits of a time-to-digital converter that lose nothing of `rows` rows: its step is one unit of
/// the product, its codes (without a sign only for AidacSigns::none) hold every sum that there can
/// be.
[[nodiscard]] unsigned aidac_lossless_bits(const AidacScheme& scheme, std::size_t rows);

/// AidacBlock::nominal() of that many chained arrays.
[[nodiscard]] AidacReadout aidac_nominal(const AidacModel& model, const AidacScheme& scheme,
                                         std::size_t chained);

/// Volts at the converter of an array per unit of its sum of inputs times weights.
[[nodiscard]] double aidac_volts_per_unit(const AidacModel& model, const AidacScheme& scheme);
/// 1 sigma of kT/C, in volts: common to a row after its input conversion, and of one weighted sum
/// that the row's noise is not part of.
[[nodiscard]] double aidac_row_noise(const AidacModel& model, const AidacScheme& scheme);
[[nodiscard]] double aidac_sum_noise(const AidacModel& model, const AidacScheme& scheme);

/// Weights in a grid of arrays, and products with them through charge and time. Immutable: any
/// number of threads may multiply at once, and a vector's result has the same bits in every batch.
class AidacBlock
{
public:
    /// Rows of `weights` go down the chain of arrays. Throws InputError for a scheme, weights or a
    /// model that cannot be. A readout of 0: nominal(), for operands of any size.
    AidacBlock(const AidacModel& model, const AidacScheme& scheme,
               const Matrix<std::int32_t>& weights, const AidacErrors& errors = {},
               const BlockIdentity& identity = {}, const AidacReadout& readout = {});

    [[nodiscard]] std::size_t rows() const { return rows_; }
    [[nodiscard]] std::size_t columns() const { return columns_; }
    [[nodiscard]] const AidacReadout& readout() const { return readout_; }
    /// Full scale of every operand fills the window; the converter's codes, which are two's
    /// complement where products have a sign, reach to the most negative sum that there can be, or
    /// without a sign to the greatest. Rows are those of whole arrays.
    [[nodiscard]] AidacReadout nominal() const;
    /// Gain and range for data such as these vectors (rows): the longest column time fills the
    /// window, the largest difference the converter, both with a margin of 5 %, as far as gain and
    /// step can be set.
    [[nodiscard]] AidacReadout calibrated(const Matrix<std::int32_t>& inputs) const;
    /// Units of the product per code.
    [[nodiscard]] double step() const { return step_; }
    /// Bits of RRAM cells that are read as their opposite.
    [[nodiscard]] std::size_t wrong_bits() const { return wrong_bits_; }

    /// Codes, a row per vector; times step() they are the product. Throws InputError for wrong
    /// shapes and inputs out of range. `vectors` may be empty where nothing is noisy.
    [[nodiscard]] Matrix<std::int64_t>
    multiply(const Matrix<std::int32_t>& inputs,
             const std::vector<VectorIdentity>& vectors = {}) const;
    /// The same in units of the product.
    [[nodiscard]] Matrix<double> product(const Matrix<std::int32_t>& inputs,
                                         const std::vector<VectorIdentity>& vectors = {}) const;
    /// What each column says of inputs of 0, in units of the product: the mean of some reads. To be
    /// taken away digitally, which trims the offset of the column's circuits.
    [[nodiscard]] std::vector<double> offsets() const;
    /// Volts of the weighted sums, a row per chained array and a column per physical group of bit
    /// columns, array by array, the reference last. Noise as in multiply().
    [[nodiscard]] Matrix<double> voltages(const std::int32_t* inputs,
                                          const VectorIdentity& vector = {}) const;
    /// Capacitors of one array in farads, by row and bit column (from the lowest bit of the first
    /// group to the highest of the reference).
    [[nodiscard]] Matrix<double> capacitors(std::size_t chained, std::size_t beside) const;

private:
    struct Array
    {
        Matrix<double> bits;          ///< volts of a row's conversion, by row and input bit
        double offset = 0;            ///< volts that opening the groups' switches adds to a row
        Matrix<double> transfer;      ///< weighted sum by row voltage: row, group
        std::vector<double> constant; ///< volts, by group
        std::vector<double> gain;     ///< of the converters, around 1
        std::vector<double> shift;    ///< volts at their input
    };
    void build(Array& array, std::size_t chained, std::size_t beside,
               const Matrix<std::int32_t>& weights);
    [[nodiscard]] std::uint32_t stored(const Matrix<std::int32_t>& weights, std::size_t row,
                                       std::size_t beside, std::size_t group) const;
    void make_cells(std::size_t index, const Matrix<std::uint8_t>& stored_bits,
                    Matrix<double>& kept);
    void check_inputs(const Matrix<std::int32_t>& inputs) const;
    /// Volts as the converters see them, added up along the chains: by array beside and group.
    void add_up(const std::int32_t* inputs, const VectorIdentity& vector,
                std::vector<double>& volts) const;
    /// What is left of an output's column after subtraction; `limit`: the longest chain, in volts.
    [[nodiscard]] double difference(const std::vector<double>& volts, std::size_t column,
                                    double limit) const;

    AidacModel model_;
    AidacScheme scheme_;
    AidacErrors errors_;
    BlockIdentity identity_;
    std::size_t rows_;
    std::size_t columns_;
    AidacCost cost_;
    AidacReadout readout_;
    double step_ = 0;
    std::size_t wrong_bits_ = 0;
    std::vector<Array> arrays_; ///< chained x beside
};

} // namespace tessera::numerics
