// SPDX-License-Identifier: Apache-2.0
#include "numerics/aidac.h"

#include "base/integer.h"
#include "base/philox.h"
#include "numerics/device.h"
#include "numerics/kernels.h"
#include "numerics/purpose.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tessera::numerics
{
namespace
{

constexpr double kBoltzmann = 1.380649e-23; // J/K, exact
constexpr double kMargin = 1.05;            // of calibrated ranges

/// Sizes that follow from model and scheme.
struct Shape
{
    std::size_t rows;         ///< of an array
    std::size_t groups;       ///< of bit columns, without the reference
    std::size_t bits;         ///< columns of a group
    std::size_t cells;        ///< of a row, those of the reference included
    std::size_t unit;         ///< cells that are one unit of the input conversion
    std::size_t least_weight; ///< cells of the lowest bit's column that are weighed

    Shape(const AidacModel& model, const AidacScheme& scheme)
        : rows(static_cast<std::size_t>(model.array_rows)),
          groups(static_cast<std::size_t>(model.array_outputs)),
          bits(scheme.weight_bits),
          cells((groups + 1) * bits),
          unit(groups * bits >> scheme.input_bits),
          least_weight(rows >> (scheme.weight_bits - 1))
    {
    }
    [[nodiscard]] std::size_t weighed(std::size_t bit) const { return least_weight << bit; }
    /// Cells on the line of a weighted sum.
    [[nodiscard]] std::size_t all_weighed() const { return least_weight * ((1U << bits) - 1); }
    [[nodiscard]] std::size_t outputs(AidacSigns signs) const
    {
        return signs == AidacSigns::paired ? groups / 2 : groups;
    }
};

void check_scheme(const AidacModel& model, const AidacScheme& scheme)
{
    const auto refuse = [&](const char* what, const std::string& problem, const std::string& remedy)
    {
        throw InputError({model.name, 0, what}, problem, remedy);
    };
    if (scheme.weight_bits < 1 || scheme.weight_bits > 8 || scheme.input_bits < 1 ||
        scheme.input_bits > 12)
    {
        refuse("weight_bits, input_bits",
               "an AiDAC array holds weights of 1..8 and inputs of 1..12 bits", "quantise");
    }
    const auto columns = static_cast<std::size_t>(model.array_outputs) * scheme.weight_bits;
    if (columns % (std::size_t{1} << scheme.input_bits) != 0)
    {
        refuse("array_outputs",
               std::to_string(columns) + " cells of a row do not make groups of 1, 1, 2, 4, ... " +
                   std::to_string(std::size_t{1} << (scheme.input_bits - 1)) + " units",
               "give outputs x weight_bits that 2^input_bits divides");
    }
    const auto rows = static_cast<std::size_t>(model.array_rows);
    if (rows % (std::size_t{1} << (scheme.weight_bits - 1)) != 0)
    {
        refuse("array_rows",
               std::to_string(rows) + " rows cannot be weighed 1 : 2 : ... : " +
                   std::to_string(std::size_t{1} << (scheme.weight_bits - 1)),
               "give a number of rows that 2^(weight_bits-1) divides");
    }
    if (scheme.signs == AidacSigns::paired &&
        static_cast<std::size_t>(model.array_outputs) % 2 != 0)
    {
        refuse("array_outputs", "an odd number of outputs makes no pairs", "give an even number");
    }
}

double farads(const AidacModel& model)
{
    return model.unit_ff * 1e-15;
}

/// Capacitance of the line that a weighted sum is made on.
double sum_farads(const AidacModel& model, const Shape& shape)
{
    return static_cast<double>(shape.all_weighed()) * farads(model) + model.vtc_input_ff * 1e-15;
}

double off_siemens(const AidacModel& model)
{
    return model.leak_pa * 1e-12 / model.supply_v;
}

/// Conductance of the transistor that an RRAM of `us` gates, in siemens.
double gated_siemens(const AidacModel& model, double us)
{
    const double gate = model.supply_v * us / (us + model.gate_reference_us);
    const double scale = model.gate_slope_mv * 1e-3 / std::log(10.0);
    return model.gate_us_per_v * 1e-6 * scale *
           std::log1p(std::exp((gate - model.gate_threshold_v) / scale));
}

} // namespace

AidacCost aidac_cost(const AidacModel& model, const AidacScheme& scheme, std::size_t rows,
                     std::size_t columns)
{
    check_scheme(model, scheme);
    const Shape shape(model, scheme);
    AidacCost cost;
    cost.chained = ceil_div(rows, shape.rows);
    cost.beside = ceil_div(columns, shape.outputs(scheme.signs));
    const std::size_t arrays = cost.chained * cost.beside;
    cost.rows = arrays * shape.rows;
    cost.cells = cost.rows * shape.cells;
    cost.groups_per_array = shape.groups + 1;
    cost.conversions = arrays * cost.groups_per_array;
    cost.tdcs = columns;
    return cost;
}

unsigned aidac_lossless_bits(const AidacScheme& scheme, std::size_t rows)
{
    const auto input = (std::int64_t{1} << scheme.input_bits) - 1;
    const bool is_signed = scheme.signs != AidacSigns::none;
    // Two's complement has the most negative sum as its least code.
    const auto weight = is_signed ? std::int64_t{1} << (scheme.weight_bits - 1)
                                  : (std::int64_t{1} << scheme.weight_bits) - 1;
    const std::int64_t greatest = static_cast<std::int64_t>(rows) * input * weight;
    return is_signed ? bit_length(greatest - 1) + 1 : bit_length(greatest);
}

AidacReadout aidac_nominal(const AidacModel& model, const AidacScheme& scheme, std::size_t chained)
{
    const Shape shape(model, scheme);
    const double weights = std::exp2(scheme.weight_bits);
    const double full = aidac_volts_per_unit(model, scheme) *
                        static_cast<double>(shape.rows * chained) *
                        (std::exp2(scheme.input_bits) - 1) * (weights - 1);
    const double window = model.window_ns * 1e-9;
    const double codes = std::exp2(model.tdc_bits);
    // The greatest weight without a sign is weights - 1, and the greatest code codes - 1. Half the
    // codes are those of -weights/2.
    const double range = scheme.signs == AidacSigns::none ? window * codes / (codes - 1)
                                                          : window * weights / (weights - 1);
    return {window / full, range};
}

double aidac_volts_per_unit(const AidacModel& model, const AidacScheme& scheme)
{
    const Shape shape(model, scheme);
    return model.supply_v * static_cast<double>(shape.unit) / static_cast<double>(shape.cells) *
           static_cast<double>(shape.least_weight) * farads(model) /
           (static_cast<double>(shape.rows) * sum_farads(model, shape));
}

double aidac_row_noise(const AidacModel& model, const AidacScheme& scheme)
{
    // Every capacitor of the row is cut off from supply or ground with kT C of charge noise.
    const Shape shape(model, scheme);
    return std::sqrt(kBoltzmann * model.temperature_k /
                     (static_cast<double>(shape.cells) * farads(model)));
}

double aidac_sum_noise(const AidacModel& model, const AidacScheme& scheme)
{
    const Shape shape(model, scheme);
    const double kt = kBoltzmann * model.temperature_k;
    const double one = farads(model);
    const double column = static_cast<double>(shape.rows) * one;
    const double line = sum_farads(model, shape);
    // Of the converter's own capacitor, reset before.
    double charge = kt * model.vtc_input_ff * 1e-15;
    for (std::size_t bit = 0; bit < shape.bits; ++bit)
    {
        const double part = static_cast<double>(shape.weighed(bit)) * one;
        // Each cell, cut off from its row or from ground: kT C, so kT / (rows C) of the column.
        charge += part * part * kt / column;
        // The part that is weighed, cut off from the rest of its column.
        charge += kt * part * (column - part) / column;
    }
    return std::sqrt(charge) / line;
}

AidacBlock::AidacBlock(const AidacModel& model, const AidacScheme& scheme,
                       const Matrix<std::int32_t>& weights, const AidacErrors& errors,
                       const BlockIdentity& identity, const AidacReadout& readout)
    : model_(model),
      scheme_(scheme),
      errors_(errors),
      identity_(identity),
      rows_(weights.rows()),
      columns_(weights.columns()),
      cost_(aidac_cost(model, scheme, weights.rows(), weights.columns()))
{
    check_hold(model, {model.name, 0, "cell"});
    if (rows_ == 0 || columns_ == 0)
    {
        throw InputError({model.name, 0, "weights"}, "there are none", "give a matrix of weights");
    }
    const std::int32_t span = std::int32_t{1} << scheme.weight_bits;
    const std::int32_t least = scheme.signs == AidacSigns::none ? 0 : -span / 2;
    for (std::size_t row = 0; row < rows_; ++row)
    {
        for (std::size_t column = 0; column < columns_; ++column)
        {
            const std::int32_t weight = weights(row, column);
            if (weight < least || weight >= least + span)
            {
                throw InputError({model.name, 0,
                                  "weights/" + std::to_string(row) + '/' + std::to_string(column)},
                                 "weight " + std::to_string(weight) + " is out of range",
                                 "quantise to " + std::to_string(least) + ".." +
                                     std::to_string(least + span - 1));
            }
        }
    }
    readout_ = readout.gain == 0 ? nominal() : readout;
    step_ = readout_.range / std::exp2(model.tdc_bits) /
            (readout_.gain * aidac_volts_per_unit(model, scheme));
    arrays_.resize(cost_.chained * cost_.beside);
    for (std::size_t chained = 0; chained < cost_.chained; ++chained)
    {
        for (std::size_t beside = 0; beside < cost_.beside; ++beside)
        {
            build(arrays_[chained * cost_.beside + beside], chained, beside, weights);
        }
    }
}

AidacReadout AidacBlock::nominal() const
{
    return aidac_nominal(model_, scheme_, cost_.chained);
}

std::uint32_t AidacBlock::stored(const Matrix<std::int32_t>& weights, std::size_t row,
                                 std::size_t beside, std::size_t group) const
{
    const Shape shape(model_, scheme_);
    const std::int32_t half = std::int32_t{1} << (scheme_.weight_bits - 1);
    if (group == shape.groups)
    {
        return scheme_.signs == AidacSigns::offset ? static_cast<std::uint32_t>(half) : 0;
    }
    const bool paired = scheme_.signs == AidacSigns::paired;
    const std::size_t column = beside * shape.outputs(scheme_.signs) + (paired ? group / 2 : group);
    if (row >= rows_ || column >= columns_)
    {
        return 0;
    }
    const std::int32_t weight = weights(row, column);
    switch (scheme_.signs)
    {
    case AidacSigns::none:
        return static_cast<std::uint32_t>(weight);
    case AidacSigns::offset:
        return static_cast<std::uint32_t>(weight + half);
    case AidacSigns::paired:
        return static_cast<std::uint32_t>(std::max(group % 2 == 0 ? weight : -weight, 0));
    }
    return 0;
}

Matrix<double> AidacBlock::capacitors(std::size_t chained, std::size_t beside) const
{
    const Shape shape(model_, scheme_);
    const double unit = farads(model_);
    Matrix<double> values(shape.rows, shape.cells, unit);
    if (!errors_.mismatch)
    {
        return values;
    }
    const double sigma = model_.mismatch_percent / 100 / std::sqrt(model_.unit_ff);
    const auto index = static_cast<std::uint32_t>(chained * cost_.beside + beside);
    const auto key = Draws(identity_.seed)
                         .words({index, identity_.layer, identity_.block,
                                 static_cast<std::uint32_t>(Purpose::capacitor)});
    std::vector<float> normal(shape.cells);
    for (std::size_t row = 0; row < shape.rows; ++row)
    {
        normals(normal.data(), shape.cells, 0, static_cast<std::uint32_t>(row), key[2],
                static_cast<std::uint32_t>(Purpose::capacitor), {key[0], key[1]});
        for (std::size_t cell = 0; cell < shape.cells; ++cell)
        {
            values(row, cell) = unit * std::max(0.01, 1 + sigma * double{normal[cell]});
        }
    }
    return values;
}

void AidacBlock::make_cells(std::size_t index, const Matrix<std::uint8_t>& stored_bits,
                            Matrix<double>& kept)
{
    if (model_.cell == AidacCell::sram)
    {
        for (std::size_t row = 0; row < kept.rows(); ++row)
        {
            for (std::size_t cell = 0; cell < kept.columns(); ++cell)
            {
                kept(row, cell) = stored_bits(row, cell);
            }
        }
        return;
    }
    const Device device = load_device(model_.device);
    // A bit of 0 discharges: low resistance.
    Matrix<std::uint8_t> levels(kept.rows(), kept.columns());
    for (std::size_t row = 0; row < kept.rows(); ++row)
    {
        for (std::size_t cell = 0; cell < kept.columns(); ++cell)
        {
            levels(row, cell) = stored_bits(row, cell) == 0 ? 1 : 0;
        }
    }
    Writing writing;
    writing.cell_bits = 1;
    writing.time = model_.retention_s;
    if (errors_.device)
    {
        writing.steps = device.steps();
        for (const Step of_reads : {Step::read_noise, Step::flicker, Step::telegraph})
        {
            writing.steps.erase(of_reads);
        }
    }
    const auto key = Draws(identity_.seed)
                         .words({0, identity_.layer, identity_.block,
                                 static_cast<std::uint32_t>(Purpose::aidac_key)});
    writing.seed = std::uint64_t{key[0]} << 32U | key[1];
    writing.array = static_cast<std::uint32_t>(index);
    writing.write_count = identity_.write_count;
    const Written written = write_cells(device, levels, writing);
    const double unit = farads(model_);
    const bool direct = model_.cell == AidacCell::rram_direct;
    for (std::size_t row = 0; row < kept.rows(); ++row)
    {
        for (std::size_t cell = 0; cell < kept.columns(); ++cell)
        {
            const double us =
                device.off + (device.on - device.off) * double{written.analog.levels(row, cell)};
            const double siemens = direct ? us * 1e-6 : gated_siemens(model_, us);
            // A transistor is gated while cells multiply; an RRAM conducts for as long as the
            // charge has to stay.
            const double time = direct ? hold_time(model_) : model_.multiply_ns * 1e-9;
            kept(row, cell) = std::exp(-time * std::max(0.0, siemens) / unit);
            wrong_bits_ += (kept(row, cell) > 0.5) != (stored_bits(row, cell) != 0) ? 1 : 0;
        }
    }
}

void AidacBlock::build(Array& array, std::size_t chained, std::size_t beside,
                       const Matrix<std::int32_t>& weights)
{
    const Shape shape(model_, scheme_);
    const std::size_t index = chained * cost_.beside + beside;
    const std::size_t groups = shape.groups + 1;
    const Draws draws(identity_.seed);
    const Matrix<double> capacitor = capacitors(chained, beside);
    const double fixed = errors_.injection ? model_.injection_ac * 1e-18 : 0;
    const double sloped = errors_.injection ? model_.injection_ac_per_v * 1e-18 : 0;
    const double leak = errors_.leakage ? off_siemens(model_) : 0;

    Matrix<std::uint8_t> bits(shape.rows, shape.cells);
    for (std::size_t row = 0; row < shape.rows; ++row)
    {
        for (std::size_t group = 0; group < groups; ++group)
        {
            const std::uint32_t value = stored(weights, chained * shape.rows + row, beside, group);
            for (std::size_t bit = 0; bit < shape.bits; ++bit)
            {
                bits(row, group * shape.bits + bit) = value >> bit & 1U;
            }
        }
    }
    Matrix<double> kept(shape.rows, shape.cells);
    make_cells(index, bits, kept);

    // Input conversion: groups of 1, 1, 2, 4, ... units are charged, then the row is shorted. The
    // first unit and the reference's cells stay at 0 V.
    array.bits = Matrix<double>(shape.rows, scheme_.input_bits);
    array.offset = fixed / farads(model_);
    Matrix<double> charge(shape.rows, shape.cells); // of the column share, per volt of the row
    Matrix<double> rest(shape.rows, shape.cells);   // and without any
    std::vector<float> normal(shape.cells);
    const auto key =
        draws.words({static_cast<std::uint32_t>(index), identity_.layer, identity_.block,
                     static_cast<std::uint32_t>(Purpose::injected_charge)});
    for (std::size_t row = 0; row < shape.rows; ++row)
    {
        const double* const c = capacitor.row(row);
        double sum = 0;
        for (std::size_t cell = 0; cell < shape.cells; ++cell)
        {
            sum += c[cell];
        }
        for (std::size_t bit = 0; bit < scheme_.input_bits; ++bit)
        {
            double group = 0;
            const std::size_t first = shape.unit << bit;
            for (std::size_t cell = first; cell < 2 * first; ++cell)
            {
                group += c[cell];
            }
            array.bits(row, bit) =
                model_.supply_v * (group + sloped * static_cast<double>(first)) / sum;
        }
        normals(normal.data(), shape.cells, 0, static_cast<std::uint32_t>(row), key[2],
                static_cast<std::uint32_t>(Purpose::injected_charge), {key[0], key[1]});
        for (std::size_t cell = 0; cell < shape.cells; ++cell)
        {
            const double spread =
                1 + model_.injection_mismatch_percent / 100 * double{normal[cell]};
            const double hold = std::exp(-hold_time(model_) * leak / c[cell]);
            // The switch to the row opens at the row's voltage, that to ground at 0 V.
            const double at_row = bits(row, cell) != 0 ? sloped * spread : 0;
            charge(row, cell) = (c[cell] + at_row) * kept(row, cell) * hold;
            rest(row, cell) = fixed * spread * hold;
        }
    }

    // Columns share, then the rows that are weighed are cut off and shorted with those of the
    // group's other bits.
    array.transfer = Matrix<double>(shape.rows, groups);
    array.constant.assign(groups, 0);
    for (std::size_t group = 0; group < groups; ++group)
    {
        double line = model_.vtc_input_ff * 1e-15;
        std::vector<double> part(shape.bits, 0);
        for (std::size_t bit = 0; bit < shape.bits; ++bit)
        {
            for (std::size_t row = 0; row < shape.weighed(bit); ++row)
            {
                part[bit] += capacitor(row, group * shape.bits + bit);
            }
            line += part[bit];
        }
        const double wait = model_.weigh_ns + (model_.vtc_samples != 0 ? 0 : model_.window_ns);
        const double droop =
            std::exp(-wait * 1e-9 * leak * static_cast<double>(shape.all_weighed()) / line);
        for (std::size_t bit = 0; bit < shape.bits; ++bit)
        {
            const std::size_t column = group * shape.bits + bit;
            double whole = 0;
            double constant = 0;
            for (std::size_t row = 0; row < shape.rows; ++row)
            {
                whole += capacitor(row, column);
                constant += rest(row, column);
            }
            const auto count = static_cast<double>(shape.weighed(bit));
            const double share = droop * (part[bit] + sloped * count) / (line * whole);
            for (std::size_t row = 0; row < shape.rows; ++row)
            {
                array.transfer(row, group) += share * charge(row, column);
            }
            array.constant[group] += share * constant + droop * fixed * count / line;
        }
    }

    array.gain.assign(groups, 1);
    array.shift.assign(groups, 0);
    for (std::size_t group = 0; errors_.converter && group < groups; ++group)
    {
        constexpr std::size_t low = (1U << 12U) - 1; // what is beyond goes above the purpose
        const auto which = static_cast<std::uint32_t>(index << 12U | (group & low));
        const auto beyond = static_cast<std::uint32_t>(group >> 12U << 8U | index >> 20U << 12U);
        const auto draw = [&](Purpose purpose)
        {
            return draws.normal({which, identity_.layer, identity_.block,
                                 static_cast<std::uint32_t>(purpose) | beyond});
        };
        array.gain[group] = 1 + model_.vtc_gain_percent / 100 * draw(Purpose::vtc_gain);
        array.shift[group] = model_.vtc_offset_mv * 1e-3 * draw(Purpose::vtc_offset);
    }
}

void AidacBlock::check_inputs(const Matrix<std::int32_t>& inputs) const
{
    if (inputs.columns() != rows_)
    {
        throw InputError({model_.name, 0, "inputs"},
                         "vectors have " + std::to_string(inputs.columns()) + " elements",
                         "give " + std::to_string(rows_) + ", one per row");
    }
    const std::int32_t most = (std::int32_t{1} << scheme_.input_bits) - 1;
    for (std::size_t vector = 0; vector < inputs.rows(); ++vector)
    {
        for (std::size_t row = 0; row < rows_; ++row)
        {
            if (inputs(vector, row) < 0 || inputs(vector, row) > most)
            {
                throw InputError({model_.name, 0,
                                  "inputs/" + std::to_string(vector) + '/' + std::to_string(row)},
                                 "input " + std::to_string(inputs(vector, row)) +
                                     " is out of range",
                                 "quantise to 0.." + std::to_string(most));
            }
        }
    }
}

Matrix<double> AidacBlock::voltages(const std::int32_t* inputs, const VectorIdentity& vector) const
{
    const Shape shape(model_, scheme_);
    const std::size_t groups = shape.groups + 1;
    Matrix<double> volts(cost_.chained, cost_.beside * groups);
    const double row_sigma = errors_.thermal ? aidac_row_noise(model_, scheme_) : 0;
    const double sum_sigma = errors_.thermal ? aidac_sum_noise(model_, scheme_) : 0;
    const double jitter = errors_.jitter ? model_.vtc_noise_mv * 1e-3 : 0;
    const double sigma = std::hypot(sum_sigma, jitter); // both at the converter's input
    const bool noisy = row_sigma > 0 || sigma > 0;
    const Draws draws(identity_.seed);
    const auto key = draws.words({vector.image, identity_.layer, identity_.block,
                                  static_cast<std::uint32_t>(Purpose::aidac_key)});
    std::vector<float> normal(noisy ? shape.rows + groups : 0);
    std::vector<std::int32_t> mine(shape.rows);
    for (std::size_t chained = 0; chained < cost_.chained; ++chained)
    {
        const std::size_t first = chained * shape.rows;
        const std::size_t used = std::min(shape.rows, rows_ - first);
        std::fill(mine.begin(), mine.end(), 0);
        std::copy_n(inputs + first, used, mine.begin());
        for (std::size_t beside = 0; beside < cost_.beside; ++beside)
        {
            const std::size_t index = chained * cost_.beside + beside;
            const Array& array = arrays_[index];
            double* const sums = volts.row(chained) + beside * groups;
            if (noisy)
            {
                normals(normal.data(), normal.size(), 0, vector.pixel,
                        static_cast<std::uint32_t>(index),
                        static_cast<std::uint32_t>(Purpose::aidac_noise), {key[0], key[1]});
            }
            std::copy(array.constant.begin(), array.constant.end(), sums);
            for (std::size_t row = 0; row < shape.rows; ++row)
            {
                double v = array.offset;
                const auto input = static_cast<std::uint32_t>(mine[row]);
                for (std::size_t bit = 0; bit < scheme_.input_bits; ++bit)
                {
                    v += (input >> bit & 1U) != 0 ? array.bits(row, bit) : 0;
                }
                v += noisy ? row_sigma * double{normal[row]} : 0;
                add_scaled(sums, array.transfer.row(row), groups, v);
            }
            for (std::size_t group = 0; noisy && group < groups; ++group)
            {
                sums[group] += sigma * double{normal[shape.rows + group]};
            }
        }
    }
    return volts;
}

void AidacBlock::add_up(const std::int32_t* inputs, const VectorIdentity& vector,
                        std::vector<double>& volts) const
{
    const Shape shape(model_, scheme_);
    const std::size_t groups = shape.groups + 1;
    const Matrix<double> sums = voltages(inputs, vector);
    const double full = aidac_volts_per_unit(model_, scheme_) * static_cast<double>(shape.rows) *
                        (std::exp2(scheme_.input_bits) - 1) * (std::exp2(scheme_.weight_bits) - 1);
    const double bow = errors_.converter ? 4 * model_.vtc_inl_percent / 100 / full : 0;
    volts.assign(cost_.beside * groups, 0);
    for (std::size_t chained = 0; chained < cost_.chained; ++chained)
    {
        for (std::size_t beside = 0; beside < cost_.beside; ++beside)
        {
            const Array& array = arrays_[chained * cost_.beside + beside];
            for (std::size_t group = 0; group < groups; ++group)
            {
                const double v = sums(chained, beside * groups + group);
                volts[beside * groups + group] +=
                    array.gain[group] * (v + array.shift[group] + bow * v * (full - v));
            }
        }
    }
}

double AidacBlock::difference(const std::vector<double>& volts, std::size_t column,
                              double limit) const
{
    const Shape shape(model_, scheme_);
    const std::size_t outputs = shape.outputs(scheme_.signs);
    const std::size_t first = column / outputs * (shape.groups + 1);
    const std::size_t position = column % outputs;
    const auto chain = [&](std::size_t group)
    { return std::clamp(volts[first + group], -limit, limit); };
    return scheme_.signs == AidacSigns::paired ? chain(2 * position) - chain(2 * position + 1)
                                               : chain(position) - chain(shape.groups);
}

AidacReadout AidacBlock::calibrated(const Matrix<std::int32_t>& inputs) const
{
    check_inputs(inputs);
    double longest = 0;
    double widest = 0;
    std::vector<double> volts;
    for (std::size_t vector = 0; vector < inputs.rows(); ++vector)
    {
        // Any vector's noise will do.
        add_up(inputs.row(vector), {~0U, static_cast<std::uint32_t>(vector)}, volts);
        for (const double chain : volts)
        {
            longest = std::max(longest, chain);
        }
        for (std::size_t column = 0; column < columns_; ++column)
        {
            widest = std::max(widest, std::abs(difference(volts, column, longest)));
        }
    }
    AidacReadout readout = nominal();
    if (longest > 0)
    {
        readout.gain = std::min(model_.window_ns * 1e-9 / (kMargin * longest),
                                readout.gain * model_.vtc_gain_ratio);
    }
    const double sides = scheme_.signs == AidacSigns::none ? 1 : 2;
    readout.range = std::max(sides * kMargin * readout.gain * widest,
                             std::exp2(model_.tdc_bits) * model_.tdc_finest_ps * 1e-12);
    return readout;
}

Matrix<double> AidacBlock::product(const Matrix<std::int32_t>& inputs,
                                   const std::vector<VectorIdentity>& vectors) const
{
    check_inputs(inputs);
    const bool noisy = (errors_.thermal && model_.temperature_k > 0) ||
                       (errors_.jitter && model_.vtc_noise_mv > 0);
    if (noisy ? vectors.size() != inputs.rows()
              : !vectors.empty() && vectors.size() != inputs.rows())
    {
        throw InputError({model_.name, 0, "vectors"}, "do not name every input vector",
                         "give one identity per vector: noise depends on it");
    }
    const double lsb = readout_.range / std::exp2(model_.tdc_bits);
    const double per_volt = readout_.gain / lsb; // codes
    const double codes = std::exp2(model_.tdc_bits);
    const double least = scheme_.signs == AidacSigns::none ? 0 : -codes / 2;
    const double limit = errors_.quantisation ? model_.window_ns * 1e-9 / readout_.gain : INFINITY;
    Matrix<double> results(inputs.rows(), columns_);
    std::vector<double> volts;
    for (std::size_t vector = 0; vector < inputs.rows(); ++vector)
    {
        add_up(inputs.row(vector), vectors.empty() ? VectorIdentity{} : vectors[vector], volts);
        for (std::size_t column = 0; column < columns_; ++column)
        {
            double code = difference(volts, column, limit) * per_volt;
            if (errors_.quantisation)
            {
                code = std::clamp(std::nearbyint(code), least, least + codes - 1);
            }
            results(vector, column) = code * step_;
        }
    }
    return results;
}

Matrix<std::int64_t> AidacBlock::multiply(const Matrix<std::int32_t>& inputs,
                                          const std::vector<VectorIdentity>& vectors) const
{
    const Matrix<double> exact = product(inputs, vectors);
    Matrix<std::int64_t> codes(exact.rows(), exact.columns());
    for (std::size_t vector = 0; vector < exact.rows(); ++vector)
    {
        for (std::size_t column = 0; column < columns_; ++column)
        {
            codes(vector, column) = std::llround(exact(vector, column) / step_);
        }
    }
    return codes;
}

std::vector<double> AidacBlock::offsets() const
{
    constexpr std::uint32_t reads = 64; // assumed: an eighth of one read's noise is left
    constexpr std::uint32_t image = (1U << 31U) - 1; // beyond those of data sets
    std::vector<VectorIdentity> vectors;
    for (std::uint32_t read = 0; read < reads; ++read)
    {
        vectors.push_back({image, read});
    }
    const Matrix<double> seen = product(Matrix<std::int32_t>(reads, rows_), vectors);
    std::vector<double> offsets(columns_, 0);
    for (std::size_t column = 0; column < columns_; ++column)
    {
        for (std::size_t read = 0; read < reads; ++read)
        {
            offsets[column] += seen(read, column) / reads;
        }
    }
    return offsets;
}

} // namespace tessera::numerics
