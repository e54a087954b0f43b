// SPDX-License-Identifier: Apache-2.0
#include "values/accuracy.h"

#include "base/h5.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/workload.h"
#include "config/load.h"
#include "tessera/error.h"
#include "tessera/trace.h"
#include "values/analogue.h"
#include "values/float_network.h"
#include "values/integer_file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
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

/// What an answer's intervals are of: all that there could be of these.
const char* interval_over(const values::Answer& answer)
{
    return answer.trials == 1 ? "images" : "chips and images";
}

/// `complete`: nothing ended the computation before its end.
void print_json(std::ostream& out, const values::AccuracyReport& report, bool complete)
{
    nlohmann::json all{{"images", report.images},
                       {"layers", report.layers},
                       {"complete", complete},
                       {"answers", nlohmann::json::array()}};
    for (const values::Answer& answer : report.answers)
    {
        nlohmann::json one{
            {"name", answer.name},
            {"chips", answer.trials},
            {"interval_over", interval_over(answer)},
            {"accuracy", json_of(answer.accuracy)},
            {"difference", answer.difference ? json_of(*answer.difference) : nlohmann::json()}};
        for (const double snr : answer.snr_db)
        {
            // JSON has no infinity: null where nothing deviates.
            one["snr_db"].push_back(std::isfinite(snr) ? nlohmann::json(snr) : nlohmann::json());
        }
        all["answers"].push_back(one);
    }
    out << text_of(all, 2) << '\n';
}

