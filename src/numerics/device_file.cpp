// SPDX-License-Identifier: Apache-2.0
#include "base/install.h"
#include "base/nearest.h"
#include "numerics/device.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

namespace tessera::numerics
{
namespace
{

using nlohmann::json;

constexpr std::array<const char*, 5> kStepNames{"programming", "verify", "relaxation", "retention",
                                                "read_noise"};
/// Every part of a device says where its figures are from.
const std::vector<std::string> kStatus{"cited", "derived", "assumed", "calibrated"};

/// One object of the file: every key is asked for, what is left over is an error.
class Reader
{
public:
    Reader(const JsonDocument& document, const json& value, std::string pointer)
        : document_(document), value_(value), pointer_(std::move(pointer))
    {
        if (!value.is_object())
        {
            fail(pointer_, std::string("must not be ") + type_name(value), "give an object");
        }
    }

    [[noreturn]] void fail(const std::string& pointer, const std::string& problem,
                           const std::string& remedy) const
    {
        throw InputError(document_.place(pointer), problem, remedy);
    }

    const json* find(const char* key)
    {
        known_.emplace_back(key);
        const auto found = value_.find(key);
        return found == value_.end() ? nullptr : &*found;
    }

    const json& get(const char* key)
    {
        const json* found = find(key);
        if (found == nullptr)
        {
            fail(pointer_, std::string("has no \"") + key + '"',
                 std::string("give \"") + key + '"');
        }
        return *found;
    }

    double number(const char* key, double least, double most)
    {
        return number_of(get(key), pointer_to(pointer_, key), least, most);
    }
    double number(const char* key, double least, double most, double otherwise)
    {
        const json* found = find(key);
        return found == nullptr ? otherwise
                                : number_of(*found, pointer_to(pointer_, key), least, most);
    }
    double number_of(const json& value, const std::string& pointer, double least, double most) const
    {
        const std::string remedy =
            "give a number in " + json(least).dump() + ".." + json(most).dump();
        if (!value.is_number())
        {
            fail(pointer, std::string("must not be ") + type_name(value), remedy);
        }
        const auto number = value.get<double>();
        if (!(number >= least && number <= most))
        {
            fail(pointer, value.dump() + " is out of range", remedy);
        }
        return number;
    }

    unsigned count(const char* key, unsigned least, unsigned most)
    {
        const double value = number(key, least, most);
        if (value != std::floor(value))
        {
            fail(pointer_to(pointer_, key), "is not whole", "give a whole number");
        }
        return static_cast<unsigned>(value);
    }

    std::string text(const char* key)
    {
        const json& value = get(key);
        if (!value.is_string() || value.get_ref<const std::string&>().empty())
        {
            fail(pointer_to(pointer_, key), "must be a text", "give a text that is not empty");
        }
        return value.get<std::string>();
    }

    std::string word(const char* key, const std::vector<std::string>& words)
    {
        std::string value = text(key);
        if (std::find(words.begin(), words.end(), value) == words.end())
        {
            fail(pointer_to(pointer_, key), in_quotes(value) + " is not known here",
                 did_you_mean(value, words) + "known: " + joined(words));
        }
        return value;
    }

    std::optional<Reader> part(const char* key)
    {
        const json* found = find(key);
        return found == nullptr ? std::nullopt
                                : std::optional<Reader>(std::in_place, document_, *found,
                                                        pointer_to(pointer_, key));
    }

    void sourced()
    {
        static_cast<void>(text("source"));
        static_cast<void>(word("status", kStatus));
    }

    void finish() const
    {
        for (const auto& [key, value] : value_.items())
        {
            if (std::find(known_.begin(), known_.end(), key) == known_.end())
            {
                fail(pointer_to(pointer_, key), "unknown key " + in_quotes(key),
                     did_you_mean(key, known_) + "known: " + joined(known_));
            }
        }
    }

