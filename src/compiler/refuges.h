// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/ids.h"

#include <map>
#include <utility>

namespace tessera::compiler
{

/// Where the data of a layer wait for another layer that reads them, if not where they are read:
/// in the buffer of another tile, from which they are sent when they are needed, or (none()) in the
/// external memory, to which they are stored and from which they are loaded.
using Refuges = std::map<std::pair<LayerId, LayerId>, NodeId>; ///< by maker and reader

} // namespace tessera::compiler
