// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

/// Asked by the leak sanitizer. HDF5 1.10 loses a few bytes where it cannot open a damaged object.
extern "C" const char* __lsan_default_suppressions() // NOLINT(bugprone-reserved-identifier)
{
    return "leak:libhdf5_serial\n";
}

int main(int argc, char** argv)
{
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
