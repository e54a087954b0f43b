// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <cstddef>
#include <sys/mman.h>

namespace tessera
{

bool has_memory() noexcept
{
    // As much as the C library asks for when its heap cannot grow.
    constexpr std::size_t kSome = std::size_t{1} << 20U;
    void* const some =
        mmap(nullptr, kSome, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return some != MAP_FAILED && munmap(some, kSome) == 0;
}

} // namespace tessera
