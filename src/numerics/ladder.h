// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace tessera::numerics
{

// A column of gated-1t1r cells: a line from the driver at the top, a line to the sense node at the
// bottom, and between them a conductance a row. Conductances in siemens; 1 V at the driver.

/// Sense currents of neighbouring columns (row-major `siemens`), where rows of drive 0 are open.
void ladders(const double* siemens, std::size_t rows, std::size_t columns, double along,
             double drive, double sense, const float* driven, double* amperes);

/// One column with the voltage across each cell. Returns the sense current.
double ladder_voltages(const double* siemens, std::size_t rows, double along, double drive,
                       double sense, double* across);

} // namespace tessera::numerics
