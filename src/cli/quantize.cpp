// SPDX-License-Identifier: Apache-2.0
#include "values/quantize.h"

#include "cli/command.h"
#include "cli/progress.h"
#include "cli/workload.h"
#include "network/weights.h"
#include "tessera/error.h"
#include "values/float_network.h"
#include "values/integer_file.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;

namespace
{

/// What the file of whole numbers calls the network: relative to itself, if both lie together.
std::string name_beside(const std::string& network, const std::string& file)
{
    namespace fs = std::filesystem;
    const fs::path folder = fs::absolute(fs::path(file)).parent_path();
    const fs::path path = fs::absolute(fs::path(network));
    std::error_code none;
    return fs::equivalent(folder, path.parent_path(), none) ? path.filename().string()
                                                            : path.string();
}

} // namespace

Options quantize_options()
{
    Options options("quantize --network N [--calibrate DATA] -o FILE.integers [options]",
                    "Makes a network of whole numbers from an ONNX network: of what is quantised "
                    "in it (QDQ,\nQLinear) as it stands there, of reals with ranges that suit "
                    "DATA: a folder with MNIST's\nfiles (the training images are taken), an IDX "
                    "file, *.npy or *.npz.");
    options.all().add_options()                                                               //
        ("network,n", po::value<std::string>(), "shipped network or ONNX file, with weights") //
        ("calibrate", po::value<std::string>(), "images that ranges of reals are chosen by")  //
        ("first", po::value<std::size_t>()->default_value(0), "first image taken")            //
        ("images", po::value<std::size_t>()->default_value(512), "how many are taken")        //
        ("range", po::value<std::string>()->default_value("mse"),
         "rule for ranges of activations: min-max, percentile, mse") //
        ("percentile", po::value<double>()->default_value(99.99),
         "of magnitudes that fit")                                                      //
        ("batch-axis", po::value<std::string>()->default_value("auto"), kBatchAxisHelp) //
        ("per-layer", "one scale of weights a layer, not one a channel")                //
        ("output,o", po::value<std::string>(), "file to write")                         //
        ("force", "replace it if it exists");
    options.offer("network", {{}, network::shipped, true});
    options.offer("calibrate", {{}, nullptr, true});
    options.offer("output", {{}, nullptr, true});
    options.offer("batch-axis", {{"auto", "0", "none"}});
    options.offer("range", {{"min-max", "percentile", "mse"}});
    options.needs({"first", "images", "range", "per-layer"}, {{"calibrate"}});
    options.needs({"percentile"}, {{"range", {"percentile"}}});
    return options;
}

int quantize(const Arguments& arguments, const Streams& streams)
{
    Options options = quantize_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    for (const char* needed : {"network", "output"})
    {
        options.require(needed);
    }
    values::QuantizeOptions choices;
    choices.rule = values::range_rule(options.text("range"));
    choices.percentile = options.get<double>("percentile");
    choices.per_channel = !options.has("per-layer");
    if (!(choices.percentile > 0 && choices.percentile <= 100))
    {
        throw UsageError("--percentile must be above 0 and at most 100");
    }
    static_cast<void>(image_count(options, "images")); // before anything is read
    const std::string file = options.text("output");
    if (!values::is_integer_file(file))
    {
        throw UsageError("the name '" + file + "' must end in .integers");
    }
    require_output(file, options.has("force"));
    refuse_input(options, {"network", "calibrate"}, file);
    const std::string path = network::find(options.text("network"));
    const network::WeightedNetwork network =
        network::load_with_weights(path, batch_axis(options, path));
    if (!values::has_codes(network))
    {
        options.require("calibrate");
    }
    refuse_read(network.network.files, file);
    std::optional<values::Dataset> images;
    std::string origin = "tessera quantize, codes of the file";
    std::string by = "with the codes of " + path;
    if (options.has("calibrate"))
    {
        images = load_images(options, {"calibrate", "train", "first", "images"},
                             values::input_layer(network.network, path));
        refuse_read(values::dataset_files(options.text("calibrate"), "train"), file);
        origin = fmt::format("tessera quantize --range {}{}, {} images from number {} on",
                             options.text("range"), choices.per_channel ? "" : " --per-layer",
                             images->count(), options.get<std::size_t>("first"));
        by = fmt::format("calibrated on {} images of {}", images->count(), images->source);
    }
    std::optional<ProgressLine> progress;
    progress.emplace(streams.err, on_terminal(streams.err));
    choices.monitor = [&](const PhaseProgress& its) { progress->show(its); };
    const values::IntegerNetwork integers =
        values::quantize(network, images ? &*images : nullptr, choices, path);
    progress.reset();
    values::save_integers(integers, name_beside(path, file), batch_axis(options, path), origin,
                          file, existing(options));
    print_notes(streams.err, network.network.notes);
    print_notes(streams.err, integers.notes);
    streams.out << fmt::format("{}: {} layers, {}\n", file, integers.layers.size(), by);
    return 0;
}

} // namespace tessera::cli
