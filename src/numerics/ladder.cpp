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

constexpr std::size_t kSettled = 32; ///< columns whose rounds stay in the second cache

/// Some columns at one row.
struct Section
{
    std::array<double, kSettled> carried; ///< as above; of the last row its ohms times `along`
    std::array<double, kSettled> share;   ///< voltage between the lines per ampere of the column
    std::array<double, kSettled> source;  ///< what the cells' currents exceed their chords' by
    std::array<double, kSettled> sum;     ///< of what enters above, over `along`
};

/// Columns `first` to `first` + `count` of a crossbar.
struct Part
{
    const CellArrays<double>& cells;
    const Line& line;
    double volts;
    const float* driven;
    std::size_t first;
    std::size_t count;
};

/// What a round leaves of some columns.
struct Round
{
    std::array<double, kSettled> amperes{};
    std::array<double, kSettled> drawn{}; ///< volts that the sources take from the drivers'
    std::array<double, kSettled> off{};   ///< sums of what nodes violate Kirchhoff's law by
};

/// What the currents of a row's cells exceed their chords' by.
struct Excess
{
    Excess(const Part& part, std::size_t row)
        : rest(part.cells.rest.row(row) + part.first),
          second(part.cells.second.row(row) + part.first),
          third(part.cells.third.row(row) + part.first),
          open(part.driven[row] != 0 ? 1 : 0)
    {
    }
    [[nodiscard]] double at(std::size_t i, double v) const
    {
        return open * (v * (rest[i] + v * (second[i] + third[i] * v)));
    }

    const double* rest;
    const double* second;
    const double* third;
    double open;
};

/// Makes the sections, with sources as if every cell saw `volts`.
TESSERA_SIMD void eliminate(const Part& part, Section* sections, Round& round)
{
    const std::size_t rows = part.cells.chord.rows();
    const double along = part.line.along;
    std::array<double, kSettled> before{};
    for (std::size_t row = 0; row < rows; ++row)
    {
        const Section& above = sections[row == 0 ? 0 : row - 1];
        Section& here = sections[row];
        const double* chord = part.cells.chord.row(row) + part.first;
        const double open = part.driven[row] != 0 ? 1 : 0;
        const double enters = 0.5 * ((row == 0 ? 1 : 0) + (row + 1 == rows ? 1 : 0)) / along;
        const double coupling = row == 0 ? 0 : 1;
        const double below = row + 1 < rows ? along : kLeast;
        for (std::size_t i = 0; i < part.count; ++i)
        {
            const double carried = coupling * above.carried[i];
            before[i] = open * chord[i] + carried * before[i];
            here.sum[i] = enters + carried * above.sum[i];
            here.carried[i] = along / (before[i] + below);
        }
    }
    std::array<double, kSettled> next{};
    std::array<double, kSettled> drawn{};
    const double v = part.volts;
    for (std::size_t row = rows; row-- > 0;)
    {
        Section& here = sections[row];
        const Excess excess(part, row);
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
TESSERA_SIMD void settle_once(const Part& part, Section* sections, Round& round)
{
    const std::size_t rows = part.cells.chord.rows();
    const double per_along = 1 / part.line.along;
    std::array<double, kSettled> enters;
    std::array<double, kSettled> drawn{};
    std::array<double, kSettled> off{};
    for (std::size_t i = 0; i < part.count; ++i)
    {
        round.amperes[i] =
            (part.volts + round.drawn[i]) /
            (part.line.ends + (sections[0].share[i] + sections[rows - 1].share[i]) / 2);
        enters[i] = round.amperes[i] / 2;
    }
    for (std::size_t row = 0; row < rows; ++row)
    {
        const Section& above = sections[row == 0 ? 0 : row - 1];
        Section& here = sections[row];
        const double coupling = row == 0 ? 0 : 1;
        const double ends = (row == 0 ? 1 : 0) + (row + 1 == rows ? 1 : 0);
        for (std::size_t i = 0; i < part.count; ++i)
        {
            here.sum[i] = (ends * enters[i] - here.source[i]) * per_along +
                          coupling * above.carried[i] * above.sum[i];
        }
    }
    const double limit = part.cells.limit;
    std::array<double, kSettled> next{};
    for (std::size_t row = rows; row-- > 0;)
    {
        Section& here = sections[row];
        const Excess excess(part, row);
        for (std::size_t i = 0; i < part.count; ++i)
        {
            next[i] = here.carried[i] * (here.sum[i] + next[i]);
            double v = next[i];
            v = v < limit ? v : limit;
            v = v > -limit ? v : -limit;
            const double source = excess.at(i, v);
            off[i] += 2 * std::abs(source - here.source[i]); // at two nodes
            drawn[i] += here.share[i] * source;
            here.source[i] = source;
        }
    }
    round.drawn = drawn;
    round.off = off;
}

} // namespace

Settled settle_ladders(const CellArrays<double>& cells, const Wires& wires, double volts,
                       const float* driven, const Patience& patience, double* amperes)
{
    const std::size_t rows = cells.chord.rows();
    const std::size_t columns = cells.chord.columns();
    const Line line(wires, rows);
    std::vector<Section> sections(rows);
    Settled worst;
    for (std::size_t first = 0; first < columns; first += kSettled)
    {
        const Part part{cells, line, volts, driven, first, std::min(kSettled, columns - first)};
        Round round;
        eliminate(part, sections.data(), round);
        double residual = 0;
        unsigned rounds = 0;
        do
        {
            if (rounds == patience.most)
            {
                throw unsettled(rounds, residual);
            }
            settle_once(part, sections.data(), round);
            ++rounds;
            residual = 0;
            for (std::size_t i = 0; i < part.count; ++i)
            {
                residual = worse(residual, round.off[i], round.amperes[i]);
            }
        } while (!(residual <= patience.bound));
        std::copy_n(round.amperes.begin(), part.count, amperes + first);
        worst.rounds = std::max(worst.rounds, rounds);
        worst.residual = std::max(worst.residual, residual);
    }
    return worst;
}

} // namespace tessera::numerics
