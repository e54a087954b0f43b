// SPDX-License-Identifier: Apache-2.0
#include "numerics/product.h"

#include "numerics/blas.h"

namespace tessera::numerics
{

void product(std::size_t m, std::size_t n, std::size_t k, const float* a, std::size_t a_stride,
             const float* b, std::size_t b_stride, float* c, std::size_t c_stride)
{
    BlasTurn()->sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<blasint>(m),
                      static_cast<blasint>(n), static_cast<blasint>(k), 1.0F, a,
                      static_cast<blasint>(a_stride), b, static_cast<blasint>(b_stride), 0.0F, c,
                      static_cast<blasint>(c_stride));
}

void product(std::size_t m, std::size_t n, std::size_t k, const double* a, std::size_t a_stride,
             const double* b, std::size_t b_stride, double* c, std::size_t c_stride)
{
    BlasTurn()->dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<blasint>(m),
                      static_cast<blasint>(n), static_cast<blasint>(k), 1.0, a,
                      static_cast<blasint>(a_stride), b, static_cast<blasint>(b_stride), 0.0, c,
                      static_cast<blasint>(c_stride));
}

} // namespace tessera::numerics
