// SPDX-License-Identifier: Apache-2.0
#include "compiler/placement.h"

#include "tessera/error.h"

#include <array>
#include <utility>

namespace tessera::compiler
{
namespace
{

/// Fills the macros of tile 0, then of tile 1, ...
class RowMajor final : public Placement
{
public:
    [[nodiscard]] std::vector<Slot> place(const std::vector<std::size_t>& counts,
                                          const config::ChipConfig& chip) const override
    {
        std::vector<Slot> slots;
        for (const std::size_t count : counts)
        {
            for (std::size_t i = 0; i < count; ++i)
            {
                const auto next = static_cast<std::uint32_t>(slots.size());
                slots.push_back({NodeId(next / chip.tiles.macros), next % chip.tiles.macros});
            }
        }
        return slots;
    }
};

} // namespace

const Placement& placement(const config::ChipConfig& chip)
{
    static const RowMajor row_major;
    const std::array<std::pair<const char*, const Placement*>, 1> known{
        {{"row-major", &row_major}}};
    std::string names;
    for (const auto& [name, policy] : known)
    {
        if (chip.mapping.placement == name)
        {
            return *policy;
        }
        names += (names.empty() ? "" : ", ") + std::string(name);
    }
    throw InputError({chip.name, 0, "/mapping/placement"},
                     "there is no placement '" + chip.mapping.placement + "'", "use " + names);
}

} // namespace tessera::compiler
