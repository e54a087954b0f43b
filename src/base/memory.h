// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

/// For those who use libraries that do not bear it when they are given no memory, or fail without
/// saying why.
namespace tessera
{

/// As much as the C library asks the system for when its heap cannot grow.
inline constexpr std::size_t kLeastMemory = std::size_t{1} << 20U;

/// Would the system give so much more memory, in bytes?
[[nodiscard]] bool has_memory(std::size_t bytes = kLeastMemory) noexcept;

/// Of this process, in bytes; 0 where the system does not tell.
[[nodiscard]] std::uint64_t address_space();

/// Does a limit on the process (ulimit -v) leave less than so much?
[[nodiscard]] bool is_limited_below(std::size_t bytes);

} // namespace tessera
