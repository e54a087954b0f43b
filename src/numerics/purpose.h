// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tessera::numerics
{

/// Last number of every random draw of this layer, so that no two uses share one.
enum class Purpose : std::uint32_t
{
    programming = 1,
    relaxation,
    retention,
    fault,
    lifetime,
    converter,
    conversion,
    conversion_key,
    flicker,
    telegraph,
    capacitor,
    injected_charge,
    vtc_gain,
    vtc_offset,
    aidac_key,
    aidac_noise,
    fluctuation_key
};

} // namespace tessera::numerics
