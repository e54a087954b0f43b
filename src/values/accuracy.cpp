// SPDX-License-Identifier: Apache-2.0
#include "values/accuracy.h"

#include "base/reporter.h"
#include "tessera/error.h"
#include "values/calibrate.h"
#include "values/crossbars.h"
#include "values/float_network.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace tessera::values
{
namespace
{

using network::LayerKind;

struct Deviation
{
    double signal = 0; ///< whole numbers below 2^53: the order of addition does not matter
    double noise = 0;
};

/// An outcome, and how far layers are off.
struct Trial
{
    Outcome outcome;
    std::vector<std::vector<Deviation>> deviations; ///< by image and layer
};

class Examination
{
public:
    Examination(const IntegerNetwork& integers, const Dataset& images, unsigned threads,
                Reporter& reporter)
        : integers_(integers), images_(images), threads_(threads), reporter_(reporter)
    {
        for (std::uint32_t i = 0; i < integers.layers.size(); ++i)
        {
            if (multiplies(integers.network.layers[i].kind))
            {
                layers_.push_back(i);
            }
        }
    }

    [[nodiscard]] const std::vector<std::uint32_t>& layers() const { return layers_; }

    /// Without `products`: of the whole numbers. `name`: what to call it meanwhile.
    [[nodiscard]] Trial take(const std::string& name, const Products* products) const
    {
        reporter_.begin(name, images_.count());
        Trial trial;
        trial.outcome.right.resize(images_.count());
        trial.outcome.logits.resize(images_.count());
        trial.deviations.resize(images_.count());
        const std::size_t output = integers_.network.outputs.front().index();
        in_parallel(
            images_.count(), threads_,
            [&](std::size_t image)
            {
                const Map<std::int32_t> codes = integers_.codes(images_.image(image));
                const auto exact = run(integers_, codes);
                const auto note = [&](const Map<std::int32_t>& logits)
                {
                    trial.outcome.right[image] =
                        best_class(logits) == images_.labels[image] ? 1 : 0;
                    trial.outcome.logits[image] = logits;
                };
                if (products == nullptr)
                {
                    note(exact[output]);
                    return;
                }
                const auto maps =
                    run(integers_, codes, products, static_cast<std::uint32_t>(image));
                note(maps[output]);
                compare(maps, exact, trial.deviations[image]);
            },
            &reporter_);
        return trial;
    }

    [[nodiscard]] Trial take(const std::string& name,
                             const network::WeightedNetwork& weighted) const
    {
        reporter_.begin(name, images_.count());
        const FloatNetwork network(weighted);
        const std::size_t output = weighted.network.outputs.front().index();
        Trial trial;
        trial.outcome.right.resize(images_.count());
        trial.outcome.reals.resize(images_.count());
        trial.deviations.resize(images_.count());
        in_parallel(
            images_.count(), threads_,
            [&](std::size_t image)
            {
                const Map<float> logits = network.run(images_.image(image))[output];
                const auto best = static_cast<std::uint32_t>(
                    std::max_element(logits.begin(), logits.end()) - logits.begin());
                trial.outcome.right[image] = best == images_.labels[image] ? 1 : 0;
                trial.outcome.reals[image] = logits;
            },
            &reporter_);
        return trial;
    }

private:
    void compare(const std::vector<Map<std::int32_t>>& maps,
                 const std::vector<Map<std::int32_t>>& exact, std::vector<Deviation>& out) const
    {
        for (const std::uint32_t layer : layers_)
        {
            Deviation deviation;
            for (std::size_t k = 0; k < maps[layer].size(); ++k)
            {
                const double signal = exact[layer][k];
                const double noise = maps[layer][k] - signal;
                deviation.signal += signal * signal;
                deviation.noise += noise * noise;
            }
            out.push_back(deviation);
        }
    }

    const IntegerNetwork& integers_;
    const Dataset& images_;
    unsigned threads_;
    Reporter& reporter_;
    std::vector<std::uint32_t> layers_;
};

std::vector<double> ratios(const std::vector<Trial>& trials, std::size_t layers)
{
    std::vector<double> snr;
    for (std::size_t layer = 0; layer < layers; ++layer)
    {
        Deviation total;
        for (const Trial& trial : trials)
        {
            for (const std::vector<Deviation>& image : trial.deviations)
            {
                total.signal += image[layer].signal;
                total.noise += image[layer].noise;
            }
        }
        snr.push_back(total.noise == 0 ? std::numeric_limits<double>::infinity()
                                       : 10 * std::log10(total.signal / total.noise));
    }
    return snr;
}

/// Throws InputError where labels are missing or are not of this network.
void check_labels(const IntegerNetwork& integers, const Dataset& images)
{
    if (images.labels.size() != images.count() || images.count() == 0)
    {
        throw InputError({images.source, 0, ""}, "has no labels",
                         "accuracy needs to know what the images show");
    }
    const std::size_t classes =
        integers.network[integers.network.outputs.front()].output.elements();
    for (std::size_t i = 0; i < images.labels.size(); ++i)
    {
        if (images.labels[i] >= classes)
        {
            throw InputError({images.source, 0, ""},
                             "says " + std::to_string(images.labels[i]) + " of image " +
                                 std::to_string(i) + ", but the network has " +
                                 std::to_string(classes) + " outputs",
                             "give the data set the network was trained for");
        }
    }
}

/// Collects answers, and tells of each.
class Examiner
{
public:
    Examiner(const IntegerNetwork& integers, const Dataset& images, const config::ChipConfig& chip,
             const AccuracyOptions& options)
        : integers_(integers),
          options_(options),
          reporter_(options.monitor),
          pieces_(pieces_of(integers, chip)),
          examination_(integers, images, options.threads, reporter_)
    {
        report_.images = images.count();
        for (const std::uint32_t layer : examination_.layers())
        {
            report_.layers.push_back(integers.network.layers[layer].name);
        }
    }

    /// The whole numbers, which all others are compared with, and before them the float network.
    void begin(const network::WeightedNetwork* weighted)
    {
        Trial whole = examination_.take(kIntegers, nullptr);
        whole_ = whole.outcome.right;
        if (weighted != nullptr)
        {
            one(kFloat, examination_.take(kFloat, *weighted));
        }
        one(kIntegers, std::move(whole));
    }

    void examine(const std::string& name, const Analogue& how, std::uint32_t chips)
    {
        std::vector<Trial> trials;
        try
        {
            for (std::uint32_t trial = 0; trial < chips; ++trial)
            {
                const std::uint64_t seed = options_.seed + trial;
                const std::string which = chips == 1
                                              ? name
                                              : name + ", chip " + std::to_string(trial + 1) +
                                                    " of " + std::to_string(chips);
                reporter_.begin(which + ": writing cells", 0);
                const Crossbars crossbars(integers_, pieces_, ready(how, seed), seed,
                                          options_.threads);
                note(name, trials, examination_.take(which, &crossbars));
            }
        }
        catch (...)
        {
            if (!trials.empty())
            {
                answer(name, trials);
            }
            throw;
        }
        answer(name, trials);
    }

    /// With what calibration sets for all chips alike.
    [[nodiscard]] Analogue prepared(const Analogue& analogue)
    {
        reporter_.begin("preparing the chip", 0);
        check_calibration(analogue, !options_.calibration.empty());
        return analogue.aidac && !options_.calibration.empty()
                   ? calibrated(analogue, integers_, pieces_, options_.calibration, options_.seed,
                                options_.threads)
                   : analogue;
    }

    [[nodiscard]] AccuracyReport report() && { return std::move(report_); }

private:
    static constexpr const char* kFloat = "float";
    static constexpr const char* kIntegers = "integers";

    /// With what is set for each chip.
    [[nodiscard]] Analogue ready(const Analogue& how, std::uint64_t seed) const
    {
        return how.needs_calibration() ? calibrated(how, integers_, pieces_, options_.calibration,
                                                    seed, options_.threads)
                                       : how;
    }

    void one(const std::string& name, Trial trial)
    {
        std::vector<Trial> trials;
        note(name, trials, std::move(trial));
        answer(name, trials);
    }

    void note(const std::string& name, std::vector<Trial>& trials, Trial trial) const
    {
        trial.outcome.name = name;
        trial.outcome.trial = static_cast<std::uint32_t>(trials.size());
        if (options_.on_outcome)
        {
            options_.on_outcome(trial.outcome);
        }
        trial.outcome.logits.clear(); // nobody asks again
        trial.outcome.reals.clear();
        trials.push_back(std::move(trial));
    }

    void answer(const std::string& name, const std::vector<Trial>& trials)
    {
        std::vector<double> right;
        std::vector<double> differences;
        for (const Trial& trial : trials)
        {
            for (std::size_t i = 0; i < whole_.size(); ++i)
            {
                right.push_back(trial.outcome.right[i]);
                differences.push_back(trial.outcome.right[i] - whole_[i]);
            }
        }
        Answer answer;
        answer.name = name;
        answer.trials = static_cast<std::uint32_t>(trials.size());
        answer.accuracy = proportion(right, trials.size());
        if (name != kIntegers)
        {
            answer.difference = difference(differences, trials.size());
        }
        if (!trials.front().deviations.front().empty())
        {
            answer.snr_db = ratios(trials, report_.layers.size());
        }
        report_.answers.push_back(std::move(answer));
        if (options_.on_answer)
        {
            options_.on_answer(report_);
        }
    }

    const IntegerNetwork& integers_;
    const AccuracyOptions& options_;
    Reporter reporter_;
    std::vector<Piece> pieces_;
    Examination examination_;
    std::vector<char> whole_; ///< which images whole numbers are right of
    AccuracyReport report_;
};

} // namespace

AccuracyReport accuracy(const network::WeightedNetwork* weighted, const IntegerNetwork& integers,
                        const Dataset& images, const config::ChipConfig& chip,
                        const AccuracyOptions& options)
{
    check_labels(integers, images);
    Examiner examiner(integers, images, chip, options);
    const Analogue analogue = examiner.prepared(analogue_of(chip));
    examiner.begin(options.wanted.in_float ? weighted : nullptr);
    if (options.wanted.noiseless)
    {
        examiner.examine("finite, noiseless", noiseless(analogue), 1);
    }
    const std::vector<Source> alone = sources(analogue);
    for (const Source& source : options.wanted.alone ? alone : std::vector<Source>())
    {
        examiner.examine(source.name, source.analogue, options.trials);
    }
    if (options.wanted.all && !alone.empty())
    {
        examiner.examine("all", analogue, options.trials);
    }
    return std::move(examiner).report();
}

} // namespace tessera::values
