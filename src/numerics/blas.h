// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cblas.h>

namespace tessera::numerics
{

/// What is used of OpenBLAS and of LAPACK, which it contains.
struct Blas
{
    /// Of LAPACK, column-major, as Fortran calls it: factor, then inverse or solution.
    using Factor = void(const char* part, const blasint* order, double* matrix,
                        const blasint* stride, blasint* info);
    using Solve = void(const char* part, const blasint* order, const blasint* count,
                       const double* matrix, const blasint* stride, double* sides,
                       const blasint* side_stride, blasint* info);

    decltype(&cblas_sgemm) sgemm = nullptr;
    decltype(&cblas_dgemm) dgemm = nullptr;
    Factor* dpotrf = nullptr; ///< Cholesky's factor
    Factor* dpotri = nullptr; ///< the inverse out of it
    Solve* dpotrs = nullptr;  ///< the solution of equations out of it
    /// The serial build has no locks: two callers would share its work space.
    bool many_callers = false;
};

/// The library, loaded when it is first asked for and told to work on the caller's thread alone.
/// Linked, it would start a thread per processor in every process, whether it multiplies or not,
/// and keep them busy waiting: a fifth of the time of a run of half a second. Throws IoError when
/// it cannot be loaded.
[[nodiscard]] const Blas& blas();

} // namespace tessera::numerics
