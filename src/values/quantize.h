// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/weights.h"
#include "tessera/progress.h"
#include "values/dataset.h"
#include "values/integer_network.h"

#include <string>

namespace tessera::values
{

/// How the range of a layer's codes follows from what calibration sees.
enum class RangeRule : std::uint8_t
{
    min_max,    ///< nothing seen is cut off
    percentile, ///< all but a fraction of the magnitudes fit
    mse         ///< the squared error of codes is smallest
};
/// "min-max", "percentile", "mse". Throws UsageError.
[[nodiscard]] RangeRule range_rule(const std::string& name);

struct QuantizeOptions
{
    RangeRule rule = RangeRule::mse;
    double percentile = 99.99; ///< of RangeRule::percentile
    bool per_channel = true;   ///< one scale of weights for each output channel, or one a layer
    unsigned output_bits = 16; ///< of the network's outputs; all other layers: activation_bits
    PhaseMonitor monitor{};    ///< told how far it has come; may be empty
};

/// Does its file hold codes, of a quantised network?
[[nodiscard]] bool has_codes(const network::WeightedNetwork& network);

/// A network of whole numbers. What its file has as codes stays as it is; everything else gets
/// ranges that suit the images, and is refused where they are null. Codes are symmetric about 0:
/// unsigned where no value below 0 was seen, else two's complement. Layers that keep codes share
/// one scale with their operands, and so do an activation relu and the conv2d, dense or add that
/// feeds nothing else: the limit of the codes does its work. Images of bytes keep their codes,
/// unless the file gives them others.
/// `file` names the network in messages. Throws InputError where values cannot be computed.
[[nodiscard]] IntegerNetwork quantize(const network::WeightedNetwork& network,
                                      const Dataset* images, const QuantizeOptions& options,
                                      const std::string& file);

} // namespace tessera::values
