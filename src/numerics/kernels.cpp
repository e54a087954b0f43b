// SPDX-License-Identifier: Apache-2.0
#include "numerics/kernels.h"

#include "numerics/simd.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace tessera::numerics
{
namespace
{

constexpr std::size_t kQuarter = kNormalChunk / 4;

/// Sums that ordered_product() makes at a time, and rows of b that it adds to them at a time.
constexpr std::size_t kSums = 64;
constexpr std::size_t kSummands = 4;

/// sums[i] += a[0] * b[i] + a[1] * b[i + kSums] + ..., one summand after the other.
template <std::size_t kCount>
TESSERA_INLINE void add_in_order(std::array<float, kSums>& sums, const float* a, const float* b)
{
    for (std::size_t i = 0; i < kSums; ++i)
    {
        float sum = sums[i];
        for (std::size_t summand = 0; summand < kCount; ++summand)
        {
            sum += a[summand] * b[summand * kSums + i];
        }
        sums[i] = sum;
    }
}

inline float from_bits(std::uint32_t bits)
{
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline std::uint32_t to_bits(float value)
{
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

/// Natural logarithm of a normal positive number; error below 2^-22 relative (Cephes' logf).
inline float log_of(float value)
{
    // Mantissa in [sqrt(1/2), sqrt(2)).
    const std::uint32_t bits = to_bits(value) - 0x3f3504f3U;
    const auto exponent = static_cast<float>(static_cast<std::int32_t>(bits) >> 23);
    const float x = from_bits((bits & 0x7fffffU) + 0x3f3504f3U) - 1.0F;
    const float z = x * x;
    float y = 7.0376836292e-2F;
    y = y * x - 1.1514610310e-1F;
    y = y * x + 1.1676998740e-1F;
    y = y * x - 1.2420140846e-1F;
    y = y * x + 1.4249322787e-1F;
    y = y * x - 1.6668057665e-1F;
    y = y * x + 2.0000714765e-1F;
    y = y * x - 2.4999993993e-1F;
    y = y * x + 3.3333331174e-1F;
    y = y * x * z;
    y = y - 2.12194440e-4F * exponent;
    y = y - 0.5F * z;
    return x + y + 0.693359375F * exponent;
}

/// Cosine and sine of an angle of `turn` / 2^32 full turns: an eighth of a turn either side of a
/// multiple of a quarter by polynomials (Cephes' sinf and cosf), the quarter by swap and sign.
inline void cosine_sine(std::uint32_t turn, float& cosine, float& sine)
{
    const std::uint32_t quarter = (turn + 0x20000000U) >> 30U;
    const auto rest = static_cast<std::int32_t>(turn - (quarter << 30U));
    const float x = static_cast<float>(rest) * 1.4629180792671596e-9F; // 2 pi / 2^32
    const float z = x * x;
    const float s = ((-1.9515295891e-4F * z + 8.3321608736e-3F) * z - 1.6666654611e-1F) * z * x + x;
    const float c =
        ((2.443315711809948e-5F * z - 1.388731625493765e-3F) * z + 4.166664568298827e-2F) * z * z -
        0.5F * z + 1.0F;
    const std::uint32_t swap = 0U - (quarter & 1U);
    const std::uint32_t c_sign = ((quarter + 1U) & 2U) << 30U;
    const std::uint32_t s_sign = (quarter & 2U) << 30U;
    cosine = from_bits(((to_bits(c) & ~swap) | (to_bits(s) & swap)) ^ c_sign);
    sine = from_bits(((to_bits(s) & ~swap) | (to_bits(c) & swap)) ^ s_sign);
}

inline void box_muller(std::uint32_t first, std::uint32_t second, float& one, float& other)
{
    // In (0, 1]: the odd number 2 i + 1 over 2^32, so that the logarithm is finite.
    const float uniform =
        (static_cast<float>(static_cast<std::int32_t>(first >> 1U)) + 0.5F) * 0x1p-31F;
    const float radius = std::sqrt(std::max(-2.0F * log_of(uniform), 0.0F));
    float cosine = 0;
    float sine = 0;
    cosine_sine(second, cosine, sine);
    one = radius * cosine;
    other = radius * sine;
}

} // namespace

const char* instruction_set()
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
    {
        return "AVX-512";
    }
    if (__builtin_cpu_supports("avx2"))
    {
        return "AVX2";
    }
#endif
    return "baseline";
}

TESSERA_SIMD void normals(float* into, std::size_t count, std::size_t first, std::uint32_t a,
                          std::uint32_t b, std::uint32_t c, std::array<std::uint32_t, 2> key)
{
    // Philox4x32-10 as in base/philox.h, side by side for the groups of a chunk.
    constexpr unsigned rounds = 10;
    for (std::size_t done = 0; done < count; done += kNormalChunk)
    {
        std::array<float, kNormalChunk> chunk;
        const auto group = static_cast<std::uint32_t>((first + done) / 4);
        for (std::uint32_t lane = 0; lane < kQuarter; ++lane)
        {
            std::uint32_t x0 = group + lane;
            std::uint32_t x1 = a;
            std::uint32_t x2 = b;
            std::uint32_t x3 = c;
            std::uint32_t k0 = key[0];
            std::uint32_t k1 = key[1];
            for (unsigned round = 0; round < rounds; ++round)
            {
                const std::uint64_t p0 = std::uint64_t{0xD2511F53} * x0;
                const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * x2;
                x0 = static_cast<std::uint32_t>(p1 >> 32U) ^ x1 ^ k0;
                x1 = static_cast<std::uint32_t>(p1);
                x2 = static_cast<std::uint32_t>(p0 >> 32U) ^ x3 ^ k1;
                x3 = static_cast<std::uint32_t>(p0);
                k0 += 0x9E3779B9U;
                k1 += 0xBB67AE85U;
            }
            float n0 = 0;
            float n1 = 0;
            float n2 = 0;
            float n3 = 0;
            box_muller(x0, x1, n0, n1);
            box_muller(x2, x3, n2, n3);
            chunk[lane] = n0;
            chunk[lane + kQuarter] = n1;
            chunk[lane + 2 * kQuarter] = n2;
            chunk[lane + 3 * kQuarter] = n3;
        }
        std::memcpy(into + done, chunk.data(),
                    std::min(kNormalChunk, count - done) * sizeof(float));
    }
}

TESSERA_SIMD void add_noise(float* sums, const float* variances, const float* normal,
                            std::size_t count, float scale)
{
    for (std::size_t i = 0; i < count; ++i)
    {
        sums[i] += normal[i] * (std::sqrt(variances[i]) * scale);
    }
}

TESSERA_SIMD void ordered_product(std::size_t m, std::size_t n, std::size_t k, const float* a,
                                  std::size_t a_stride, const float* b, std::size_t b_stride,
                                  float* c, std::size_t c_stride)
{
    std::vector<float> packed(k * kSums); // zeros beside the last column
    for (std::size_t column = 0; column < n; column += kSums)
    {
        const std::size_t columns = std::min(kSums, n - column);
        for (std::size_t i = 0; i < k; ++i)
        {
            std::copy_n(b + i * b_stride + column, columns, packed.data() + i * kSums);
        }
        for (std::size_t row = 0; row < m; ++row)
        {
            const float* const factors = a + row * a_stride;
            std::array<float, kSums> sums{};
            std::size_t i = 0;
            for (; i + kSummands <= k; i += kSummands)
            {
                add_in_order<kSummands>(sums, factors + i, packed.data() + i * kSums);
            }
            for (; i < k; ++i)
            {
                add_in_order<1>(sums, factors + i, packed.data() + i * kSums);
            }
            std::copy_n(sums.data(), columns, c + row * c_stride + column);
        }
    }
}

TESSERA_SIMD void convert(std::int32_t* codes, const float* sums, std::size_t count, unsigned shift,
                          float per_code, float least, float most, std::int32_t sign)
{
    for (std::size_t i = 0; i < count; ++i)
    {
        const float code = std::nearbyint(sums[i] * per_code);
        const float kept = code < least ? least : (code > most ? most : code);
        codes[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(codes[i]) << shift) +
                   sign * static_cast<std::int32_t>(kept);
    }
}

TESSERA_SIMD void convert(std::int64_t* codes, const float* sums, std::size_t count, unsigned shift,
                          float per_code, float least, float most, std::int32_t sign)
{
    for (std::size_t i = 0; i < count; ++i)
    {
        const float code = std::nearbyint(sums[i] * per_code);
        const float kept = code < least ? least : (code > most ? most : code);
        codes[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(codes[i]) << shift) +
                   sign * static_cast<std::int32_t>(kept);
    }
}

TESSERA_SIMD void add_shifted(std::int64_t* total, const std::int32_t* codes, std::size_t count,
                              unsigned shift, std::int64_t sign)
{
    const std::int64_t factor = sign * (std::int64_t{1} << shift);
    for (std::size_t i = 0; i < count; ++i)
    {
        total[i] += factor * codes[i];
    }
}

TESSERA_SIMD void add_shifted(std::int64_t* total, const std::int64_t* codes, std::size_t count,
                              unsigned shift, std::int64_t sign)
{
    const std::int64_t factor = sign * (std::int64_t{1} << shift);
    for (std::size_t i = 0; i < count; ++i)
    {
        total[i] += factor * codes[i];
    }
}

TESSERA_SIMD void add_scaled(double* sums, const double* values, std::size_t count, double factor)
{
    for (std::size_t i = 0; i < count; ++i)
    {
        sums[i] += factor * values[i];
    }
}

TESSERA_SIMD void add_scaled(float* sums, const float* values, std::size_t count, float factor)
{
    for (std::size_t i = 0; i < count; ++i)
    {
        sums[i] += factor * values[i];
    }
}

TESSERA_SIMD void add_products(float* sums, const float* values, const float* others,
                               std::size_t count, float factor)
{
    for (std::size_t i = 0; i < count; ++i)
    {
        sums[i] += factor * (values[i] * others[i]);
    }
}

TESSERA_SIMD void mix(float* state, const float* values, std::size_t count, float kept, float fresh)
{
    for (std::size_t i = 0; i < count; ++i)
    {
        state[i] = kept * state[i] + fresh * values[i];
    }
}

TESSERA_SIMD void take_off(float* changes, const float* shares, std::size_t count, float amount)
{
    for (std::size_t i = 0; i < count; ++i)
    {
        changes[i] -= amount * shares[i] * (1.0F + changes[i]);
    }
}

TESSERA_SIMD void add_polynomial(double* sums, const double* first, const double* second,
                                 const double* third, std::size_t count, double x)
{
    for (std::size_t i = 0; i < count; ++i)
    {
        sums[i] += x * (first[i] + x * (second[i] + x * third[i]));
    }
}

} // namespace tessera::numerics
