// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"
#include "cli/command.h"
#include "cli/interrupt.h"

#include "tessera/error.h"

#include <systemc>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <fcntl.h>
#include <iostream>
#include <malloc.h>
#include <new>
#include <string_view>
#include <sys/mman.h>
#include <sys/resource.h>
#include <typeinfo>
#include <unistd.h>

// libsystemc brings a main() of its own that would call this one; ours comes first, so that
// commands that do not simulate never start the kernel.
int sc_main(int /*argc*/, char** /*argv*/) // NOLINT(readability-identifier-naming)
{
    return 0;
}

namespace
{

/// The first of the heap in huge pages, where the system has such for whoever asks: to be given a
/// page of the usual size at its first use takes longer than most of what is done with it.
void use_huge_pages()
{
    // The heap's addresses count against a limit as if they were used.
    struct rlimit limit = {};
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY)
    {
        return;
    }
    constexpr std::size_t kHeap = std::size_t{128} << 20U; // of addresses; used only as needed
    constexpr std::uintptr_t kPage = std::uintptr_t{2} << 20U;
    mallopt(M_TOP_PAD, static_cast<int>(kHeap));
    mallopt(M_TRIM_THRESHOLD, static_cast<int>(2 * kHeap)); // what is freed is used again
    mallopt(M_MMAP_THRESHOLD, static_cast<int>(kHeap / 4)); // so large ones lie in it too
    void* const first = std::malloc(kPage);                 // makes the heap grow
    const auto begin = (reinterpret_cast<std::uintptr_t>(first) + kPage - 1) / kPage * kPage;
    const auto end = reinterpret_cast<std::uintptr_t>(sbrk(0));
    if (first != nullptr && begin < end)
    {
        madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE); // or not: as it was
    }
    std::free(first);
}

/// A file that is opened never becomes standard input or output by chance: those that are closed
/// are opened in the other direction, so that using them fails as before.
void hold_standard_descriptors()
{
    for (const int id : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    {
        // NOLINTBEGIN(cppcoreguidelines-pro-type-vararg)
        if (fcntl(id, F_GETFD) < 0)
        {
            // The lowest that is free is this one.
            static_cast<void>(open("/dev/null", id == STDIN_FILENO ? O_WRONLY : O_RDONLY));
        }
        // NOLINTEND(cppcoreguidelines-pro-type-vararg)
    }
}

/// Whatever ends the process before or behind the reach of a handler: a library's initialisation,
/// a destructor, a thread.
[[noreturn]] void end_process()
{
    const std::type_info* const thrown = abi::__cxa_current_exception_type();
    // Where there is no memory for an exception, none is thrown.
    const bool no_memory =
        thrown == nullptr ? !tessera::has_memory() : *thrown == typeid(std::bad_alloc);
    if (no_memory)
    {
        constexpr std::string_view message = "tessera: out of memory\n";
        static_cast<void>(!write(STDERR_FILENO, message.data(), message.size()));
        _exit(static_cast<int>(tessera::ExitCode::io));
    }
    __gnu_cxx::__verbose_terminate_handler();
    std::abort();
}

void set_end()
{
    std::set_terminate(end_process);
}

/// Before the first library initialises itself.
[[gnu::section(".preinit_array"), gnu::used]] void (*const kFirst)() = set_end;

} // namespace

int main(int argc, char** argv)
{
    hold_standard_descriptors();
    use_huge_pages();
    // The kernel prints its copyright notice to stderr unless told otherwise.
    setenv("SC_COPYRIGHT_MESSAGE", "DISABLE", 0); // NOLINT(concurrency-mt-unsafe)
    std::ios::sync_with_stdio(false);
    tessera::cli::catch_signals();
    return tessera::cli::run({argv + 1, argv + argc}, {std::cout, std::cerr});
}
