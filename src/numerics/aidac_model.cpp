// SPDX-License-Identifier: Apache-2.0
#include "numerics/aidac_model.h"

#include "base/nearest.h"
#include "numerics/device.h"
#include "numerics/model_reader.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <map>

namespace tessera::numerics
{
namespace
{

constexpr std::array<const char*, 3> kCells{"sram", "rram-gated", "rram-direct"};
constexpr unsigned kDeepest = 8; ///< files that extend each other

/// Files that a file extends are read first, what it says itself comes later.
void read_into(AidacModel& model, std::vector<bool>& given, const JsonDocument& document,
               unsigned depth)
{
    model.files.push_back(document.file());
    ModelReader root(document, document.value(), "");
    static_cast<void>(root.word("format", {"tessera-aidac"}));
    static_cast<void>(root.word("version", {"1.0"}));
    const std::string name = root.text("name");
    static_cast<void>(root.find("description"));
    const bool extends = root.find("extends") != nullptr;
    if (extends)
    {
        if (depth == kDeepest)
        {
            root.fail("/extends", "too many files extend each other",
                      "extend one that stands alone");
        }
        read_into(model, given,
                  load_json(find_model("macros", "AiDAC model", root.text("extends"),
                                       document.place("/extends"))),
                  depth + 1);
    }
    model.name = name;
    if (!extends || root.find("cell") != nullptr)
    {
        const std::string word = root.word("cell", {kCells.begin(), kCells.end()});
        model.cell =
            static_cast<AidacCell>(std::find(kCells.begin(), kCells.end(), word) - kCells.begin());
    }
    if (root.find("device") != nullptr)
    {
        model.device = root.text("device");
    }
    ModelReader list = root.object("constants");
    const auto& constants = aidac_constants();
    for (std::size_t i = 0; i < constants.size(); ++i)
    {
        const AidacConstant& constant = constants[i];
        auto part = list.part(constant.name);
        if (!part)
        {
            continue;
        }
        given[i] = true;
        double& value = model.*constant.member;
        value = part->number("value", constant.least, constant.most);
        if (constant.whole && value != std::floor(value))
        {
            part->fail(pointer_to(part->pointer(), "value"), "is not whole", "give a whole number");
        }
        AidacOrigin& origin = model.origins[i];
        origin.low = part->number("low", constant.least, value, value);
        origin.high = part->number("high", value, constant.most, value);
        origin.status = part->word("status", statuses());
        origin.calibrated_on =
            origin.status == "calibrated" ? part->text("calibrated_on") : std::string();
        origin.source = part->text("source");
        part->finish();
    }
    list.finish();
    root.finish();
}

} // namespace

const std::vector<AidacConstant>& aidac_constants()
{
    using M = AidacModel;
    static const std::vector<AidacConstant> list{
        {"array_rows", &M::array_rows, 1, 4096, true, false, "rows of one array"},
        {"array_outputs", &M::array_outputs, 1, 1024, true, false,
         "outputs of one array, a group of bit columns each"},
        {"supply_V", &M::supply_v, 0.2, 5, false, false, "what capacitors are charged to"},
        {"temperature_K", &M::temperature_k, 1, 500, false, false, "of kT/C"},
        {"unit_fF", &M::unit_ff, 0.05, 1000, false, false, "capacitor of one cell"},
        {"mismatch_percent", &M::mismatch_percent, 0, 50, false, false,
         "1 sigma of a capacitor of 1 fF; falls with the root of the capacitance"},
        {"injection_aC", &M::injection_ac, 0, 1e4, false, false,
         "charge that an opening switch leaves on a cell, after its dummy"},
        {"injection_aC_per_V", &M::injection_ac_per_v, -1e4, 1e4, false, false,
         "what it changes with the voltage"},
        {"injection_mismatch_percent", &M::injection_mismatch_percent, 0, 100, false, false,
         "1 sigma from cell to cell"},
        {"leak_pA", &M::leak_pa, 0, 1e6, false, false, "of an open switch at the supply voltage"},
        {"vtc_input_fF", &M::vtc_input_ff, 0, 1e5, false, false,
         "converter input and wire on the line of a weighted sum"},
        {"vtc_delay_ns", &M::vtc_delay_ns, 0, 1e3, false, false,
         "voltage-to-time conversion of 0 V: what each array adds to the chain"},
        {"vtc_gain_percent", &M::vtc_gain_percent, 0, 50, false, false,
         "1 sigma from converter to converter, after trimming"},
        {"vtc_offset_mV", &M::vtc_offset_mv, 0, 500, false, false, "1 sigma, at the input"},
        {"vtc_inl_percent", &M::vtc_inl_percent, -20, 20, false, false,
         "bow of the transfer curve at mid-scale, of full scale, in all converters alike"},
        {"vtc_noise_mV", &M::vtc_noise_mv, 0, 100, false, false,
         "noise that becomes jitter, at the input, per conversion"},
        {"vtc_gain_ratio", &M::vtc_gain_ratio, 1, 1000, false, false,
         "greatest gain that can be set, in nominal gains"},
        {"vtc_samples", &M::vtc_samples, 0, 1, true, false,
         "1: converters sample their input, so that the capacitors are free while the chain runs"},
        {"window_ns", &M::window_ns, 0.01, 1e5, false, false,
         "time that a column of full scale adds to its chain"},
        {"tdc_bits", &M::tdc_bits, 1, 16, true, false, "time-to-digital converter"},
        {"tdc_finest_ps", &M::tdc_finest_ps, 0.01, 1e5, false, false,
         "least step it can be set to"},
        {"charge_ns", &M::charge_ns, 0.001, 1e5, false, false,
         "groups are charged, then the row is shorted"},
        {"multiply_ns", &M::multiply_ns, 0.001, 1e5, false, false, "cells of bit 0 are discharged"},
        {"share_ns", &M::share_ns, 0.001, 1e5, false, false, "a column's capacitors are shorted"},
        {"weigh_ns", &M::weigh_ns, 0.001, 1e5, false, false,
         "a part of each bit column is shorted with those of the other bits"},
        {"digitise_ns", &M::digitise_ns, 0, 1e5, false, false, "from the chain's end to the code"},
        {"switch_fF", &M::switch_ff, 0, 1000, false, false,
         "gates and control wires that toggle once per cell and product"},
        {"driver_fJ", &M::driver_fj, 0, 1e6, false, false, "of one row of one array, per product"},
        {"vtc_fJ", &M::vtc_fj, 0, 1e6, false, false, "one voltage-to-time conversion"},
        {"accumulator_fJ", &M::accumulator_fj, 0, 1e6, false, false,
         "one stage of a chain, wire to the next array included"},
        {"tdc_fJ", &M::tdc_fj, 0, 1e6, false, false, "one time-to-digital conversion"},
        {"control_fJ", &M::control_fj, 0, 1e9, false, false, "timing of one array, per product"},
        {"static_uW", &M::static_uw, 0, 1e6, false, false,
         "bias and leakage of one array, counted for the interval of each product"},
        {"gate_reference_uS", &M::gate_reference_us, 1e-6, 1e6, false, true,
         "rram-gated: what the RRAM divides the supply with"},
        {"gate_threshold_V", &M::gate_threshold_v, 0.01, 5, false, true,
         "rram-gated: of the transistor that discharges"},
        {"gate_slope_mV", &M::gate_slope_mv, 1, 1000, false, true,
         "rram-gated: its gate voltage per decade of current below the threshold"},
        {"gate_uS_per_V", &M::gate_us_per_v, 1e-3, 1e6, false, true,
         "rram-gated: its conductance per volt above the threshold"},
        {"retention_s", &M::retention_s, 1e-9, 1e12, false, true, "time from programming to use"},
    };
    return list;
}

const char* name_of(AidacCell cell)
{
    return kCells.at(static_cast<std::size_t>(cell));
}

AidacModel parse_aidac(const JsonDocument& document)
{
    const auto& constants = aidac_constants();
    AidacModel model;
    model.origins.resize(constants.size());
    std::vector<bool> given(constants.size(), false);
    read_into(model, given, document, 0);
    const bool rram = model.cell != AidacCell::sram;
    std::map<std::string, std::string> calibrated; // constants, by the figure
    for (std::size_t i = 0; i < constants.size(); ++i)
    {
        const char* const name = constants[i].name;
        if (!given[i] && (rram || !constants[i].rram))
        {
            throw InputError(document.place("/constants"), std::string("has no \"") + name + '"',
                             std::string("give it: ") + constants[i].doc);
        }
        const AidacOrigin& origin = model.origins[i];
        if (origin.status == "calibrated")
        {
            const auto [other, first] = calibrated.emplace(origin.calibrated_on, name);
            if (!first)
            {
                throw InputError(document.place(pointer_to("/constants", name)),
                                 "is calibrated on " + other->first + ", and so is " +
                                     other->second,
                                 "calibrate one constant a figure; find the others elsewhere");
            }
        }
    }
    if (rram && model.device.empty())
    {
        throw InputError(document.place(""), "has no \"device\"",
                         "name the RRAM of the cell, a model of models/devices");
    }
    if (rram)
    {
        const Place place = document.place("/device");
        model.files.push_back(find_model("devices", "device", model.device, place));
        static_cast<void>(load_device(model.device, place));
    }
    check_hold(model, document.place("/cell"));
    return model;
}

AidacModel load_aidac(const std::string& name, const Place& asked)
{
    return parse_aidac(load_json(find_model("macros", "AiDAC model", name, asked)));
}

double hold_time(const AidacModel& model)
{
    return (model.multiply_ns + model.share_ns) * 1e-9;
}

void check_hold(const AidacModel& model, const Place& place)
{
    if (model.cell != AidacCell::rram_direct)
    {
        return;
    }
    constexpr double least_ratio = 100;
    const Device device = load_device(model.device);
    const double keeps = device.off > 0 ? model.unit_ff * 1e-15 / (device.off * 1e-6) : INFINITY;
    const double hold = hold_time(model);
    if (keeps < least_ratio * hold)
    {
        throw InputError(
            place,
            fmt::format("the charge does not stay: R_HRS C is {:.4g} ns ({:.4g} kOhm x {:.4g} fF), "
                        "the hold time {:.4g} ns",
                        keeps * 1e9, 1e3 / device.off, model.unit_ff, hold * 1e9),
            fmt::format("R_HRS C must be {:.4g} ns, {:.0f} hold times, or more: let the RRAM gate "
                        "a transistor (rram-gated), or take another device or capacitor",
                        least_ratio * hold * 1e9, least_ratio));
    }
}

} // namespace tessera::numerics
