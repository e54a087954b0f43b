// SPDX-License-Identifier: Apache-2.0
#include "numerics/lattice.h"

#include "numerics/simd.h"

#include <algorithm>

namespace tessera::numerics
{
namespace
{

/// The lanes, in `kParts` vectors as long as the CPU's: longer ones would be compared and chosen
/// from number by number. Halves of halves, and not an array, which would be kept in memory.
template <class Real, std::size_t kParts, std::size_t kBytes = 64> struct Pack
{
    using Half = Pack<Real, kParts / 2, kBytes / 2>;

    TESSERA_INLINE Pack() = default;
    TESSERA_INLINE explicit Pack(const Real* lanes)
        : low(lanes), high(lanes + kBytes / 2 / sizeof(Real))
    {
    }
    TESSERA_INLINE void store(Real* lanes) const
    {
        low.store(lanes);
        high.store(lanes + kBytes / 2 / sizeof(Real));
    }
    TESSERA_INLINE void operator+=(const Pack& other)
    {
        low += other.low;
        high += other.high;
    }
    TESSERA_INLINE void operator-=(const Pack& other)
    {
        low -= other.low;
        high -= other.high;
    }
    TESSERA_INLINE void operator*=(const Pack& other)
    {
        low *= other.low;
        high *= other.high;
    }
    TESSERA_INLINE void operator+=(Real summand)
    {
        low += summand;
        high += summand;
    }
    TESSERA_INLINE void operator*=(Real factor)
    {
        low *= factor;
        high *= factor;
    }
    /// Into -limit..limit.
    TESSERA_INLINE void clamp(Real limit)
    {
        low.clamp(limit);
        high.clamp(limit);
    }
    TESSERA_INLINE void add_magnitude(const Pack& other)
    {
        low.add_magnitude(other.low);
        high.add_magnitude(other.high);
    }

    Half low;
    Half high;
};

template <class Real, std::size_t kBytes> struct Pack<Real, 1, kBytes>
{
    // What depends on a parameter, the compiler (GCC 12) only takes in this form.
    // NOLINTNEXTLINE(modernize-use-using)
    typedef Real Part __attribute__((vector_size(kBytes), may_alias));

    TESSERA_INLINE Pack() = default;
    TESSERA_INLINE explicit Pack(const Real* lanes) : part(*reinterpret_cast<const Part*>(lanes)) {}
    TESSERA_INLINE void store(Real* lanes) const { *reinterpret_cast<Part*>(lanes) = part; }
    TESSERA_INLINE void operator+=(const Pack& other) { part += other.part; }
    TESSERA_INLINE void operator-=(const Pack& other) { part -= other.part; }
    TESSERA_INLINE void operator*=(const Pack& other) { part *= other.part; }
    TESSERA_INLINE void operator+=(Real summand) { part += summand; }
    TESSERA_INLINE void operator*=(Real factor) { part *= factor; }
    TESSERA_INLINE void clamp(Real limit)
    {
        const Part most = Part{} + limit;
        const Part least = Part{} - limit;
        part = part < most ? part : most;
        part = part > least ? part : least;
    }
    TESSERA_INLINE void add_magnitude(const Pack& other)
    {
        part += other.part < 0 ? -other.part : other.part;
    }

    Part part{};
};

template <class Real, std::size_t kParts, std::size_t kBytes>
TESSERA_INLINE Pack<Real, kParts, kBytes> operator+(Pack<Real, kParts, kBytes> one,
                                                    const Pack<Real, kParts, kBytes>& other)
{
    one += other;
    return one;
}
template <class Real, std::size_t kParts, std::size_t kBytes>
TESSERA_INLINE Pack<Real, kParts, kBytes> operator-(Pack<Real, kParts, kBytes> one,
                                                    const Pack<Real, kParts, kBytes>& other)
{
    one -= other;
    return one;
}
template <class Real, std::size_t kParts, std::size_t kBytes>
TESSERA_INLINE Pack<Real, kParts, kBytes> operator*(Pack<Real, kParts, kBytes> one,
                                                    const Pack<Real, kParts, kBytes>& other)
{
    one *= other;
    return one;
}
template <class Real, std::size_t kParts, std::size_t kBytes>
TESSERA_INLINE Pack<Real, kParts, kBytes> operator*(Pack<Real, kParts, kBytes> one, Real factor)
{
    one *= factor;
    return one;
}
template <class Real, std::size_t kParts, std::size_t kBytes>
TESSERA_INLINE Pack<Real, kParts, kBytes> operator*(Real factor, Pack<Real, kParts, kBytes> one)
{
    one *= factor;
    return one;
}
template <class Real, std::size_t kParts, std::size_t kBytes>
TESSERA_INLINE Pack<Real, kParts, kBytes> operator+(Real summand, Pack<Real, kParts, kBytes> one)
{
    one += summand;
    return one;
}

/// What a cell's current is beside its chord's.
template <class Real, std::size_t kParts>
TESSERA_INLINE Pack<Real, kParts> bent(Pack<Real, kParts> v, Real limit, Real rest, Real second,
                                       Real third)
{
    v.clamp(limit);
    return v * (rest + v * (second + third * v));
}

template <std::size_t kParts, bool kFirst, bool kDown, bool kCheck, bool kExact, class Real>
TESSERA_INLINE void sweep_rows(const Lattice<Real>& lattice, LatticeState<Real>& state)
{
    using Volts = Pack<Real, kParts>; // or amperes
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
        Volts towards;
        for (std::size_t j = columns; j-- > 0;)
        {
            const Volts across(row_volts[j].value);
            Volts volts(column_volts[j].value);
            if (!kFirst)
            {
                Volts now(carried[j].value);
                now = step == 0 ? now * end[j]
                                : (Volts(solved[j].value) + column_segment * now) * back[j];
                now.store(solved[j].value);
                if (kCheck)
                {
                    const Volts drop = across - now;
                    // Where the column's elimination took it.
                    const Volts assumed = bent(across - volts, limit, rest[j], second[j], third[j]);
                    const Volts real = bent(drop, limit, rest[j], second[j], third[j]);
                    const Volts amperes = chord[j] * drop + real;
                    Volts residual(state.residual[j].value);
                    residual.add_magnitude(amperes - Volts(delivered[j].value));
                    residual.add_magnitude(real - assumed);
                    residual.store(state.residual[j].value);
                    (Volts(state.amperes[j].value) + amperes).store(state.amperes[j].value);
                    if (weighted)
                    {
                        (Volts(state.weighted[j].value) + lattice.weights(row, j) * amperes)
                            .store(state.weighted[j].value);
                    }
                }
                volts += relaxation * (now - volts);
                volts.store(column_volts[j].value);
            }
            const Volts source =
                bent(across - volts, limit, rest[j], second[j], third[j]) - chord[j] * volts;
            if (kExact)
            {
                source.store(norton[j].value);
            }
            const Volts node = towards - source;
            node.store(line[j].value);
            towards = along[j] * node;
        }

        const Lanes<Real>* before = step == 0 ? nullptr
                                    : kDown   ? carried - columns
                                              : carried + columns;
        const Real* shares = step == 0 ? nullptr
                             : kDown   ? lattice.down.row(row - 1)
                                       : lattice.up.row(row + 1);
        Volts node =
            (Volts(line[0].value) + Volts(state.source[row].value)) * Volts(state.inner[row].value);
        for (std::size_t j = 0; j < columns; ++j)
        {
            if (j > 0)
            {
                node = (node + row_segment * Volts(line[j].value)) * along[j];
            }
            const Volts last(row_volts[j].value);
            const Volts volts = kExact ? node : last + relaxation * (node - last);
            volts.store(row_volts[j].value);
            if (kExact)
            {
                (chord[j] * node + Volts(norton[j].value)).store(delivered[j].value);
            }
            Volts into =
                bent(volts - Volts(column_volts[j].value), limit, rest[j], second[j], third[j]);
            into += chord[j] * volts;
            if (step != 0)
            {
                into += shares[j] * Volts(before[j].value);
            }
            into.store(carried[j].value);
        }
    }
}

template <std::size_t kParts, bool kExact, class Real>
TESSERA_INLINE void sweep_one_way(const Lattice<Real>& lattice, LatticeState<Real>& state,
                                  Sweep direction, bool check)
{
    if (direction == Sweep::first)
    {
        sweep_rows<kParts, true, true, false, kExact>(lattice, state);
    }
    else if (direction == Sweep::down)
    {
        check ? sweep_rows<kParts, false, true, true, kExact>(lattice, state)
              : sweep_rows<kParts, false, true, false, kExact>(lattice, state);
    }
    else
    {
        check ? sweep_rows<kParts, false, false, true, kExact>(lattice, state)
              : sweep_rows<kParts, false, false, false, kExact>(lattice, state);
    }
}

template <std::size_t kParts, class Real>
TESSERA_INLINE void sweep_in(const Lattice<Real>& lattice, LatticeState<Real>& state,
                             Sweep direction, bool check, bool exact)
{
    exact ? sweep_one_way<kParts, true>(lattice, state, direction, check)
          : sweep_one_way<kParts, false>(lattice, state, direction, check);
}

#if TESSERA_HAS_SIMD
template <class Real>
__attribute__((target("avx512f"))) void sweep_of_512_bits(const Lattice<Real>& lattice,
                                                          LatticeState<Real>& state,
                                                          Sweep direction, bool check, bool exact)
{
    sweep_in<1>(lattice, state, direction, check, exact);
}

template <class Real>
__attribute__((target("avx2"))) void sweep_of_256_bits(const Lattice<Real>& lattice,
                                                       LatticeState<Real>& state, Sweep direction,
                                                       bool check, bool exact)
{
    sweep_in<2>(lattice, state, direction, check, exact);
}
#endif

/// In vectors as long as the CPU's: the same operations on each number, so the same bits.
template <class Real>
void sweep_any(const Lattice<Real>& lattice, LatticeState<Real>& state, Sweep direction, bool check,
               bool exact)
{
#if TESSERA_HAS_SIMD
    if (__builtin_cpu_supports("avx512f") != 0)
    {
        sweep_of_512_bits(lattice, state, direction, check, exact);
        return;
    }
    if (__builtin_cpu_supports("avx2") != 0)
    {
        sweep_of_256_bits(lattice, state, direction, check, exact);
        return;
    }
#endif
    sweep_in<4>(lattice, state, direction, check, exact);
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

void sweep(const Lattice<double>& lattice, LatticeState<double>& state, Sweep direction, bool check,
           bool exact)
{
    sweep_any(lattice, state, direction, check, exact);
}

void sweep(const Lattice<float>& lattice, LatticeState<float>& state, Sweep direction, bool check,
           bool exact)
{
    sweep_any(lattice, state, direction, check, exact);
}

} // namespace tessera::numerics
