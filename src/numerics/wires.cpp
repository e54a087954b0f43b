// SPDX-License-Identifier: Apache-2.0
#include "numerics/wires.h"

#include "numerics/blas.h"
#include "numerics/ladder.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace tessera::numerics
{
namespace
{

void must_succeed(blasint info)
{
    if (info != 0)
    {
        throw SimulationError("a crossbar's equations have no solution: its conductances and wires "
                              "differ by too many orders of magnitude");
    }
}

/// In place, of a symmetric positive matrix.
void invert(Matrix<double>& matrix)
{
    const auto order = static_cast<blasint>(matrix.rows());
    blasint info = 0;
    BlasTurn()->dpotrf("L", &order, matrix.row(0), &order, &info);
    must_succeed(info);
    BlasTurn()->dpotri("L", &order, matrix.row(0), &order, &info);
    must_succeed(info);
    // Column-major's lower part is our upper one.
    for (std::size_t row = 0; row < matrix.rows(); ++row)
    {
        for (std::size_t column = 0; column < row; ++column)
        {
            matrix(row, column) = matrix(column, row);
        }
    }
}

/// into = scale * a b, of the first `columns` columns of b.
void multiply(const Matrix<double>& a, const Matrix<double>& b, std::size_t columns, double scale,
              Matrix<double>& into)
{
    BlasTurn()->dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<blasint>(a.rows()),
                      static_cast<blasint>(columns), static_cast<blasint>(a.columns()), scale,
                      a.row(0), static_cast<blasint>(a.columns()), b.row(0),
                      static_cast<blasint>(b.columns()), 0, into.row(0),
                      static_cast<blasint>(into.columns()));
}

/// The inverse of a row wire's tridiagonal matrix: node to node conductance to its neighbours, the
/// driver and the cells.
Matrix<double> row_inverse(const double* cells, std::size_t columns, double wire, double drive)
{
    std::vector<double> pivot(columns);
    for (std::size_t j = 0; j < columns; ++j)
    {
        const double left = j == 0 ? drive : wire;
        const double right = j + 1 < columns ? wire : 0;
        pivot[j] = cells[j] + left + right - (j == 0 ? 0 : wire * wire / pivot[j - 1]);
    }
    Matrix<double> inverse(columns, columns);
    for (std::size_t source = 0; source < columns; ++source)
    {
        double* x = inverse.row(source);
        x[source] = 1;
        for (std::size_t j = source + 1; j < columns; ++j)
        {
            x[j] = wire / pivot[j - 1] * x[j - 1];
        }
        for (std::size_t j = columns; j-- > 0;)
        {
            x[j] = (x[j] + (j + 1 < columns ? wire * x[j + 1] : 0)) / pivot[j];
        }
    }
    return inverse;
}

/// Elimination of a crossbar row by row, from the far end of the columns to the sense nodes. Row
/// wires are eliminated first, so that a row is a dense conductance between its column nodes.
class Elimination
{
public:
    Elimination(const Matrix<double>& siemens, const Wires& wires, bool all)
        : siemens_(siemens),
          along_column_(1 / wires.column_segment),
          drive_(1 / (wires.driver + wires.row_segment)),
          sense_(1 / (wires.sense + wires.column_segment)),
          transfer(siemens.rows(), siemens.columns())
    {
        check(wires);
        const std::size_t rows = siemens.rows();
        const std::size_t columns = siemens.columns();
        Matrix<double> sides(columns, rows); // what each row's source drives into the nodes
        Matrix<double> carried(columns, rows);
        Matrix<double> inverse;
        for (std::size_t row = 0; row < rows; ++row)
        {
            const double* cells = siemens.row(row);
            const Matrix<double> wire = row_inverse(cells, columns, 1 / wires.row_segment, drive_);
            Matrix<double> nodes(columns, columns);
            for (std::size_t j = 0; j < columns; ++j)
            {
                for (std::size_t k = 0; k < columns; ++k)
                {
                    nodes(j, k) = -cells[j] * wire(j, k) * cells[k];
                    if (row > 0)
                    {
                        nodes(j, k) -= along_column_ * along_column_ * inverse(j, k);
                    }
                }
                nodes(j, j) += cells[j] + (row > 0 ? along_column_ : 0) +
                               (row + 1 < rows ? along_column_ : sense_);
            }
            if (row > 0)
            {
                multiply(inverse, sides, row, along_column_, carried);
                std::swap(sides, carried);
            }
            for (std::size_t j = 0; j < columns; ++j)
            {
                sides(j, row) = cells[j] * wire(0, j) * drive_;
            }
            invert(nodes);
            inverse = std::move(nodes);
            if (all)
            {
                inverses_.push_back(inverse);
                sides_.push_back(sides);
                first_nodes_.emplace_back(wire.row(0), wire.row(0) + columns);
            }
        }
        multiply(inverse, sides, rows, 1, carried);
        for (std::size_t row = 0; row < rows; ++row)
        {
            for (std::size_t column = 0; column < columns; ++column)
            {
                transfer(row, column) = sense_ * carried(column, row);
            }
        }
        if (all)
        {
            substitute(std::move(carried));
        }
    }

private:
    /// Back from the sense nodes, for the drivers' currents. `nodes`: voltages of the last row.
    void substitute(Matrix<double> nodes)
    {
        const std::size_t rows = siemens_.rows();
        const std::size_t columns = siemens_.columns();
        admittance = Matrix<double>(rows, rows);
        for (std::size_t row = rows; row-- > 0;)
        {
            if (row + 1 < rows)
            {
                Matrix<double>& sides = sides_[row];
                for (std::size_t j = 0; j < columns; ++j)
                {
                    for (std::size_t source = 0; source < rows; ++source)
                    {
                        const double driven = source <= row ? sides(j, source) : 0;
                        sides(j, source) = driven + along_column_ * nodes(j, source);
                    }
                }
                multiply(inverses_[row], sides, rows, 1, nodes);
            }
            const std::vector<double>& first = first_nodes_[row];
            for (std::size_t source = 0; source < rows; ++source)
            {
                double node = source == row ? first[0] * drive_ : 0;
                for (std::size_t j = 0; j < columns; ++j)
                {
                    node += first[j] * siemens_(row, j) * nodes(j, source);
                }
                admittance(row, source) = drive_ * ((source == row ? 1 : 0) - node);
            }
        }
    }

    const Matrix<double>& siemens_;
    double along_column_;
    double drive_;
    double sense_;
    std::vector<Matrix<double>> inverses_;
    std::vector<Matrix<double>> sides_;
    std::vector<std::vector<double>> first_nodes_;

public:
    Matrix<double> transfer;
    Matrix<double> admittance;
};

/// Solves every input of a block's crossbars.
class SolvedReading final : public Reading
{
public:
    SolvedReading(const Scheme& scheme, const Analog& analog, const ReadOut& out)
        : out_(out), columns_(analog.levels.columns())
    {
        for (std::size_t row = 0; row < analog.levels.rows(); row += scheme.rows)
        {
            std::vector<Crossbar>& crossbars = partitions_.emplace_back();
            for (std::size_t column = 0; column < columns_; column += array_columns(scheme))
            {
                Crossbar crossbar;
                crossbar.first = column;
                crossbar.siemens = part(scheme, analog, out, row, column);
                if (out.wires.read == Read::row_voltage_floating)
                {
                    crossbar.floating = std::make_unique<FloatingRows>(crossbar.siemens, out.wires);
                }
                crossbars.push_back(std::move(crossbar));
            }
        }
    }

    static Matrix<double> part(const Scheme& scheme, const Analog& analog, const ReadOut& out,
                               std::size_t row, std::size_t column)
    {
        Matrix<double> siemens(std::min(scheme.rows, analog.levels.rows() - row),
                               std::min(array_columns(scheme), analog.levels.columns() - column));
        for (std::size_t i = 0; i < siemens.rows(); ++i)
        {
            for (std::size_t j = 0; j < siemens.columns(); ++j)
            {
                const double level = analog.levels(row + i, column + j);
                siemens(i, j) = std::max(0.0, out.off_us + level * out.step_us) * 1e-6;
            }
        }
        return siemens;
    }

    void read(std::size_t partition, std::size_t count, const float* drives, std::size_t stride,
              Matrix<float>& levels) const override
    {
        for (std::size_t input = 0; input < count; ++input)
        {
            read_one(partition, drives + input * stride, levels.row(input));
        }
    }

private:
    void read_one(std::size_t partition, const float* drives, float* levels) const
    {
        std::vector<double> amperes(columns_);
        const std::vector<Crossbar>& crossbars = partitions_[partition];
        const std::size_t rows = crossbars.front().siemens.rows();
        double driven = 0;
        for (std::size_t row = 0; row < rows; ++row)
        {
            driven += static_cast<double>(drives[row]);
        }
        for (const Crossbar& crossbar : crossbars)
        {
            if (crossbar.floating != nullptr)
            {
                crossbar.floating->currents(drives, amperes.data() + crossbar.first);
            }
            else
            {
                gated_currents(crossbar.siemens, out_.wires, drives,
                               amperes.data() + crossbar.first);
            }
        }
        for (std::size_t column = 0; column < columns_; ++column)
        {
            levels[column] =
                static_cast<float>((amperes[column] * 1e6 - out_.off_us * driven) / out_.step_us);
        }
    }

    struct Crossbar
    {
        std::size_t first = 0;
        Matrix<double> siemens;
        std::unique_ptr<FloatingRows> floating;
    };
    ReadOut out_;
    std::size_t columns_;
    std::vector<std::vector<Crossbar>> partitions_;
};

} // namespace

