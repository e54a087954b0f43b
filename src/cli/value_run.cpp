// SPDX-License-Identifier: Apache-2.0
#include "cli/value_run.h"

#include "tessera/error.h"
#include "values/dataset.h"
#include "values/float_network.h"
#include "values/integer_file.h"
#include "values/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <thread>

namespace tessera::cli
{
namespace po = boost::program_options;

namespace
{

constexpr std::size_t kMostPoisonShown = 8;

std::string integer_file(const Options& options, const trace::Header& header)
{
    if (options.has("integers"))
    {
        return options.text("integers");
    }
    const std::string name = options.has("network") ? options.text("network") : header.network;
    const std::string path = network::find(name);
    const std::string file = values::integers_beside(path);
    if (file.empty())
    {
        throw InputError({path, 0, ""}, "has no whole numbers beside it",
                         "make them with tessera quantize, or name them with --integers");
    }
    return file;
}

/// Codes of some images; of a folder those for testing or for training.
std::vector<values::Map<std::int32_t>> codes_of(const values::IntegerNetwork& integers,
                                                const std::string& path, const char* part,
                                                std::size_t first, std::size_t count)
{
    const values::Dataset images =
        values::load_dataset(path, part, values::input_shape(integers.network, path), first, count);
    if (images.count() < count)
    {
        throw InputError(
            {path, 0, ""},
            fmt::format("has {} images from number {} on, not {}", images.count(), first, count),
            "ask for fewer");
    }
    std::vector<values::Map<std::int32_t>> codes;
    for (std::size_t i = 0; i < count; ++i)
    {
        codes.push_back(integers.codes(images.image(i)));
    }
    return codes;
}

} // namespace

void ValueRun::add_options(Options& options)
{
    options.all().add_options() //
        ("values", po::value<std::string>(),
         "compute with real numbers: images, a folder with MNIST's files, an IDX file, *.npy, "
         "*.npz or *.h5; layer outputs go to values.h5") //
        ("values-first", po::value<std::size_t>()->default_value(0),
         "first of the images; --images says how many") //
        ("integers", po::value<std::string>(),
         "whole numbers of the network (default: the file beside it)") //
        ("errors", po::value<std::string>()->default_value("all"),
         "of cells and converters: all that the chip has, noiseless (only converters are finite), "
         "lossless") //
        ("calibrate", po::value<std::string>(),
         "images that ranges of converters are chosen by (of a folder the training images)") //
        ("calibrate-first", po::value<std::size_t>()->default_value(0), "first of them")     //
        ("calibrate-images", po::value<std::size_t>()->default_value(8), "how many");
    options.offer("values", {{}, nullptr, true});
    options.offer("integers", {{}, nullptr, true});
    options.offer("calibrate", {{}, nullptr, true});
    options.offer("errors", {{"all", "noiseless", "lossless"}});
}

ValueRun::ValueRun(const Options& options, const Workload& workload)
    : errors_(options.text("errors"))
{
    const trace::Header& header = workload.program.header();
    integers_ = values::load_integers(integer_file(options, header)).integers;
    inputs_ =
        codes_of(integers_, options.text("values"), "t10k",
                 options.get<std::size_t>("values-first"), options.get<std::uint32_t>("images"));
    try
    {
        semantics::Effort effort;
        pieces_ = values::pieces_of(header, semantics::Naming(header, integers_.network, effort),
                                    workload.chip.config());
    }
    catch (const trace::Malformed& problem)
    {
        throw InputError({workload.program.name(), 1, problem.pointer}, problem.problem,
                         problem.remedy);
    }
    analogue_ = values::analogue_of(workload.chip.config());
    if (errors_ == "noiseless")
    {
        analogue_ = values::noiseless(analogue_);
    }
    else if (errors_ == "lossless")
    {
        analogue_ = values::lossless(analogue_);
    }
    else if (errors_ != "all")
    {
        throw UsageError("unknown --errors '" + errors_ + "'; give all, noiseless or lossless");
    }
    if (options.has("calibrate"))
    {
        analogue_ = values::calibrated(analogue_, integers_, pieces_,
                                       codes_of(integers_, options.text("calibrate"), "train",
                                                options.get<std::size_t>("calibrate-first"),
                                                options.get<std::size_t>("calibrate-images")));
    }
    else if (analogue_.needs_calibration())
    {
        throw UsageError("the chip's converters are calibrated: give --calibrate");
    }
    crossbars_ = std::make_unique<const values::Crossbars>(
        integers_, pieces_, analogue_, options.get<std::uint64_t>("seed"),
        std::max(1U, std::thread::hardware_concurrency()));
    machine_ = std::make_unique<values::Machine>(header, integers_, workload.chip.config(),
                                                 *crossbars_, inputs_);
}

void ValueRun::finish(const std::string& folder)
{
    values::ReferenceOf reference;
    if (errors_ == "noiseless")
    {
        reference = [this](const values::Map<std::int32_t>& input)
        { return values::finite_noiseless(integers_, pieces_, analogue_, input); };
    }
    layers_ = values::compare(*machine_, integers_, inputs_, reference);
    values::write_values(std::filesystem::path(folder) / "values.h5", *machine_, integers_,
                         layers_);
}

void ValueRun::print(std::ostream& out) const
{
    out << fmt::format("\n{:<28}{:>9}{:>10}{:>22}{:>10}{}\n", "layer", "elements", "missing",
                       "unlike whole numbers", "SNR [dB]",
                       errors_ == "noiseless" ? "  unlike reference" : "");
    for (const values::LayerComparison& its : layers_)
    {
        out << fmt::format("{:<28}{:>9}{:>10}{:>22}{:>10.1f}", integers_.network[its.layer].name,
                           its.elements, its.missing, its.different, its.snr_db);
        out << (its.from_reference ? fmt::format("{:>18}", *its.from_reference) : "") << '\n';
    }
}

nlohmann::ordered_json ValueRun::json() const
{
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const values::LayerComparison& its : layers_)
    {
        nlohmann::ordered_json one{{"layer", integers_.network[its.layer].name},
                                   {"elements", its.elements},
                                   {"missing", its.missing},
                                   {"different", its.different}};
        // JSON has no infinity: null where nothing deviates.
        one["snr_db"] = std::isfinite(its.snr_db) ? nlohmann::ordered_json(its.snr_db) : nullptr;
        if (its.from_reference)
        {
            one["different_from_reference"] = *its.from_reference;
        }
        all.push_back(one);
    }
    return all;
}

void ValueRun::judge() const
{
    const std::vector<values::Poison>& poison = machine_->poison();
    if (!poison.empty())
    {
        std::string text = fmt::format("{} reads of data that had not arrived:", poison.size());
        for (std::size_t i = 0; i < std::min(poison.size(), kMostPoisonShown); ++i)
        {
            text += "\n  " + machine_->text_of(poison[i]);
        }
        throw SimulationError(text +
                              "\nadd the operations that make or bring these data to `in` (or, for "
                              "loads, `after`) of those that read them");
    }
    for (const values::LayerComparison& its : layers_)
    {
        const std::uint64_t wrong =
            errors_ == "lossless" ? its.different : its.from_reference.value_or(0);
        if (wrong != 0)
        {
            throw SimulationError(fmt::format(
                "{} of {} elements of layer \"{}\" are not those of {}", wrong, its.elements,
                integers_.network[its.layer].name,
                errors_ == "lossless" ? "the network of whole numbers" : "the slow reference"));
        }
    }
}

} // namespace tessera::cli