    Curve curve(const char* key)
    {
        Reader inside(document_, get(key), pointer_to(pointer_, key));
        Curve curve;
        const std::string over =
            inside.word("over", {"conductance_uS", "fraction", "log10_siemens"});
        curve.over = over == "fraction"        ? Curve::Over::fraction
                     : over == "log10_siemens" ? Curve::Over::log10_siemens
                                               : Curve::Over::conductance;
        const json& list = inside.get("coefficients");
        const std::string pointer = pointer_to(inside.pointer_, "coefficients");
        if (!list.is_array() || list.empty() || list.size() > 16)
        {
            fail(pointer, "must be a list of 1 to 16 numbers", "give them, the constant first");
        }
        for (const json& value : list)
        {
            curve.coefficients.push_back(number_of(
                value, pointer_to(pointer, std::to_string(curve.coefficients.size())), -1e9, 1e9));
        }
        if (const json* relative = inside.find("relative"))
        {
            if (!relative->is_boolean())
            {
                fail(pointer_to(inside.pointer_, "relative"), "must be true or false",
                     "give true where the curve is a fraction of the conductance");
            }
            curve.relative = relative->get<bool>();
        }
        inside.finish();
        return curve;
    }

    [[nodiscard]] const std::string& pointer() const { return pointer_; }

private:
    const JsonDocument& document_;
    const json& value_;
    std::string pointer_;
    std::vector<std::string> known_;
};

std::set<Step> contained_steps(Reader& programming)
{
    std::set<Step> steps;
    const json* list = programming.find("contains");
    if (list == nullptr)
    {
        return steps;
    }
    const std::string pointer = pointer_to(programming.pointer(), "contains");
    const std::string remedy = "list steps that the measurement went through: verify, relaxation, "
                               "retention, read_noise";
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

void read_noise_processes(Reader& root, Device& device)
{
    if (auto part = root.part("flicker"))
    {
        Device::Flicker flicker;
        flicker.sigma = part->number("sigma", 0, 1);
        flicker.shortest = part->number("shortest_s", 1e-12, 1e12);
        flicker.longest = part->number("longest_s", flicker.shortest, 1e12);
        flicker.processes = part->count("processes", 1, 64);
        part->sourced();
        part->finish();
        device.flicker = flicker;
    }
    if (auto part = root.part("telegraph"))
    {
        Device::Telegraph telegraph;
        telegraph.amplitude = part->number("amplitude", 0, 1);
        telegraph.mean_full = part->number("mean_full_s", 1e-12, 1e12);
        telegraph.mean_empty = part->number("mean_empty_s", 1e-12, 1e12);
        part->sourced();
        part->finish();
        device.telegraph = telegraph;
    }
}

void read_steps(Reader& root, Device& device)
{
    if (auto part = root.part("programming"))
    {
        device.programming = part->curve("sigma");
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
        device.read_noise = part->curve("sigma");
        part->sourced();
        part->finish();
    }
}

void read_flaws(Reader& root, Device& device)
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
        device.non_linear = Device::NonLinear{part->curve("second"), part->curve("third")};
        part->sourced();
        part->finish();
    }
}

} // namespace

const char* name_of(Step step)
{
    return kStepNames.at(static_cast<std::size_t>(step));
}

Device parse_device(const JsonDocument& document)
{
    Reader root(document, document.value(), "");
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

Device load_device(const std::string& name)
{
    namespace fs = std::filesystem;
    if (name.find('/') != std::string::npos || fs::path(name).extension() == ".json")
    {
        return parse_device(load_json(name));
    }
    const fs::path folder = fs::path(data_directory()) / "models" / "devices";
    const fs::path file = folder / (name + ".json");
    std::error_code error;
    if (!fs::is_regular_file(file, error))
    {
        std::vector<std::string> names;
        for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
             entry.increment(error))
        {
            if (entry->path().extension() == ".json")
            {
                names.push_back(entry->path().stem().string());
            }
        }
        std::sort(names.begin(), names.end());
        throw InputError({folder.string(), 0, ""}, "has no device " + in_quotes(name),
                         did_you_mean(name, names) + "known: " + joined(names) +
                             "; or give the path of a file");
    }
    return parse_device(load_json(file.string()));
}

} // namespace tessera::numerics
