// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"
#include "cli/interrupt.h"

#include <systemc>

#include <cstdlib>
#include <iostream>

// libsystemc brings a main() of its own that would call this one; ours comes first, so that
// commands that do not simulate never start the kernel.
int sc_main(int /*argc*/, char** /*argv*/) // NOLINT(readability-identifier-naming)
{
    return 0;
}

int main(int argc, char** argv)
{
    // The kernel prints its copyright notice to stderr unless told otherwise.
    setenv("SC_COPYRIGHT_MESSAGE", "DISABLE", 0); // NOLINT(concurrency-mt-unsafe)
    std::ios::sync_with_stdio(false);
    tessera::cli::catch_signals();
    return tessera::cli::run({argv + 1, argv + argc}, {std::cout, std::cerr});
}
