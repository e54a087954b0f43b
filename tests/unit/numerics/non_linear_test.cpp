// SPDX-License-Identifier: Apache-2.0
#include "numerics/non_linear.h"

#include "tessera/error.h"
#include "unit/numerics/nodal_circuit.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <string>

namespace tessera::numerics
{
namespace
{

constexpr double kVolts = 0.3;

struct Case
{
    CellTerms cells;
    std::vector<float> drives;
    double full = 1;
    Wires wires;
};

CellTerms equal_cells(std::size_t rows, std::size_t columns, double first, double second,
                      double third)
{
    return {Matrix<double>(rows, columns, first), Matrix<double>(rows, columns, second),
            Matrix<double>(rows, columns, third)};
}

/// Conductances over three decades; terms that bend them by up to a few ten percent, either way.
Case random_case(std::mt19937& random, Read read)
{
    const std::size_t rows = 1 + random() % 10;
    const std::size_t columns = 1 + random() % 10;
    Case made{equal_cells(rows, columns, 0, 0, 0), std::vector<float>(rows), 1, {}};
    made.full = read == Read::gated_1t1r ? 1 : static_cast<double>((1U << (1 + random() % 3)) - 1);
    std::uniform_real_distribution<double> log(-6, -3);
    std::uniform_real_distribution<double> part(-0.3, 1);
    for (std::size_t r = 0; r < rows; ++r)
    {
        made.drives[r] = static_cast<float>(random() % (static_cast<unsigned>(made.full) + 1));
        for (std::size_t c = 0; c < columns; ++c)
        {
            const double g = random() % 16 == 0 ? 0 : std::pow(10.0, log(random));
            made.cells.first(r, c) = g;
            made.cells.second(r, c) = g * part(random) * 0.4;
            made.cells.third(r, c) = g * part(random) * 1.5;
        }
    }
    made.drives[random() % rows] = static_cast<float>(made.full);
    made.wires = {read, std::pow(10.0, log(random) + 4.5), std::pow(10.0, log(random) + 4.5),
                  static_cast<double>(random() % 2) * 100, static_cast<double>(random() % 2) * 50};
    return made;
}

double current(const CellTerms& cells, std::size_t r, std::size_t c, double v)
{
    return v * (cells.first(r, c) + v * (cells.second(r, c) + v * cells.third(r, c)));
}

double slope(const CellTerms& cells, std::size_t r, std::size_t c, double v)
{
    return cells.first(r, c) + v * (2 * cells.second(r, c) + 3 * v * cells.third(r, c));
}

/// Newton's method on all nodes of the circuit. Currents by row and column.
Matrix<double> by_newton(const Case& made)
{
    const CrossbarNodes at{made.cells.first.rows(), made.cells.first.columns()};
    const bool gated = made.wires.read == Read::gated_1t1r;
    std::vector<double> volts;
    for (const float drive : made.drives)
    {
        volts.push_back(kVolts * static_cast<double>(drive) / made.full);
    }
    const double leak = 1e-30; // for nodes that nothing else leads to
    std::vector<double> nodes(at.count(), 0);
    double moved = 1;
    for (int round = 0; moved > 1e-14 && round < 30; ++round)
    {
        NodalCircuit circuit(nodes.size());
        add_wires(circuit, at, made.wires, volts, kVolts);
        for (std::size_t r = 0; r < at.rows; ++r)
        {
            for (std::size_t c = 0; c < at.columns; ++c)
            {
                circuit.connect(0, at.upper(r, c), leak);
                const double v = nodes[at.upper(r, c)] - nodes[at.lower(r, c)];
                const bool open = gated && made.drives[r] == 0;
                const double siemens = open ? 0 : slope(made.cells, r, c, v);
                const double rest = open ? 0 : current(made.cells, r, c, v) - siemens * v;
                circuit.connect(at.upper(r, c), at.lower(r, c), siemens);
                circuit.inject(at.upper(r, c), -rest);
                circuit.inject(at.lower(r, c), rest);
            }
        }
        const std::vector<double> next = circuit.solve();
        moved = 0;
        for (std::size_t i = 0; i < nodes.size(); ++i)
        {
            moved = std::max(moved, std::abs(next[i] - nodes[i]));
        }
        nodes = next;
    }
    Matrix<double> amperes(at.rows, at.columns);
    for (std::size_t r = 0; r < at.rows; ++r)
    {
        for (std::size_t c = 0; c < at.columns; ++c)
        {
            const bool open = gated && made.drives[r] == 0;
            amperes(r, c) =
                open ? 0 : current(made.cells, r, c, nodes[at.upper(r, c)] - nodes[at.lower(r, c)]);
        }
    }
    return amperes;
}

/// Column currents of one input, and how the solver came to them.
std::vector<double> solved(const Case& made, const Patience& patience = {},
                           Settled* settled = nullptr, const Matrix<double>& weights = {})
{
    const NonLinearCrossbar crossbar(made.cells, made.wires, kVolts, made.full, patience, weights);
    Matrix<double> amperes(1, made.cells.first.columns());
    NonLinearCrossbar::Work state;
    const Settled how = crossbar.currents({made.drives.data(), 1, 0}, amperes, 0, state);
    if (settled != nullptr)
    {
        *settled = how;
    }
    return {amperes.row(0), amperes.row(0) + amperes.columns()};
}

constexpr Read kReads[] = {Read::row_voltage, Read::row_voltage_floating, Read::gated_1t1r};

TEST(NonLinear, OneCellInSeriesWithItsWires)
{
    for (const Read read : kReads)
    {
        Case made{equal_cells(1, 1, 1e-3, 1.5e-3, 0), {1}, 1, {read, 20, 30, 40, 50}};
        // second v^2 + (first + 1 / ohms) v = volts / ohms
        const double ohms = (read == Read::gated_1t1r ? 30 : 20) + 30 + 40 + 50;
        const double linear = 1e-3 + 1 / ohms;
        const double v =
            (std::sqrt(linear * linear + 4 * 1.5e-3 * kVolts / ohms) - linear) / (2 * 1.5e-3);
        const double amperes = (kVolts - v) / ohms;
        EXPECT_NEAR(solved(made, {1e-12, 1000})[0], amperes, 1e-11 * amperes);
    }
}

TEST(NonLinear, OneRowByShootingFromItsFarEnd)
{
    constexpr std::size_t columns = 12;
    const Case made{
        equal_cells(1, columns, 1e-3, -5e-4, 4e-3), {1}, 1, {Read::row_voltage, 25, 10, 60, 15}};
    // From the far cell's voltage towards the driver; the driver's voltage says which it is.
    std::vector<double> amperes(columns);
    const auto driver = [&](double cell)
    {
        double along = 0;
        double node = 0;
        for (std::size_t c = columns; c-- > 0;)
        {
            node += along * made.wires.row_segment;
            double least = 0;
            double most = node;
            for (int i = 0; c + 1 < columns && i < 200; ++i)
            {
                cell = (least + most) / 2;
                (cell + 25 * current(made.cells, 0, c, cell) < node ? least : most) = cell;
            }
            amperes[c] = current(made.cells, 0, c, cell);
            node = cell + 25 * amperes[c]; // sense and segment
            along += amperes[c];
        }
        return node + along * (made.wires.driver + made.wires.row_segment);
    };
    double least = 0;
    double most = kVolts;
    for (int i = 0; i < 200; ++i)
    {
        const double middle = (least + most) / 2;
        (driver(middle) < kVolts ? least : most) = middle;
    }
    driver(least);
    const std::vector<double> found = solved(made, {1e-12, 1000});
    for (std::size_t c = 0; c < columns; ++c)
    {
        EXPECT_NEAR(found[c], amperes[c], 1e-10 * amperes[c]) << c;
    }
    EXPECT_LT(amperes[columns - 1], 0.5 * amperes[0]) << "wires matter in this test";
}

TEST(NonLinear, RandomArraysAgreeWithNewtonOnAllNodes)
{
    std::mt19937 random(1);
    double bent = 0;
    for (const Read read : kReads)
    {
        for (int trial = 0; trial < 60; ++trial)
        {
            Case made = random_case(random, read);
            const Matrix<double> cells = by_newton(made);
            Settled settled;
            const std::vector<double> found = solved(made, {1e-10, 5000}, &settled);
            EXPECT_LE(settled.residual, 1e-10);
            double total = 0;
            for (std::size_t c = 0; c < found.size(); ++c)
            {
                double sum = 0;
                for (std::size_t r = 0; r < cells.rows(); ++r)
                {
                    sum += cells(r, c);
                }
                total += std::abs(sum);
            }
            double off = 0;
            for (std::size_t c = 0; c < found.size(); ++c)
            {
                double sum = 0;
                for (std::size_t r = 0; r < cells.rows(); ++r)
                {
                    sum += cells(r, c);
                }
                off += std::abs(found[c] - sum);
                ASSERT_NEAR(found[c], sum, 1e-8 * std::abs(sum) + 1e-20)
                    << "read " << static_cast<int>(read) << ", trial " << trial;
            }
            EXPECT_LE(off, (1e-10 + 1e-12) * total) << "what the residual bounds";
            made.cells.second = made.cells.third = Matrix<double>(cells.rows(), cells.columns());
            const std::vector<double> straight = solved(made);
            bent = std::max(bent, std::abs(straight[0] / found[0] - 1));
        }
    }
    EXPECT_GT(bent, 0.1) << "terms matter in this test";
}

TEST(NonLinear, WithoutTermsItIsTheLinearArray)
{
    std::mt19937 random(2);
    for (const Read read : kReads)
    {
        for (int trial = 0; trial < 30; ++trial)
        {
            Case made = random_case(random, read);
            const std::size_t columns = made.cells.first.columns();
            const std::size_t rows = made.cells.first.rows();
            made.cells.second = made.cells.third = Matrix<double>(rows, columns);
            for (std::size_t r = 0; r < rows; ++r)
            {
                for (std::size_t c = 0; c < columns; ++c)
                {
                    made.cells.first(r, c) = std::max(made.cells.first(r, c), 1e-7);
                }
            }
            std::vector<double> expected(columns);
            if (read == Read::row_voltage)
            {
                const Matrix<double> transfer = transfer_matrix(made.cells.first, made.wires);
                for (std::size_t r = 0; r < rows; ++r)
                {
                    for (std::size_t c = 0; c < columns; ++c)
                    {
                        expected[c] += static_cast<double>(made.drives[r]) * transfer(r, c);
                    }
                }
            }
            else if (read == Read::row_voltage_floating)
            {
                FloatingRows(made.cells.first, made.wires)
                    .currents(made.drives.data(), expected.data());
            }
            else
            {
                gated_currents(made.cells.first, made.wires, made.drives.data(), expected.data());
            }
            const std::vector<double> found = solved(made);
            for (std::size_t c = 0; c < columns; ++c)
            {
                const double amperes = expected[c] * kVolts / made.full;
                ASSERT_NEAR(found[c], amperes, 1e-8 * std::abs(amperes) + 1e-20)
                    << "read " << static_cast<int>(read) << ", trial " << trial;
            }
        }
    }
}

TEST(NonLinear, RoundsEndWhereTheBoundIsReachedAndNotBefore)
{
    std::mt19937 random(3);
    for (const Read read : kReads)
    {
        Case made{equal_cells(20, 20, 5e-5, 4e-5, 3e-4),
                  std::vector<float>(20),
                  1,
                  {read, 20, 20, 50, 50}};
        for (float& drive : made.drives)
        {
            drive = static_cast<float>(random() % 2);
        }
        unsigned fewest = 0; // rounds that are enough
        Settled settled;
        while (settled.rounds == 0)
        {
            ++fewest;
            try
            {
                solved(made, {1e-11, fewest}, &settled);
            }
            catch (const SimulationError& error)
            {
                const std::string what = error.what();
                EXPECT_NE(what.find("after " + std::to_string(fewest) + " rounds"),
                          std::string::npos);
                EXPECT_NE(what.find("less resistive wires"), std::string::npos);
                ASSERT_LT(fewest, 200U);
            }
        }
        EXPECT_GT(fewest, 3U);
        EXPECT_EQ(settled.rounds, fewest);
        EXPECT_LE(settled.residual, 1e-11);
        EXPECT_GT(settled.residual, 1e-15);
        EXPECT_NO_THROW(solved(made, {1e-11, fewest + 1}));
        solved(made, {1e-11, 5000}, &settled);
        EXPECT_LE(settled.rounds, fewest + 6) << "no more are made than are needed, or nearly";
    }
}

TEST(NonLinear, NeighboursDoNotChangeABit)
{
    std::mt19937 random(4);
    for (int i = 0; i < 6; ++i)
    {
        const Read read = kReads[i % 3];
        const double bound = i < 3 ? 1e-5 : 1e-9;
        constexpr std::size_t rows = 24;
        constexpr std::size_t columns = 17;
        const std::size_t inputs = 2 * kLanes<float> + 3;
        CellTerms cells = equal_cells(rows, columns, 1e-4, 5e-5, 3e-4);
        for (std::size_t r = 0; r < rows; ++r)
        {
            for (std::size_t c = 0; c < columns; ++c)
            {
                cells.first(r, c) *= 1 + static_cast<double>(random() % 8);
            }
        }
        // Readings' bound, then one that asks for double precision.
        const NonLinearCrossbar crossbar(cells, {read, 3, 4, 10, 10}, kVolts, 1, {bound, 5000});
        Matrix<float> drives(inputs, rows);
        for (std::size_t i = 0; i < inputs; ++i)
        {
            for (std::size_t r = 0; r < rows; ++r)
            {
                drives(i, r) = i % 7 == 3 ? 0.0F : static_cast<float>(random() % (2 + i) == 0);
            }
        }
        NonLinearCrossbar::Work state;
        Matrix<double> together(inputs, columns, -1);
        crossbar.currents({drives.row(0), inputs, rows}, together, 0, state);
        for (std::size_t i = inputs; i-- > 0;)
        {
            Matrix<double> alone(1, columns + 2, -1);
            NonLinearCrossbar::Work fresh;
            crossbar.currents({drives.row(i), 1, rows}, alone, 2, i % 2 == 0 ? fresh : state);
            for (std::size_t c = 0; c < columns; ++c)
            {
                ASSERT_EQ(alone(0, c + 2), together(i, c)) << "input " << i;
            }
        }
    }
}

TEST(NonLinear, ResistiveWiresOnlyTakeLonger)
{
    // Hundreds of times what couples lines in a good array; terms that change the slope tenfold.
    Case made{equal_cells(10, 10, 1e-4, 1e-4, 3e-3),
              std::vector<float>(10, 1),
              1,
              {Read::row_voltage, 300, 300, 0, 0}};
    made.drives[3] = made.drives[7] = 0;
    Settled settled;
    const std::vector<double> found = solved(made, {1e-10, 5000}, &settled);
    const Matrix<double> cells = by_newton(made);
    for (std::size_t c = 0; c < found.size(); ++c)
    {
        double sum = 0;
        for (std::size_t r = 0; r < cells.rows(); ++r)
        {
            sum += cells(r, c);
        }
        EXPECT_NEAR(found[c], sum, 1e-7 * std::abs(sum)) << c;
    }
}

TEST(NonLinear, SinglePrecisionKeepsTheBoundOfReadings)
{
    std::mt19937 random(6);
    for (const Read read : kReads)
    {
        for (int trial = 0; trial < 60; ++trial)
        {
            const Case made = random_case(random, read);
            const std::vector<double> exact = solved(made, {1e-11, 5000});
            Settled settled;
            const std::vector<double> found = solved(made, {1e-5, 5000}, &settled);
            EXPECT_LE(settled.residual, 1e-5);
            double off = 0;
            double total = 0;
            for (std::size_t c = 0; c < found.size(); ++c)
            {
                off += std::abs(found[c] - exact[c]);
                total += exact[c];
            }
            EXPECT_LE(off, 1.2e-5 * total) << "read " << static_cast<int>(read) << ' ' << trial;
        }
    }
}

TEST(NonLinear, WhereSinglePrecisionDoesNotDoDoubleDoes)
{
    for (const Read read : {Read::row_voltage_floating, Read::gated_1t1r})
    {
        Case made{equal_cells(24, 24, 3e-4, 3e-4, 3e-3),
                  std::vector<float>(24, 1),
                  1,
                  {read, 100, 100, 0, 0}};
        made.drives[5] = made.drives[20] = 0;
        Settled settled;
        const std::vector<double> found = solved(made, {1e-5, 5000}, &settled);
        EXPECT_GT(settled.rounds, read == Read::gated_1t1r ? 32U : 70U)
            << "more than are made in single precision";
        EXPECT_LE(settled.residual, 1e-5);
        const std::vector<double> exact = solved(made, {1e-11, 5000});
        for (std::size_t c = 0; c < found.size(); ++c)
        {
            EXPECT_NEAR(found[c], exact[c], 1e-4 * exact[c]) << c;
        }
    }
}

Device bent_device()
{
    Device device;
    device.name = "bent";
    device.off = 2;
    device.on = 90;
    device.bits = 4;
    Curve second;
    second.over = Curve::Over::fraction;
    second.coefficients = {0.1, 0.2};
    second.relative = true;
    Curve third;
    third.coefficients = {2e-5, 1e-6}; // A/V^3, by uS
    device.non_linear = Device::NonLinear{second, third};
    return device;
}

TEST(NonLinear, TermsFollowTheDevicesCurves)
{
    Matrix<double> us(1, 3);
    us(0, 0) = 45;
    us(0, 1) = 1;
    us(0, 2) = 180;
    const CellTerms terms = terms_of(bent_device(), us);
    EXPECT_DOUBLE_EQ(terms.first(0, 0), 45e-6);
    EXPECT_DOUBLE_EQ(terms.second(0, 0), 0.2 * 45e-6);
    EXPECT_DOUBLE_EQ(terms.third(0, 0), 2e-5 + 45e-6);
    // Outside off..on: as at the end, in proportion.
    EXPECT_DOUBLE_EQ(terms.third(0, 1), (2e-5 + 2e-6) / 2);
    EXPECT_DOUBLE_EQ(terms.second(0, 2), 0.3 * 180e-6);
    EXPECT_DOUBLE_EQ(terms.third(0, 2), (2e-5 + 90e-6) * 2);
}

struct Layer
{
    Scheme scheme;
    Matrix<std::int32_t> weights{13, 3};
    Matrix<std::int32_t> inputs{2, 13};
    Cells cells;
    Analog analog;
};

Layer random_layer(std::mt19937& random, Signs signs, unsigned slice_bits)
{
    Layer layer;
    layer.scheme.weight_bits = 5;
    layer.scheme.signs = signs;
    layer.scheme.input_bits = 4;
    layer.scheme.slice_bits = slice_bits;
    layer.scheme.rows = 8;
    layer.scheme.columns = 2; // of 3
    layer.scheme.converter.rounding = Rounding::ideal;
    for (std::size_t r = 0; r < layer.weights.rows(); ++r)
    {
        for (std::size_t c = 0; c < layer.weights.columns(); ++c)
        {
            layer.weights(r, c) = static_cast<std::int32_t>(random() % 31) - 15;
        }
        for (std::size_t v = 0; v < layer.inputs.rows(); ++v)
        {
            layer.inputs(v, r) = static_cast<std::int32_t>(random() % 16);
        }
    }
    layer.cells = cells_of(layer.scheme, layer.weights);
    layer.analog.levels = Matrix<float>(layer.cells.levels.rows(), layer.cells.levels.columns());
    std::normal_distribution<float> normal;
    for (std::size_t r = 0; r < layer.analog.levels.rows(); ++r)
    {
        for (std::size_t c = 0; c < layer.analog.levels.columns(); ++c)
        {
            layer.analog.levels(r, c) =
                static_cast<float>(layer.cells.levels(r, c)) + 0.1F * normal(random);
        }
    }
    return layer;
}

/// Sums of one input slice of one partition, by physical column in levels (steered ones signed),
/// from Newton's currents or, without wires, cell by cell.
std::vector<double> slow_sums(const Layer& layer, const Device& device, const NonLinearRead& how,
                              std::size_t partition, const std::vector<float>& drives)
{
    const std::size_t begin = partition * layer.scheme.rows;
    const std::size_t rows = std::min(layer.scheme.rows, layer.weights.rows() - begin);
    const std::size_t columns = layer.cells.levels.columns();
    const double step = device.target(1, layer.scheme.cell_bits) - device.off;
    const double full = std::exp2(layer.scheme.slice_bits) - 1;
    const unsigned per_weight = cells_per_weight(layer.scheme);
    const std::size_t wide =
        layer.scheme.columns * per_weight + (layer.scheme.signs == Signs::offset ? 1 : 0);
    std::vector<double> sums(columns, 0);
    for (std::size_t first = 0; first < columns; first += wide)
    {
        const std::size_t count = std::min(wide, columns - first);
        Case made{{},
                  {drives.begin() + static_cast<std::ptrdiff_t>(begin),
                   drives.begin() + static_cast<std::ptrdiff_t>(begin + rows)},
                  full,
                  how.wires.value_or(Wires())};
        Matrix<double> us(rows, count);
        for (std::size_t r = 0; r < rows; ++r)
        {
            for (std::size_t c = 0; c < count; ++c)
            {
                us(r, c) = std::max(
                    0.0, device.off +
                             static_cast<double>(layer.analog.levels(begin + r, first + c)) * step);
            }
        }
        made.cells = terms_of(device, us);
        Matrix<double> amperes(rows, count);
        if (how.wires)
        {
            amperes = by_newton(made);
        }
        for (std::size_t r = 0; r < rows; ++r)
        {
            const double drive = static_cast<double>(made.drives[r]);
            for (std::size_t c = 0; c < count; ++c)
            {
                const double cell =
                    how.wires ? amperes(r, c) : current(made.cells, r, c, kVolts * drive / full);
                const bool steered = layer.scheme.signs == Signs::sign_magnitude;
                const double side =
                    steered ? layer.cells.steering(begin + r, (first + c) / per_weight) : 1;
                const double taken = steered ? 0 : device.off * drive;
                sums[first + c] += side * (cell * 1e6 * full / kVolts - taken) / step;
            }
        }
    }
    return sums;
}

/// A whole product of one vector: slices weighed, codes rounded.
std::vector<std::int64_t> slow_product(const Layer& layer, const Device& device,
                                       const NonLinearRead& how, std::size_t vector)
{
    const Scheme& scheme = layer.scheme;
    const unsigned slices = input_slices(scheme);
    const std::size_t rows = layer.weights.rows();
    const std::size_t columns = layer.weights.columns();
    const unsigned per_weight = cells_per_weight(scheme);
    const bool pairs = per_weight == 2 * weight_slices(scheme);
    Matrix<float> drives(slices, rows);
    slice_inputs(scheme, layer.inputs.row(vector), rows, drives.row(0), rows);
    std::vector<std::int64_t> product(columns, 0);
    for (std::size_t partition = 0; partition * scheme.rows < rows; ++partition)
    {
        for (unsigned slice = 0; slice < slices; ++slice)
        {
            const std::vector<double> sums = slow_sums(
                layer, device, how, partition, {drives.row(slice), drives.row(slice) + rows});
            const auto code = [](double sum)
            { return static_cast<std::int64_t>(std::nearbyint(sum)); };
            for (std::size_t c = 0; c < columns; ++c)
            {
                for (unsigned part = 0; part < weight_slices(scheme); ++part)
                {
                    const bool offset = scheme.signs == Signs::offset;
                    const std::size_t array = c / scheme.columns;
                    const std::size_t at =
                        c * per_weight + (offset ? array : 0) + (pairs ? 2 * part : part);
                    std::int64_t value = scheme.signs == Signs::differential
                                             ? code(sums[at] - sums[at + 1])
                                         : pairs ? code(sums[at]) - code(sums[at + 1])
                                                 : code(sums[at]);
                    if (offset && part + 1 == weight_slices(scheme))
                    {
                        const std::size_t last = std::min((array + 1) * scheme.columns, columns);
                        value -= code(sums[last * per_weight + array]);
                    }
                    product[c] +=
                        value *
                        (std::int64_t{1} << (part * scheme.cell_bits + slice * scheme.slice_bits));
                }
            }
        }
    }
    return product;
}

TEST(NonLinear, BlocksAgreeWithSlowSums)
{
    std::mt19937 random(5);
    const Device device = bent_device();
    std::size_t unlike_linear = 0;
    std::size_t unlike = 0;
    std::size_t all = 0;
    for (const Signs signs :
         {Signs::differential, Signs::differential_separate, Signs::offset, Signs::sign_magnitude})
    {
        for (const unsigned slice_bits : {1U, 2U, 3U})
        {
            for (int read = -1; read < 3; ++read)
            {
                NonLinearRead how;
                how.volts = kVolts;
                if (read >= 0)
                {
                    how.wires = Wires{kReads[read], 4, 6, 20, 30};
                }
                const Layer layer = random_layer(random, signs, slice_bits);
                const bool solvable =
                    read <= 0 || (signs != Signs::sign_magnitude && (read != 2 || slice_bits == 1));
                if (!solvable)
                {
                    EXPECT_THROW(static_cast<void>(non_linear(layer.scheme, layer.cells,
                                                              layer.analog, device, how)),
                                 InputError);
                    continue;
                }
                const Block block(layer.scheme, layer.weights,
                                  non_linear(layer.scheme, layer.cells, layer.analog, device, how));
                const Block linear(layer.scheme, layer.weights, layer.analog);
                const Matrix<std::int64_t> found = block.multiply(layer.inputs);
                const Matrix<std::int64_t> straight = linear.multiply(layer.inputs);
                for (std::size_t v = 0; v < layer.inputs.rows(); ++v)
                {
                    const std::vector<std::int64_t> slow = slow_product(layer, device, how, v);
                    for (std::size_t c = 0; c < layer.weights.columns(); ++c)
                    {
                        unlike += found(v, c) == slow[c] ? 0 : 1;
                        unlike_linear += found(v, c) == straight(v, c) ? 0 : 1;
                        ++all;
                    }
                }
            }
        }
    }
    // Sums within rounding of half a code may go either way.
    EXPECT_LE(unlike, all / 100);
    EXPECT_GE(unlike_linear, all / 2) << "terms and wires matter in this test";
}

TEST(NonLinear, SlicesOfSeveralBitsDriveWithFractionsOfTheVoltage)
{
    Layer layer;
    layer.scheme.weight_bits = 2;
    layer.scheme.cell_bits = 2;
    layer.scheme.signs = Signs::sign_magnitude;
    layer.scheme.input_bits = layer.scheme.slice_bits = 4;
    layer.scheme.converter.rounding = Rounding::ideal;
    layer.weights = Matrix<std::int32_t>(100, 1, 1);
    layer.inputs = Matrix<std::int32_t>(16, 100);
    for (std::size_t v = 0; v < 16; ++v)
    {
        std::fill_n(layer.inputs.row(v), 100, static_cast<std::int32_t>(v));
    }
    layer.cells = cells_of(layer.scheme, layer.weights);
    layer.analog.levels = Matrix<float>(100, 1, 1);
    Device device = bent_device();
    device.off = 0;
    device.on = 90; // level 1: 30 uS
    device.non_linear->second.coefficients = {0};
    device.non_linear->third.coefficients = {1e-4};
    NonLinearRead how;
    how.volts = kVolts;
    const Block block(layer.scheme, layer.weights,
                      non_linear(layer.scheme, layer.cells, layer.analog, device, how));
    const Matrix<std::int64_t> found = block.multiply(layer.inputs);
    for (std::size_t v = 0; v < 16; ++v)
    {
        const double volts = kVolts * static_cast<double>(v) / 15;
        const double level = volts * (30e-6 + 1e-4 * volts * volts) * 15 / kVolts / 30e-6;
        EXPECT_EQ(found(v, 0), static_cast<std::int64_t>(std::nearbyint(100 * level))) << v;
    }
}

TEST(NonLinear, RefusesCellsWhoseCurrentFalls)
{
    Device device = bent_device();
    EXPECT_NO_THROW(check_rises(device, {-0.3, 0.3}, "bent.json"));
    device.non_linear->third.coefficients = {-1e-4};
    EXPECT_NO_THROW(check_rises(device, {-0.05, 0.05}, "bent.json"));
    try
    {
        check_rises(device, {0, 0.3}, "bent.json");
        ADD_FAILURE() << "the current of cells at 2 uS falls";
    }
    catch (const InputError& error)
    {
        EXPECT_EQ(error.place().file, "bent.json");
        EXPECT_EQ(error.place().pointer, "/non_linear");
        EXPECT_NE(error.remedy().find("read_volts"), std::string::npos);
    }
    // Below 0 V, where idle rows are, a positive second term may be too much.
    device.non_linear->third.coefficients = {0};
    device.non_linear->second.coefficients = {2};
    EXPECT_NO_THROW(check_rises(device, volt_range(std::nullopt, 0.3), "bent.json"));
    EXPECT_THROW(check_rises(device, volt_range(Wires(), 0.3), "bent.json"), InputError);
    EXPECT_THROW(NonLinearCrossbar(equal_cells(2, 2, 1e-5, 0, -1e-3), Wires(), 0.3), InputError);
    EXPECT_THROW(NonLinearCrossbar(equal_cells(2, 2, 1e-5, 0, std::nan("")), Wires(), 0.3),
                 InputError);
    EXPECT_THROW(NonLinearCrossbar(equal_cells(2, 2, 1e-5, 0, 0), Wires(), 0), InputError);
    EXPECT_NO_THROW(NonLinearCrossbar(equal_cells(2, 2, 0, 0, 0), Wires(), 0.3));
}

} // namespace
} // namespace tessera::numerics
