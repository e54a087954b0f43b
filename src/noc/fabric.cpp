// SPDX-License-Identifier: Apache-2.0
#include "noc/fabric.h"

#include "noc/kinds.h"
#include "tessera/error.h"

#include <array>

namespace tessera::noc
{
namespace
{

struct Kind
{
    const char* name;
    FabricMaker* make;
    FabricWakeCount* wake_count;
};

constexpr std::array<Kind, 3> kKinds{{
    {"ideal", make_ideal, ideal_wake_count},
    {"bus", make_bus, bus_wake_count},
    {"mesh", make_mesh, mesh_wake_count},
}};

const Kind& find_kind(const config::ChipConfig& chip)
{
    std::string known;
    for (const Kind& kind : kKinds)
    {
        if (chip.noc.kind == kind.name)
        {
            return kind;
        }
        known += (known.empty() ? "" : ", ") + std::string(kind.name);
    }
    throw InputError({"", 0, "/noc/kind"}, "unknown interconnect \"" + chip.noc.kind + "\"",
                     "give one of: " + known);
}

} // namespace

std::size_t fabric_wake_count(const config::ChipConfig& chip)
{
    return find_kind(chip).wake_count(chip);
}

std::unique_ptr<Fabric> make_fabric(const config::ChipConfig& chip, Wheel& wheel, WakeIndex first,
                                    FabricListener& listener)
{
    return find_kind(chip).make(chip, wheel, first, listener);
}

} // namespace tessera::noc
