// SPDX-License-Identifier: Apache-2.0
#include "numerics/lattice.h"

#include "numerics/simd.h"

#include <algorithm>

namespace tessera::numerics
{
namespace
{

/// What a cell's current is beside its chord's. In place: vectors are not passed by value.
template <class Real>
inline __attribute__((always_inline)) void bend(typename Lanes<Real>::Pack& volts, Real limit,
                                                Real rest, Real second, Real third)
{
    using Pack = typename Lanes<Real>::Pack;
    const Pack most = Pack{} + limit;
    const Pack least = Pack{} - limit;
    Pack v = volts < most ? volts : most;
    v = v > least ? v : least;
    volts = v * (rest + v * (second + third * v));
}

template <class Pack>
inline __attribute__((always_inline)) void add_magnitude(Pack& sum, const Pack& value)
{
    sum += value < 0 ? -value : value;
}

template <bool kFirst, bool kDown, bool kCheck, bool kExact, class Real>
inline __attribute__((always_inline)) void sweep_rows(const Lattice<Real>& lattice,
                                                      LatticeState<Real>& state)
{
    using Pack = typename Lanes<Real>::Pack;
    const CellArrays<Real>& cells = lattice.cells;
    const std::size_t rows = cells.chord.rows();
    const std::size_t columns = cells.chord.columns();
    const Real limit = cells.limit;
    const Real relaxation = lattice.relaxation;
    const Real row_segment = lattice.row_segment;
    const Real column_segment = lattice.column_segment;
    const bool weighted = lattice.weights.rows() != 0;
    if (kCheck)
    {
        for (auto* each : {&state.residual, &state.amperes, &state.weighted})
        {
            std::fill(each->begin(), each->end(), Lanes<Real>());
        }
    }
    Lanes<Real>* const solved = state.solved.data();
    Lanes<Real>* const norton = state.norton.data();
    Lanes<Real>* const line = state.line.data();
    for (std::size_t step = 0; step < rows; ++step)
    {
        const std::size_t row = kDown ? step : rows - 1 - step;
        const Real* chord = cells.chord.row(row);
        const Real* rest = cells.rest.row(row);
        const Real* second = cells.second.row(row);
        const Real* third = cells.third.row(row);
        const Real* along = lattice.along_row.row(row);
        Lanes<Real>* row_volts = state.row_volts.data() + row * columns;
        Lanes<Real>* column_volts = state.column_volts.data() + row * columns;
        Lanes<Real>* delivered = state.delivered.data() + row * columns;
        Lanes<Real>* carried = state.carried.data() + row * columns;

        const Real* back = kDown ? lattice.up.row(row) : lattice.down.row(row);
        const Real* end = kDown ? lattice.top.data() : lattice.bottom.data();
        Pack towards{};
        for (std::size_t j = columns; j-- > 0;)
        {
            const Pack across = row_volts[j].value;
            Pack volts = column_volts[j].value;
            if (!kFirst)
            {
                const Pack now =
                    step == 0 ? carried[j].value * end[j]
                              : (solved[j].value + column_segment * carried[j].value) * back[j];
                solved[j].value = now;
                if (kCheck)
                {
                    const Pack drop = across - now;
                    Pack assumed = across - volts; // where the column's elimination took it
                    Pack real = drop;
                    bend(assumed, limit, rest[j], second[j], third[j]);
                    bend(real, limit, rest[j], second[j], third[j]);
                    const Pack amperes = chord[j] * drop + real;
                    add_magnitude(state.residual[j].value, amperes - delivered[j].value);
                    add_magnitude(state.residual[j].value, real - assumed);
                    state.amperes[j].value += amperes;
                    if (weighted)
                    {
                        state.weighted[j].value += lattice.weights(row, j) * amperes;
                    }
                }
                volts += relaxation * (now - volts);
                column_volts[j].value = volts;
            }
            Pack source = across - volts;
            bend(source, limit, rest[j], second[j], third[j]);
            source -= chord[j] * volts;
            if (kExact)
            {
                norton[j].value = source;
            }
            const Pack node = towards - source;
            line[j].value = node;
            towards = along[j] * node;
        }

        const Lanes<Real>* before = step == 0 ? nullptr
                                    : kDown   ? carried - columns
                                              : carried + columns;
        const Real* shares = step == 0 ? nullptr
                             : kDown   ? lattice.down.row(row - 1)
                                       : lattice.up.row(row + 1);
        Pack node = (line[0].value + state.source[row].value) * state.inner[row].value;
        for (std::size_t j = 0; j < columns; ++j)
        {
            if (j > 0)
            {
                node = (node + row_segment * line[j].value) * along[j];
            }
            const Pack last = row_volts[j].value;
            const Pack volts = kExact ? node : last + relaxation * (node - last);
            row_volts[j].value = volts;
            if (kExact)
            {
                delivered[j].value = chord[j] * node + norton[j].value;
            }
            Pack into = volts - column_volts[j].value;
            bend(into, limit, rest[j], second[j], third[j]);
            into += chord[j] * volts;
            if (step != 0)
            {
                into += shares[j] * before[j].value;
            }
            carried[j].value = into;
        }
    }
}

template <bool kExact, class Real>
inline __attribute__((always_inline)) void
sweep_one_way(const Lattice<Real>& lattice, LatticeState<Real>& state, Sweep direction, bool check)
{
    if (direction == Sweep::first)
    {
        sweep_rows<true, true, false, kExact>(lattice, state);
    }
    else if (direction == Sweep::down)
    {
        check ? sweep_rows<false, true, true, kExact>(lattice, state)
              : sweep_rows<false, true, false, kExact>(lattice, state);
    }
    else
    {
        check ? sweep_rows<false, false, true, kExact>(lattice, state)
              : sweep_rows<false, false, false, kExact>(lattice, state);
    }
}

} // namespace

template <class Real> void LatticeState<Real>::resize(std::size_t rows, std::size_t columns_now)
{
    columns = columns_now;
    for (Values* each : {&row_volts, &column_volts, &delivered, &carried})
    {
        each->resize(rows * columns);
    }
    source.resize(rows);
    inner.resize(rows);
    for (Values* each : {&amperes, &weighted, &residual, &solved, &norton, &line})
    {
        each->resize(columns);
    }
}

template struct LatticeState<double>;
template struct LatticeState<float>;

TESSERA_SIMD void sweep(const Lattice<double>& lattice, LatticeState<double>& state,
                        Sweep direction, bool check, bool exact)
{
    exact ? sweep_one_way<true>(lattice, state, direction, check)
          : sweep_one_way<false>(lattice, state, direction, check);
}

TESSERA_SIMD void sweep(const Lattice<float>& lattice, LatticeState<float>& state, Sweep direction,
                        bool check, bool exact)
{
    exact ? sweep_one_way<true>(lattice, state, direction, check)
          : sweep_one_way<false>(lattice, state, direction, check);
}

} // namespace tessera::numerics
