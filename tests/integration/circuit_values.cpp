// SPDX-License-Identifier: Apache-2.0
// What the numerics say about circuits that circuit_test.py has ngspice solve: JSON on stdout.
// circuit_values crossbar ROWS COLUMNS | gated ROWS COLUMNS | group ROWS BITS
#include "base/philox.h"
#include "numerics/aidac.h"
#include "numerics/wires.h"

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

/// Gated cells with I = G V + S V^2 + T V^3, each with its own; some rows are idle.
json gated(std::size_t rows, std::size_t columns)
{
    Wires wires;
    wires.read = Read::gated_1t1r;
    wires.column_segment = 2;
    wires.driver = 40;
    wires.sense = 20;
    const double volts = 0.3;
    Matrix<double> siemens(rows, columns);
    Matrix<double> square(rows, columns);
    Matrix<double> cubic(rows, columns);
    std::vector<float> driven(rows);
    for (std::uint32_t row = 0; row < rows; ++row)
    {
        driven[row] = row % 5 == 2 ? 0.0F : 1.0F;
        for (std::uint32_t column = 0; column < columns; ++column)
        {
            siemens(row, column) = 1e-6 + 99e-6 * uniform(row, 7 + 3 * column);
            square(row, column) = 5e-5 * uniform(row, 8 + 3 * column);
            cubic(row, column) = 8e-4 * uniform(row, 9 + 3 * column);
        }
    }
    std::vector<double> amperes;
    for (std::size_t column = 0; column < columns; ++column)
    {
        const auto current = [&](std::size_t row, double v)
        { return v * (siemens(row, column) + v * (square(row, column) + v * cubic(row, column))); };
        amperes.push_back(solve_column(rows, wires, volts, driven.data(), current).amperes);
    }
    return {{"segment", wires.column_segment},
            {"driver", wires.driver},
            {"sense", wires.sense},
            {"siemens", rows_of(siemens)},
            {"square", rows_of(square)},
            {"cubic", rows_of(cubic)},
            {"driven", driven},
            {"volts", volts},
            {"amperes", amperes}};
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
    std::cout << (what == "crossbar" ? crossbar(first, second)
                  : what == "gated"  ? gated(first, second)
                                     : group(first, static_cast<unsigned>(second)));
}
