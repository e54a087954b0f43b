// SPDX-License-Identifier: Apache-2.0
#include "values/accuracy.h"

#include "tessera/error.h"
#include "values/crossbars.h"
#include "values/float_network.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace tessera::values
{
namespace
{

using network::LayerKind;

/// The answer that others are compared with.
constexpr const char* kIntegers = "integers";

/// Two-sided 95 % quantile of Student's t; beyond the table that of the normal, a little high.
double student(std::size_t degrees)
{
    constexpr std::array<double, 30> table{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
                                           2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
                                           2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
                                           2.060,  2.056, 2.052, 2.048, 2.045, 2.042};
    return degrees == 0 ? table.front() : degrees <= table.size() ? table[degrees - 1] : 1.96;
}

/// Variance of `means` times how many outcomes are in each: a mean square.
double mean_square(const std::vector<double>& means, double mean, double each)
{
    double sum = 0;
    for (const double value : means)
    {
        sum += (value - mean) * (value - mean);
    }
    return means.size() < 2 ? 0 : sum * each / static_cast<double>(means.size() - 1);
}

struct Deviation
{
    double signal = 0; ///< whole numbers below 2^53: the order of addition does not matter
    double noise = 0;
};

/// One configuration on one chip: which class each image is, and how far layers are off.
struct Outcome
{
    std::vector<char> right;
    std::vector<std::vector<Deviation>> deviations; ///< by image and layer
    std::vector<Map<std::int32_t>> logits;          ///< by image
};

class Examination
{
public:
    Examination(const IntegerNetwork& integers, const Dataset& images, unsigned threads)
        : integers_(integers), images_(images), threads_(threads)
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

    [[nodiscard]] Outcome take(const Products* products)
    {
        Outcome outcome = empty();
        // Whole numbers are computed beside the others: noted on the way, the first time.
        const bool notes = whole_.right.empty();
        if (notes)
        {
            whole_ = empty();
        }
        const std::size_t output = integers_.network.outputs.front().index();
        in_parallel(images_.count(), threads_,
                    [&](std::size_t image)
                    {
                        const Map<std::int32_t> codes = integers_.codes(images_.image(image));
                        const auto note = [&](Outcome& into, const Map<std::int32_t>& logits)
                        {
                            into.right[image] = best_class(logits) == images_.labels[image] ? 1 : 0;
                            into.logits[image] = logits;
                        };
                        const auto exact = run(integers_, codes);
                        if (notes)
                        {
                            note(whole_, exact[output]);
                        }
                        if (products != nullptr)
                        {
                            const auto maps =
                                run(integers_, codes, products, static_cast<std::uint32_t>(image));
                            note(outcome, maps[output]);
                            compare(maps, exact, outcome.deviations[image]);
                        }
                    });
        return outcome;
    }

    /// Of the whole numbers.
    [[nodiscard]] const Outcome& whole()
    {
        if (whole_.right.empty())
        {
            static_cast<void>(take(nullptr));
        }
        return whole_;
    }

private:
    [[nodiscard]] Outcome empty() const
    {
        Outcome outcome;
        outcome.right.resize(images_.count());
        outcome.deviations.resize(images_.count());
        outcome.logits.resize(images_.count());
        return outcome;
    }

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
    std::vector<std::uint32_t> layers_;
    Outcome whole_;
};

std::vector<double> ratios(const std::vector<Outcome>& outcomes, std::size_t layers)
{
    std::vector<double> snr;
    for (std::size_t layer = 0; layer < layers; ++layer)
    {
        Deviation total;
        for (const Outcome& outcome : outcomes)
        {
            for (const std::vector<Deviation>& image : outcome.deviations)
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

/// What outcomes by trial and image (row-major, one row a trial) say of their mean.
struct Spread
{
    std::size_t images = 0;
    double mean = 0;
    double variance = 0; ///< of the mean
    double quantile = 0; ///< in standard deviations, of 95 %
};

Spread spread_of(const std::vector<double>& outcomes, std::size_t trials)
{
    const std::size_t images = outcomes.size() / trials;
    const auto per_trial = static_cast<double>(images);
    const auto per_image = static_cast<double>(trials);
    std::vector<double> trial_means(trials, 0);
    std::vector<double> image_means(images, 0);
    for (std::size_t i = 0; i < outcomes.size(); ++i)
    {
        trial_means[i / images] += outcomes[i];
        image_means[i % images] += outcomes[i];
    }
    for (double& sum : trial_means)
    {
        sum /= per_trial;
    }
    for (double& sum : image_means)
    {
        sum /= per_image;
    }
    const double mean = std::accumulate(trial_means.begin(), trial_means.end(), 0.0) / per_image;
    double residual = 0;
    for (std::size_t i = 0; i < outcomes.size(); ++i)
    {
        const double rest = outcomes[i] - trial_means[i / images] - image_means[i % images] + mean;
        residual += rest * rest;
    }
    const double degrees = (per_trial - 1) * (per_image - 1);
    const double of_images = mean_square(image_means, mean, per_image);
    const double of_trials = mean_square(trial_means, mean, per_trial);
    const double of_rest = degrees > 0 ? residual / degrees : 0;
    // Variance of the mean of crossed effects, from their mean squares.
    const double variance =
        std::max({of_images, of_trials, of_images + of_trials - of_rest}) / (per_trial * per_image);
    return {images, mean, variance, student(trials > 1 ? trials - 1 : images - 1)};
}

} // namespace

Estimate proportion(const std::vector<double>& outcomes, std::size_t trials)
{
    const Spread spread = spread_of(outcomes, trials);
    const double p = spread.mean;
    // Independent images that would give this variance.
    const double images =
        spread.variance > 0 ? p * (1 - p) / spread.variance : static_cast<double>(spread.images);
    const double t = spread.quantile * spread.quantile / images;
    const double centre = (p + t / 2) / (1 + t);
    const double half = std::sqrt(t * (p * (1 - p) + t / 4)) / (1 + t);
    return {p, std::clamp(centre - half, 0.0, p), std::clamp(centre + half, p, 1.0)};
}

Estimate difference(const std::vector<double>& outcomes, std::size_t trials)
{
    const Spread spread = spread_of(outcomes, trials);
    const auto images = static_cast<double>(spread.images);
    const double share = images / (images + 2);
    const double centre = share * spread.mean;
    const double half =
        spread.quantile * std::hypot(share * std::sqrt(spread.variance), 1 / (images + 2));
    return {spread.mean, std::clamp(centre - half, -1.0, spread.mean),
            std::clamp(centre + half, spread.mean, 1.0)};
}

AccuracyReport accuracy(const network::WeightedNetwork* weighted, const IntegerNetwork& integers,
                        const Dataset& images, const config::ChipConfig& chip,
                        const AccuracyOptions& options)
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
    Analogue analogue = analogue_of(chip);
    const std::vector<Piece> pieces = pieces_of(integers, chip);
    if (!options.calibration.empty())
    {
        analogue = calibrated(analogue, integers, pieces, options.calibration);
    }
    else if (analogue.needs_calibration())
    {
        throw UsageError("the chip's converters are calibrated: give --calibrate");
    }
    Examination examination(integers, images, options.threads);
    AccuracyReport report;
    report.images = images.count();
    for (const std::uint32_t layer : examination.layers())
    {
        report.layers.push_back(integers.network.layers[layer].name);
    }
    struct Part
    {
        std::string name;
        std::vector<Outcome> outcomes;
    };
    std::vector<Part> parts;
    const auto add = [&](const std::string& name, const std::vector<Outcome>& outcomes)
    {
        const Outcome& whole = examination.whole();
        std::vector<double> right;
        std::vector<double> differences;
        for (const Outcome& outcome : outcomes)
        {
            for (std::size_t i = 0; i < outcome.right.size(); ++i)
            {
                right.push_back(outcome.right[i]);
                differences.push_back(outcome.right[i] - whole.right[i]);
            }
        }
        Answer answer;
        answer.name = name;
        answer.trials = static_cast<std::uint32_t>(outcomes.size());
        answer.accuracy = proportion(right, outcomes.size());
        if (name != kIntegers)
        {
            answer.difference = difference(differences, outcomes.size());
        }
        if (!outcomes.front().deviations.front().empty())
        {
            answer.snr_db = ratios(outcomes, report.layers.size());
        }
        answer.logits = outcomes.front().logits;
        report.answers.push_back(std::move(answer));
    };
    if (weighted != nullptr && options.wanted.in_float)
    {
        const FloatNetwork network(*weighted);
        const std::size_t output = weighted->network.outputs.front().index();
        Outcome outcome;
        outcome.right.resize(images.count());
        outcome.deviations.resize(images.count());
        in_parallel(images.count(), options.threads,
                    [&](std::size_t image)
                    {
                        const Map<float> logits = network.run(images.image(image))[output];
                        const auto best = std::max_element(logits.begin(), logits.end());
                        outcome.right[image] = static_cast<std::uint32_t>(best - logits.begin()) ==
                                                       images.labels[image]
                                                   ? 1
                                                   : 0;
                    });
        parts.push_back({"float", {std::move(outcome)}});
    }
    const auto examine = [&](const std::string& name, const Analogue& how, std::uint32_t trials)
    {
        std::vector<Outcome> outcomes;
        for (std::uint32_t trial = 0; trial < trials; ++trial)
        {
            const Crossbars crossbars(integers, pieces, how, options.seed + trial, options.threads);
            outcomes.push_back(examination.take(&crossbars));
        }
        parts.push_back({name, std::move(outcomes)});
    };
    if (options.wanted.noiseless)
    {
        examine("finite, noiseless", noiseless(analogue), 1);
    }
    const std::vector<Source> alone = sources(analogue);
    for (const Source& source : options.wanted.alone ? alone : std::vector<Source>())
    {
        examine(source.name, source.analogue, options.trials);
    }
    if (options.wanted.all && !alone.empty())
    {
        examine("all", analogue, options.trials);
    }
    const bool in_float = !parts.empty() && parts.front().name == "float";
    parts.insert(parts.begin() + (in_float ? 1 : 0), {kIntegers, {examination.whole()}});
    for (const Part& part : parts)
    {
        add(part.name, part.outcomes);
    }
    return report;
}

} // namespace tessera::values
