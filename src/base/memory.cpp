// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <cstdint>
#include <fstream>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

namespace tessera
{

bool has_memory(std::size_t bytes) noexcept
{
    void* const some =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return some != MAP_FAILED && munmap(some, bytes) == 0;
}

bool is_limited_below(std::size_t bytes)
{
    struct rlimit limit = {};
    return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
           limit.rlim_cur < address_space() + bytes;
}

std::uint64_t address_space()
{
    std::ifstream stream("/proc/self/statm");
    std::uint64_t pages = 0;
    stream >> pages;
    return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

} // namespace tessera
