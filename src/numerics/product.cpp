// SPDX-License-Identifier: Apache-2.0
#include "numerics/product.h"

#include <cblas.h>

namespace tessera::numerics
{

void product(std::size_t m, std::size_t n, std::size_t k, const float* a, std::size_t a_stride,
             const float* b, std::size_t b_stride, float* c, std::size_t c_stride)
{
    // Threads are the callers' own. (The serial build of OpenBLAS has no locks: two callers spoil
    // each other.)
    static const bool single = (openblas_set_num_threads(1), true);
    static_cast<void>(single);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<blasint>(m),
                static_cast<blasint>(n), static_cast<blasint>(k), 1.0F, a,
                static_cast<blasint>(a_stride), b, static_cast<blasint>(b_stride), 0.0F, c,
                static_cast<blasint>(c_stride));
}

} // namespace tessera::numerics
