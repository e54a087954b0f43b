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

constexpr std::size_t kAtOnce = 64; ///< columns whose state stays in the first cache

/// What is left of a node pair after all rows above are eliminated: its symmetric 2 x 2 matrix is
/// inverted, `b` being the driven line and `s` the sensed one, and x what they carry.
struct Pair
{
    double bb = 0;
    double bs = 0;
    double ss = 0;
    double xb = 0;
    double xs = 0;
};

inline Pair next(const Pair& above, double cell, double up_b, double up_s, double along_above,
                 double down_b, double down_s, double source)
{
    const double square = along_above * along_above;
    const double bb = up_b + down_b + cell - square * above.bb;
    const double ss = up_s + down_s + cell - square * above.ss;
    const double bs = -cell - square * above.bs;
    const double rb = source + along_above * above.xb;
    const double rs = along_above * above.xs;
    const double scale = 1 / (bb * ss - bs * bs);
    Pair pair;
    pair.bb = ss * scale;
    pair.bs = -bs * scale;
    pair.ss = bb * scale;
    pair.xb = pair.bb * rb + pair.bs * rs;
    pair.xs = pair.bs * rb + pair.ss * rs;
    return pair;
}

} // namespace

TESSERA_SIMD void ladders(const double* siemens, std::size_t rows, std::size_t columns,
                          double along, double drive, double sense, const float* driven,
                          double* amperes)
{
    std::array<double, kAtOnce> bb;
    std::array<double, kAtOnce> bs;
    std::array<double, kAtOnce> ss;
    std::array<double, kAtOnce> xb;
    std::array<double, kAtOnce> xs;
    for (std::size_t first = 0; first < columns; first += kAtOnce)
    {
        const std::size_t count = std::min(kAtOnce, columns - first);
        for (std::size_t i = 0; i < kAtOnce; ++i)
        {
            bb[i] = bs[i] = ss[i] = xb[i] = xs[i] = 0;
        }
        for (std::size_t row = 0; row < rows; ++row)
        {
            const double* cells = siemens + row * columns + first;
            const double open = driven[row] != 0 ? 1 : 0;
            const double above = row == 0 ? 0 : along;
            const double up_b = row == 0 ? drive : along;
            const double down_b = row + 1 < rows ? along : 0;
            const double down_s = row + 1 < rows ? along : sense;
            const double source = row == 0 ? drive : 0;
            for (std::size_t i = 0; i < count; ++i)
            {
                const Pair pair = next({bb[i], bs[i], ss[i], xb[i], xs[i]}, open * cells[i], up_b,
                                       above, above, down_b, down_s, source);
                bb[i] = pair.bb;
                bs[i] = pair.bs;
                ss[i] = pair.ss;
                xb[i] = pair.xb;
                xs[i] = pair.xs;
            }
        }
        for (std::size_t i = 0; i < count; ++i)
        {
            amperes[first + i] = sense * xs[i];
        }
    }
}