void check(const Wires& wires)
{
    const auto within = [](const char* name, double ohms, double least)
    {
        if (!(ohms >= least && ohms <= 1e9))
        {
            throw InputError({"", 0, name}, "must not be " + std::to_string(ohms) + " ohm",
                             "give a resistance of " + std::to_string(least) + " to 1e9 ohm");
        }
    };
    within("row_segment", wires.row_segment, 1e-6);
    within("column_segment", wires.column_segment, 1e-6);
    within("driver", wires.driver, 0);
    within("sense", wires.sense, 0);
}

void check_solvable(const Scheme& scheme, const Wires& wires)
{
    if (scheme.signs == Signs::sign_magnitude)
    {
        throw InputError({"", 0, "signs"}, "steered cells are not read by a solver",
                         "use pairs of cells, or read = row-voltage");
    }
    if (wires.read == Read::gated_1t1r && scheme.slice_bits != 1)
    {
        throw InputError({"", 0, "slice_bits"}, "a gate conducts or does not",
                         "use input slices of one bit with gated-1t1r");
    }
}

Matrix<double> transfer_matrix(const Matrix<double>& siemens, const Wires& wires)
{
    return Elimination(siemens, wires, false).transfer;
}

Matrix<double> approximate_transfer_matrix(const Matrix<double>& siemens, const Wires& wires)
{
    check(wires);
    Matrix<double> transfer(siemens.rows(), siemens.columns());
    for (std::size_t row = 0; row < siemens.rows(); ++row)
    {
        for (std::size_t column = 0; column < siemens.columns(); ++column)
        {
            const double path = wires.driver + wires.sense +
                                wires.row_segment * static_cast<double>(column + 1) +
                                wires.column_segment * static_cast<double>(siemens.rows() - row);
            transfer(row, column) = siemens(row, column) / (1 + siemens(row, column) * path);
        }
    }
    return transfer;
}

