// SPDX-License-Identifier: Apache-2.0
// What the numerics say about circuits that circuit_test.py has ngspice solve: JSON on stdout.
// circuit_values crossbar ROWS COLUMNS | bent ROWS COLUMNS | floating ROWS COLUMNS | gated ROWS
// COLUMNS | group ROWS BITS
#include "base/philox.h"
#include "numerics/aidac.h"
#include "numerics/non_linear.h"

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

namespace
{

using namespace tessera;
using namespace tessera::numerics;
using nlohmann::json;

double uniform(std::uint32_t a, std::uint32_t b)
{
    return Draws(17).uniform({a, b, 0, 0});
}

json rows_of(const Matrix<double>& matrix)
{
    json all = json::array();
    for (std::size_t row = 0; row < matrix.rows(); ++row)
    {
        all.push_back(std::vector<double>(matrix.row(row), matrix.row(row) + matrix.columns()));
    }
    return all;
}

json crossbar(std::size_t rows, std::size_t columns)
{
    const Wires wires{Read::row_voltage, 1.5, 2.5, 50, 30};
    Matrix<double> siemens(rows, columns);
    std::vector<double> volts(rows);
    for (std::size_t row = 0; row < rows; ++row)
    {
        volts[row] = row % 3 == 0 ? 0 : 0.2;
        for (std::size_t column = 0; column < columns; ++column)
        {
            siemens(row, column) = 1e-6 + 99e-6 * uniform(static_cast<std::uint32_t>(row),
                                                          static_cast<std::uint32_t>(column));
        }
    }
    const Matrix<double> transfer = transfer_matrix(siemens, wires);
    std::vector<double> amperes(columns, 0);
    for (std::size_t row = 0; row < rows; ++row)
    {
        for (std::size_t column = 0; column < columns; ++column)
        {
            amperes[column] += volts[row] * transfer(row, column);
        }
    }
    return {{"row_segment", wires.row_segment},
            {"column_segment", wires.column_segment},
            {"driver", wires.driver},
            {"sense", wires.sense},
            {"siemens", rows_of(siemens)},
            {"volts", volts},
            {"amperes", amperes}};
}

/// Cells with I = G V + S V^2 + T V^3, each with its own; some rows are idle, others are driven by
/// parts of `volts` where rows carry voltages.
json bent(const Wires& wires, double volts, std::size_t rows, std::size_t columns)
{
    constexpr unsigned full = 3;
    const bool gated = wires.read == Read::gated_1t1r;
    CellTerms cells{Matrix<double>(rows, columns), Matrix<double>(rows, columns),
                    Matrix<double>(rows, columns)};
    std::vector<float> driven(rows);
    std::vector<double> row_volts(rows);
    for (std::uint32_t row = 0; row < rows; ++row)
    {
        driven[row] = row % 5 == 2 ? 0.0F : gated ? 1.0F : static_cast<float>(1 + row % full);
        row_volts[row] = volts * static_cast<double>(driven[row]) / full;
        for (std::uint32_t column = 0; column < columns; ++column)
        {
            const double siemens = 1e-6 + 99e-6 * uniform(row, 7 + 3 * column);
            cells.first(row, column) = siemens;
            // What idle rows are at makes their cells' voltages negative: slopes stay above 0.
            cells.second(row, column) = (gated ? 5e-5 : siemens) * uniform(row, 8 + 3 * column);
            cells.third(row, column) = 8e-4 * uniform(row, 9 + 3 * column);
        }
    }
    const NonLinearCrossbar crossbar(cells, wires, volts, gated ? 1 : full, {1e-11, 2000});
    Matrix<double> amperes(1, columns);
    NonLinearCrossbar::Work state;
    crossbar.currents({driven.data(), 1, 0}, amperes, 0, state);
    return {{"segment", wires.column_segment},
            {"row_segment", wires.row_segment},
            {"column_segment", wires.column_segment},
            {"driver", wires.driver},
            {"sense", wires.sense},
            {"siemens", rows_of(cells.first)},
            {"square", rows_of(cells.second)},
            {"cubic", rows_of(cells.third)},
            {"driven", driven},
            {"floating", wires.read == Read::row_voltage_floating},
            {"volts", gated ? json(volts) : json(row_volts)},
            {"amperes", rows_of(amperes)[0]}};
}

/// One group of an array with mismatched capacitors that leak.
json group(std::size_t rows, unsigned bits)
{
    AidacModel model = load_aidac("aidac-28nm");
    model.array_rows = static_cast<double>(rows);
    model.array_outputs = bits == 4 ? 8 : 32;
    model.mismatch_percent = 5;
    model.leak_pa = 1e3; // enough to be seen
    const AidacScheme scheme{bits, bits, AidacSigns::none};
    Matrix<std::int32_t> weights(rows, 1);
    std::vector<std::int32_t> inputs(rows);
    std::vector<std::int32_t> stored(rows);
    const double span = std::exp2(bits);
    for (std::size_t row = 0; row < rows; ++row)
    {
        const auto r = static_cast<std::uint32_t>(row);
        weights(row, 0) = stored[row] = static_cast<std::int32_t>(span * uniform(r, 1));
        inputs[row] = static_cast<std::int32_t>(span * uniform(r, 2));
    }
    AidacErrors errors = AidacErrors::none();
    errors.mismatch = errors.leakage = true;
    const AidacBlock block(model, scheme, weights, errors, {3, 0, 0});
    return {{"bits", bits},
            {"outputs", model.array_outputs},
            {"supply", model.supply_v},
            {"leak_siemens", model.leak_pa * 1e-12 / model.supply_v},
            {"line", model.vtc_input_ff * 1e-15},
            {"ns",
             {{"charge", model.charge_ns},
              {"multiply", model.multiply_ns},
              {"share", model.share_ns},
              {"weigh", model.weigh_ns},
              {"window", model.window_ns}}},
            {"capacitors", rows_of(block.capacitors(0, 0))},
            {"weights", stored},
            {"inputs", inputs},
            {"full", aidac_volts_per_unit(model, scheme) * static_cast<double>(rows) * (span - 1) *
                         (span - 1)},
            {"volts", block.voltages(inputs.data())(0, 0)}};
}

} // namespace

int main(int argc, char** argv)
{
    const std::string what = argc > 2 ? argv[1] : "";
    const auto first = static_cast<std::size_t>(argc > 2 ? std::atoi(argv[2]) : 0);
    const auto second = static_cast<std::size_t>(argc > 3 ? std::atoi(argv[3]) : 0);
    const auto wires = [](Read read) { return Wires{read, 1.5, 2, 40, 20}; };
    std::cout << (what == "crossbar"   ? crossbar(first, second)
                  : what == "bent"     ? bent(wires(Read::row_voltage), 0.3, first, second)
                  : what == "floating" ? bent(wires(Read::row_voltage_floating), 0.3, first, second)
                  : what == "gated"    ? bent(wires(Read::gated_1t1r), 0.3, first, second)
                                       : group(first, static_cast<unsigned>(second)));
}
