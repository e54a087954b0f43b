// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/device.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tessera::values
{

/// A cell that is known to be stuck, named by the weight that it is a part of: such a map does not
/// depend on where a mapping places the layer.
struct StuckCell
{
    std::string layer;
    std::uint32_t copy = 0;    ///< of weights that the chip holds several times
    std::uint32_t replica = 0; ///< along the diagonal of the macro
    std::uint32_t row = 0;     ///< of the layer's weight matrix
    std::uint32_t column = 0;
    std::uint32_t cell = 0; ///< of the weight: slice by slice from the lowest, the positive first
    numerics::Fault fault = numerics::Fault::stuck_off;
};

struct FaultMap
{
    std::string file;
    std::vector<StuckCell> cells;
};

/// Throws InputError naming file, line and key.
[[nodiscard]] FaultMap load_fault_map(const std::string& path);

} // namespace tessera::values
