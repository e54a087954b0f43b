// SPDX-License-Identifier: Apache-2.0
#include <systemc>

// libsystemc refers to sc_main; tests and benchmarks start from main.
int sc_main(int /*argc*/, char** /*argv*/) // NOLINT(readability-identifier-naming)
{
    return 0;
}
