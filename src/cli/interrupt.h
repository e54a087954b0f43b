// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>

namespace tessera::cli
{

/// While one lives, SIGINT and SIGTERM are noted instead of ending the process. One at a time.
class InterruptGuard
{
public:
    InterruptGuard();
    ~InterruptGuard();
    InterruptGuard(const InterruptGuard&) = delete;
    InterruptGuard& operator=(const InterruptGuard&) = delete;

    [[nodiscard]] static bool interrupted();

private:
    struct sigaction old_interrupt_ = {};
    struct sigaction old_terminate_ = {};
};

} // namespace tessera::cli
