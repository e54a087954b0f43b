// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "tessera/ids.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tessera::compiler
{

/// A macro of the chip.
struct Slot
{
    NodeId tile;
    std::uint32_t macro = 0; ///< inside the tile
};

/// Decides which macro holds which block.
class Placement
{
public:
    virtual ~Placement() = default;
    /// Contract: `counts[i]` blocks of the i-th crossbar layer, in order; together no more than the
    /// chip has macros. Returns one slot per block, layer after layer, no slot twice.
    [[nodiscard]] virtual std::vector<Slot> place(const std::vector<std::size_t>& counts,
                                                  const config::ChipConfig& chip) const = 0;
};

/// The policy `mapping.placement` names. Throws InputError listing the known ones.
[[nodiscard]] const Placement& placement(const config::ChipConfig& chip);

} // namespace tessera::compiler
