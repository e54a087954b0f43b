// SPDX-License-Identifier: Apache-2.0
#include "numerics/non_linear.h"

#include "numerics/kernels.h"
#include "numerics/ladder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <utility>

namespace tessera::numerics
{
namespace
{

/// Of readings: converters have at most 16 bits, a code of which is 1.5e-5 of their range.
constexpr Patience kReading{1e-5, 5000};
/// Residuals are sums of differences whose parts single precision rounds by some 1e-7.
constexpr double kSingleBound = 1e-5;

struct Slopes
{
    double least;
    double most;
};

Slopes slopes_of(double first, double second, double third, const VoltRange& range)
{
    const auto slope = [&](double v) { return first + v * (2 * second + 3 * third * v); };
    Slopes found{std::min(slope(range.least), slope(range.most)),
                 std::max(slope(range.least), slope(range.most))};
    const double turn = third == 0 ? range.least : -second / (3 * third);
    if (turn > range.least && turn < range.most)
    {
        found.least = std::min(found.least, slope(turn));
        found.most = std::max(found.most, slope(turn));
    }
    return found;
}

bool rises(double first, double second, double third, const VoltRange& range)
{
    const bool open = first == 0 && second == 0 && third == 0;
    return open || slopes_of(first, second, third, range).least > 0; // NaN does not
}

/// In A/V^2 or A/V^3.
double term_of(const Curve& curve, double conductance_us, const Device& device)
{
    const double inside = std::clamp(conductance_us, device.off, device.on);
    const double value =
        curve.signed_at(inside, device.on) * (curve.relative ? 1e-6 : 1); // of siemens, not uS
    return inside == conductance_us ? value : value * conductance_us / inside;
}

CellArrays<double> arrays_of(const CellTerms& terms, const VoltRange& range)
{
    const std::size_t rows = terms.first.rows();
    const std::size_t columns = terms.first.columns();
    CellArrays<double> cells{Matrix<double>(rows, columns), Matrix<double>(rows, columns),
                             terms.second, terms.third, range.most};
    for (std::size_t row = 0; row < rows; ++row)
    {
        for (std::size_t column = 0; column < columns; ++column)
        {
            const double first = terms.first(row, column);
            const double second = terms.second(row, column);
            const double third = terms.third(row, column);
            if (!rises(first, second, third, range))
            {
                throw InputError(
                    {"", 0, fmt::format("cells/{}/{}", row, column)},
                    fmt::format("its current does not rise with the voltage from {} to {} V",
                                range.least, range.most),
                    "give terms whose slope is above 0 there, or a lower voltage");
            }
            cells.chord(row, column) = slopes_of(first, second, third, range).most;
            cells.rest(row, column) = first - cells.chord(row, column);
        }
    }
    return cells;
}

/// Conductance of `siemens` behind a wire of conductance `along`; the wire's share of it.
double behind(double along, double siemens)
{
    return along * siemens / (along + siemens);
}

double ohms(double siemens)
{
    return siemens > 0 ? 1 / siemens : 0; // nothing flows to a node of its own
}

} // namespace

SimulationError unsettled(unsigned rounds, double residual)
{
    return SimulationError(
        fmt::format("a crossbar of non-linear cells does not settle: after {} rounds its nodes "
                    "violate Kirchhoff's law by {:.2g} of a column's current; give macro.cell less "
                    "resistive wires, fewer rows and columns to a macro, or leave wires out",
                    rounds, residual));
}

CellTerms terms_of(const Device& device, const Matrix<double>& conductances)
{
    CellTerms terms{conductances, Matrix<double>(conductances.rows(), conductances.columns()),
                    Matrix<double>(conductances.rows(), conductances.columns())};
    for (std::size_t row = 0; row < conductances.rows(); ++row)
    {
        for (std::size_t column = 0; column < conductances.columns(); ++column)
        {
            const double us = conductances(row, column);
            terms.first(row, column) = us * 1e-6;
            if (device.non_linear)
            {
                terms.second(row, column) = term_of(device.non_linear->second, us, device);
                terms.third(row, column) = term_of(device.non_linear->third, us, device);
            }
        }
    }
    return terms;
}

VoltRange volt_range(const std::optional<Wires>& wires, double volts)
{
    return {wires && wires->read != Read::gated_1t1r ? -volts : 0, volts};
}

void check_rises(const Device& device, const VoltRange& range, const std::string& file)
{
    if (!device.non_linear)
    {
        return;
    }
    constexpr int samples = 1000; // polynomials of few terms do not hide between them
    for (int sample = 0; sample <= samples; ++sample)
    {
        const double us = device.off + (device.on - device.off) * sample / samples;
        if (!rises(us * 1e-6, term_of(device.non_linear->second, us, device),
                   term_of(device.non_linear->third, us, device), range))
        {
            throw InputError(
                {file, 0, "/non_linear"},
                fmt::format("makes the current of a cell of {:.4g} uS fall with the voltage, or "
                            "stand still, between {:.4g} and {:.4g} V",
                            us, range.least, range.most),
                "give smaller terms there, or read with a lower macro.cell.read_volts");
        }
    }
}

namespace
{

template <class To, class From> Matrix<To> converted(const Matrix<From>& from)
{
    Matrix<To> to(from.rows(), from.columns());
    std::transform(from.row(0), from.row(0) + from.rows() * from.columns(), to.row(0),
                   [](From value) { return static_cast<To>(value); });
    return to;
}

template <class To, class From> CellArrays<To> converted(const CellArrays<From>& from)
{
    return {converted<To>(from.chord), converted<To>(from.rest), converted<To>(from.second),
            converted<To>(from.third), static_cast<To>(from.limit)};
}

Lattice<float> converted(const Lattice<double>& from)
{
    const auto list = [](const std::vector<double>& values)
    { return std::vector<float>(values.begin(), values.end()); };
    return {converted<float>(from.cells),
            converted<float>(from.weights),
            converted<float>(from.along_row),
            converted<float>(from.down),
            converted<float>(from.up),
            converted<float>(from.lift),
            list(from.driven),
            list(from.idle),
            list(from.bottom),
            list(from.top),
            static_cast<float>(from.driver),
            static_cast<float>(from.row_segment),
            static_cast<float>(from.column_segment),
            static_cast<float>(from.relaxation)};
}

/// Everything but relaxation and lift.
Lattice<double> lattice_of(CellArrays<double> cells, const Wires& wires, Matrix<double> weights)
{
    Lattice<double> lattice;
    lattice.cells = std::move(cells);
    lattice.weights = std::move(weights);
    const Matrix<double>& chord = lattice.cells.chord;
    const std::size_t rows = chord.rows();
    const std::size_t columns = chord.columns();
    const double along_row = 1 / wires.row_segment;
    const double along_column = 1 / wires.column_segment;
    const double sense = 1 / (wires.sense + wires.column_segment);
    lattice.driver = 1 / (wires.driver + wires.row_segment);
    lattice.row_segment = wires.row_segment;
    lattice.column_segment = wires.column_segment;
    lattice.along_row = lattice.down = lattice.up = Matrix<double>(rows, columns);
    for (std::size_t row = 0; row < rows; ++row)
    {
        double siemens = 0; // from here away from the driver
        for (std::size_t j = columns; j-- > 0;)
        {
            siemens = chord(row, j) + (j + 1 < columns ? behind(along_row, siemens) : 0);
            lattice.along_row(row, j) = along_row / (along_row + siemens);
        }
        lattice.driven.push_back(1 / (siemens + lattice.driver));
        lattice.idle.push_back(wires.read == Read::row_voltage ? lattice.driven.back()
                                                               : ohms(siemens));
    }
    for (std::size_t j = 0; j < columns; ++j)
    {
        double siemens = 0;
        for (std::size_t row = 0; row < rows; ++row)
        {
            siemens = chord(row, j) + (row > 0 ? behind(along_column, siemens) : 0);
            lattice.down(row, j) = along_column / (along_column + siemens);
        }
        lattice.bottom.push_back(1 / (siemens + sense));
        for (std::size_t row = rows; row-- > 0;)
        {
            siemens = chord(row, j) + (row + 1 < rows ? behind(along_column, siemens) : sense);
            lattice.up(row, j) = along_column / (along_column + siemens);
        }
        lattice.top.push_back(1 / siemens);
    }
    return lattice;
}

/// Row nodes at their drivers' voltages; columns as if all rows were driven with the mean of these.
/// `drives`: by lane.
template <class Real>
void start(const Lattice<Real>& lattice, const std::vector<const float*>& drives, double per_drive,
           LatticeState<Real>& state)
{
    const std::size_t rows = lattice.cells.chord.rows();
    const std::size_t columns = lattice.cells.chord.columns();
    state.resize(rows, columns);
    Lanes<Real> mean;
    for (std::size_t row = 0; row < rows; ++row)
    {
        Lanes<Real> volts;
        Lanes<Real> inner;
        for (std::size_t lane = 0; lane < kLanes<Real>; ++lane)
        {
            const double drive = lane < drives.size() ? static_cast<double>(drives[lane][row]) : 0;
            volts.value[lane] = static_cast<Real>(per_drive * drive);
            inner.value[lane] = drive != 0 ? lattice.driven[row] : lattice.idle[row];
        }
        for (std::size_t lane = 0; lane < kLanes<Real>; ++lane)
        {
            mean.value[lane] += volts.value[lane];
            state.source[row].value[lane] = volts.value[lane] * lattice.driver;
        }
        state.inner[row] = inner;
        std::fill_n(state.row_volts.begin() + static_cast<std::ptrdiff_t>(row * columns), columns,
                    volts);
    }
    for (std::size_t i = 0; i < rows * columns; ++i)
    {
        const Real lift =
            (lattice.lift.rows() == 0 ? Real{0} : lattice.lift.row(0)[i]) / static_cast<Real>(rows);
        for (std::size_t lane = 0; lane < kLanes<Real>; ++lane)
        {
            state.column_volts[i].value[lane] = mean.value[lane] * lift;
        }
    }
}

/// What of a disturbance a sweep of the lattice leaves without relaxation.
double left_by_sweeps(const Lattice<double>& lattice, double volts)
{
    LatticeState<double> state;
    start(lattice, {}, 0, state);
    for (Lanes<double>& node : state.column_volts)
    {
        for (double& value : node.value)
        {
            value += volts;
        }
    }
    sweep(lattice, state, Sweep::first, false, false);
    constexpr int most = 500;
    double before = 0;
    double ratio = 0;
    for (int i = 0; i < most; ++i)
    {
        sweep(lattice, state, i % 2 == 0 ? Sweep::up : Sweep::down, false, false);
        double now = 0;
        for (const Lanes<double>& node : state.column_volts)
        {
            now += std::abs(node.value[0]);
        }
        const double last = std::exchange(ratio, before > 0 ? std::min(now / before, 0.99999) : 0);
        before = now;
        if (i >= 6 && std::abs(ratio - last) < 0.01 * (1 - ratio))
        {
            break;
        }
    }
    return ratio;
}

/// Lattice::lift, at `volts`.
Matrix<double> lift_of(const Lattice<double>& lattice, double volts)
{
    Matrix<double> lift(lattice.cells.chord.rows(), lattice.cells.chord.columns());
    const std::vector<float> driven(lift.rows(), 1);
    LatticeState<double> state;
    start(lattice, {driven.data()}, volts, state);
    sweep(lattice, state, Sweep::first, false, false);
    constexpr int sweeps = 8; // what drives differ by is more than what is left
    for (int i = 0; i < sweeps; ++i)
    {
        sweep(lattice, state, i % 2 == 0 ? Sweep::up : Sweep::down, false, false);
    }
    std::transform(state.column_volts.begin(), state.column_volts.end(), lift.row(0),
                   [volts](const Lanes<double>& node) { return node.value[0] / volts; });
    return lift;
}

} // namespace

NonLinearCrossbar::NonLinearCrossbar(const CellTerms& cells, const Wires& wires, double volts,
                                     double full, const Patience& patience,
                                     const Matrix<double>& weights)
    : rows_(cells.first.rows()),
      columns_(cells.first.columns()),
      wires_((check(wires), wires)),
      volts_(volts),
      full_(full),
      patience_(patience)
{
    if (!(volts > 0 && full > 0))
    {
        throw InputError({"", 0, "volts"}, "is not above 0", "give the voltage of a driven row");
    }
    CellArrays<double> arrays = arrays_of(cells, volt_range(wires, volts));
    if (wires.read == Read::gated_1t1r)
    {
        exact_.cells = std::move(arrays);
        if (patience.bound >= kSingleBound)
        {
            quick_.cells = converted<float>(exact_.cells);
        }
        return;
    }
    exact_ = lattice_of(std::move(arrays), wires, weights);
    exact_.relaxation = 2 / (1 + std::sqrt(1 - left_by_sweeps(exact_, volts)));
    exact_.lift = lift_of(exact_, volts);
    // Looking costs time: not before the linear array could have settled.
    const double rate = std::max(exact_.relaxation - 1, 1e-3);
    first_check_ = static_cast<unsigned>(
        std::clamp(std::ceil(std::log(patience.bound) / std::log(rate)), 1.0, 20.0));
    if (patience.bound >= kSingleBound)
    {
        quick_ = converted(exact_);
        exact_ = {};
    }
}

/// Inputs that do not settle are `stubborn`; without, they are an error.
template <class Real>
void NonLinearCrossbar::solve(const Lattice<Real>& lattice, const std::vector<std::size_t>& inputs,
                              const Drives& drives, Matrix<double>& amperes, std::size_t first,
                              LatticeState<Real>& state, Settled& worst,
                              std::vector<std::size_t>* stubborn) const
{
    const unsigned most =
        stubborn == nullptr ? patience_.most : std::min(patience_.most, 10 + 3 * first_check_);
    // Exact sweeps gain less: where many are needed, most are not.
    const unsigned every = 1 + first_check_ / 4;
    const auto checks = [&](unsigned round)
    { return round == most || (round >= first_check_ && (round - first_check_) % every == 0); };
    for (std::size_t begin = 0; begin < inputs.size(); begin += kLanes<Real>)
    {
        std::vector<std::size_t> left;
        std::vector<const float*> rows;
        for (std::size_t i = begin; i < std::min(begin + kLanes<Real>, inputs.size()); ++i)
        {
            left.push_back(rows.size());
            rows.push_back(drives.first + inputs[i] * drives.stride);
        }
        start(lattice, rows, volts_ / full_, state);
        sweep(lattice, state, Sweep::first, false, checks(1));
        for (unsigned round = 1; round <= most && !left.empty(); ++round)
        {
            const bool check = checks(round);
            sweep(lattice, state, round % 2 == 1 ? Sweep::up : Sweep::down, check,
                  checks(round + 1));
            // What a settled lane does from here on depends on its neighbours: it is not looked at.
            const auto settles = [&](std::size_t lane)
            {
                double residual = 0;
                for (std::size_t j = 0; j < columns_; ++j)
                {
                    residual = worse(residual, double{state.residual[j].value[lane]},
                                     double{state.amperes[j].value[lane]});
                }
                if (!(residual <= patience_.bound))
                {
                    if (round == most && stubborn == nullptr)
                    {
                        throw unsettled(round, residual);
                    }
                    return false;
                }
                const auto& sums = lattice.weights.rows() != 0 ? state.weighted : state.amperes;
                for (std::size_t j = 0; j < columns_; ++j)
                {
                    amperes(inputs[begin + lane], first + j) = double{sums[j].value[lane]};
                }
                worst.residual = std::max(worst.residual, residual);
                worst.rounds = std::max(worst.rounds, round);
                return true;
            };
            if (check)
            {
                left.erase(std::remove_if(left.begin(), left.end(), settles), left.end());
            }
        }
        for (const std::size_t lane : left)
        {
            stubborn->push_back(inputs[begin + lane]);
        }
    }
}

Settled NonLinearCrossbar::currents(const Drives& drives, Matrix<double>& amperes,
                                    std::size_t first, Work& work) const
{
    std::vector<std::size_t> driven;
    for (std::size_t input = 0; input < drives.count; ++input)
    {
        const float* row = drives.first + input * drives.stride;
        if (std::any_of(row, row + rows_, [](float drive) { return drive != 0; }))
        {
            driven.push_back(input);
        }
        else
        {
            std::fill_n(amperes.row(input) + first, columns_, 0.0);
        }
    }
    Settled worst;
    if (wires_.read == Read::gated_1t1r)
    {
        const CellArrays<float>* const quick =
            patience_.bound >= kSingleBound ? &quick_.cells : nullptr;
        for (const std::size_t input : driven)
        {
            const Settled settled = settle_ladders(exact_.cells, quick, wires_, volts_,
                                                   drives.first + input * drives.stride, patience_,
                                                   amperes.row(input) + first);
            worst.rounds = std::max(worst.rounds, settled.rounds);
            worst.residual = std::max(worst.residual, settled.residual);
        }
        return worst;
    }
    if (exact_.driven.empty())
    {
        std::vector<std::size_t> stubborn;
        solve(quick_, driven, drives, amperes, first, work.quick, worst, &stubborn);
        if (!stubborn.empty())
        {
            Lattice<double> exact = lattice_of(converted<double>(quick_.cells), wires_,
                                               converted<double>(quick_.weights));
            exact.lift = converted<double>(quick_.lift);
            exact.relaxation = double{quick_.relaxation};
            solve(exact, stubborn, drives, amperes, first, work.exact, worst, nullptr);
        }
        return worst;
    }
    solve(exact_, driven, drives, amperes, first, work.exact, worst, nullptr);
    return worst;
}

namespace
{

/// How levels and volts belong together.
struct Scale
{
    double off_us;
    double step_us;
    double volts; ///< of a full drive
    double full;

