// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tessera
{

/// Would the system give some more memory? For those who are told of a failure without its reason:
/// where there is no memory, there is often none to say so.
[[nodiscard]] bool has_memory() noexcept;

} // namespace tessera
