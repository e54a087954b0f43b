// SPDX-License-Identifier: Apache-2.0
#include "base/nearest.h"
#include "numerics/device.h"
#include "numerics/model_reader.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tessera::numerics
{
namespace
{

using nlohmann::json;

constexpr std::array<const char*, 7> kStepNames{"programming", "verify",  "relaxation", "retention",
                                                "read_noise",  "flicker", "telegraph"};

Curve read_curve(ModelReader& reader, const char* key)
{
    ModelReader inside = reader.object(key);
    Curve curve;
    const std::string over = inside.word("over", {"conductance_uS", "fraction", "log10_siemens"});
    curve.over = over == "fraction"        ? Curve::Over::fraction
                 : over == "log10_siemens" ? Curve::Over::log10_siemens
                                           : Curve::Over::conductance;
    const json& list = inside.get("coefficients");
    const std::string pointer = pointer_to(inside.pointer(), "coefficients");
    if (!list.is_array() || list.empty() || list.size() > 16)
    {
        inside.fail(pointer, "must be a list of 1 to 16 numbers", "give them, the constant first");
    }
    for (const json& value : list)
    {
        curve.coefficients.push_back(inside.number_of(
            value, pointer_to(pointer, std::to_string(curve.coefficients.size())), -1e9, 1e9));
    }
    if (const json* relative = inside.find("relative"))
    {
        if (!relative->is_boolean())
        {
            inside.fail(pointer_to(inside.pointer(), "relative"), "must be true or false",
                        "give true where the curve is a fraction of the conductance");
        }
        curve.relative = relative->get<bool>();
    }
    inside.finish();
    return curve;
}

std::set<Step> contained_steps(ModelReader& programming)
{
    std::set<Step> steps;
    const json* list = programming.find("contains");
    if (list == nullptr)
    {
        return steps;
    }
    const std::string pointer = pointer_to(programming.pointer(), "contains");
    const std::string remedy = "list steps that the measurement went through: verify, relaxation, "
                               "retention, read_noise, flicker, telegraph";
    if (!list->is_array())
    {
        programming.fail(pointer, std::string("must not be ") + type_name(*list), remedy);
    }
    for (const json& item : *list)
    {
        const auto found = std::find_if(kStepNames.begin() + 1, kStepNames.end(),
                                        [&](const char* name) { return item == name; });
        if (found == kStepNames.end() ||
            !steps.insert(static_cast<Step>(found - kStepNames.begin())).second)
        {
            programming.fail(pointer, item.dump() + " is no step, or is listed twice", remedy);
        }
    }
    return steps;
}

void read_noise_processes(ModelReader& root, Device& device)
{
    if (auto part = root.part("flicker"))
    {
        Flicker flicker;
        flicker.sigma = part->number("sigma", 0, 1);
        flicker.shortest = part->number("shortest_s", 1e-12, 1e12);
        flicker.longest = part->number("longest_s", flicker.shortest, 1e12);
        flicker.processes = part->count("processes", 1, 64);
        part->sourced();
        part->finish();
        device.slow.flicker = flicker;
    }
    if (auto part = root.part("telegraph"))
    {
        Telegraph telegraph;
        telegraph.amplitude = part->number("amplitude", 0, 1);
        telegraph.mean_full = part->number("mean_full_s", 1e-12, 1e12);
        telegraph.mean_empty = part->number("mean_empty_s", 1e-12, 1e12);
        part->sourced();
        part->finish();
        device.slow.telegraph = telegraph;
    }
}

void read_steps(ModelReader& root, Device& device)
{
    if (auto part = root.part("programming"))
    {
        device.programming = read_curve(*part, "sigma");
        device.contained = contained_steps(*part);
        part->sourced();
        part->finish();
    }
    if (auto part = root.part("verify"))
    {
        device.verify = Device::Verify{part->number("window_uS", 1e-6, 1e6),
                                       part->count("pulses", 1, 1'000'000)};
        part->sourced();
        part->finish();
    }
    if (auto part = root.part("relaxation"))
    {
        device.relaxation = Device::Relaxation{
            part->number("mean_uS", -1e6, 1e6), part->number("mean_uS_per_ln_s", -1e6, 1e6),
            part->number("sigma_uS", 0, 1e6), part->number("sigma_uS_per_ln_s", -1e6, 1e6)};
        part->sourced();
        part->finish();
    }
    if (auto part = root.part("retention"))
    {
        device.retention =
            Device::Retention{part->number("exponent", -1, 1), part->number("sigma", 0, 1),
                              part->number("from_s", 1e-12, 1e12)};
        part->sourced();
        part->finish();
    }
    if (auto part = root.part("read_noise"))
    {
        device.read_noise = read_curve(*part, "sigma");
        part->sourced();
        part->finish();
    }
}

void read_flaws(ModelReader& root, Device& device)
{
    if (auto part = root.part("faults"))
    {
        const double on = part->number("stuck_on", 0, 1);
        device.faults = Device::Faults{on, part->number("stuck_off", 0, 1 - on)};
        part->sourced();
        part->finish();
    }
    if (auto part = root.part("endurance"))
    {
        device.endurance =
            Device::Endurance{part->number("cycles", 1, 1e18), part->number("shape", 0.1, 100)};
        part->sourced();
        part->finish();
    }
    if (auto part = root.part("non_linear"))
    {
        device.non_linear =
            Device::NonLinear{read_curve(*part, "second"), read_curve(*part, "third")};
        part->sourced();
        part->finish();
    }
}

} // namespace

const char* name_of(Step step)
{
    return kStepNames.at(static_cast<std::size_t>(step));
}

Step step_of(const std::string& name)
{
    const auto found = std::find(kStepNames.begin(), kStepNames.end(), name);
    if (found == kStepNames.end())
    {
        throw std::logic_error("no step is called '" + name + "'");
    }
    return static_cast<Step>(found - kStepNames.begin());
}

Device parse_device(const JsonDocument& document)
{
    ModelReader root(document, document.value(), "");
    static_cast<void>(root.word("format", {"tessera-device"}));
    static_cast<void>(root.word("version", {"1.0"}));
    Device device;
    device.name = root.text("name");
    static_cast<void>(root.find("description"));
    if (auto part = root.part("conductance"))
    {
        device.off = part->number("off_uS", 0, 1e6);
        device.on = part->number("on_uS", 1e-6, 1e6);
        if (device.on <= device.off)
        {
            part->fail(
                pointer_to(part->pointer(), "on_uS"), "is not above off_uS",
                "give the conductance of the lowest level as off_uS, of the highest as on_uS");
        }
        device.bits = part->count("bits", 1, 4);
        part->sourced();
        part->finish();
    }
    else
    {
        root.fail("", "has no \"conductance\"", "give off_uS, on_uS and bits in it");
    }
    read_steps(root, device);
    read_flaws(root, device);
    read_noise_processes(root, device);
    root.finish();
    for (const Step step : device.contained)
    {
        if (device.steps().count(step) != 0)
        {
            root.fail(pointer_to("", name_of(step)),
                      "happens twice: the programming fit contains it",
                      std::string("delete it here or from /programming/contains"));
        }
    }
    if (device.verify && !device.programming)
    {
        root.fail("/verify", "needs the spread of a pulse", "give \"programming\"");
    }
    return device;
}

Device load_device(const std::string& name, const Place& asked)
{
    return parse_device(load_json(find_model("devices", "device", name, asked)));
}

} // namespace tessera::numerics
