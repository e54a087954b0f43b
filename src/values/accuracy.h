// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "network/weights.h"
#include "tessera/progress.h"
#include "values/dataset.h"
#include "values/integer_network.h"
#include "values/interval.h"

#include <cstdint>
#include <functional>
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
};

struct AccuracyReport
{
    std::size_t images = 0;
    std::vector<std::string> layers; ///< conv2d and dense
    std::vector<Answer> answers; ///< "float", "integers", "finite, noiseless", each source, "all"
};

/// One configuration on one chip.
struct Outcome
{
    std::string name;        ///< of the answer that it is a part of
    std::uint32_t trial = 0; ///< which of its chips
    std::vector<char> right; ///< by image: 1 or 0
    /// Codes of the network's first output, image by image; of "float" nothing.
    std::vector<Map<std::int32_t>> logits;
    std::vector<Map<float>> reals; ///< of "float": the first output, image by image
};

struct AccuracyOptions
{
    Wanted wanted;
    std::uint32_t trials = 10; ///< programmed chips, of configurations with errors
    std::uint64_t seed = 1;
    unsigned threads = 1;
    /// The images converters are calibrated on, where the chip wants that: every chip for itself.
    std::vector<Map<std::int32_t>> calibration;
    /// Told of every chip, and of the report with every answer that joins it, as soon as they are
    /// known, by the thread that asked. An answer that an exception ends is that of fewer chips.
    /// May be empty.
    std::function<void(const Outcome&)> on_outcome;
    std::function<void(const AccuracyReport&)> on_answer;
    PhaseMonitor monitor{}; ///< told how far it has come; may be empty
};

/// Classifies the images in every way that the chip suggests. The intervals are those of
/// proportion() and difference(). The result does not depend on `threads`. `weighted` may be null:
/// no float answers.
[[nodiscard]] AccuracyReport accuracy(const network::WeightedNetwork* weighted,
                                      const IntegerNetwork& integers, const Dataset& images,
                                      const config::ChipConfig& chip,
                                      const AccuracyOptions& options);

} // namespace tessera::values
