// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "record/reader.h"
#include "tessera/tick.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

/// Where the time went: the chain of operations, each of which let the next one start, back from
/// the end of the run. In a run that was cut, it begins with the first of the operations in flight.
namespace tessera::record
{

/// A share of the span.
struct PathPart
{
    /// The kind of operation that was running ("mvm"), the same with " contention" (it waited for
    /// ports, interconnect or memory), "alignment" (to an edge of the clock, after its cause had
    /// ended), "release" or "start" (before the first operation of the path), "not recorded"
    /// (incomplete results only).
    std::string what;
    std::string layer; ///< "-": none
    Tick time = 0;
    std::uint64_t count = 0; ///< stretches of the path that it sums
};

struct CriticalPath
{
    Tick span = 0;                ///< of the run; the parts sum to it exactly
    std::uint64_t operations = 0; ///< on the path
    std::vector<PathPart> parts;  ///< by what and layer; longest first
};

/// Walks `because` back from the operation that ends last (of several, the lowest id). Takes about
/// 9 bytes of memory per operation and two passes over the file. Throws InputError for operations
/// that contradict each other.
[[nodiscard]] CriticalPath critical_path(const ResultReader& reader);

/// Parts added up over layers (`layer` is then empty), or over what was done (`what` is then
/// empty).
[[nodiscard]] std::vector<PathPart> by_cause(const std::vector<PathPart>& parts);
[[nodiscard]] std::vector<PathPart> by_layer(const std::vector<PathPart>& parts);

/// One share in the difference of two spans.
struct PathChange
{
    std::string what;
    std::string layer;
    Tick before = 0;
    Tick after = 0;
    [[nodiscard]] std::int64_t difference() const
    {
        return static_cast<std::int64_t>(after - before);
    }
};

/// Partition of `after.span - before.span`: the differences sum to it exactly. Largest
/// first.
[[nodiscard]] std::vector<PathChange> compare(const CriticalPath& before,
                                              const CriticalPath& after);

/// The chain of causes of an operation.
struct Chain
{
    std::vector<OpRecord> records; ///< of its beginning
    std::uint64_t length = 0;      ///< of all of it
};

/// The chain of causes of operation `id`: itself, what let it start, what let that start, ... At
/// most `limit` records, and at least one. Throws UsageError when there is no such operation.
[[nodiscard]] Chain explain(const ResultReader& reader, std::uint64_t id,
                            std::uint64_t limit = std::numeric_limits<std::uint64_t>::max());

} // namespace tessera::record