    [[nodiscard]] double conductance_us(double level) const
    {
        return std::max(0.0, off_us + level * step_us);
    }
};

Matrix<double> conductances_of(const Analog& analog, const Scale& scale)
{
    Matrix<double> us(analog.levels.rows(), analog.levels.columns());
    for (std::size_t row = 0; row < us.rows(); ++row)
    {
        for (std::size_t column = 0; column < us.columns(); ++column)
        {
            us(row, column) = scale.conductance_us(static_cast<double>(analog.levels(row, column)));
        }
    }
    return us;
}

Matrix<double> part_of(const Matrix<double>& whole, std::size_t row, std::size_t column,
                       std::size_t rows, std::size_t columns)
{
    Matrix<double> part(rows, columns);
    for (std::size_t i = 0; i < rows; ++i)
    {
        std::copy_n(whole.row(row + i) + column, columns, part.row(i));
    }
    return part;
}

/// Weights of cell currents: the side that steers them. Empty for other signs.
Matrix<double> steering_of(const Scheme& scheme, const Cells& cells)
{
    if (scheme.signs != Signs::sign_magnitude)
    {
        return {};
    }
    const unsigned per_weight = cells_per_weight(scheme);
    Matrix<double> sides(cells.levels.rows(), cells.levels.columns());
    for (std::size_t row = 0; row < sides.rows(); ++row)
    {
        for (std::size_t column = 0; column < sides.columns(); ++column)
        {
            sides(row, column) = cells.steering(row, column / per_weight);
        }
    }
    return sides;
}

/// Through perfect wires a cell's current depends on its row's drive alone: its level, times the
/// drive, is a polynomial of it.
class BentReading final : public Reading
{
public:
    BentReading(const Scheme& scheme, CellTerms levels)
        : partition_rows_(scheme.rows), levels_(std::move(levels))
    {
    }

