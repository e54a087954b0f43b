// SPDX-License-Identifier: Apache-2.0
#include "cli/value_run.h"

#include "tessera/error.h"
#include "values/dataset.h"
#include "values/float_network.h"
#include "values/integer_network.h"

#include <fmt/format.h>

#include <cmath>

namespace tessera::cli
{
namespace po = boost::program_options;

namespace
{

ValueErrors errors_of(const std::string& name)
{
    for (const auto& [known, errors] : {std::pair{"all", ValueErrors::all},
                                        {"noiseless", ValueErrors::noiseless},
                                        {"lossless", ValueErrors::lossless}})
    {
        if (name == known)
        {
            return errors;
        }
    }
    throw UsageError("unknown --errors '" + name + "'; give all, noiseless or lossless");
}

/// The whole numbers of the network that a trace names.
QuantizedNetwork network_of_trace(const std::string& file, const std::string& network)
{
    const Place place{file, 1, "/network/name"};
    const std::string remedy = "give the whole numbers of its network: --integers FILE.integers";
    if (network.empty())
    {
        throw InputError(place, "names no network, and --values computes with the numbers of one",
                         remedy);
    }
    try
    {
        static_cast<void>(network::find(network));
    }
    catch (const InputError& error)
    {
        throw InputError(place, error.problem(), remedy);
    }
    return QuantizedNetwork(network);
}

QuantizedNetwork network_of(const Options& options, const trace::Header& header)
{
    return options.has("integers")  ? QuantizedNetwork::open(options.text("integers"))
           : options.has("network") ? QuantizedNetwork(options.text("network"))
                                    : network_of_trace(options.text("trace"), header.network);
}

} // namespace

void add_value_options(Options& options)
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
    options.needs({"values-first", "integers", "errors", "calibrate"}, {{"values"}});
    options.needs({"calibrate-first", "calibrate-images"}, {{"calibrate"}});
    options.needs({"calibrate"}, {{"errors", {"all", "noiseless"}}});
}

simulation::ValueRun load_values(const Options& options, const Workload& workload)
{
    const QuantizedNetwork network = network_of(options, workload.program.header());
    ValueOptions choices;
    static_cast<void>(image_count(options, "calibrate-images"));
    choices.errors = errors_of(options.text("errors"));
    const Tensor inputs =
        network.images(options.text("values"), options.get<std::size_t>("values-first"),
                       options.get<std::uint32_t>("images"));
    if (options.has("calibrate"))
    {
        const network::Network& layers = network.integers().network;
        values::Dataset some =
            load_images(options, {"calibrate", "train", "calibrate-first", "calibrate-images"},
                        values::input_layer(layers, layers.name));
        choices.calibration = network.input(0);
        choices.calibration.images = some.count();
        choices.calibration.numbers = std::move(some.pixels);
    }
    return {workload.chip, workload.program, network,
            inputs,        choices,          options.get<std::uint64_t>("seed")};
}

void print_values(std::ostream& out, const ValueResult& result)
{
    out << fmt::format("\n{:<28}{:>9}{:>10}{:>22}{:>10}{}\n", "layer", "elements", "missing",
                       "unlike whole numbers", "SNR [dB]",
                       result.errors == ValueErrors::noiseless ? "  unlike reference" : "");
    for (const LayerValues& its : result.layers)
    {
        out << fmt::format("{:<28}{:>9}{:>10}{:>22}{:>10.1f}", its.name, its.elements, its.missing,
                           its.integers.different, its.snr_db);
        out << (its.reference ? fmt::format("{:>18}", its.reference->different) : "") << '\n';
    }
}

nlohmann::ordered_json values_json(const ValueResult& result)
{
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const LayerValues& its : result.layers)
    {
        nlohmann::ordered_json one{{"layer", its.name},
                                   {"elements", its.elements},
                                   {"missing", its.missing},
                                   {"different", its.integers.different}};
        // JSON has no infinity: null where nothing deviates.
        one["snr_db"] = std::isfinite(its.snr_db) ? nlohmann::ordered_json(its.snr_db) : nullptr;
        if (its.reference)
        {
            one["different_from_reference"] = its.reference->different;
        }
        all.push_back(one);
    }
    return all;
}

} // namespace tessera::cli
