// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tessera::numerics
{

// Loops over the columns of a crossbar. Each column's result depends on its own values alone, so
// every split of columns and vectors gives the same bits.

/// "AVX-512", "AVX2" or "baseline": what these loops run on.
[[nodiscard]] const char* instruction_set();

/// Standard normals for `count` columns from column `first` on, which must be a multiple of
/// kNormalChunk. Philox's counter is (group of columns, a, b, c): Box and Muller on 32-bit
/// uniforms, so magnitudes end at 6.66.
void normals(float* into, std::size_t count, std::size_t first, std::uint32_t a, std::uint32_t b,
             std::uint32_t c, std::array<std::uint32_t, 2> key);
inline constexpr std::size_t kNormalChunk = 64;

/// sums[i] += normals[i] * sqrt(variances[i]) * scale
void add_noise(float* sums, const float* variances, const float* normals, std::size_t count,
               float scale);

/// c = a b, row-major, as product() does: a is m x k, b is k x n, and the strides are of rows. Each
/// sum is made from the first row of b to the last, so that it has the same bits whichever rows of
/// a and columns of b are beside it, and whatever the factors are.
void ordered_product(std::size_t m, std::size_t n, std::size_t k, const float* a,
                     std::size_t a_stride, const float* b, std::size_t b_stride, float* c,
                     std::size_t c_stride);

/// codes[i] = (codes[i] << shift) + sign * clamp(round(sums[i] * per_code), least, most), where
/// the rounding is to nearest, ties to even.
void convert(std::int32_t* codes, const float* sums, std::size_t count, unsigned shift,
             float per_code, float least, float most, std::int32_t sign);
/// The same in 64 bits, for converters whose codes would overflow.
void convert(std::int64_t* codes, const float* sums, std::size_t count, unsigned shift,
             float per_code, float least, float most, std::int32_t sign);

/// total[i] += codes[i] << shift, times sign
void add_shifted(std::int64_t* total, const std::int32_t* codes, std::size_t count, unsigned shift,
                 std::int64_t sign);
void add_shifted(std::int64_t* total, const std::int64_t* codes, std::size_t count, unsigned shift,
                 std::int64_t sign);

/// sums[i] += factor * values[i]
void add_scaled(double* sums, const double* values, std::size_t count, double factor);
void add_scaled(float* sums, const float* values, std::size_t count, float factor);
/// sums[i] += factor * values[i] * others[i]
void add_products(float* sums, const float* values, const float* others, std::size_t count,
                  float factor);
/// state[i] = kept * state[i] + fresh * values[i]
void mix(float* state, const float* values, std::size_t count, float kept, float fresh);
/// changes[i] = (1 + changes[i]) * (1 - amount * shares[i]) - 1, without the rounding that the 1
/// brings
void take_off(float* changes, const float* shares, std::size_t count, float amount);

/// sums[i] += x * (first[i] + x * (second[i] + x * third[i]))
void add_polynomial(double* sums, const double* first, const double* second, const double* third,
                    std::size_t count, double x);

} // namespace tessera::numerics
