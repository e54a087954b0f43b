// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tessera::compiler
{

/// What one crossbar layer asks for.
struct Demand
{
    std::uint64_t crossbars = 1; ///< c: of one copy
    std::uint64_t sets = 1;      ///< that copies take in turns
    std::uint64_t of_set = 1;    ///< steps of the largest set
    std::uint64_t vectors = 1;   ///< t: steps of all sets

    /// Steps of the busiest of `copies` copies; exact unless sets at the edges are smaller. A step
    /// is one input vector, or as many as pass replicas in a macro at a time.
    [[nodiscard]] std::uint64_t steps(std::uint64_t copies) const;
};

/// Decides how often the chip holds the weights of each crossbar layer.
class Duplication
{
public:
    virtual ~Duplication() = default;
    /// Copies of each layer, at least one and no more than it has sets. Contract: the copies beyond
    /// the first of each take at most `extra` crossbars.
    [[nodiscard]] virtual std::vector<std::uint32_t> copies(const std::vector<Demand>& demands,
                                                            std::uint64_t extra) const = 0;
};

/// - "none": one each.
/// - "greedy": again and again one more of the layer with the largest t/d, a real number; ties go
/// to
///   the lowest layer. Ends when that layer has no room.
/// - "optimal": least sum of steps(d), which is the latency layer by layer; exact.
/// - "balanced": least largest steps(d), the interval of a pipeline; then, with what is left, again
///   and again the slowest layer that it can make faster (ties: the lowest), so that few layers
///   hold up the filling and draining of the pipeline.
/// Throws UsageError listing the known ones.
[[nodiscard]] const Duplication& duplication(const std::string& name);

/// No schedule with whole-crossbar copies ends before this many steps: the least largest
/// ceil(t / d) within `extra` crossbars.
[[nodiscard]] std::uint64_t least_steps(const std::vector<Demand>& demands, std::uint64_t extra);

} // namespace tessera::compiler
