// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>

namespace tessera::cli
{

/// While one lives, SIGINT and SIGTERM request an interrupt (base/interrupt.h) instead of ending
/// the process; a second one ends it. One at a time.
class InterruptGuard
{
public:
    InterruptGuard();
    ~InterruptGuard();
    InterruptGuard(const InterruptGuard&) = delete;
    InterruptGuard& operator=(const InterruptGuard&) = delete;

private:
    struct sigaction old_interrupt_ = {};
    struct sigaction old_terminate_ = {};
};

} // namespace tessera::cli
