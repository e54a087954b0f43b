// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include "base/interrupt.h"

namespace tessera::cli
{
namespace
{

extern "C" void note_signal(int /*signal*/)
{
    request_interrupt();
}

} // namespace

InterruptGuard::InterruptGuard()
{
    forget_interrupt();
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
    forget_interrupt();
}

} // namespace tessera::cli