void print_tables(std::ostream& out, const values::AccuracyReport& report, bool complete)
{
    out << fmt::format("{} images\n{:<20}{:>6}  {:<20}{:<24}{}\n", report.images, "", "chips",
                       "95 % interval over", "accuracy [%]", "difference to integers");
    for (const values::Answer& answer : report.answers)
    {
        const values::Estimate& right = answer.accuracy;
        out << fmt::format("{:<20}{:>6}  {:<18}  {:6.2f} ({:.2f}..{:.2f})", answer.name,
                           answer.trials, interval_over(answer), 100 * right.value, 100 * right.low,
                           100 * right.high);
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
    out << (complete ? "" : "\nincomplete: ended before all was computed\n");
}

/// By answer: codes of its first chip (of "float" the reals), images x classes, and in the group
/// `right` which images each chip is right of, chips x images. The attribute `complete` is 1 when
/// nothing ended the computation before its end.
class Logits
{
public:
    Logits(const std::string& path, Existing existing)
        : path_(path), file_(path, existing), right_(h5::create_group(file_.get(), "right"))
    {
    }

    void add(const values::Outcome& outcome)
    {
        const h5::Lock lock;
        naming(path_,
               [&]
               {
                   if (outcome.trial == 0)
                   {
                       add_outputs(outcome.name, outcome.logits, H5T_STD_I32LE, H5T_NATIVE_INT32);
                       add_outputs(outcome.name, outcome.reals, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT);
                   }
                   add_right(outcome);
                   file_.flush();
               });
    }

    void publish(bool complete)
    {
        const h5::Lock lock;
        naming(path_,
               [&]
               {
                   h5::set_attribute(file_.get(), "complete", std::uint64_t{complete ? 1U : 0U});
                   right_.reset();
                   file_.publish();
               });
    }

private:
    /// Outputs image by image, if there are any.
    template <class Value>
    void add_outputs(const std::string& name, const std::vector<values::Map<Value>>& outputs,
                     hid_t in_file, hid_t in_memory) const
    {
        std::vector<Value> all;
        for (const values::Map<Value>& output : outputs)
        {
            all.insert(all.end(), output.begin(), output.end());
        }
        if (all.empty())
        {
            return;
        }
        const h5::Handle dataset =
            h5::create_dataset(file_.get(), h5::link_name(name), in_file,
                               {outputs.size(), all.size() / outputs.size()});
        h5::check(H5Dwrite(dataset.get(), in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()),
                  "write " + name);
        h5::set_attribute(dataset.get(), "name", name);
    }

    void add_right(const values::Outcome& outcome) const
    {
        const std::string link = h5::link_name(outcome.name);
        const hsize_t images = outcome.right.size();
        if (outcome.trial == 0)
        {
            const h5::Handle created =
                h5::create_growing(right_.get(), link, H5T_STD_U8LE, {1, images});
            h5::set_attribute(created.get(), "name", outcome.name);
        }
        const h5::Handle dataset = h5::open_dataset(right_.get(), link);
        h5::append(dataset.get(), H5T_NATIVE_UCHAR, outcome.trial, {1, images},
                   outcome.right.data());
    }

    std::string path_;
    h5::Output file_;
    h5::Handle right_;
};

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

/// Chips are programmed only for answers with errors.
void refuse_unused_chips(const Options& options, const values::Wanted& wanted)
{
    for (const char* name : {"trials", "seed"})
    {
        if (options.given(name) && !wanted.alone && !wanted.all)
        {
            throw UsageError(std::string("--") + name +
                             " means nothing where no cells are programmed: give --only alone or "
                             "--only all too, or leave --only out");
        }
    }
}

/// Says what of the answers that were asked for cannot be given of a chip without errors. Throws
/// UsageError where nothing is left beside whole numbers.
void tell_missing_errors(const Options& options, const values::Wanted& wanted,
                         const config::ChipConfig& chip, std::ostream& err)
{
    const bool asked =
        !options.list("only").empty() || options.given("trials") || options.given("seed");
    if (!asked || !(wanted.alone || wanted.all) ||
        !values::sources(values::analogue_of(chip)).empty())
    {
        return;
    }
    const std::string text = "chip " + chip.name +
                             " has no errors of cells, wires or converters: there are no answers "
                             "alone or all, and --trials and --seed mean nothing";
    if (!wanted.in_float && !wanted.noiseless)
    {
        throw UsageError(text + "; name a device, for example --set macro.cell.device=generic, or "
                                "leave --only out");
    }
    err << "tessera: note: " << text << '\n';
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
         "write the outputs' codes, of several chips those of the first, to this HDF5 file; an "
         "interruption keeps what was computed")                                    //
        ("force", "replace that file if it exists")                                 //
        ("threads,j", po::value<unsigned>(), "default: as many as the machine has") //
        ("json", "print JSON");
    options.offer("network", {{}, network::shipped, true});
    options.offer("dataset", {{}, nullptr, true});
    options.offer("calibrate", {{}, nullptr, true});
    options.offer("chip", {{}, config::shipped, true});
    options.offer("set", {{}, chip_settings});
    options.offer("only", {{"float", "noiseless", "alone", "all"}});
    options.offer("logits", {{}, nullptr, true});
    options.needs({"calibrate-first", "calibrate-images"}, {{"calibrate"}});
    options.needs({"force"}, {{"logits"}});
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
    if (options.has("logits"))
    {
        refuse_existing(options.text("logits"), options.has("force"));
        refuse_input(options, {"network", "dataset", "calibrate", "chip"}, options.text("logits"));
    }
    if (options.get<std::uint32_t>("trials") < 1 || options.get<std::uint32_t>("trials") > 10000)
    {
        throw UsageError("--trials must be 1..10000");
    }
    for (const char* count : {"images", "calibrate-images"})
    {
        static_cast<void>(image_count(options, count)); // before anything is read
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
        load_images(options, {"dataset", "t10k", "first", "images"}, input);
    values::AccuracyOptions choices;
    choices.wanted = wanted(options);
    refuse_unused_chips(options, choices.wanted);
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
        const values::Dataset some = load_images(
            options, {"calibrate", "train", "calibrate-first", "calibrate-images"}, input);
        for (std::size_t i = 0; i < some.count(); ++i)
        {
            choices.calibration.push_back(integers.integers.codes(some.image(i)));
        }
    }
    const ChipModel model = load_chip(options);
    const config::ChipConfig& chip = model.config();
    print_remarks(streams.err, chip);
    tell_missing_errors(options, choices.wanted, chip, streams.err);
    std::optional<Logits> logits;
    if (options.has("logits"))
    {
        std::vector<std::string> network = integers.integers.network.files;
        if (weighted)
        {
            network.insert(network.end(), weighted->network.files.begin(),
                           weighted->network.files.end());
        }
        refuse_read(
            files_read(options, chip, network, {{"dataset", "t10k"}, {"calibrate", "train"}}),
            options.text("logits"));
        logits.emplace(options.text("logits"), existing(options));
        choices.on_outcome = [&](const values::Outcome& outcome) { logits->add(outcome); };
    }
    values::AccuracyReport known;
    choices.on_answer = [&](const values::AccuracyReport& report) { known = report; };
    const auto print = [&](bool complete)
    {
        options.has("json") ? print_json(streams.out, known, complete)
                            : print_tables(streams.out, known, complete);
    };
    std::optional<ProgressLine> progress;
    progress.emplace(streams.err, on_terminal(streams.err));
    choices.monitor = [&](const PhaseProgress& its) { progress->show(its); };
    try
    {
        static_cast<void>(values::accuracy(weighted ? &*weighted : nullptr, integers.integers,
                                           images, chip, choices));
    }
    catch (const std::exception& error)
    {
        progress.reset();
        if (!known.answers.empty())
        {
            print(false); // what took long to compute
        }
        const auto* const known_error = dynamic_cast<const Error*>(&error);
        if (logits && known_error != nullptr && known_error->code() == ExitCode::interrupted)
        {
            logits->publish(false);
        }
        throw;
    }
    progress.reset();
    print(true); // whatever becomes of the file
    if (logits)
    {
        logits->publish(true);
    }
    return 0;
}

} // namespace tessera::cli
