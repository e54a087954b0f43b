// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <systemc>

/// Before SC_METHOD and SC_THREAD in a constructor. SystemC 3 needs nothing there and calls
/// SC_HAS_PROCESS deprecated; SystemC 2 cannot do without it.
#if IEEE_1666_SYSTEMC < 202301L
#define TESSERA_HAS_PROCESS(module) SC_HAS_PROCESS(module)
#else
#define TESSERA_HAS_PROCESS(module) static_assert(true)
#endif
