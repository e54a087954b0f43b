// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/cell_arrays.h"
#include "numerics/matrix.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera::numerics
{

/// A crossbar with wires along rows and columns, prepared for sweeps. A line of chords and wire is
/// solved exactly, by elimination towards one end and substitution back; its shares are what of a
/// node's current goes on along the wire.
template <class Real> struct Lattice
{
    CellArrays<Real> cells;
    Matrix<Real> weights;     ///< of cell currents in the sums; empty: 1
    Matrix<Real> along_row;   ///< shares, towards the driver
    Matrix<Real> down;        ///< shares, towards the sense node
    Matrix<Real> up;          ///< shares, away from it
    Matrix<Real> lift;        ///< column volts per volt that all rows are driven with, about
    std::vector<Real> driven; ///< ohms from a driven row's first node to ground
    std::vector<Real> idle;
    std::vector<Real> bottom; ///< ohms from a column's last node to ground
    std::vector<Real> top;    ///< the same of its first node
    Real driver = 1;          ///< siemens
    Real row_segment = 1;     ///< ohms
    Real column_segment = 1;
    Real relaxation = 1; ///< in 0..2: how far each line moves towards its solution
};

/// Independent inputs that sweeps treat side by side, with the same bits wherever each lies.
template <class Real> inline constexpr std::size_t kLanes = 64 / sizeof(Real);
template <class Real> struct alignas(64) Lanes
{
    Real value[kLanes<Real>] = {}; // NOLINT(modernize-avoid-c-arrays)
};

/// Where a lattice's nodes are: by row and column, in volts and amperes.
template <class Real> struct LatticeState
{
    using Values = std::vector<Lanes<Real>>;
    std::size_t columns = 0;
    Values row_volts;
    Values column_volts;
    Values delivered; ///< by the row wire to the cell, after an exact sweep
    Values carried;   ///< along the column, of an elimination
    Values source;    ///< by row: what a driver short-circuited would give
    Values inner;     ///< by row: ohms from its first node to ground
    // By column, of the last sweep that checked:
    Values amperes;  ///< sum of the cells' currents
    Values weighted; ///< the same, each times its weight
    Values residual; ///< sum of what Kirchhoff's law is violated by at the nodes
    // Of one row or column:
    Values solved;
    Values norton;
    Values line;

    void resize(std::size_t rows, std::size_t columns_now);
};

enum class Sweep : std::uint8_t
{
    first, ///< down, from given volts
    up,
    down
};

/// Solves each row's wire and, on the way, half of each column's: elimination one way, which the
/// next sweep, the other way, substitutes back. `check`: sums of the voltages that it begins with,
/// which asks the sweep before to be `exact`: rows move to their solutions, not beyond.
void sweep(const Lattice<double>& lattice, LatticeState<double>& state, Sweep direction, bool check,
           bool exact);
void sweep(const Lattice<float>& lattice, LatticeState<float>& state, Sweep direction, bool check,
           bool exact);

} // namespace tessera::numerics
