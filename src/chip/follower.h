// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/ids.h"
#include "tessera/tick.h"
#include "tessera/trace.h"

namespace tessera::chip
{

/// Who is told, while a chip runs, what happens to data: it can keep what is in them. It changes
/// nothing, and may throw to end the run.
class Follower
{
public:
    Follower() = default;
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;
    virtual ~Follower() = default;

    /// `operation` starts on a unit of `node`: it reads its operands as they are at `now` in the
    /// buffer of that tile, a load in the external memory.
    virtual void started(const trace::Operation& operation, NodeId node, Tick now) = 0;
    /// What `operation` makes or moves is in the buffer of `node`.
    virtual void arrived(OpId operation, NodeId node) = 0;
    /// It has ended: its operands are used once more, a store is in the external memory.
    virtual void ended(const trace::Operation& operation, NodeId node) = 0;
};

} // namespace tessera::chip
