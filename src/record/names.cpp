// SPDX-License-Identifier: Apache-2.0
#include "record/names.h"

#include <array>

namespace tessera::record
{
namespace
{

constexpr std::array<const char*, kStages> kStageNames = {
    "read",         "drive",      "crossbar",  "hold",     "convert",     "shift_add", "output",
    "charge",       "multiply",   "share",     "weigh",    "chain",       "digitise",  "mvm",
    "program",      "vector",     "write",     "reserve",  "transfer",    "memory",    "wait_input",
    "wait_release", "wait_space", "wait_port", "wait_noc", "wait_memory", "no_work"};
constexpr std::array<const char*, kCauses> kCauseNames = {"none", "input", "after",
                                                          "unit", "space", "release"};
constexpr std::array<const char*, kLevels> kLevelNames = {"off", "unit", "stage", "flit"};
constexpr std::array<const char*, trace::kUnitKinds> kUnitKindNames = {
    "macro", "vector_unit", "network_interface", "memory_port"};

} // namespace

const char* name_of(Stage stage)
{
    return kStageNames.at(static_cast<std::size_t>(stage));
}

const char* name_of(Cause cause)
{
    return kCauseNames.at(static_cast<std::size_t>(cause));
}

const char* name_of(ActivityLevel level)
{
    return kLevelNames.at(static_cast<std::size_t>(level));
}

const char* name_of(trace::UnitKind kind)
{
    return kUnitKindNames.at(static_cast<std::size_t>(kind));
}

} // namespace tessera::record
