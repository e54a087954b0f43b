// SPDX-License-Identifier: Apache-2.0
#include "values/analogue.h"

#include "base/integer.h"
#include "base/nearest.h"
#include "chip/aidac.h"
#include "config/macro_timing.h"
#include "numerics/model_reader.h"
#include "numerics/non_linear.h"
#include "tessera/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace tessera::values
{

using numerics::AidacErrors;
using numerics::Circuit;
using numerics::InputCoding;
using numerics::Range;
using numerics::Rounding;
using numerics::Signs;
using numerics::Step;

namespace
{

/// What a choice of the config means here.
template <class Enum>
Enum one_of(const std::string& name, std::initializer_list<std::pair<const char*, Enum>> names)
{
    for (const auto& [known, value] : names)
    {
        if (name == known)
        {
            return value;
        }
    }
    throw std::logic_error("the config knows '" + name + "', the numerics do not");
}

bool flawed(const numerics::ConverterScheme& converter)
{
    return converter.mismatch != 0 || converter.comparator_offset != 0 || converter.offset != 0 ||
           converter.gain != 1 || converter.inl != 0;
}

numerics::ConverterScheme without_flaws(numerics::ConverterScheme converter)
{
    converter.circuit = Circuit::uniform;
    converter.mismatch = converter.comparator_offset = converter.offset = converter.inl = 0;
    converter.gain = 1;
    return converter;
}

/// Those of macro.cell.steps.
std::set<Step> steps_of(const config::ChipConfig& chip, const numerics::Device& device)
{
    const std::vector<std::string>& wanted = chip.macro.cell.steps;
    const std::set<Step> described = device.steps();
    std::set<Step> steps;
    if (std::find(wanted.begin(), wanted.end(), "all") != wanted.end())
    {
        std::set_difference(described.begin(), described.end(), device.contained.begin(),
                            device.contained.end(), std::inserter(steps, steps.end()));
        return steps;
    }
    for (const std::string& name : wanted)
    {
        const Step step = numerics::step_of(name);
        const bool contained = device.contained.count(step) != 0;
        if (contained || described.count(step) == 0)
        {
            throw InputError(chip.place("macro.cell.steps"),
                             name +
                                 (contained ? " would happen twice: the programming fit of "
                                            : " is not described by ") +
                                 device.name + (contained ? " contains it" : ""),
                             "leave it out, or name another device");
        }
        steps.insert(step);
    }
    if (steps.count(Step::verify) != 0 && steps.count(Step::programming) == 0)
    {
        throw InputError(chip.place("macro.cell.steps"), "verify has nothing to verify",
                         "list programming too");
    }
    return steps;
}

/// The numbers of a chip whose times and energies can be computed, but not its values.
class NoValues : public InputError
{
public:
    using InputError::InputError;
};

/// Throws NoValues where the off currents of a column's steered cells are beyond what its sums
/// may be.
void check_off_current(const config::ChipConfig& chip, const Analogue& analogue)
{
    const numerics::Scheme& scheme = analogue.scheme;
    const numerics::Device& device = *analogue.device;
    if (scheme.signs != Signs::sign_magnitude)
    {
        return;
    }
    constexpr double most = 0x1p29; // noise may double that
    const double times = device.on / (device.on - device.off);
    if (times * static_cast<double>(numerics::greatest_sum(scheme, scheme.rows)) > most)
    {
        throw NoValues(chip.place("macro.cell.device"),
                       fmt::format("{} conducts {:.3g} times what its levels differ by, and "
                                   "steered cells give all of it to sums, beyond 2^29 levels",
                                   device.name, times),
                       "name a device with a lower off-conductance, lower macro.rows or "
                       "macro.dac.bits, or set macro.cell.signs to differential");
    }
}

} // namespace

Analogue analogue_of(const config::ChipConfig& chip)
{
    const config::ChipConfig::Macro& macro = chip.macro;
    const Place device_key = chip.place("macro.cell.device");
    Analogue analogue;
    if (macro.kind == "aidac")
    {
        if (!macro.cell.faults.empty())
        {
            throw InputError(chip.place("macro.cell.faults"),
                             "lists cells, but AiDAC macros have those of their model",
                             "leave it out");
        }
        chip::AidacDesign design = chip::aidac_design(chip);
        analogue.aidac = AidacAnalogue{std::move(design.model), design.scheme, {}, {}, false};
        return analogue;
    }
    numerics::Scheme& scheme = analogue.scheme;
    scheme.weight_bits = macro.weight_bits;
    scheme.cell_bits = macro.cell.bits;
    scheme.signs =
        one_of<Signs>(macro.cell.signs, {{"differential", Signs::differential},
                                         {"differential-separate", Signs::differential_separate},
                                         {"offset", Signs::offset},
                                         {"sign-magnitude", Signs::sign_magnitude}});
    scheme.input_bits = macro.input_bits;
    scheme.slice_bits = std::min(macro.dac.bits, macro.input_bits);
    scheme.rows = macro.rows;
    scheme.columns = macro.columns;
    analogue.signed_inputs = one_of<InputCoding>(
        macro.cell.signed_inputs,
        {{"two-pass", InputCoding::two_pass}, {"twos-complement", InputCoding::twos_complement}});
    numerics::ConverterScheme& converter = scheme.converter;
    const config::ChipConfig::Macro::Adc& adc = macro.adc;
    converter.bits = adc.bits.value_or(config::ChipConfig::Macro::Adc::kBits);
    converter.rounding = adc.range == "lossless" ? Rounding::ideal : Rounding::uniform;
    converter.range = one_of<Range>(adc.range, {{"lossless", Range::full},
                                                {"full", Range::full},
                                                {"granular", Range::granular},
                                                {"calibrated", Range::calibrated}});
    converter.limit = 1; // until it is calibrated
    converter.circuit = one_of<Circuit>(
        adc.circuit,
        {{"uniform", Circuit::uniform}, {"sar", Circuit::sar}, {"flash", Circuit::flash}});
    converter.mismatch = adc.mismatch;
    converter.comparator_offset = adc.comparator_offset;
    converter.offset = adc.offset;
    converter.gain = adc.gain;
    converter.inl = adc.inl;
    converter.shared_by = ceil_div(numerics::array_columns(scheme), adc.count);
    if (converter.rounding == Rounding::ideal)
    {
        converter = without_flaws(converter);
    }
    try
    {
        numerics::check(scheme);
    }
    catch (const InputError& error)
    {
        throw NoValues({chip.name, 0, "/macro: " + error.place().pointer}, error.problem(),
                       error.remedy());
    }
    analogue.age = macro.cell.age;
    analogue.interval = seconds(config::macro_timing(macro).interval.length(macro.clock));
    if (!macro.cell.device.empty())
    {
        analogue.device = numerics::load_device(macro.cell.device, device_key);
        analogue.steps = steps_of(chip, *analogue.device);
        check_off_current(chip, analogue);
    }
    if (!macro.cell.faults.empty())
    {
        if (!analogue.device)
        {
            throw InputError(chip.place("macro.cell.faults"),
                             "lists stuck cells, but the cells are of no device",
                             "name one in macro.cell.device, whose conductances they are stuck at");
        }
        std::error_code none; // not there
        if (!std::filesystem::exists(macro.cell.faults, none))
        {
            throw InputError(chip.place("macro.cell.faults"),
                             "there is no file " + in_quotes(macro.cell.faults),
                             "give the path of one, or leave it out");
        }
        analogue.faults = load_fault_map(macro.cell.faults);
    }
    if (macro.cell.row_ohm > 0 || macro.cell.column_ohm > 0)
    {
        numerics::Wires wires;
        wires.read = one_of<numerics::Read>(
            macro.cell.read, {{"row-voltage", numerics::Read::row_voltage},
                              {"row-voltage-floating", numerics::Read::row_voltage_floating},
                              {"gated-1t1r", numerics::Read::gated_1t1r}});
        wires.row_segment = macro.cell.row_ohm;
        wires.column_segment = macro.cell.column_ohm;
        wires.driver = macro.cell.driver_ohm;
        wires.sense = macro.cell.sense_ohm;
        if (!analogue.device)
        {
            throw InputError(chip.place("macro.cell.device"),
                             "is not given, but wires have a resistance",
                             "name a device, whose conductances wires compare with");
        }
        numerics::check(wires);
        analogue.wires = wires;
    }
    analogue.read_volts = macro.cell.read_volts;
    if (analogue.device)
    {
        numerics::check_rises(
            *analogue.device, numerics::volt_range(analogue.wires, analogue.read_volts),
            numerics::find_model("devices", "device", macro.cell.device, device_key));
    }
    return analogue;
}

Analogue noiseless(const Analogue& analogue)
{
    Analogue result = analogue;
    if (result.aidac)
    {
        result.aidac->errors = AidacErrors::none();
        result.aidac->errors.quantisation = true;
        return result;
    }
    result.device.reset();
    result.steps.clear();
    result.faults = {};
    result.wires.reset();
    result.scheme.converter = without_flaws(result.scheme.converter);
    return result;
}

Analogue lossless(const Analogue& analogue)
{
    Analogue result = noiseless(analogue);
    if (result.aidac)
    {
        result.aidac->errors.quantisation = false;
        return result;
    }
    result.scheme.converter.rounding = Rounding::ideal;
    result.scheme.converter.range = Range::full;
    return result;
}

namespace
{

/// One whose cells are as they should be, and straight.
numerics::Device sound_device(const numerics::Device& device)
{
    numerics::Device sound = device;
    sound.faults.reset();
    sound.endurance.reset();
    sound.non_linear.reset();
    return sound;
}

/// Do cells of level 0 add to sums?
bool steers_off_current(const Analogue& analogue)
{
    return analogue.device && analogue.device->off > 0 &&
           analogue.scheme.signs == Signs::sign_magnitude;
}

} // namespace

Analogue with_off_current(const Analogue& analogue)
{
    Analogue result = noiseless(analogue);
    if (!result.aidac && steers_off_current(analogue))
    {
        result.device = sound_device(*analogue.device);
    }
    return result;
}

namespace
{

std::vector<Source> aidac_sources(const Analogue& analogue)
{
    std::vector<Source> all;
    for (const auto& [name, error] : {std::pair{"mismatch", &AidacErrors::mismatch},
                                      {"kT/C", &AidacErrors::thermal},
                                      {"injection", &AidacErrors::injection},
                                      {"leakage", &AidacErrors::leakage},
                                      {"voltage to time", &AidacErrors::converter},
                                      {"jitter", &AidacErrors::jitter},
                                      {"device", &AidacErrors::device}})
    {
        const bool rram = analogue.aidac->model.cell != numerics::AidacCell::sram;
        if (error != &AidacErrors::device || rram)
        {
            Analogue alone = noiseless(analogue);
            alone.aidac->errors.*error = true;
            all.push_back({name, std::move(alone)});
        }
    }
    return all;
}

} // namespace

std::vector<Source> sources(const Analogue& analogue)
{
    std::vector<Source> all;
    if (analogue.aidac)
    {
        return aidac_sources(analogue);
    }
    if (analogue.device)
    {
        // Faults are part of every write; a source on its own is without them.
        const numerics::Device sound = sound_device(*analogue.device);
        const auto& non_linear = analogue.device->non_linear;
        const auto add = [&](const char* name, std::set<Step> steps, const numerics::Device& device)
        {
            Analogue alone = noiseless(analogue);
            alone.device = device;
            alone.steps = std::move(steps);
            alone.off_cancels = true;
            all.push_back({name, std::move(alone)});
        };
        if (steers_off_current(analogue))
        {
            all.push_back({"off current", with_off_current(analogue)});
        }
        std::set<Step> programming;
        for (const Step step : {Step::programming, Step::verify})
        {
            if (analogue.steps.count(step) != 0)
            {
                programming.insert(step);
            }
        }
        if (!programming.empty())
        {
            add("programming", programming, sound);
        }
        for (const auto& [step, name] :
             {std::pair{Step::relaxation, "relaxation"}, std::pair{Step::retention, "retention"},
              std::pair{Step::read_noise, "read noise"}, std::pair{Step::flicker, "1/f noise"},
              std::pair{Step::telegraph, "telegraph noise"}})
        {
            if (analogue.steps.count(step) != 0)
            {
                add(name, {step}, sound);
            }
        }
        const auto& faults = analogue.device->faults;
        if ((faults && faults->stuck_on + faults->stuck_off > 0) || !analogue.faults.cells.empty())
        {
            numerics::Device stuck = sound;
            stuck.faults = faults;
            stuck.endurance = analogue.device->endurance;
            add("stuck cells", {}, stuck);
            all.back().analogue.faults = analogue.faults;
        }
        if (analogue.wires)
        {
            add("wires", {}, sound);
            all.back().analogue.wires = analogue.wires;
        }
        if (non_linear)
        {
            numerics::Device bent = sound;
            bent.non_linear = non_linear;
            add("non-linearity", {}, bent);
        }
    }
    if (flawed(analogue.scheme.converter))
    {
        Analogue alone = noiseless(analogue);
        alone.scheme.converter = analogue.scheme.converter;
        all.push_back({"converter flaws", std::move(alone)});
    }
    return all;
}

namespace
{

/// `few`: a key that gives fewer bits, and its value.
std::string of_bits(const char* converters, unsigned needed, std::size_t rows,
                    const std::optional<std::pair<std::string, unsigned>>& few)
{
    std::string text =
        fmt::format("{} of {} bits lose nothing of {} rows", converters, needed, rows);
    if (few && few->second < needed)
    {
        text += fmt::format("; warning: {} is {}, so results differ from whole-number arithmetic",
                            few->first, few->second);
    }
    return text;
}

std::vector<std::string> aidac_remarks(const config::ChipConfig& chip)
{
    const config::ChipConfig::Macro& macro = chip.macro;
    const chip::AidacDesign design = chip::aidac_design(chip);
    const numerics::AidacModel& model = design.model;
    const auto bits = static_cast<unsigned>(model.tdc_bits);
    std::vector<std::string> all;
    // Ranges are those of whole arrays.
    const std::size_t rows = design.cost.chained * static_cast<std::size_t>(model.array_rows);
    all.push_back(of_bits("time-to-digital converters",
                          numerics::aidac_lossless_bits(design.scheme, rows), macro.rows,
                          std::pair("tdc_bits of " + model.name, bits)));
    const double range = numerics::aidac_nominal(model, design.scheme, design.cost.chained).range;
    const double step = 1e12 * range / std::exp2(bits);
    if (step < model.tdc_finest_ps)
    {
        all.push_back(fmt::format("warning: {} bits of {} make steps of {:.3g} ps in its window of "
                                  "{} ns, but tdc_finest_ps is {}",
                                  bits, model.name, step, model.window_ns, model.tdc_finest_ps));
    }
    return all;
}

/// A chip that computes values, or why it does not.
struct Examined
{
    std::optional<Analogue> analogue;
    std::string why_not;
};

Examined examined(const config::ChipConfig& chip)
{
    try
    {
        return {analogue_of(chip), ""};
    }
    catch (const NoValues& error)
    {
        return {std::nullopt, std::string("values cannot be computed: ") + error.what()};
    }
}

} // namespace

std::vector<std::string> validate(const config::ChipConfig& chip)
{
    static_cast<void>(examined(chip));
    const config::ChipConfig::Macro& macro = chip.macro;
    if (macro.kind == "aidac")
    {
        return chip::aidac_design(chip).model.files;
    }
    std::vector<std::string> files;
    if (!macro.cell.device.empty())
    {
        files.push_back(numerics::find_model("devices", "device", macro.cell.device,
                                             chip.place("macro.cell.device")));
    }
    if (!macro.cell.faults.empty())
    {
        files.push_back(macro.cell.faults);
    }
    return files;
}

std::vector<std::string> remarks(const config::ChipConfig& chip)
{
    const Examined its = examined(chip);
    if (chip.macro.kind == "aidac")
    {
        return aidac_remarks(chip);
    }
    if (!its.analogue)
    {
        return {its.why_not};
    }
    const numerics::Scheme& scheme = its.analogue->scheme;
    std::vector<std::string> all;
    std::optional<std::pair<std::string, unsigned>> few;
    if (chip.macro.adc.range != "lossless")
    {
        few.emplace("macro.adc.bits", scheme.converter.bits);
    }
    all.push_back(fmt::format(
        "arrays of {} x {} cells: {} columns of cells hold one of weights{}", scheme.rows,
        numerics::array_columns(scheme), numerics::cells_per_weight(scheme),
        scheme.signs == Signs::offset ? ", and a reference column lies beside them" : ""));
    std::string text =
        of_bits("converters", numerics::lossless_bits(scheme, scheme.rows), scheme.rows, few);
    if (!few)
    {
        text += "; macro.adc.range is lossless";
    }
    else if (scheme.converter.range == Range::full &&
             few->second >= numerics::lossless_bits(scheme, scheme.rows) &&
             numerics::code_step(scheme) != 1)
    {
        text += fmt::format("; warning: macro.adc.range full makes steps of {:.3g} levels, "
                            "so results differ from whole-number arithmetic; granular makes whole "
                            "ones",
                            numerics::code_step(scheme));
    }
    all.push_back(text);
    const unsigned conversions =
        numerics::weight_slices(scheme) * (scheme.signs == Signs::differential_separate ? 2 : 1);
    if (!chip.macro.timed_as_whole && chip.macro.cells_per_weight != conversions)
    {
        all.push_back("warning: macro.cell has " + std::to_string(conversions) +
                      " conversions a weight, but times are those of macro.cells_per_weight = " +
                      std::to_string(chip.macro.cells_per_weight));
    }
    return all;
}

} // namespace tessera::values
