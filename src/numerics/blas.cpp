// SPDX-License-Identifier: Apache-2.0
#include "numerics/blas.h"

#include "base/memory.h"
#include "tessera/error.h"

#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <dlfcn.h>
#include <limits>
#include <mutex>
#include <set>
#include <string>

namespace tessera::numerics
{
namespace
{

constexpr const char* kLibrary = "libopenblas.so.0";

[[noreturn]] void give_up()
{
    const char* const reason = dlerror(); // NOLINT(concurrency-mt-unsafe)
    const std::string text = reason == nullptr ? kLibrary : reason;
    for (const char* const refused : {"Cannot allocate memory", "failed to map segment"})
    {
        if (text.find(refused) != std::string::npos)
        {
            throw IoError("out of memory: cannot load OpenBLAS: " + text);
        }
    }
    throw IoError("cannot use OpenBLAS: " + text + "; install libopenblas0");
}

template <class Function> void find(void* library, const char* name, Function*& function)
{
    function = reinterpret_cast<Function*>(dlsym(library, name));
    if (function == nullptr)
    {
        give_up();
    }
}

/// The library and who uses it.
class Library
{
public:
    Library()
    {
        // As many threads as there are processors are started by the loading itself, unless told
        // otherwise there.
        constexpr const char* kThreads = "OPENBLAS_NUM_THREADS";
        const bool told = std::getenv(kThreads) != nullptr; // NOLINT(concurrency-mt-unsafe)
        if (!told)
        {
            setenv(kThreads, "1", 1); // NOLINT(concurrency-mt-unsafe)
        }
        void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
        if (!told)
        {
            unsetenv(kThreads); // NOLINT(concurrency-mt-unsafe)
        }
        if (library == nullptr)
        {
            give_up();
        }
        find(library, "cblas_sgemm", calls_.sgemm);
        find(library, "cblas_dgemm", calls_.dgemm);
        find(library, "dpotrf_", calls_.dpotrf);
        find(library, "dpotri_", calls_.dpotri);
        find(library, "dpotrs_", calls_.dpotrs);
        // A build that hides these gets its work space when it first multiplies.
        take_space_ = reinterpret_cast<decltype(take_space_)>(dlsym(library, "blas_memory_alloc"));
        give_space_back_ =
            reinterpret_cast<decltype(give_space_back_)>(dlsym(library, "blas_memory_free"));
        decltype(&openblas_set_num_threads) set_threads = nullptr;
        decltype(&openblas_get_parallel) parallel = nullptr;
        find(library, "openblas_set_num_threads", set_threads);
        find(library, "openblas_get_parallel", parallel);
        set_threads(1);
        most_callers_ =
            parallel() == OPENBLAS_SEQUENTIAL ? 1 : std::numeric_limits<unsigned>::max();
    }

    [[nodiscard]] const Blas& calls() const { return calls_; }

    void enter()
    {
        std::unique_lock lock(mutex_);
        while (callers_ == spaces_ && !add_space())
        {
            if (spaces_ == 0)
            {
                throw IoError("out of memory: OpenBLAS needs " + std::to_string(kSpace >> 20U) +
                              " MiB to work in");
            }
            left_.wait(lock, [this] { return callers_ < spaces_; });
        }
        ++callers_;
    }
    void leave()
    {
        const std::lock_guard lock(mutex_);
        --callers_;
        left_.notify_one();
    }

private:
    /// What the library asks the system for, once for every simultaneous caller (0.3.21, x86-64).
    static constexpr std::size_t kSpace = std::size_t{128} << 20U;
    /// For what other threads take between the look and the library's own request.
    static constexpr std::size_t kSlack = std::size_t{32} << 20U;

    /// Contract: all spaces have a caller, the lock is held.
    [[nodiscard]] bool add_space()
    {
        if (spaces_ == most_callers_)
        {
            return false;
        }
        // Callers may not have come to the library yet: what it is not known to have it may still
        // ask for.
        const std::size_t needed = (spaces_ + 1 - known_.size()) * kSpace + kSlack;
        if (!has_memory(needed))
        {
            return false;
        }
        ++spaces_;
        if (take_space_ != nullptr && give_space_back_ != nullptr)
        {
            // The library keeps it for its next caller.
            constexpr int any_processor = 0;
            void* const space = take_space_(any_processor);
            known_.insert(space);
            give_space_back_(space);
        }
        return true;
    }

    Blas calls_;
    void* (*take_space_)(int) = nullptr;
    void (*give_space_back_)(void*) = nullptr;
    unsigned most_callers_ = 1;
    std::mutex mutex_;
    std::condition_variable left_;
    unsigned callers_ = 0;
    unsigned spaces_ = 0;   ///< that the library has, or will find room for
    std::set<void*> known_; ///< of those that it has
};

Library& library()
{
    static Library loaded;
    return loaded;
}

} // namespace

BlasTurn::BlasTurn()
{
    library().enter();
}

BlasTurn::~BlasTurn()
{
    library().leave();
}

const Blas* BlasTurn::operator->() const
{
    return &library().calls();
}

} // namespace tessera::numerics
