// SPDX-License-Identifier: Apache-2.0
#include "numerics/wires.h"

#include "tessera/error.h"
#include "unit/numerics/nodal_circuit.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>

namespace tessera::numerics
{
namespace
{

/// Column currents of a whole crossbar, node by node.
std::vector<double> by_nodes(const Matrix<double>& siemens, const Wires& wires,
                             const std::vector<float>& volts)
{
    const CrossbarNodes at{siemens.rows(), siemens.columns()};
    NodalCircuit circuit(at.count());
    add_wires(circuit, at, wires, {volts.begin(), volts.end()}, 1);
    const bool gated = wires.read == Read::gated_1t1r;
    for (std::size_t r = 0; r < at.rows; ++r)
    {
        for (std::size_t c = 0; c < at.columns; ++c)
        {
            circuit.connect(at.upper(r, c), at.lower(r, c),
                            gated && volts[r] == 0 ? 0 : siemens(r, c));
        }
    }
    const std::vector<double> nodes = circuit.solve();
    std::vector<double> amperes;
    for (std::size_t c = 0; c < at.columns; ++c)
    {
        amperes.push_back(nodes[at.lower(at.rows - 1, c)] / (wires.sense + wires.column_segment));
    }
    return amperes;
}

struct Case
{
    Matrix<double> siemens;
    std::vector<float> volts;
    Wires wires;
};

Case random_case(std::mt19937& random, Read read)
{
    const std::size_t rows = 1 + random() % 14;
    const std::size_t columns = 1 + random() % 14;
    Case made{Matrix<double>(rows, columns), std::vector<float>(rows), {}};
    std::uniform_real_distribution<double> log(-6, -3);
    for (std::size_t r = 0; r < rows; ++r)
    {
        made.volts[r] = static_cast<float>(random() % 2);
        for (std::size_t c = 0; c < columns; ++c)
        {
            made.siemens(r, c) = std::pow(10.0, log(random));
        }
    }
    made.wires = {read, std::pow(10.0, log(random) + 4.5), std::pow(10.0, log(random) + 4.5),
                  static_cast<double>(random() % 2) * 100, static_cast<double>(random() % 2) * 50};
    return made;
}

TEST(Wires, EveryReadAgreesWithTheCircuit)
{
    std::mt19937 random(1);
    for (const Read read : {Read::row_voltage, Read::row_voltage_floating, Read::gated_1t1r})
    {
        for (int trial = 0; trial < 60; ++trial)
        {
            const Case made = random_case(random, read);
            const std::size_t columns = made.siemens.columns();
            const std::vector<double> expected = by_nodes(made.siemens, made.wires, made.volts);
            std::vector<double> amperes(columns);
            if (read == Read::row_voltage)
            {
                const Matrix<double> transfer = transfer_matrix(made.siemens, made.wires);
                for (std::size_t r = 0; r < made.volts.size(); ++r)
                {
                    for (std::size_t c = 0; c < columns; ++c)
                    {
                        amperes[c] += static_cast<double>(made.volts[r]) * transfer(r, c);
                    }
                }
            }
            else if (read == Read::row_voltage_floating)
            {
                FloatingRows(made.siemens, made.wires).currents(made.volts.data(), amperes.data());
            }
            else
            {
                gated_currents(made.siemens, made.wires, made.volts.data(), amperes.data());
            }
            for (std::size_t c = 0; c < columns; ++c)
            {
                ASSERT_NEAR(amperes[c], expected[c], 1e-9 * std::abs(expected[c]) + 1e-18)
                    << "read " << static_cast<int>(read) << ", trial " << trial;
            }
        }
    }
}

TEST(Wires, ApproximationIsCloseWhereWiresAreSmall)
{
    std::mt19937 random(2);
    Matrix<double> siemens(32, 32);
    for (std::size_t r = 0; r < 32; ++r)
    {
        for (std::size_t c = 0; c < 32; ++c)
        {
            siemens(r, c) = (1 + static_cast<double>(random() % 4)) * 1e-6;
        }
    }
    const Wires wires;
    const Matrix<double> exact = transfer_matrix(siemens, wires);
    const Matrix<double> near = approximate_transfer_matrix(siemens, wires);
    for (std::size_t r = 0; r < 32; ++r)
    {
        for (std::size_t c = 0; c < 32; ++c)
        {
            EXPECT_NEAR(near(r, c), exact(r, c), 0.005 * exact(r, c));
            EXPECT_LT(exact(r, c), siemens(r, c));
        }
    }
}

Analog exact_levels(const Scheme& scheme, const Matrix<std::int32_t>& weights)
{
    const Cells cells = cells_of(scheme, weights);
    Analog analog;
    analog.levels = Matrix<float>(cells.levels.rows(), cells.levels.columns());
    for (std::size_t r = 0; r < cells.levels.rows(); ++r)
    {
        for (std::size_t c = 0; c < cells.levels.columns(); ++c)
        {
            analog.levels(r, c) = static_cast<float>(cells.levels(r, c));
        }
    }
    return analog;
}

TEST(Wires, BlocksReadThroughThem)
{
    std::mt19937 random(4);
    for (const Signs signs :
         {Signs::differential, Signs::differential_separate, Signs::offset, Signs::sign_magnitude})
    {
        Scheme scheme;
        scheme.signs = signs;
        scheme.rows = 24;
        scheme.columns = 20;
        scheme.converter.bits = 12;
        Matrix<std::int32_t> weights(40, 11);
        Matrix<std::int32_t> inputs(3, 40);
        for (std::size_t r = 0; r < 40; ++r)
        {
            for (std::size_t c = 0; c < 11; ++c)
            {
                weights(r, c) = static_cast<std::int32_t>(random() % 256) - 128;
            }
            for (std::size_t v = 0; v < 3; ++v)
            {
                inputs(v, r) = static_cast<std::int32_t>(random() % 256);
            }
        }
        Analog analog = exact_levels(scheme, weights);
        analog.off = 1.0 / 33;
        const Matrix<std::int64_t> without = Block(scheme, weights, analog).multiply(inputs);
        for (const Read read : {Read::row_voltage, Read::row_voltage_floating, Read::gated_1t1r})
        {
            if (signs == Signs::sign_magnitude && read != Read::row_voltage)
            {
                continue; // refused
            }
            ReadOut out;
            out.wires.read = read;
            out.off_us = 1;
            out.step_us = 33;
            out.wires.row_segment = out.wires.column_segment = 1e-3;
            const Block thin(scheme, weights, through_wires(scheme, analog, out));
            out.wires.row_segment = out.wires.column_segment = 5;
            const Block thick(scheme, weights, through_wires(scheme, analog, out));
            const Matrix<std::int64_t> almost = thin.multiply(inputs);
            const Matrix<std::int64_t> lossy = thick.multiply(inputs);
            double worst = 0;
            double drop = 0;
            double size = 0;
            for (std::size_t v = 0; v < 3; ++v)
            {
                for (std::size_t c = 0; c < 11; ++c)
                {
                    const auto value = static_cast<double>(without(v, c));
                    size = std::max(size, std::abs(value));
                    worst = std::max(worst, std::abs(static_cast<double>(almost(v, c)) - value));
                    drop = std::max(drop, std::abs(static_cast<double>(lossy(v, c)) - value));
                }
            }
            EXPECT_LT(worst, 0.002 * size) << static_cast<int>(signs) << static_cast<int>(read);
            EXPECT_GT(drop, 0.01 * size) << static_cast<int>(signs) << static_cast<int>(read);
        }
    }
}

TEST(Wires, RefuseWhatCannotBe)
{
    Wires wires;
    wires.row_segment = 0;
    EXPECT_THROW(static_cast<void>(transfer_matrix(Matrix<double>(2, 2, 1e-5), wires)), InputError);
    Scheme scheme;
    scheme.slice_bits = 2;
    ReadOut out;
    out.wires.read = Read::gated_1t1r;
    const Matrix<std::int32_t> weights(4, 2, 1);
    EXPECT_THROW(static_cast<void>(through_wires(scheme, exact_levels(scheme, weights), out)),
                 InputError);
    EXPECT_THROW(static_cast<void>(through_wires(scheme, Analog(), out)), InputError);
}

} // namespace
} // namespace tessera::numerics
