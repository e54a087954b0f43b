// SPDX-License-Identifier: Apache-2.0
#include "simulation/log_units.h"

namespace tessera::simulation
{

std::array<std::vector<std::string>, kTopics> log_units(chip::Chip& chip)
{
    std::array<std::vector<std::string>, kTopics> names;
    const auto of = [&](Topic topic) -> std::vector<std::string>&
    { return names.at(static_cast<unsigned>(topic)); };
    for (const chip::IssueUnit* const unit : chip.units())
    {
        const chip::UnitPlace& place = unit->place();
        of(Topic::op).push_back(place.name);
        of(Topic::wheel).push_back(place.name);
        if (place.kind == trace::UnitKind::network_interface ||
            place.kind == trace::UnitKind::memory_port)
        {
            of(Topic::noc).push_back(place.name);
        }
        if (place.kind == trace::UnitKind::memory_port)
        {
            of(Topic::memory).push_back(place.name);
        }
    }
    for (const chip::Buffer& buffer : chip.buffers())
    {
        of(Topic::buffer).push_back(buffer.name());
        of(Topic::port).push_back(buffer.name() + ".ports");
        of(Topic::wheel).push_back(buffer.name() + ".ports");
    }
    for (const noc::FabricUnit& unit : chip.fabric().units())
    {
        of(Topic::wheel).push_back(unit.name);
        if (chip.config().noc.kind == "mesh")
        {
            of(Topic::flit).push_back(unit.name);
        }
    }
    for (const char* const name : {"space", "sequencer"})
    {
        of(Topic::wheel).emplace_back(name);
    }
    return names;
}

} // namespace tessera::simulation
