// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"

#include <cstdint>

namespace tessera::config
{

/// Cells side by side that hold one weight, `cell_bits` of its bits in each; the last one holds
/// what is left over. `pairs`: as many again for the other sign.
[[nodiscard]] constexpr unsigned cells_per_weight(unsigned weight_bits, unsigned cell_bits,
                                                  bool pairs)
{
    return (weight_bits + cell_bits - 1) / cell_bits * (pairs ? 2 : 1);
}
/// Of a macro: what `weight_bits`, `cell.bits` and `cell.signs` make of it; AiDAC: a cell a bit.
/// Digital macros count their weights as a whole: 1.
[[nodiscard]] unsigned cells_per_weight(const ChipConfig::Macro& macro);

/// Cells that are written with one row of so many weights, that of its reference column included
/// (Macro::reference_columns()). Those of AiDAC hold the same whatever the weights are: they are
/// not written.
[[nodiscard]] std::uint64_t cells_in_row(const ChipConfig::Macro& macro, std::uint64_t weights);

} // namespace tessera::config
