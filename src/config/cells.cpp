// SPDX-License-Identifier: Apache-2.0
#include "config/cells.h"

namespace tessera::config
{

unsigned cells_per_weight(const ChipConfig::Macro& macro)
{
    if (macro.kind == "digital")
    {
        return 1;
    }
    if (macro.kind == "aidac")
    {
        return cells_per_weight(macro.weight_bits, 1, macro.aidac.signs == "paired");
    }
    const bool pairs =
        macro.cell.signs == "differential" || macro.cell.signs == "differential-separate";
    return cells_per_weight(macro.weight_bits, macro.cell.bits, pairs);
}

std::uint64_t cells_in_row(const ChipConfig::Macro& macro, std::uint64_t weights)
{
    return weights * cells_per_weight(macro) + macro.reference_columns();
}

} // namespace tessera::config
