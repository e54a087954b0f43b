// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"
#include "semantics/effort.h"
#include "tessera/trace.h"

#include <cstdint>
#include <vector>

namespace tessera::semantics
{

/// What layers and tensors of a trace's header are in the network.
struct Naming
{
    std::vector<LayerId> tensors; ///< by tensor of the header: the layer whose output it is, if any
    std::vector<LayerId> layers;  ///< by layer of the header
    /// By layer of the network: whose output its data hold, its own or that of a later layer that
    /// works on it element by element.
    std::vector<LayerId> outputs;
    std::vector<std::uint8_t> bits; ///< by layer of the network: of its tensor; 0: not said

    /// Throws Malformed (a pointer into the header) when tensors or layers are not those of the
    /// network.
    Naming(const trace::Header& header, const network::Network& network, Effort& effort);
};

/// activation, batch_norm: each element follows from the one in the same place.
[[nodiscard]] bool elementwise(network::LayerKind kind);

} // namespace tessera::semantics
