// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/block.h"
#include "numerics/matrix.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace tessera::numerics
{

/// How a crossbar is read.
enum class Read : std::uint8_t
{
    row_voltage, ///< rows carry voltages, idle ones are grounded; columns are virtual ground
    row_voltage_floating, ///< idle rows are cut off instead
    gated_1t1r ///< rows gate the cells' transistors; every column has a line that carries
               ///< the read voltage from the top and one that is sensed at the bottom
};

/// Resistances in ohms. Between a driver (or sense node) and the first cell lies one segment too.
struct Wires
{
    Read read = Read::row_voltage;
    double row_segment = 1;    ///< from cell to cell
    double column_segment = 1; ///< gated-1t1r: of each of the two lines
    double driver = 0;
    double sense = 0;
};

/// Throws InputError for a resistance that cannot be (segments must be above 0).
void check(const Wires& wires);
/// Throws InputError where a scheme's inputs cannot be solved for: steered cells, or gates of
/// several bits.
void check_solvable(const Scheme& scheme, const Wires& wires);

/// Of a crossbar of `siemens` with all drivers connected: the current into column c per volt at row
/// r, which is what the cell amounts to. Exact (block elimination), about rows x columns^3
/// operations.
[[nodiscard]] Matrix<double> transfer_matrix(const Matrix<double>& siemens, const Wires& wires);

/// The same at a few operations a cell: each cell in series with its own path of wire, as if no
/// other cell drew current. Errs by little where the wires together are far below the cells.
[[nodiscard]] Matrix<double> approximate_transfer_matrix(const Matrix<double>& siemens,
                                                         const Wires& wires);

/// A crossbar whose idle rows float. Exact for every input: the voltages of idle rows follow from
/// their currents being zero.
class FloatingRows
{
public:
    FloatingRows(const Matrix<double>& siemens, const Wires& wires);
    /// Column currents for voltages at the rows, of which those of 0 are idle.
    void currents(const float* volts, double* amperes) const;

private:
    Matrix<double> transfer_;
    Matrix<double> admittance_; ///< current of each driver per volt at each row
};

/// Column currents of a gated-1t1r crossbar per volt: `driven[r]` tells whether row r's transistors
/// conduct. Exact: columns are independent ladders.
void gated_currents(const Matrix<double>& siemens, const Wires& wires, const float* driven,
                    double* amperes);

/// What cells of a whole block are read through. `off_us` and `step_us`: conductance of level 0 and
/// between levels.
struct ReadOut
{
    Wires wires;
    double off_us = 0;
    double step_us = 1;
    bool approximate = false; ///< row-voltage only
};

/// `analog` as its converters see it through wires, in the scheme's arrays side by side and below:
/// levels that contain them (row-voltage), or a reading that solves for every input. Read noise
/// stays that of the cells. Throws InputError where scheme and reading do not go together.
[[nodiscard]] Analog through_wires(const Scheme& scheme, const Analog& analog, const ReadOut& out);

} // namespace tessera::numerics
