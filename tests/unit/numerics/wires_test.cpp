// SPDX-License-Identifier: Apache-2.0
#include "numerics/wires.h"

#include "tessera/error.h"
#include "unit/numerics/nodal_circuit.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>
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
        scheme.columns = signs == Signs::offset ? 5 : 2; // 21 or 16 of cells
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

/// What a block's arrays hold and give, cell by cell: weights of 3 bits in cells of 2.
class ByNodes
{
public:
    ByNodes(const Scheme& scheme, const ReadOut& out) : scheme_(scheme), out_(out) {}

    /// Sums in levels of an array's columns of cells, for rows that are driven or not.
    [[nodiscard]] std::vector<double> levels(const std::vector<std::vector<double>>& columns,
                                             const std::vector<float>& driven) const
    {
        Matrix<double> siemens(driven.size(), columns.size());
        for (std::size_t r = 0; r < driven.size(); ++r)
        {
            for (std::size_t c = 0; c < columns.size(); ++c)
            {
                siemens(r, c) = (out_.off_us + columns[c][r] * out_.step_us) * 1e-6;
            }
        }
        std::vector<double> sums = by_nodes(siemens, out_.wires, driven);
        const double all = std::accumulate(driven.begin(), driven.end(), 0.0);
        for (double& sum : sums)
        {
            sum = (sum * 1e6 - out_.off_us * all) / out_.step_us;
        }
        return sums;
    }

    /// Codes of the weights of one array (rows x columns), for one bit of the inputs.
    [[nodiscard]] std::vector<std::int64_t>
    codes(const std::vector<std::vector<std::int32_t>>& weights, const std::vector<float>& driven,
          bool reference_apart)
    {
        std::vector<std::vector<double>> cells;
        for (std::size_t c = 0; c < weights.front().size(); ++c)
        {
            for (const int divisor : {1, 4})
            {
                std::vector<double> positive;
                std::vector<double> negative;
                for (const std::vector<std::int32_t>& row : weights)
                {
                    const std::int32_t weight =
                        scheme_.signs == Signs::offset ? row[c] + 4 : row[c];
                    positive.push_back(std::max(weight, 0) / divisor % 4);
                    negative.push_back(std::max(-weight, 0) / divisor % 4);
                }
                cells.push_back(positive);
                if (scheme_.signs != Signs::offset)
                {
                    cells.push_back(negative);
                }
            }
        }
        const std::vector<double> reference(weights.size(), 1); // 4 in the place of the top cell
        if (scheme_.signs == Signs::offset && !reference_apart)
        {
            cells.push_back(reference);
        }
        const std::vector<double> sums = levels(cells, driven);
        const double apart = reference_apart ? levels({reference}, driven).front() : 0;
        std::vector<std::int64_t> result;
        for (std::size_t c = 0; c < weights.front().size(); ++c)
        {
            if (scheme_.signs == Signs::offset)
            {
                result.push_back(code(sums[2 * c]) + 4 * code(sums[2 * c + 1]) -
                                 4 * code(reference_apart ? apart : sums.back()));
                continue;
            }
            const auto pair = [&](std::size_t at)
            {
                return scheme_.signs == Signs::differential ? code(sums[at] - sums[at + 1])
                                                            : code(sums[at]) - code(sums[at + 1]);
            };
            result.push_back(pair(4 * c) + 4 * pair(4 * c + 2));
        }
        return result;
    }

    /// Smallest distance of a sum from where rounding goes the other way, so far.
    [[nodiscard]] double margin() const { return margin_; }

private:
    std::int64_t code(double level)
    {
        margin_ = std::min(margin_, std::abs(level - std::floor(level) - 0.5));
        return std::llround(level);
    }

    const Scheme& scheme_;
    const ReadOut& out_;
    double margin_ = 1;
};

/// Everything that a code is made of lies in one array: arrays side by side and below each other,
/// filled to the last column of weights and not.
TEST(Wires, WhatIsSubtractedSharesTheArray)
{
    constexpr std::size_t rows = 9;  // 5 and 4
    constexpr std::size_t width = 3; // columns of weights of an array
    constexpr double margin = 2e-3;  // of levels, which blocks round
    std::mt19937 random(8);
    Scheme scheme;
    scheme.weight_bits = 3;
    scheme.input_bits = 2;
    scheme.rows = 5;
    scheme.columns = width;
    scheme.converter.rounding = Rounding::ideal;
    ReadOut out;
    out.off_us = 5;
    out.step_us = 30;
    out.wires = {Read::row_voltage, 150, 100, 30, 20};
    std::size_t compared = 0;
    std::size_t close = 0;
    std::size_t unlike_apart = 0;
    for (const Signs signs : {Signs::offset, Signs::differential, Signs::differential_separate})
    {
        for (const Read read : {Read::row_voltage, Read::row_voltage_floating, Read::gated_1t1r})
        {
            for (const std::size_t columns : {width - 1, width, width + 1, 3 * width})
            {
                scheme.signs = signs;
                out.wires.read = read;
                Matrix<std::int32_t> weights(rows, columns);
                Matrix<std::int32_t> inputs(2, rows);
                for (std::size_t r = 0; r < rows; ++r)
                {
                    std::generate_n(weights.row(r), columns,
                                    [&] { return static_cast<std::int32_t>(random() % 8) - 4; });
                    inputs(0, r) = static_cast<std::int32_t>(random() % 4);
                    inputs(1, r) = static_cast<std::int32_t>(random() % 4);
                }
                const Block block(scheme, weights,
                                  through_wires(scheme, exact_levels(scheme, weights), out));
                const Matrix<std::int64_t> found = block.multiply(inputs);
                for (std::size_t v = 0; v < inputs.rows(); ++v)
                {
                    for (std::size_t first = 0; first < columns; first += width)
                    {
                        const std::size_t end = std::min(first + width, columns);
                        ByNodes nodes(scheme, out);
                        std::vector<std::int64_t> expected(end - first);
                        std::vector<std::int64_t> apart(end - first);
                        for (const std::size_t top : {std::size_t{0}, scheme.rows})
                        {
                            const std::size_t bottom = std::min(top + scheme.rows, rows);
                            for (int bit = 0; bit < 2; ++bit)
                            {
                                std::vector<std::vector<std::int32_t>> part;
                                std::vector<float> driven;
                                for (std::size_t r = top; r < bottom; ++r)
                                {
                                    part.emplace_back(weights.row(r) + first, weights.row(r) + end);
                                    driven.push_back(static_cast<float>(inputs(v, r) >> bit & 1));
                                }
                                const auto add = [&](std::vector<std::int64_t>& to, bool its)
                                {
                                    const auto codes = nodes.codes(part, driven, its);
                                    for (std::size_t c = 0; c < to.size(); ++c)
                                    {
                                        to[c] += codes[c] << bit;
                                    }
                                };
                                add(expected, false);
                                add(apart, signs == Signs::offset);
                            }
                        }
                        if (nodes.margin() < margin)
                        {
                            ++close;
                            continue;
                        }
                        for (std::size_t c = first; c < end; ++c)
                        {
                            EXPECT_EQ(found(v, c), expected[c - first])
                                << "signs " << static_cast<int>(signs) << ", read "
                                << static_cast<int>(read) << ", column " << c << " of " << columns;
                            unlike_apart += expected[c - first] == apart[c - first] ? 0 : 1;
                            ++compared;
                        }
                    }
                }
            }
        }
    }
    EXPECT_GT(compared, 10 * close);
    EXPECT_GT(unlike_apart, compared / 10) << "where the reference lies matters in this test";
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
