// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/matrix.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>

namespace tessera::numerics
{

/// Cells as solvers take them, by row and column: I = (chord + rest) V + second V^2 + third V^3
/// within +-limit volts, in S, A/V^2 and A/V^3; beyond, the current goes on as the chord does. No
/// slope exceeds the chord and none is negative: so each line that is solved with chords brings the
/// circuit's content, which is convex, down.
template <class Real> struct CellArrays
{
    Matrix<Real> chord;
    Matrix<Real> rest;
    Matrix<Real> second;
    Matrix<Real> third;
    Real limit = 0;
};

/// When rounds of a solver end.
struct Patience
{
    double bound = 1e-9;  ///< of what Kirchhoff's law is violated by, of a column's current
    unsigned most = 2000; ///< rounds
};

/// How they ended.
struct Settled
{
    unsigned rounds = 0;
    double residual = 0; ///< sum over a column's nodes, relative to its current; the worst column's
};

/// The worse of a residual and that of another column, where Kirchhoff's law is violated by `off`;
/// not a number stays.
[[nodiscard]] inline double worse(double residual, double off, double amperes)
{
    const double other = off / std::max(std::abs(amperes), 1e-30);
    return residual >= other || std::isnan(residual) ? residual : other;
}

[[nodiscard]] SimulationError unsettled(unsigned rounds, double residual);

} // namespace tessera::numerics
