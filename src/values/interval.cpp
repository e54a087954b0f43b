// SPDX-License-Identifier: Apache-2.0
#include "values/interval.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace tessera::values
{
namespace
{

/// Two-sided 95 % quantile of Student's t.
double student(double degrees)
{
    constexpr std::array<double, 30> table{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
                                           2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
                                           2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
                                           2.060,  2.056, 2.052, 2.048, 2.045, 2.042};
    if (degrees <= static_cast<double>(table.size()))
    {
        return table[static_cast<std::size_t>(std::max(degrees, 1.0)) - 1];
    }
    // Fisher's expansion around the normal quantile: right to 5 digits from here on.
    constexpr double z = 1.959964;
    constexpr double first = (z * z * z + z) / 4;
    constexpr double second = (5 * z * z * z * z * z + 16 * z * z * z + 3 * z) / 96;
    return z + first / degrees + second / (degrees * degrees);
}

double square(double value)
{
    return value * value;
}

double sum_of_squares(const std::vector<double>& values, double mean)
{
    return std::accumulate(values.begin(), values.end(), 0.0,
                           [mean](double sum, double value) { return sum + square(value - mean); });
}

/// What outcomes by trial and image (row-major, one row a trial) say of their mean: mean squares of
/// crossed effects.
struct Effects
{
    double trials = 0;
    double images = 0;
    double mean = 0;
    double of_images = 0;
    double of_trials = 0; ///< 0 of one trial
    double of_rest = 0;   ///< of what neither explains; 0 of one trial
    double variance = 0;  ///< of all outcomes around the mean
};

Effects effects_of(const std::vector<double>& outcomes, std::size_t trials)
{
    const std::size_t images = outcomes.size() / trials;
    Effects its;
    its.trials = static_cast<double>(trials);
    its.images = static_cast<double>(images);
    std::vector<double> trial_means(trials, 0);
    std::vector<double> image_means(images, 0);
    for (std::size_t i = 0; i < outcomes.size(); ++i)
    {
        trial_means[i / images] += outcomes[i];
        image_means[i % images] += outcomes[i];
    }
    for (double& sum : trial_means)
    {
        sum /= its.images;
    }
    for (double& sum : image_means)
    {
        sum /= its.trials;
    }
    its.mean = std::accumulate(trial_means.begin(), trial_means.end(), 0.0) / its.trials;
    const double all = sum_of_squares(outcomes, its.mean);
    const double by_image = its.trials * sum_of_squares(image_means, its.mean);
    const double by_trial = its.images * sum_of_squares(trial_means, its.mean);
    const auto mean_square = [](double sum, double degrees)
    { return degrees > 0 ? std::max(sum, 0.0) / degrees : 0; };
    its.of_images = mean_square(by_image, its.images - 1);
    if (trials > 1)
    {
        its.of_trials = mean_square(by_trial, its.trials - 1);
        its.of_rest = mean_square(all - by_image - by_trial, (its.images - 1) * (its.trials - 1));
    }
    its.variance = all / static_cast<double>(outcomes.size());
    return its;
}

/// Variance of the mean, and the quantile (squared) that an interval takes of it.
struct Spread
{
    double variance = 0;
    double quantile = 0;
};

/// `images`: how many `of_images` stands for.
Spread spread_of(const Effects& its, double of_images, double images)
{
    // A mean square of trials contains the rest, one of images without it is theirs alone.
    const double from_trials = its.of_trials;
    const double from_images = std::max(of_images - its.of_rest, 0.0);
    const double narrow = square(student(its.images - 1));
    const double variance = from_trials + from_images;
    if (!(from_trials > 0))
    {
        return {variance / (images * its.trials), narrow};
    }
    // How much of the variance is that of trials: from 0 to 1, 1/2 where it is a third of that of
    // images. The 1/10 keeps the coverage of two trials closest to 95 % at the worst share.
    const double weight = square(from_trials) / (square(from_trials) + square(from_images) / 10);
    const double wide = square(student(its.trials - 1));
    const double of_trials = weight * wide + (1 - weight) * narrow;
    return {variance / (images * its.trials),
            (from_trials * of_trials + from_images * narrow) / variance};
}

} // namespace

Estimate proportion(const std::vector<double>& outcomes, std::size_t trials)
{
    const Effects its = effects_of(outcomes, trials);
    const double p = its.mean;
    // Half an image more, of which one half is right, steadies the estimate of independent images
    // where hardly any is wrong.
    constexpr double quarter = 0.25;
    const double images = its.images + 2 * quarter;
    const double mean = (its.images * p + quarter) / images;
    const double squares =
        (its.images - 1) * its.of_images +
        its.trials * (its.images * square(p - mean) + quarter * (square(1 - mean) + square(mean)));
    const Spread spread = spread_of(its, squares / (images - 1), images);
    const double independent = mean * (1 - mean) / spread.variance;
    const double t = spread.quantile / independent;
    const double centre = (p + t / 2) / (1 + t);
    const double half = std::sqrt(t * (p * (1 - p) + t / 4)) / (1 + t);
    return {p, std::clamp(centre - half, 0.0, p), std::clamp(centre + half, p, 1.0)};
}

Estimate difference(const std::vector<double>& outcomes, std::size_t trials)
{
    const Effects its = effects_of(outcomes, trials);
    const Spread spread = spread_of(its, its.of_images, its.images);
    const double independent = spread.variance > 0 ? its.variance / spread.variance : its.images;
    const double centre = its.mean * independent / (independent + 2);
    const double half =
        std::sqrt(spread.quantile * (independent * its.variance + 1)) / (independent + 2);
    return {its.mean, std::clamp(centre - half, -1.0, its.mean),
            std::clamp(centre + half, its.mean, 1.0)};
}

} // namespace tessera::values