    void read(std::size_t partition, std::size_t count, const float* drives, std::size_t stride,
              Matrix<float>& levels) const override
    {
        const std::size_t begin = partition * partition_rows_;
        const std::size_t rows = std::min(partition_rows_, levels_.first.rows() - begin);
        const std::size_t columns = levels_.first.columns();
        std::vector<double> sums(columns);
        for (std::size_t input = 0; input < count; ++input)
        {
            std::fill(sums.begin(), sums.end(), 0);
            for (std::size_t row = 0; row < rows; ++row)
            {
                const auto drive = static_cast<double>(drives[input * stride + row]);
                if (drive != 0)
                {
                    add_polynomial(sums.data(), levels_.first.row(begin + row),
                                   levels_.second.row(begin + row), levels_.third.row(begin + row),
                                   columns, drive);
                }
            }
            std::transform(sums.begin(), sums.end(), levels.row(input),
                           [](double sum) { return static_cast<float>(sum); });
        }
    }

private:
    std::size_t partition_rows_;
    CellTerms levels_;
};

/// Solves every input of a block's crossbars.
class NonLinearReading final : public Reading
{
public:
    /// `cancels`: what cells of level 0 conduct is taken away from the sums.
    NonLinearReading(const Scheme& scheme, const CellTerms& terms, const Matrix<double>& sides,
                     const Wires& wires, const Scale& scale, bool cancels)
        : scale_(scale),
          cancels_(cancels),
          rows_(terms.first.rows()),
          columns_(terms.first.columns()),
          partition_rows_(scheme.rows)
    {
        for (std::size_t row = 0; row < rows_; row += scheme.rows)
        {
            std::vector<Part>& parts = partitions_.emplace_back();
            for (std::size_t column = 0; column < columns_; column += array_columns(scheme))
            {
                const auto part = [&](const Matrix<double>& whole)
                {
                    return whole.rows() == 0
                               ? Matrix<double>()
                               : part_of(whole, row, column, std::min(scheme.rows, rows_ - row),
                                         std::min(array_columns(scheme), columns_ - column));
                };
                Part made;
                made.first = column;
                made.crossbar = std::make_unique<NonLinearCrossbar>(
                    CellTerms{part(terms.first), part(terms.second), part(terms.third)}, wires,
                    scale.volts, scale.full, kReading, part(sides));
                if (sides.rows() != 0)
                {
                    made.sides = part(sides);
                }
                parts.push_back(std::move(made));
            }
        }
    }

