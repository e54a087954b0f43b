// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/output_file.h"
#include "tessera/values.h"
#include "values/machine.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tessera::values
{

/// What operations made of one layer's output, over all images, beside what it should be.
struct LayerComparison
{
    LayerId layer;
    std::uint64_t elements = 0;
    std::uint64_t missing = 0; ///< not made, or poison
    Comparison from_integers;  ///< the network of whole numbers
    /// 10 log10 of its squared codes over squared deviations of what was made; infinity where there
    /// are none.
    double snr_db = 0;
    std::optional<Comparison> from_reference;
};

/// Codes of all layers for one image.
using ReferenceOf = std::function<std::vector<Map<std::int32_t>>(const Map<std::int32_t>& input)>;

/// Layers of which something was made. `reference` may be empty.
[[nodiscard]] std::vector<LayerComparison> compare(const Machine& machine,
                                                   const IntegerNetwork& network,
                                                   const std::vector<Map<std::int32_t>>& inputs,
                                                   const ReferenceOf& reference);

/// Makes the HDF5 file `path`, to be published: /layers/<position>_<name>, images x rows x columns
/// x channels of int32 codes (-2^31: not made), with the comparison, scale and range as attributes.
/// Throws IoError.
[[nodiscard]] OutputFile values_file(const std::filesystem::path& path, const Machine& machine,
                                     const IntegerNetwork& network,
                                     const std::vector<LayerComparison>& layers);

} // namespace tessera::values
