// SPDX-License-Identifier: Apache-2.0
#include "numerics/ladder.h"

#include "numerics/simd.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace tessera::numerics
{
namespace
{

// Both lines have the same wire. So the voltage between them obeys the equations of one line of
// twice the resistance a segment, with the cells as conductances to ground, which half of the
// column's current enters at either end; and
//   volts = (first + last voltage) / 2 + current (driver + sense + 2 segments + the rest / 2).
// Eliminating from the top only adds and divides what is positive: nothing cancels.

constexpr double kLeast = 1e-30; ///< S: what a column of open cells conducts

struct Line
{
    Line(const Wires& wires, std::size_t rows)
        : along(0.5 / wires.column_segment),
          ends(wires.driver + wires.sense +
               wires.column_segment * (2 + (static_cast<double>(rows) - 1) / 2))
    {
    }
    double along; ///< S
    double ends;  ///< ohm, all that is beside the voltages between the lines
};

constexpr std::size_t kAtOnce = 64; ///< columns whose state stays in the first cache

} // namespace

TESSERA_SIMD void ladders(const Matrix<double>& siemens, const Wires& wires, const float* driven,
                          double* amperes)
{
    const std::size_t rows = siemens.rows();
    const std::size_t columns = siemens.columns();
    const Line line(wires, rows);
    std::array<double, kAtOnce> before;  // conductance from the row before upwards
    std::array<double, kAtOnce> carried; // share of the row before's that a row sees
    std::array<double, kAtOnce> entered; // at both ends, as far as it gets here
    std::array<double, kAtOnce> between; // 4 x mean voltage of the ends, per ampere
    for (std::size_t first = 0; first < columns; first += kAtOnce)
    {
        const std::size_t count = std::min(kAtOnce, columns - first);
        for (std::size_t i = 0; i < kAtOnce; ++i)
        {
            before[i] = carried[i] = entered[i] = between[i] = 0;
        }
        for (std::size_t row = 0; row < rows; ++row)
        {
            const double* cells = siemens.row(row) + first;
            const double open = driven[row] != 0 ? 1 : 0;
            const double enters = (row == 0 ? 1 : 0) + (row + 1 == rows ? 1 : 0);
            const double below = row + 1 < rows ? line.along : kLeast;
            for (std::size_t i = 0; i < count; ++i)
            {
                before[i] = open * cells[i] + carried[i] * before[i];
                entered[i] = enters + carried[i] * entered[i];
                const double ohms = 1 / (before[i] + below);
                between[i] += entered[i] * entered[i] * ohms;
                carried[i] = line.along * ohms;
            }
        }
        for (std::size_t i = 0; i < count; ++i)
        {
            amperes[first + i] = 1 / (line.ends + between[i] / 4);
        }
    }
}

namespace
{

/// Columns whose rounds stay in the second cache.
template <class Real> constexpr std::size_t kSettled = 256 / sizeof(Real);
template <class Real> using Columns = std::array<Real, kSettled<Real>>;

/// Some columns at one row.
template <class Real> struct Section
{
    Columns<Real> carried; ///< as above; of the last row its ohms times `along`
    Columns<Real> share;   ///< voltage between the lines per ampere of the column
    Columns<Real> source;  ///< what the cells' currents exceed their chords' by
    Columns<Real> sum;     ///< of what enters above, over `along`
};

/// Columns `first` to `first` + `count` of a crossbar.
template <class Real> struct Part
{
    const CellArrays<Real>& cells;
    const Line& line;
    Real volts;
    const float* driven;
    std::size_t first;
    std::size_t count;
};

/// What a round leaves of some columns.
template <class Real> struct Round
{
    Columns<Real> amperes{};
    Columns<Real> drawn{}; ///< volts that the sources take from the drivers'
    Columns<Real> off{};   ///< sums of what nodes violate Kirchhoff's law by
};

/// What the currents of a row's cells exceed their chords' by.
template <class Real> struct Excess
{
    Excess(const Part<Real>& part, std::size_t row)
        : rest(part.cells.rest.row(row) + part.first),
          second(part.cells.second.row(row) + part.first),
          third(part.cells.third.row(row) + part.first),
          open(part.driven[row] != 0 ? Real{1} : Real{0})
    {
    }
    [[nodiscard]] Real at(std::size_t i, Real v) const
    {
        return open * (v * (rest[i] + v * (second[i] + third[i] * v)));
    }

    const Real* rest;
    const Real* second;
    const Real* third;
    Real open;
};

/// Makes the sections, with sources as if every cell saw `volts`.
template <class Real>
TESSERA_INLINE void eliminated(const Part<Real>& part, Section<Real>* sections, Round<Real>& round)
{
    const std::size_t rows = part.cells.chord.rows();
    const auto along = static_cast<Real>(part.line.along);
    Columns<Real> before{};
    for (std::size_t row = 0; row < rows; ++row)
    {
        const Section<Real>& above = sections[row == 0 ? 0 : row - 1];
        Section<Real>& here = sections[row];
        const Real* chord = part.cells.chord.row(row) + part.first;
        const Real open = part.driven[row] != 0 ? 1 : 0;
        const Real enters =
            Real{0.5} * static_cast<Real>((row == 0 ? 1 : 0) + (row + 1 == rows ? 1 : 0)) / along;
        const Real coupling = row == 0 ? 0 : 1;
        const Real below = row + 1 < rows ? along : static_cast<Real>(kLeast);
        for (std::size_t i = 0; i < part.count; ++i)
        {
            const Real carried = coupling * above.carried[i];
            before[i] = open * chord[i] + carried * before[i];
            here.sum[i] = enters + carried * above.sum[i];
            here.carried[i] = along / (before[i] + below);
        }
    }
    Columns<Real> next{};
    Columns<Real> drawn{};
    const Real v = part.volts;
    for (std::size_t row = rows; row-- > 0;)
    {
        Section<Real>& here = sections[row];
        const Excess<Real> excess(part, row);
        for (std::size_t i = 0; i < part.count; ++i)
        {
            next[i] = here.share[i] = here.carried[i] * (here.sum[i] + next[i]);
            here.source[i] = excess.at(i, v);
            drawn[i] += here.share[i] * here.source[i];
        }
    }
    round.drawn = drawn;
}

/// Voltages with the sources at hand, then the sources at these voltages.
template <class Real>
TESSERA_INLINE void settled_once(const Part<Real>& part, Section<Real>* sections,
                                 Round<Real>& round)
{
    const std::size_t rows = part.cells.chord.rows();
    const auto per_along = static_cast<Real>(1 / part.line.along);
    const auto line_ends = static_cast<Real>(part.line.ends);
    Columns<Real> enters;
    Columns<Real> drawn{};
    Columns<Real> off{};
    for (std::size_t i = 0; i < part.count; ++i)
    {
        round.amperes[i] = (part.volts + round.drawn[i]) /
                           (line_ends + (sections[0].share[i] + sections[rows - 1].share[i]) / 2);
        enters[i] = round.amperes[i] / 2;
    }
    for (std::size_t row = 0; row < rows; ++row)
    {
        const Section<Real>& above = sections[row == 0 ? 0 : row - 1];
        Section<Real>& here = sections[row];
        const Real coupling = row == 0 ? 0 : 1;
        const auto ends = static_cast<Real>((row == 0 ? 1 : 0) + (row + 1 == rows ? 1 : 0));
        for (std::size_t i = 0; i < part.count; ++i)
        {
            here.sum[i] = (ends * enters[i] - here.source[i]) * per_along +
                          coupling * above.carried[i] * above.sum[i];
        }
    }
    const Real limit = part.cells.limit;
    Columns<Real> next{};
    for (std::size_t row = rows; row-- > 0;)
    {
        Section<Real>& here = sections[row];
        const Excess<Real> excess(part, row);
        for (std::size_t i = 0; i < part.count; ++i)
        {
            next[i] = here.carried[i] * (here.sum[i] + next[i]);
            Real v = next[i];
            v = v < limit ? v : limit;
            v = v > -limit ? v : -limit;
            const Real source = excess.at(i, v);
            off[i] += 2 * std::abs(source - here.source[i]); // at two nodes
            drawn[i] += here.share[i] * source;
            here.source[i] = source;
        }
    }
    round.drawn = drawn;
    round.off = off;
}

TESSERA_SIMD void eliminate(const Part<double>& part, Section<double>* sections,
                            Round<double>& round)
{
    eliminated(part, sections, round);
}
TESSERA_SIMD void eliminate(const Part<float>& part, Section<float>* sections, Round<float>& round)
{
    eliminated(part, sections, round);
}

TESSERA_SIMD void settle_once(const Part<double>& part, Section<double>* sections,
                              Round<double>& round)
{
    settled_once(part, sections, round);
}
TESSERA_SIMD void settle_once(const Part<float>& part, Section<float>* sections,
                              Round<float>& round)
{
    settled_once(part, sections, round);
}

/// The residual that is left after at most `most` rounds, and how many there were.
template <class Real>
Settled settle(const Part<Real>& part, double bound, unsigned most,
               std::vector<Section<Real>>& sections, double* amperes)
{
    sections.resize(part.cells.chord.rows());
    Round<Real> round;
    eliminate(part, sections.data(), round);
    Settled settled;
    do
    {
        settle_once(part, sections.data(), round);
        ++settled.rounds;
        settled.residual = 0;
        for (std::size_t i = 0; i < part.count; ++i)
        {
            settled.residual =
                worse(settled.residual, double{round.off[i]}, double{round.amperes[i]});
        }
    } while (!(settled.residual <= bound) && settled.rounds < most);
    std::copy_n(round.amperes.begin(), part.count, amperes);
    return settled;
}

} // namespace

Settled settle_ladders(const CellArrays<double>& cells, const CellArrays<float>* quick,
                       const Wires& wires, double volts, const float* driven,
                       const Patience& patience, double* amperes)
{
    const std::size_t rows = cells.chord.rows();
    const std::size_t columns = cells.chord.columns();
    const Line line(wires, rows);
    std::vector<Section<double>> sections;
    std::vector<Section<float>> quick_sections;
    Settled worst;
    const auto note = [&worst](const Settled& settled)
    {
        worst.rounds = std::max(worst.rounds, settled.rounds);
        worst.residual = std::max(worst.residual, settled.residual);
    };
    const auto exactly = [&](std::size_t begin, std::size_t end)
    {
        for (std::size_t first = begin; first < end; first += kSettled<double>)
        {
            const Part<double> part{cells,  line,  volts,
                                    driven, first, std::min(kSettled<double>, end - first)};
            const Settled settled =
                settle(part, patience.bound, patience.most, sections, amperes + first);
            if (!(settled.residual <= patience.bound))
            {
                throw unsettled(settled.rounds, settled.residual);
            }
            note(settled);
        }
    };
    if (quick == nullptr)
    {
        exactly(0, columns);
        return worst;
    }
    // What takes longer does so because it converges slowly, or not below what rounding leaves.
    constexpr unsigned most = 32;
    for (std::size_t first = 0; first < columns; first += kSettled<float>)
    {
        const std::size_t count = std::min(kSettled<float>, columns - first);
        const Part<float> part{*quick, line, static_cast<float>(volts), driven, first, count};
        const Settled settled = settle(part, patience.bound, std::min(most, patience.most),
                                       quick_sections, amperes + first);
        settled.residual <= patience.bound ? note(settled) : exactly(first, first + count);
    }
    return worst;
}

} // namespace tessera::numerics
