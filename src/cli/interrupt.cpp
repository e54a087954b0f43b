// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include "base/interrupt.h"

#include <csignal>

namespace tessera::cli
{
namespace
{

extern "C" void note_signal(int /*signal*/)
{
    request_interrupt();
}

} // namespace

void catch_signals()
{
    struct sigaction action = {};
    action.sa_handler = note_signal;
    action.sa_flags = static_cast<int>(SA_RESETHAND); // a second one ends the process at once
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    // Of a terminal that is closed; nohup asks to go on.
    struct sigaction before = {};
    if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN)
    {
        sigaction(SIGHUP, &action, nullptr);
    }
    // A write beyond the limit on the size of files then fails, and is reported as such.
    std::signal(SIGXFSZ, SIG_IGN);
}

} // namespace tessera::cli
