// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "numerics/aidac.h"
#include "numerics/device.h"
#include "numerics/scheme.h"
#include "numerics/wires.h"
#include "values/fault_map.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace tessera::values
{

/// What AiDAC macros do to values.
struct AidacAnalogue
{
    numerics::AidacModel model;
    numerics::AidacScheme scheme;
    numerics::AidacErrors errors;
    /// By layer, of calibrated converters; empty: ranges that fit operands of any size.
    std::vector<numerics::AidacReadout> readouts;
    /// What each column says of inputs of 0, the mean of some reads, is taken away again: a digital
    /// correction, part of the bias. Calibration sets it.
    bool trim = false;
};

/// What a chip's macros do to values, out of its config: macro.cell, macro.adc, macro.dac, or the
/// model of macro.aidac.
struct Analogue
{
    numerics::Scheme scheme; ///< for inputs that are not negative; limits are those of `limits`
    numerics::InputCoding signed_inputs = numerics::InputCoding::two_pass;
    std::optional<numerics::Device> device; ///< nothing: cells without errors
    std::set<numerics::Step> steps;         ///< of the device, which happen
    /// Steered cells: what level 0 conducts is taken away from sums again.
    bool off_cancels = false;
    double age = 1;
    double interval = 0; ///< seconds from vector to vector
    FaultMap faults;     ///< cells that are known to be stuck, beside those drawn
    std::optional<numerics::Wires> wires;
    double read_volts = 0.2;    ///< at a row driven fully
    std::vector<double> limits; ///< by layer, of calibrated converters, in levels; empty: not yet
    std::optional<AidacAnalogue> aidac; ///< instead of all that is above

    [[nodiscard]] unsigned weight_bits() const
    {
        return aidac ? aidac->scheme.weight_bits : scheme.weight_bits;
    }
    [[nodiscard]] unsigned input_bits() const
    {
        return aidac ? aidac->scheme.input_bits : scheme.input_bits;
    }
    /// Must ranges be found from data before anything can be computed?
    [[nodiscard]] bool needs_calibration() const
    {
        return !aidac && scheme.converter.range == numerics::Range::calibrated;
    }
};

/// Throws InputError for a chip whose macros compute no values or whose numbers do not fit
/// together.
[[nodiscard]] Analogue analogue_of(const config::ChipConfig& chip);
/// The same without any error but that of `bits` and ranges: cells, wires and converters perfect.
[[nodiscard]] Analogue noiseless(const Analogue& analogue);
/// The same, but cells of the device conduct where they are steered to, without any error: what
/// level 0 conducts has the sign of the weight. Of cells that are not steered: noiseless().
[[nodiscard]] Analogue with_off_current(const Analogue& analogue);
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

/// What every use of a chip asks beyond its keys: reads the files that it names, of a device or an
/// AiDAC circuit, and throws InputError for what is wrong there. That macros compute no values is
/// no reason to refuse a chip: analogue_of() says so to those who want some. Returns the paths of
/// those files.
std::vector<std::string> validate(const config::ChipConfig& chip);
/// Remarks on a chip for people: too few converter bits, cells that times do not count. Refuses
/// what validate() does.
[[nodiscard]] std::vector<std::string> remarks(const config::ChipConfig& chip);

} // namespace tessera::values
