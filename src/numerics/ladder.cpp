// SPDX-License-Identifier: Apache-2.0
#include "numerics/ladder.h"

#include "numerics/simd.h"

#include <algorithm>
#include <array>
#include <vector>

namespace tessera::numerics
{
namespace
{

constexpr std::size_t kAtOnce = 64; ///< columns whose state stays in the first cache

/// What is left of a node pair after all rows above are eliminated: its symmetric 2 x 2 matrix is
/// inverted, `b` being the driven line and `s` the sensed one, and x what they carry.
struct Pair
{
    double bb = 0;
    double bs = 0;
    double ss = 0;
    double xb = 0;
    double xs = 0;
};

inline Pair next(const Pair& above, double cell, double up_b, double up_s, double along_above,
                 double down_b, double down_s, double source)
{
    const double square = along_above * along_above;
    const double bb = up_b + down_b + cell - square * above.bb;
    const double ss = up_s + down_s + cell - square * above.ss;
    const double bs = -cell - square * above.bs;
    const double rb = source + along_above * above.xb;
    const double rs = along_above * above.xs;
    const double scale = 1 / (bb * ss - bs * bs);
    Pair pair;
    pair.bb = ss * scale;
    pair.bs = -bs * scale;
    pair.ss = bb * scale;
    pair.xb = pair.bb * rb + pair.bs * rs;
    pair.xs = pair.bs * rb + pair.ss * rs;
    return pair;
}

} // namespace

TESSERA_SIMD void ladders(const double* siemens, std::size_t rows, std::size_t columns,
                          double along, double drive, double sense, const float* driven,
                          double* amperes)
{
    std::array<double, kAtOnce> bb;
    std::array<double, kAtOnce> bs;
    std::array<double, kAtOnce> ss;
    std::array<double, kAtOnce> xb;
    std::array<double, kAtOnce> xs;
    for (std::size_t first = 0; first < columns; first += kAtOnce)
    {
        const std::size_t count = std::min(kAtOnce, columns - first);
        for (std::size_t i = 0; i < kAtOnce; ++i)
        {
            bb[i] = bs[i] = ss[i] = xb[i] = xs[i] = 0;
        }
        for (std::size_t row = 0; row < rows; ++row)
        {
            const double* cells = siemens + row * columns + first;
            const double open = driven[row] != 0 ? 1 : 0;
            const double above = row == 0 ? 0 : along;
            const double up_b = row == 0 ? drive : along;
            const double down_b = row + 1 < rows ? along : 0;
            const double down_s = row + 1 < rows ? along : sense;
            const double source = row == 0 ? drive : 0;
            for (std::size_t i = 0; i < count; ++i)
            {
                const Pair pair = next({bb[i], bs[i], ss[i], xb[i], xs[i]}, open * cells[i], up_b,
                                       above, above, down_b, down_s, source);
                bb[i] = pair.bb;
                bs[i] = pair.bs;
                ss[i] = pair.ss;
                xb[i] = pair.xb;
                xs[i] = pair.xs;
            }
        }
        for (std::size_t i = 0; i < count; ++i)
        {
            amperes[first + i] = sense * xs[i];
        }
    }
}

double ladder_voltages(const double* siemens, std::size_t rows, double along, double drive,
                       double sense, double* across)
{
    std::vector<Pair> pairs(rows);
    Pair above;
    for (std::size_t row = 0; row < rows; ++row)
    {
        const double coupling = row == 0 ? 0 : along;
        above =
            next(above, siemens[row], row == 0 ? drive : along, coupling, coupling,
                 row + 1 < rows ? along : 0, row + 1 < rows ? along : sense, row == 0 ? drive : 0);
        pairs[row] = above;
    }
    double b = above.xb;
    double s = above.xs;
    const double amperes = sense * s;
    across[rows - 1] = b - s;
    for (std::size_t row = rows - 1; row-- > 0;)
    {
        const Pair& pair = pairs[row];
        const double below_b = along * b;
        const double below_s = along * s;
        b = pair.xb + pair.bb * below_b + pair.bs * below_s;
        s = pair.xs + pair.bs * below_b + pair.ss * below_s;
        across[row] = b - s;
    }
    return amperes;
}

} // namespace tessera::numerics
