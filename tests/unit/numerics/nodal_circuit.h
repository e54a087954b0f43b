// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/matrix.h"

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

} // namespace tessera::numerics
