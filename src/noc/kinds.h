// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "noc/fabric.h"

/// One pair of functions per implementation of Fabric; fabric.cpp lists them by name.
namespace tessera::noc
{

using FabricMaker = std::unique_ptr<Fabric>(const config::ChipConfig& chip, Wheel& wheel,
                                            WakeIndex first, FabricListener& listener);
using FabricWakeCount = std::size_t(const config::ChipConfig& chip);

FabricMaker make_ideal;
FabricWakeCount ideal_wake_count;

FabricMaker make_bus;
FabricWakeCount bus_wake_count;

FabricMaker make_mesh;
FabricWakeCount mesh_wake_count;

} // namespace tessera::noc
