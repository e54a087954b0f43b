// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace tessera::numerics
{

/// c = a b, row-major, on this thread alone: a is m x k, b is k x n, and the strides are of rows.
/// Where the factors are whole numbers and every partial sum stays below 2^24 (in double precision
/// 2^53) the result is exact, whatever the order in which it is added up.
void product(std::size_t m, std::size_t n, std::size_t k, const float* a, std::size_t a_stride,
             const float* b, std::size_t b_stride, float* c, std::size_t c_stride);
void product(std::size_t m, std::size_t n, std::size_t k, const double* a, std::size_t a_stride,
             const double* b, std::size_t b_stride, double* c, std::size_t c_stride);

} // namespace tessera::numerics
