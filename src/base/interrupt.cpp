// SPDX-License-Identifier: Apache-2.0
#include "base/interrupt.h"

#include "tessera/error.h"

#include <atomic>

namespace tessera
{
namespace
{

// A signal handler can reach nothing but an object of static storage.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler stores it");

} // namespace

void request_interrupt() noexcept
{
    requested.store(true, std::memory_order_relaxed);
}

void forget_interrupt() noexcept
{
    requested.store(false, std::memory_order_relaxed);
}

bool interrupt_requested() noexcept
{
    return requested.load(std::memory_order_relaxed);
}

void throw_if_interrupted()
{
    if (interrupt_requested())
    {
        throw Error(ExitCode::interrupted, "interrupted");
    }
}

} // namespace tessera