namespace
{

constexpr std::size_t kSettled = 32; ///< columns whose rounds stay in the second cache

/// Some columns between one row and the next.
struct Section
{
    std::array<double, kSettled> bb;
    std::array<double, kSettled> bs;
    std::array<double, kSettled> ss;
    std::array<double, kSettled> xb;
    std::array<double, kSettled> xs;
    std::array<double, kSettled> source; ///< what the cells' currents exceed their chords' by
};

/// Columns `first` to `first` + `count` of a crossbar.
struct Part
{
    const CellArrays<double>& cells;
    const Ladder& wires;
    double volts;
    const float* driven;
    std::size_t first;
    std::size_t count;
};

TESSERA_SIMD void eliminate(const Part& part, Section* sections)
{
    const std::size_t rows = part.cells.chord.rows();
    const double along = part.wires.along;
    for (std::size_t row = 0; row < rows; ++row)
    {
        const Section& above = sections[row == 0 ? 0 : row - 1];
        Section& here = sections[row];
        const double* chord = part.cells.chord.row(row) + part.first;
        const double open = part.driven[row] != 0 ? 1 : 0;
        const double coupling = row == 0 ? 0 : along;
        const double up_b = row == 0 ? part.wires.drive : along;
        const double down_b = row + 1 < rows ? along : 0;
        const double down_s = row + 1 < rows ? along : part.wires.sense;
        for (std::size_t i = 0; i < part.count; ++i)
        {
            const Pair pair = next({above.bb[i], above.bs[i], above.ss[i], 0, 0}, open * chord[i],
                                   up_b, coupling, coupling, down_b, down_s, 0);
            here.bb[i] = pair.bb;
            here.bs[i] = pair.bs;
            here.ss[i] = pair.ss;
        }
    }
}

/// Voltages with the sources at hand, then the sources at these voltages. Sums of the changes,
/// which violate Kirchhoff's law, into `off`.
TESSERA_SIMD void settle_once(const Part& part, Section* sections, double* amperes, double* off)
{
    const std::size_t rows = part.cells.chord.rows();
    const double along = part.wires.along;
    std::array<double, kSettled> b{};
    std::array<double, kSettled> s{};
    for (std::size_t row = 0; row < rows; ++row)
    {
        const Section& above = sections[row == 0 ? 0 : row - 1];
        Section& here = sections[row];
        const double coupling = row == 0 ? 0 : along;
        const double given = row == 0 ? part.wires.drive * part.volts : 0;
        for (std::size_t i = 0; i < part.count; ++i)
        {
            const double rb = given + coupling * above.xb[i] - here.source[i];
            const double rs = coupling * above.xs[i] + here.source[i];
            here.xb[i] = here.bb[i] * rb + here.bs[i] * rs;
            here.xs[i] = here.bs[i] * rb + here.ss[i] * rs;
        }
    }
    for (std::size_t i = 0; i < part.count; ++i)
    {
        amperes[i] = part.wires.sense * sections[rows - 1].xs[i];
        off[i] = 0;
    }
    const double limit = part.cells.limit;
    for (std::size_t row = rows; row-- > 0;)
    {
        Section& here = sections[row];
        const double* rest = part.cells.rest.row(row) + part.first;
        const double* second = part.cells.second.row(row) + part.first;
        const double* third = part.cells.third.row(row) + part.first;
        const double open = part.driven[row] != 0 ? 1 : 0;
        const double coupling = row + 1 < rows ? along : 0;
        for (std::size_t i = 0; i < part.count; ++i)
        {
            const double below_b = coupling * b[i];
            const double below_s = coupling * s[i];
            b[i] = here.xb[i] + here.bb[i] * below_b + here.bs[i] * below_s;
            s[i] = here.xs[i] + here.bs[i] * below_b + here.ss[i] * below_s;
            double v = b[i] - s[i];
            v = v < limit ? v : limit;
            v = v > -limit ? v : -limit;
            const double source = open * v * (rest[i] + v * (second[i] + third[i] * v));
            off[i] += 2 * std::abs(source - here.source[i]); // at two nodes
            here.source[i] = source;
        }
    }
}

} // namespace

Settled settle_ladders(const CellArrays<double>& cells, const Ladder& wires, double volts,
                       const float* driven, const Patience& patience, double* amperes)
{
    const std::size_t rows = cells.chord.rows();
    const std::size_t columns = cells.chord.columns();
    std::vector<Section> sections(rows);
    std::array<double, kSettled> off{};
    Settled worst;
    for (std::size_t first = 0; first < columns; first += kSettled)
    {
        const Part part{cells, wires, volts, driven, first, std::min(kSettled, columns - first)};
        std::fill(sections.begin(), sections.end(), Section());
        eliminate(part, sections.data());
        double residual = 0;
        unsigned rounds = 0;
        do
        {
            if (rounds == patience.most)
            {
                throw unsettled(rounds, residual);
            }
            settle_once(part, sections.data(), amperes + first, off.data());
            ++rounds;
            residual = 0;
            for (std::size_t i = 0; i < part.count; ++i)
            {
                residual = worse(residual, off[i], amperes[first + i]);
            }
        } while (!(residual <= patience.bound));
        worst.rounds = std::max(worst.rounds, rounds);
        worst.residual = std::max(worst.residual, residual);
    }
    return worst;
}

} // namespace tessera::numerics
