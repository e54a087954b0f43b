// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Before a function: compiled for several instruction sets, of which the CPU's best is chosen when
/// the program is loaded. Sanitizers are not up at that moment, so their builds have one.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define TESSERA_SIMD __attribute__((target_clones("avx512f", "avx2", "default")))
#define TESSERA_HAS_SIMD 1 // a function may be compiled for each by hand too
#else
#define TESSERA_SIMD
#define TESSERA_HAS_SIMD 0
#endif

/// Before a function that is compiled into such ones, and so for their instruction sets.
#define TESSERA_INLINE inline __attribute__((always_inline))
