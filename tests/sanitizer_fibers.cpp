// SPDX-License-Identifier: Apache-2.0
// libsystemc tells the address sanitizer when it changes stacks, but not where the main stack lies:
// back on it, the sanitizer takes what an exception leaves behind for errors. It does better when
// it is told nothing.
#if defined(__SANITIZE_ADDRESS__)
#include <cstddef>

extern "C"
{
    // NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
    void __sanitizer_start_switch_fiber(void** /*saved*/, const void* /*bottom*/,
                                        std::size_t /*size*/)
    {
    }
    void __sanitizer_finish_switch_fiber(void* /*saved*/, const void** /*bottom*/,
                                         std::size_t* /*size*/)
    {
    }
    // NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
}
#endif
