// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/weights.h"
#include "values/dataset.h"
#include "values/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

// Which codes the layers of a network have: those of its file, or ranges that suit data.
namespace tessera::values
{

/// Layers whose codes have one scale, by the first of them.
class Groups
{
public:
    explicit Groups(std::size_t size) : parent_(size)
    {
        std::iota(parent_.begin(), parent_.end(), 0);
    }
    [[nodiscard]] std::size_t of(std::size_t layer) const
    {
        while (parent_[layer] != layer)
        {
            layer = parent_[layer];
        }
        return layer;
    }
    void join(std::size_t a, std::size_t b)
    {
        const std::size_t one = of(a);
        const std::size_t other = of(b);
        parent_[std::max(one, other)] = std::min(one, other);
    }

private:
    std::vector<std::size_t> parent_;
};

struct Structure
{
    Groups groups;
    std::vector<char> swallowed; ///< layers whose own range does not matter: a relu cuts it
};

/// Which layers share their codes, because they only move them, or because a relu cuts them off.
[[nodiscard]] Structure structure_of(const network::WeightedNetwork& weighted);

using LayerCodes = std::vector<std::optional<network::OutputCodes>>;

/// Codes that the file itself has, and those of layers that share them: what a relu cuts, and what
/// data only move through.
/// Throws InputError where layers that share their codes are coded apart. `file` is used in
/// messages.
[[nodiscard]] LayerCodes recorded_codes(const network::WeightedNetwork& weighted,
                                        const Structure& structure, const std::string& file);

/// What calibration sees of a group.
struct Seen
{
    float least = 0;
    float most = 0;
    std::vector<std::uint64_t> bins; ///< of magnitudes, up to the largest
    [[nodiscard]] double magnitude() const
    {
        return std::max(std::abs(static_cast<double>(least)), static_cast<double>(most));
    }
};

/// By group, as the float network computes the images.
[[nodiscard]] std::vector<Seen> look(const network::WeightedNetwork& weighted,
                                     const Structure& structure, const Dataset& images,
                                     const PhaseMonitor& monitor);

/// The magnitude that the largest of so many codes stands for, by the rule of `options`.
[[nodiscard]] double limit_of(const Seen& seen, double codes, const QuantizeOptions& options);

} // namespace tessera::values
