// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/matrix.h"
#include "numerics/wires.h"

#include <cstddef>
#include <vector>

namespace tessera::numerics
{

/// A circuit of conductances, solved by Gaussian elimination on all nodes: nothing of the solvers
/// under test is in it. Node 0 is ground.
class NodalCircuit
{
public:
    explicit NodalCircuit(std::size_t nodes) : matrix_(nodes, nodes), sides_(nodes) {}
    void connect(std::size_t a, std::size_t b, double siemens)
    {
        matrix_(a, a) += siemens;
        matrix_(b, b) += siemens;
        matrix_(a, b) -= siemens;
        matrix_(b, a) -= siemens;
    }
    void source(std::size_t node, double volts, double siemens)
    {
        matrix_(node, node) += siemens;
        sides_[node] += volts * siemens;
    }
    void inject(std::size_t node, double amperes) { sides_[node] += amperes; }
    [[nodiscard]] std::vector<double> solve() const
    {
        Matrix<double> a = matrix_;
        std::vector<double> x = sides_;
        const std::size_t n = x.size();
        for (std::size_t p = 1; p < n; ++p)
        {
            for (std::size_t i = p + 1; i < n; ++i)
            {
                if (a(i, p) == 0)
                {
                    continue;
                }
                const double factor = a(i, p) / a(p, p);
                for (std::size_t j = p; j < n; ++j)
                {
                    a(i, j) -= factor * a(p, j);
                }
                x[i] -= factor * x[p];
            }
        }
        for (std::size_t p = n; p-- > 1;)
        {
            for (std::size_t j = p + 1; j < n; ++j)
            {
                x[p] -= a(p, j) * x[j];
            }
            x[p] /= a(p, p);
        }
        return x;
    }

private:
    Matrix<double> matrix_;
    std::vector<double> sides_;
};

/// Nodes of a crossbar's circuit. Cells lead from upper to lower ones.
struct CrossbarNodes
{
    std::size_t rows = 0;
    std::size_t columns = 0;

    [[nodiscard]] std::size_t count() const { return 1 + 2 * rows * columns; }
    /// Of a row's wire; gated-1t1r: of a column's driven line.
    [[nodiscard]] std::size_t upper(std::size_t r, std::size_t c) const
    {
        return 1 + r * columns + c;
    }
    /// Of a column's sensed line.
    [[nodiscard]] std::size_t lower(std::size_t r, std::size_t c) const
    {
        return 1 + (rows + r) * columns + c;
    }
};

/// Everything but the cells. `volts`: at the rows' drivers, 0 of idle rows; gated-1t1r: `read` at
/// those of the columns.
inline void add_wires(NodalCircuit& circuit, const CrossbarNodes& nodes, const Wires& wires,
                      const std::vector<double>& volts, double read)
{
    const bool gated = wires.read == Read::gated_1t1r;
    for (std::size_t r = 0; r < nodes.rows; ++r)
    {
        for (std::size_t c = 0; c < nodes.columns; ++c)
        {
            if (r + 1 < nodes.rows)
            {
                circuit.connect(nodes.lower(r, c), nodes.lower(r + 1, c), 1 / wires.column_segment);
            }
            else
            {
                circuit.source(nodes.lower(r, c), 0, 1 / (wires.sense + wires.column_segment));
            }
            if (gated && r + 1 < nodes.rows)
            {
                circuit.connect(nodes.upper(r, c), nodes.upper(r + 1, c), 1 / wires.column_segment);
            }
            if (gated && r == 0)
            {
                circuit.source(nodes.upper(r, c), read, 1 / (wires.driver + wires.column_segment));
            }
            if (!gated && c + 1 < nodes.columns)
            {
                circuit.connect(nodes.upper(r, c), nodes.upper(r, c + 1), 1 / wires.row_segment);
            }
            if (!gated && c == 0 && (wires.read == Read::row_voltage || volts[r] != 0))
            {
                circuit.source(nodes.upper(r, c), volts[r], 1 / (wires.driver + wires.row_segment));
            }
        }
    }
}

} // namespace tessera::numerics