    void read(std::size_t partition, std::size_t count, const float* drives, std::size_t stride,
              Matrix<float>& levels) const override
    {
        Matrix<double> amperes(count, columns_);
        NonLinearCrossbar::Work work;
        for (const Part& part : partitions_[partition])
        {
            part.crossbar->currents({drives, count, stride}, amperes, part.first, work);
        }
        const double per_ampere = 1e6 * scale_.full / scale_.volts;
        for (std::size_t input = 0; input < count; ++input)
        {
            const std::vector<double> off = off_levels(partition, drives + input * stride);
            for (std::size_t column = 0; column < columns_; ++column)
            {
                levels(input, column) = static_cast<float>(
                    (amperes(input, column) * per_ampere - off[column]) / scale_.step_us);
            }
        }
    }

private:
    struct Part
    {
        std::size_t first = 0;
        std::unique_ptr<const NonLinearCrossbar> crossbar;
        Matrix<double> sides; ///< of steered cells
    };

    /// What is taken away for cells of level 0, in uS, by column.
    [[nodiscard]] std::vector<double> off_levels(std::size_t partition, const float* drives) const
    {
        const std::size_t rows = std::min(partition_rows_, rows_ - partition * partition_rows_);
        std::vector<double> off(columns_);
        if (!cancels_)
        {
            return off;
        }
        for (const Part& part : partitions_[partition])
        {
            const std::size_t end =
                &part == &partitions_[partition].back() ? columns_ : (&part + 1)->first;
            for (std::size_t row = 0; row < rows; ++row)
            {
                const double us = scale_.off_us * static_cast<double>(drives[row]);
                for (std::size_t column = part.first; column < end && us != 0; ++column)
                {
                    off[column] +=
                        part.sides.rows() == 0 ? us : us * part.sides(row, column - part.first);
                }
            }
        }
        return off;
    }

