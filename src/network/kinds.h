// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"
#include "network/object_reader.h"

#include <string>
#include <vector>

namespace tessera::network
{

/// What a file may say about one kind of layer, and what follows from it.
struct KindRule
{
    LayerKind kind;
    std::size_t least_inputs, most_inputs;
    std::vector<std::string> keys; ///< besides name, kind and inputs
    /// Fills in the layer from its object and the shapes of its operands: attributes, output,
    /// parameters, macs. Throws InputError.
    void (*read)(const ObjectReader& object, const std::vector<Shape>& operands, Layer& layer);
};

[[nodiscard]] const std::vector<KindRule>& kind_rules();

} // namespace tessera::network
