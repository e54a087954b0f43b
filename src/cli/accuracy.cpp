// SPDX-License-Identifier: Apache-2.0
#include "values/accuracy.h"

#include "base/h5.h"
#include "cli/command.h"
#include "cli/workload.h"
#include "config/load.h"
#include "tessera/error.h"
#include "tessera/trace.h"
#include "values/float_network.h"
#include "values/integer_file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <ostream>
#include <thread>

namespace tessera::cli
{
namespace po = boost::program_options;

namespace
{

nlohmann::json json_of(const values::Estimate& estimate)
{
    return {{"value", estimate.value}, {"low", estimate.low}, {"high", estimate.high}};
}

void print_json(std::ostream& out, const values::AccuracyReport& report)
{
    nlohmann::json all{{"images", report.images}, {"layers", report.layers}};
    for (const values::Answer& answer : report.answers)
    {
        nlohmann::json one{
            {"name", answer.name},
            {"chips", answer.trials},
            {"accuracy", json_of(answer.accuracy)},
            {"difference", answer.difference ? json_of(*answer.difference) : nlohmann::json()}};
        for (const double snr : answer.snr_db)
        {
            // JSON has no infinity: null where nothing deviates.
            one["snr_db"].push_back(std::isfinite(snr) ? nlohmann::json(snr) : nlohmann::json());
        }
        all["answers"].push_back(one);
    }
    out << all.dump(2) << '\n';
}

void print_tables(std::ostream& out, const values::AccuracyReport& report)
{
    out << fmt::format("{} images\n{:<20}{:>6}  {:<24}{}\n", report.images, "", "chips",
                       "accuracy [%] (95 %)", "difference to integers");
    for (const values::Answer& answer : report.answers)
    {
        const values::Estimate& right = answer.accuracy;
        out << fmt::format("{:<20}{:>6}  {:6.2f} ({:.2f}..{:.2f})", answer.name, answer.trials,
                           100 * right.value, 100 * right.low, 100 * right.high);
        if (answer.difference)
        {
            const values::Estimate& more = *answer.difference;
            out << fmt::format("    {:+6.2f} ({:+.2f}..{:+.2f})", 100 * more.value, 100 * more.low,
                               100 * more.high);
        }
        out << '\n';
    }
    out << "\nSNR of layers [dB]\n";
    for (std::size_t layer = 0; layer < report.layers.size(); ++layer)
    {
        out << fmt::format("{:<28}", report.layers[layer]);
        for (const values::Answer& answer : report.answers)
        {
            if (!answer.snr_db.empty())
            {
                out << fmt::format("  {} {:.1f}", answer.name, answer.snr_db[layer]);
            }
        }
        out << '\n';
    }
}

/// One dataset an answer: images x classes.
void write_logits(const std::string& path, const values::AccuracyReport& report)
{
    const h5::Lock lock;
    const h5::Handle file = h5::create_file(path);
    for (const values::Answer& answer : report.answers)
    {
        std::vector<std::int32_t> codes;
        for (const values::Map<std::int32_t>& logits : answer.logits)
        {
            codes.insert(codes.end(), logits.begin(), logits.end());
        }
        if (codes.empty())
        {
            continue; // float
        }
        const std::array<hsize_t, 2> shape{report.images, codes.size() / report.images};
        const h5::Handle space(H5Screate_simple(2, shape.data(), nullptr), H5Sclose,
                               "describe logits");
        const h5::Handle setup(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "set up a dataset");
        h5::check(H5Pset_obj_track_times(setup.get(), false), "set up a dataset");
        const h5::Handle dataset(H5Dcreate2(file.get(), answer.name.c_str(), H5T_STD_I32LE,
                                            space.get(), H5P_DEFAULT, setup.get(), H5P_DEFAULT),
                                 H5Dclose, "create " + answer.name);
        h5::check(
            H5Dwrite(dataset.get(), H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, codes.data()),
            "write " + answer.name);
    }
}

values::Wanted wanted(const Options& options)
{
    const std::vector<std::string> names = options.list("only");
    if (names.empty())
    {
        return {};
    }
    values::Wanted wanted{false, false, false, false};
    for (const std::string& name : names)
    {
        bool& its = name == "float"       ? wanted.in_float
                    : name == "noiseless" ? wanted.noiseless
                    : name == "alone"     ? wanted.alone
                                          : wanted.all;
        if (&its == &wanted.all && name != "all")
        {
            throw UsageError("unknown answer '" + name + "'; give float, noiseless, alone or all");
        }
        its = true;
    }
    return wanted;
}

} // namespace

Options accuracy_options()
{
    Options options(
        "accuracy --network N --dataset DATA --chip CHIP [options]",
        "Classifies images as the float network, its whole numbers, and the chip's crossbars do:\n"
        "with perfect cells, with each source of errors alone, with all. N is a network with\n"
        "weights, or FILE.integers. DATA is a folder with MNIST's files, an IDX file or *.npz.");
    options.all().add_options()                                                                   //
        ("network,n", po::value<std::string>(), "network with weights, or FILE.integers")         //
        ("dataset", po::value<std::string>(), "images and labels")                                //
        ("chip,c", po::value<std::string>(), "chip config")                                       //
        ("set", po::value<std::vector<std::string>>()->composing(), "override a key of the chip") //
        ("first", po::value<std::size_t>()->default_value(0), "first image")                      //
        ("images", po::value<std::size_t>()->default_value(10000), "how many images")             //
        ("trials", po::value<std::uint32_t>()->default_value(10), "programmed chips")             //
        ("seed", po::value<std::uint64_t>()->default_value(1),
         "of the first chip; others follow") //
        ("calibrate", po::value<std::string>(),
         "images that ranges of calibrated converters are chosen by (of a folder the training "
         "images)")                                                                      //
        ("calibrate-first", po::value<std::size_t>()->default_value(0), "first of them") //
        ("calibrate-images", po::value<std::size_t>()->default_value(8), "how many")     //
        ("only", po::value<std::vector<std::string>>()->composing(),
         "compute, beside whole numbers, only these: float, noiseless, alone (each source of "
         "errors), all (together); may repeat") //
        ("logits", po::value<std::string>(),
         "write the outputs' codes, of several chips those of the first, to this HDF5 file") //
        ("threads,j", po::value<unsigned>(), "default: as many as the machine has")          //
        ("json", "print JSON");
    options.offer("network", {{}, network::shipped, true});
    options.offer("dataset", {{}, nullptr, true});
    options.offer("calibrate", {{}, nullptr, true});
    options.offer("chip", {{}, config::shipped, true});
    options.offer("set", {{}, chip_settings});
    options.offer("only", {{"float", "noiseless", "alone", "all"}});
    options.offer("logits", {{}, nullptr, true});
    return options;
}

int accuracy(const Arguments& arguments, const Streams& streams)
{
    Options options = accuracy_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    for (const char* needed : {"network", "dataset", "chip"})
    {
        options.require(needed);
    }
    if (options.get<std::uint32_t>("trials") < 1 || options.get<std::uint32_t>("trials") > 10000)
    {
        throw UsageError("--trials must be 1..10000");
    }
    const std::string name = options.text("network");
    const std::string path = values::is_integer_file(name) ? name : network::find(name);
    const std::string file = values::is_integer_file(path) ? path : values::integers_beside(path);
    if (file.empty())
    {
        throw InputError({path, 0, ""}, "has no whole numbers beside it",
                         "make them with tessera quantize");
    }
    const values::IntegerFile integers = values::load_integers(file);
    const network::Layer& input = values::input_layer(integers.integers.network, path);
    const values::Dataset images =
        values::load_dataset(options.text("dataset"), "t10k", input,
                             options.get<std::size_t>("first"), options.get<std::size_t>("images"));
    values::AccuracyOptions choices;
    choices.wanted = wanted(options);
    std::optional<network::WeightedNetwork> weighted;
    if (choices.wanted.in_float)
    {
        weighted = network::load_with_weights(integers.network, integers.batch_axis);
        values::check_weights(*weighted, integers.network);
    }
    choices.trials = options.get<std::uint32_t>("trials");
    choices.seed = options.get<std::uint64_t>("seed");
    choices.threads = options.has("threads") ? std::max(1U, options.get<unsigned>("threads"))
                                             : std::max(1U, std::thread::hardware_concurrency());
    if (options.has("calibrate"))
    {
        const values::Dataset some = values::load_dataset(
            options.text("calibrate"), "train", input, options.get<std::size_t>("calibrate-first"),
            options.get<std::size_t>("calibrate-images"));
        for (std::size_t i = 0; i < some.count(); ++i)
        {
            choices.calibration.push_back(integers.integers.codes(some.image(i)));
        }
    }
    const config::ChipConfig chip =
        config::load(options.text("chip"), options.list("set"), trace::function_names());
    const values::AccuracyReport report =
        values::accuracy(weighted ? &*weighted : nullptr, integers.integers, images, chip, choices);
    if (options.has("logits"))
    {
        write_logits(options.text("logits"), report);
    }
    options.has("json") ? print_json(streams.out, report) : print_tables(streams.out, report);
    return 0;
}

} // namespace tessera::cli
