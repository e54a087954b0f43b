// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "noc/fabric.h"

#include <memory>
#include <string>
#include <vector>

namespace tessera::noc
{

/// One trip of a transfer's bytes through the mesh.
struct Leg
{
    NodeId to;
    std::size_t destination = 0; ///< index into Transfer::to
};

/// How a transfer with several destinations leaves its source: as which legs, in which order.
class Multicast
{
public:
    virtual ~Multicast() = default;
    /// Replaces the contents of `legs`, keeping its capacity.
    virtual void plan(const Transfer& transfer, std::vector<Leg>& legs) const = 0;
};

/// Kinds: "serial" (one unicast after another, in the order of `to`). Throws InputError for any
/// other.
[[nodiscard]] std::unique_ptr<Multicast> make_multicast(const std::string& name);

} // namespace tessera::noc
