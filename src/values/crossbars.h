// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "numerics/block.h"
#include "numerics/device.h"
#include "numerics/wires.h"
#include "values/integer_network.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace tessera::values
{

/// What a chip's macros do to values, out of its config: macro.cell, macro.adc, macro.dac.
struct Analogue
{
    numerics::Scheme scheme; ///< for inputs that are not negative; limits are those of `limits`
    numerics::InputCoding signed_inputs = numerics::InputCoding::two_pass;
    std::optional<numerics::Device> device; ///< nothing: cells without errors
    std::set<numerics::Step> steps;         ///< of the device, which happen
    double age = 1;
    std::optional<numerics::Wires> wires;
    std::vector<double> limits; ///< by layer, of calibrated converters, in levels; empty: not yet
};

/// Throws InputError for a chip whose macros are not crossbars or whose numbers do not fit
/// together.
[[nodiscard]] Analogue analogue_of(const config::ChipConfig& chip);
/// The same without any error but that of `bits` and ranges: cells, wires and converters perfect.
[[nodiscard]] Analogue noiseless(const Analogue& analogue);
/// Converters that lose nothing, cells and wires perfect.
[[nodiscard]] Analogue lossless(const Analogue& analogue);

/// An error source on its own.
struct Source
{
    std::string name; ///< "programming", "read noise", "wires", ...
    Analogue analogue;
};
/// Those that the chip has, each with everything else as in noiseless().
[[nodiscard]] std::vector<Source> sources(const Analogue& analogue);

/// Remarks on a chip for people: too few converter bits, cells that times do not count.
[[nodiscard]] std::vector<std::string> remarks(const config::ChipConfig& chip);

/// The weights of a network in the crossbars of one programmed chip, cut as the mapping cuts them.
class Crossbars : public Products
{
public:
    /// `seed` names the chip and all noise on it. Keeps no reference. Programs layers on up to
    /// `threads` threads; the result does not depend on how many.
    Crossbars(const IntegerNetwork& network, const config::ChipConfig& chip,
              const Analogue& analogue, std::uint64_t seed, unsigned threads);

    [[nodiscard]] numerics::Matrix<std::int64_t>
    multiply(LayerId id, const numerics::Matrix<std::int32_t>& inputs, std::uint32_t image,
             std::uint32_t first) const override;

    /// Sums of the block that begins at weight row `row` and column `column`, where `inputs` has
    /// its rows only and the vectors are at the output positions `pixels`.
    [[nodiscard]] numerics::Matrix<std::int64_t>
    multiply_block(LayerId id, std::size_t row, std::size_t column,
                   const numerics::Matrix<std::int32_t>& inputs, std::uint32_t image,
                   const std::vector<std::uint32_t>& pixels) const;

private:
    struct Part
    {
        std::size_t row = 0;
        std::size_t column = 0;
        std::unique_ptr<const numerics::Block> block;
    };
    [[nodiscard]] static numerics::Matrix<std::int64_t>
    sums(const Part& part, const numerics::Matrix<std::int32_t>& inputs,
         const std::vector<numerics::VectorIdentity>& vectors);

    std::vector<std::vector<Part>> layers_;             ///< empty: not on crossbars
    std::vector<numerics::Matrix<std::int32_t>> exact_; ///< weights of those
};

/// Limits of calibrated converters: for each layer the one of a geometric row whose sums of blocks
/// have the smallest squared error, judged on `images`. Nothing else is disturbed.
[[nodiscard]] std::vector<double> calibrated_limits(const IntegerNetwork& network,
                                                    const config::ChipConfig& chip,
                                                    const Analogue& analogue,
                                                    const std::vector<Map<std::int32_t>>& images);

/// Calls work(index) for all indices below `count` on `threads` threads. The first exception, by
/// index, is thrown again.
void in_parallel(std::size_t count, unsigned threads, const std::function<void(std::size_t)>& work);

} // namespace tessera::values
