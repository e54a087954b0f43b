// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <utility>

namespace tessera::network
{

inline constexpr std::uint32_t kMaxExtent = 65536; ///< of a shape, a kernel, ...
inline constexpr std::uint64_t kMaxMapElements = std::uint64_t{1} << 31; ///< of a feature map
inline constexpr std::uint64_t kMaxWeights = std::uint64_t{1} << 40;     ///< of one layer
inline constexpr std::uint64_t kMaxMacs = std::uint64_t{1} << 46;        ///< of one layer

/// One axis of a sliding window. All numbers are in elements of that axis.
struct Window
{
    std::uint64_t kernel = 1, stride = 1, dilation = 1;
    std::uint64_t before = 0, after = 0; ///< padding

    /// Elements from the first to the last one a window covers.
    [[nodiscard]] std::uint64_t span() const { return dilation * (kernel - 1) + 1; }
    /// Number of windows in `extent` elements; 0 if not even one fits. With `ceil` one more if it
    /// begins inside the map or the padding before it (as PyTorch and Caffe do).
    [[nodiscard]] std::uint64_t count(std::uint64_t extent, bool ceil) const;
    /// "same" padding: count(extent) = ceil(extent / stride); an odd element goes after.
    [[nodiscard]] std::pair<std::uint32_t, std::uint32_t> same(std::uint64_t extent) const;
};

/// The product, or `limit` + 1 if it is larger than `limit`.
[[nodiscard]] std::uint64_t product(std::initializer_list<std::uint64_t> factors,
                                    std::uint64_t limit);

} // namespace tessera::network
