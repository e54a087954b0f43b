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
};

/// The library in the hands of one caller. It is loaded when it is first asked for, and told to
/// work on the caller's thread alone: linked, it would start a thread per processor in every
/// process, whether it multiplies or not, and keep them busy waiting, a fifth of the time of a run
/// of half a second.
///
/// It keeps a work space for every simultaneous caller, and tries without end to get one that the
/// system refuses. So it is only called when that has been seen to be there; where there is no room
/// for another one, callers wait for each other. (The serial build has no locks: it takes one
/// caller only.)
class BlasTurn
{
public:
    /// Throws IoError when the library cannot be loaded, or not even one work space is to be had.
    BlasTurn();
    BlasTurn(const BlasTurn&) = delete;
    BlasTurn& operator=(const BlasTurn&) = delete;
    ~BlasTurn();

    const Blas* operator->() const;
};

} // namespace tessera::numerics
