// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "network/weights.h"
#include "values/dataset.h"
#include "values/integer_network.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera::values
{

/// What may be asked for; whole numbers are always computed.
struct Wanted
{
    bool in_float = true;
    bool noiseless = true;
    bool alone = true; ///< each source of errors
    bool all = true;   ///< sources together
};

struct AccuracyOptions
{
    Wanted wanted;
    std::uint32_t trials = 10; ///< programmed chips, of configurations with errors
    std::uint64_t seed = 1;
    unsigned threads = 1;
    /// The images converters are calibrated on, where the chip wants that.
    std::vector<Map<std::int32_t>> calibration;
};

/// A fraction and its 95 % interval.
struct Estimate
{
    double value = 0;
    double low = 0;
    double high = 0;
};

/// How well one configuration answers.
struct Answer
{
    std::string name;
    std::uint32_t trials = 1; ///< programmed chips
    Estimate accuracy;
    /// To the integers, of the same images: so narrower than both. Of the integers themselves none.
    std::optional<Estimate> difference;
    /// 10 log10 of squared codes of the integers over squared deviations from them, by layer of
    /// `layers`; infinity where there are none. Over all images and trials.
    std::vector<double> snr_db;
    /// Codes of the network's first output on the first chip, image by image; of "float" nothing.
    std::vector<Map<std::int32_t>> logits;
};

struct AccuracyReport
{
    std::size_t images = 0;
    std::vector<std::string> layers; ///< conv2d and dense
    std::vector<Answer> answers; ///< "float", "integers", "finite, noiseless", each source, "all"
};

/// Classifies the images in every way that the chip suggests. The intervals contain both what
/// images and what programmed chips differ in (crossed random effects, and the quantile of
/// Student's t with one degree less than there are chips). The result does not depend on `threads`.
/// `weighted` may be null: no float answers.
[[nodiscard]] AccuracyReport accuracy(const network::WeightedNetwork* weighted,
                                      const IntegerNetwork& integers, const Dataset& images,
                                      const config::ChipConfig& chip,
                                      const AccuracyOptions& options);

/// Share of ones among outcomes by trial and image (row-major, one row a trial; each 0 or 1), with
/// Wilson's interval of as many independent images as would give the mean that variance (Dean and
/// Pagano, 2015): within 0 and 1, and of some width where every outcome is the same.
[[nodiscard]] Estimate proportion(const std::vector<double>& outcomes, std::size_t trials);

/// Mean of paired differences by trial and image (each -1, 0 or 1), with the interval of Agresti
/// and Min (2005): that of two more images, of which half gain and half lose.
[[nodiscard]] Estimate difference(const std::vector<double>& outcomes, std::size_t trials);

} // namespace tessera::values
