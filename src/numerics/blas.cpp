// SPDX-License-Identifier: Apache-2.0
#include "numerics/blas.h"

#include "tessera/error.h"

#include <cstdlib>
#include <dlfcn.h>
#include <string>

namespace tessera::numerics
{
namespace
{

constexpr const char* kLibrary = "libopenblas.so.0";

[[noreturn]] void give_up()
{
    const char* const reason = dlerror(); // NOLINT(concurrency-mt-unsafe)
    throw IoError(std::string("cannot use OpenBLAS: ") + (reason == nullptr ? kLibrary : reason) +
                  "; install libopenblas0");
}

template <class Function> void find(void* library, const char* name, Function*& function)
{
    function = reinterpret_cast<Function*>(dlsym(library, name));
    if (function == nullptr)
    {
        give_up();
    }
}

Blas load()
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
    Blas blas;
    find(library, "cblas_sgemm", blas.sgemm);
    find(library, "cblas_dgemm", blas.dgemm);
    find(library, "dpotrf_", blas.dpotrf);
    find(library, "dpotri_", blas.dpotri);
    find(library, "dpotrs_", blas.dpotrs);
    decltype(&openblas_set_num_threads) set_threads = nullptr;
    decltype(&openblas_get_parallel) parallel = nullptr;
    find(library, "openblas_set_num_threads", set_threads);
    find(library, "openblas_get_parallel", parallel);
    set_threads(1);
    blas.many_callers = parallel() != OPENBLAS_SEQUENTIAL;
    return blas;
}

} // namespace

const Blas& blas()
{
    static const Blas loaded = load();
    return loaded;
}

} // namespace tessera::numerics