FloatingRows::FloatingRows(const Matrix<double>& siemens, const Wires& wires)
{
    Elimination solved(siemens, wires, true);
    transfer_ = std::move(solved.transfer);
    admittance_ = std::move(solved.admittance);
}

void FloatingRows::currents(const float* volts, double* amperes) const
{
    const std::size_t rows = transfer_.rows();
    std::vector<double> all(volts, volts + rows);
    std::vector<std::size_t> idle;
    for (std::size_t row = 0; row < rows; ++row)
    {
        if (volts[row] == 0)
        {
            idle.push_back(row);
        }
    }
    if (!idle.empty() && idle.size() < rows)
    {
        const auto order = static_cast<blasint>(idle.size());
        Matrix<double> among(idle.size(), idle.size());
        std::vector<double> side(idle.size());
        for (std::size_t i = 0; i < idle.size(); ++i)
        {
            const double* admittance = admittance_.row(idle[i]);
            for (std::size_t j = 0; j < idle.size(); ++j)
            {
                among(i, j) = admittance[idle[j]];
            }
            for (std::size_t row = 0; row < rows; ++row)
            {
                side[i] -= admittance[row] * all[row];
            }
        }
        const blasint one = 1;
        blasint info = 0;
        BlasTurn()->dpotrf("L", &order, among.row(0), &order, &info);
        must_succeed(info);
        BlasTurn()->dpotrs("L", &order, &one, among.row(0), &order, side.data(), &order, &info);
        must_succeed(info);
        for (std::size_t i = 0; i < idle.size(); ++i)
        {
            all[idle[i]] = side[i];
        }
    }
    std::fill_n(amperes, transfer_.columns(), 0.0);
    for (std::size_t row = 0; row < rows; ++row)
    {
        for (std::size_t column = 0; column < transfer_.columns(); ++column)
        {
            amperes[column] += all[row] * transfer_(row, column);
        }
    }
}

void gated_currents(const Matrix<double>& siemens, const Wires& wires, const float* driven,
                    double* amperes)
{
    ladders(siemens, wires, driven, amperes);
}

Analog through_wires(const Scheme& scheme, const Analog& analog, const ReadOut& out)
{
    check(out.wires);
    if (analog.levels.rows() == 0)
    {
        throw InputError({"", 0, "levels"}, "are not given", "write the cells of a device first");
    }
    if (!(out.step_us > 0) || !(out.off_us >= 0))
    {
        throw InputError({"", 0, "step_us"}, "is not above 0, or off_us below it",
                         "give the conductance of level 0 and between levels");
    }
    Analog seen = analog;
    seen.off = out.off_us / out.step_us;
    if (out.wires.read != Read::row_voltage)
    {
        check_solvable(scheme, out.wires);
        seen.reading = std::make_shared<SolvedReading>(scheme, analog, out);
        return seen;
    }
    for (std::size_t row = 0; row < analog.levels.rows(); row += scheme.rows)
    {
        for (std::size_t column = 0; column < analog.levels.columns();
             column += array_columns(scheme))
        {
            const Matrix<double> siemens = SolvedReading::part(scheme, analog, out, row, column);
            const Matrix<double> transfer = out.approximate
                                                ? approximate_transfer_matrix(siemens, out.wires)
                                                : transfer_matrix(siemens, out.wires);
            for (std::size_t i = 0; i < transfer.rows(); ++i)
            {
                for (std::size_t j = 0; j < transfer.columns(); ++j)
                {
                    seen.levels(row + i, column + j) =
                        static_cast<float>((transfer(i, j) * 1e6 - out.off_us) / out.step_us);
                }
            }
        }
    }
    return seen;
}

} // namespace tessera::numerics