    Scale scale_;
    bool cancels_;
    std::size_t rows_;
    std::size_t columns_;
    std::size_t partition_rows_;
    std::vector<std::vector<Part>> partitions_;
};

} // namespace

Analog non_linear(const Scheme& scheme, const Cells& cells, const Analog& analog,
                  const Device& device, const NonLinearRead& how)
{
    const bool steered = scheme.signs == Signs::sign_magnitude;
    if (how.wires && how.wires->read != Read::row_voltage)
    {
        check_solvable(scheme, *how.wires);
    }
    const Scale scale{device.off,
                      device.target(1, scheme.cell_bits) - device.target(0, scheme.cell_bits),
                      how.volts, std::exp2(scheme.slice_bits) - 1};
    const CellTerms terms = terms_of(device, conductances_of(analog, scale));
    Analog seen = analog;
    seen.off = scale.off_us / scale.step_us;
    const bool cancels = !steered || analog.off_cancels;
    CellTerms levels = terms; // times the drive, its square and its cube
    const double fraction = scale.volts / scale.full;
    const Matrix<double> sides = steering_of(scheme, cells);
    for (std::size_t row = 0; row < terms.first.rows(); ++row)
    {
        for (std::size_t column = 0; column < terms.first.columns(); ++column)
        {
            const double side = steered ? sides(row, column) : 1;
            double& first = levels.first(row, column);
            double& second = levels.second(row, column);
            double& third = levels.third(row, column);
            first = (first * 1e6 - scale.off_us) / scale.step_us;
            second *= 1e6 * fraction / scale.step_us;
            third *= 1e6 * fraction * fraction / scale.step_us;
            seen.levels(row, column) =
                static_cast<float>(first + scale.full * (second + scale.full * third));
            first = side * (first + (cancels ? 0 : seen.off));
            second *= side;
            third *= side;
        }
    }
    if (how.wires)
    {
        seen.reading =
            std::make_shared<NonLinearReading>(scheme, terms, sides, *how.wires, scale, cancels);
    }
    else if (scheme.slice_bits > 1)
    {
        seen.reading = std::make_shared<BentReading>(scheme, std::move(levels));
    }
    return seen;
}

} // namespace tessera::numerics
