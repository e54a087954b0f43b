// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/json.h"

#include <string>
#include <vector>

namespace tessera::numerics
{

/// What keeps or discharges a capacitor according to a bit of a weight.
enum class AidacCell : std::uint8_t
{
    sram,       ///< a latch gates the switch
    rram_gated, ///< an RRAM in a divider sets the gate of the transistor that is the switch
    rram_direct ///< the RRAM itself is the switch
};

/// Where one constant of a model is from.
struct AidacOrigin
{
    double low = 0; ///< what it may plausibly be: from here
    double high = 0;
    std::string status;        ///< of statuses()
    std::string calibrated_on; ///< the published figure; empty unless that is its status
    std::string source;
};

/// An AiDAC circuit as one JSON file of models/macros describes it. Everything is a number with its
/// unit in its name; a number may be replaced to ask "what if". What each means: aidac_constants().
struct AidacModel
{
    std::string name;
    AidacCell cell = AidacCell::sram;
    std::string device;             ///< of the RRAM kinds: a model of models/devices
    std::vector<std::string> files; ///< paths of all that were read for it

    double array_rows = 0;
    double array_outputs = 0;
    double supply_v = 0;
    double temperature_k = 0;
    double unit_ff = 0;
    double mismatch_percent = 0;
    double injection_ac = 0;
    double injection_ac_per_v = 0;
    double injection_mismatch_percent = 0;
    double leak_pa = 0;
    double vtc_input_ff = 0;
    double vtc_delay_ns = 0;
    double vtc_gain_percent = 0;
    double vtc_offset_mv = 0;
    double vtc_inl_percent = 0;
    double vtc_noise_mv = 0;
    double vtc_gain_ratio = 0;
    double vtc_samples = 0;
    double window_ns = 0;
    double tdc_bits = 0;
    double tdc_finest_ps = 0;
    double charge_ns = 0;
    double multiply_ns = 0;
    double share_ns = 0;
    double weigh_ns = 0;
    double digitise_ns = 0;
    double switch_ff = 0;
    double driver_fj = 0;
    double vtc_fj = 0;
    double accumulator_fj = 0;
    double tdc_fj = 0;
    double control_fj = 0;
    double static_uw = 0;
    double gate_reference_us = 0;
    double gate_threshold_v = 0;
    double gate_slope_mv = 0;
    double gate_us_per_v = 0;
    double retention_s = 0;

    std::vector<AidacOrigin> origins; ///< by constant, as in aidac_constants()
};

/// One constant: its key in the file, and where it lies in the model.
struct AidacConstant
{
    const char* name;
    double AidacModel::*member;
    double least;
    double most;
    bool whole;
    bool rram; ///< asked for only where a cell is an RRAM
    const char* doc;
};
[[nodiscard]] const std::vector<AidacConstant>& aidac_constants();

/// Throws InputError naming file, line and key: constants out of range, without source or status,
/// with more than one calibrated on a figure, and an rram-direct cell that cannot hold its charge.
[[nodiscard]] AidacModel parse_aidac(const JsonDocument& document);
/// `name`: of a file of models/macros, or a path.
/// `asked`: where the name stands, for messages.
[[nodiscard]] AidacModel load_aidac(const std::string& name, const Place& asked = {});

/// "sram", "rram-gated", "rram-direct"
[[nodiscard]] const char* name_of(AidacCell cell);

/// For how long the charge of a cell has to stay where it is, in seconds: multiply and share.
[[nodiscard]] double hold_time(const AidacModel& model);
/// An RRAM that is the switch itself must hold: throws InputError at `place`, naming both times,
/// when R_HRS C is under 100 hold times.
void check_hold(const AidacModel& model, const Place& place);

} // namespace tessera::numerics
