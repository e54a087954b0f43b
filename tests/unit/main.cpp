// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

// libsystemc refers to sc_main; the tests start from main.
int sc_main(int /*argc*/, char** /*argv*/) // NOLINT(readability-identifier-naming)
{
    return 0;
}

int main(int argc, char** argv)
{
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
