// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/cell_arrays.h"
#include "numerics/wires.h"

namespace tessera::numerics
{

// A column of gated-1t1r cells: a line from the driver at the top, a line to the sense node at the
// bottom, and between them a cell a row. Conductances in siemens.

/// Sense currents of neighbouring columns, where rows of drive 0 are open and a driver gives 1 V.
void ladders(const Matrix<double>& siemens, const Wires& wires, const float* driven,
             double* amperes);

/// The same of cells that are not linear, where rows of drive 0 are open and a driver gives
/// `volts`. Ladders of chords, whose sources are what the cells' currents differ from them, are
/// solved until Kirchhoff's law is violated by at most `bound` of each column's current; with
/// `quick`, the same cells in single precision, in that as far as it does. Throws SimulationError.
Settled settle_ladders(const CellArrays<double>& cells, const CellArrays<float>* quick,
                       const Wires& wires, double volts, const float* driven,
                       const Patience& patience, double* amperes);

} // namespace tessera::numerics
