// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

namespace tessera::cli
{
namespace
{

// A signal handler can reach nothing but an object of static storage.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
volatile std::sig_atomic_t signal_seen = 0;

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
    action.sa_flags = static_cast<int>(SA_RESETHAND); // a second one ends the process at once
    sigaction(SIGINT, &action, &old_interrupt_);
    sigaction(SIGTERM, &action, &old_terminate_);
}

InterruptGuard::~InterruptGuard()
{
    sigaction(SIGINT, &old_interrupt_, nullptr);
    sigaction(SIGTERM, &old_terminate_, nullptr);
}

bool InterruptGuard::interrupted()
{
    return signal_seen != 0;
}

} // namespace tessera::cli
