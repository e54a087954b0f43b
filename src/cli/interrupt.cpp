// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include <csignal>

namespace tessera::cli
{
namespace
{

// A signal handler can reach nothing but an object of static storage.
volatile std::sig_atomic_t signal_seen =
    0; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

extern "C" void note_signal(int /*signal*/)
{
    signal_seen = 1;
}

} // namespace

InterruptGuard::InterruptGuard()
{
    signal_seen = 0;
    struct sigaction action = {};
    action.sa_handler = note_signal;
    action.sa_flags = SA_RESETHAND; // a second one ends the process at once
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

InterruptGuard::~InterruptGuard()
{
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

bool InterruptGuard::interrupted()
{
    return signal_seen != 0;
}

} // namespace tessera::cli
