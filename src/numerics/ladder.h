// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/cell_arrays.h"

#include <cstddef>

namespace tessera::numerics
{

// A column of gated-1t1r cells: a line from the driver at the top, a line to the sense node at the
// bottom, and between them a conductance a row. Conductances in siemens; 1 V at the driver.

/// What leads to the cells, in siemens.
struct Ladder
{
    double along = 1;
    double drive = 1;
    double sense = 1;
};

/// Sense currents of neighbouring columns (row-major `siemens`), where rows of drive 0 are open.
void ladders(const double* siemens, std::size_t rows, std::size_t columns, double along,
             double drive, double sense, const float* driven, double* amperes);

/// The same of cells that are not linear, where rows of drive 0 are open and a driver gives
/// `volts`. Ladders of chords, whose sources are what the cells' currents differ from them, are
/// solved until Kirchhoff's law is violated by at most `bound` of each column's current.
Settled settle_ladders(const CellArrays<double>& cells, const Ladder& wires, double volts,
                       const float* driven, const Patience& patience, double* amperes);

} // namespace tessera::numerics
