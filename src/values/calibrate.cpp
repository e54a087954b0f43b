// SPDX-License-Identifier: Apache-2.0
#include "values/calibrate.h"

#include "base/interrupt.h"
#include "numerics/converter.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <utility>

namespace tessera::values
{

using network::LayerKind;
using numerics::Matrix;

namespace
{

using Limits = std::vector<double>; ///< of converters, in levels

constexpr int kHalvings = 10;          ///< of the full range, down to the narrowest that is tried
constexpr double kPerHalving = 4;      ///< ranges that are tried in each
constexpr double kEveryWholeStep = 16; ///< levels a code up to which none is left out
constexpr double kWholeSteps = 4;      ///< in each doubling beyond
constexpr int kBetween = 4;            ///< parts that a second look makes of a gap
constexpr std::size_t kMostSums = std::size_t{1} << 22U;       ///< kept at once: 32 MiB
constexpr std::size_t kMostThresholds = std::size_t{1} << 16U; ///< of one flawed converter

/// In the order in which the better of two equals comes first, without repetitions: a wide range
/// cuts less off of what calibration has not seen.
Limits widest_first(Limits limits)
{
    std::sort(limits.begin(), limits.end(), std::greater<>());
    limits.erase(std::unique(limits.begin(), limits.end()), limits.end());
    return limits;
}

/// `full` and what halves it again and again, `granular`, and steps of so many whole levels, which
/// lose nothing where all sums are multiples of one.
Limits first_limits(const numerics::Scheme& scheme)
{
    const auto full = static_cast<double>(numerics::greatest_sum(scheme, scheme.rows));
    const double codes = numerics::greatest_code(scheme);
    Limits limits{full, codes};
    for (int i = 1; i <= kHalvings * static_cast<int>(kPerHalving); ++i)
    {
        limits.push_back(full * std::exp2(-i / kPerHalving));
    }
    for (double step = 2; step * codes < full;
         step = std::max(
             step + 1, step < kEveryWholeStep ? 0 : std::floor(step * std::exp2(1 / kWholeSteps))))
    {
        limits.push_back(step * codes);
    }
    return widest_first(std::move(limits));
}

/// Between the neighbours of the best of `limits`, in parts and at whole levels a code.
Limits second_limits(const numerics::Scheme& scheme, const Limits& limits, double best)
{
    const double codes = numerics::greatest_code(scheme);
    const auto at = std::find(limits.begin(), limits.end(), best);
    const double above = at == limits.begin() ? best : *std::prev(at);
    const double below = std::next(at) == limits.end() ? best : *std::next(at);
    Limits between;
    for (const auto& [from, to] : {std::pair(below, best), std::pair(best, above)})
    {
        for (int part = 1; part < kBetween; ++part)
        {
            const double limit = from * std::pow(to / from, static_cast<double>(part) / kBetween);
            const double whole = std::round(limit / codes) * codes;
            for (const double its : {limit, whole})
            {
                if (its > below && its < above && its != best)
                {
                    between.push_back(its);
                }
            }
        }
    }
    return widest_first(std::move(between));
}

/// Takes the exact products, and notes how far those of the crossbars are off with each limit.
class Judge : public Products
{
public:
    /// `limits`: by layer; none of layers that have no such converters.
    Judge(const IntegerNetwork& integers, const Crossbars& crossbars,
          const std::vector<Limits>& limits, std::size_t at_once)
        : integers_(integers), crossbars_(crossbars), limits_(limits), at_once_(at_once)
    {
        for (const Limits& its : limits)
        {
            errors_.emplace_back(its.size(), 0.0);
        }
    }
    [[nodiscard]] Matrix<std::int64_t> multiply(LayerId id, const Matrix<std::int32_t>& inputs,
                                                std::uint32_t image,
                                                std::uint32_t first) const override
    {
        Matrix<std::int64_t> exact =
            exact_product(inputs, integers_[id].weights, integers_.network[id].groups);
        const std::size_t vectors = std::max<std::size_t>(
            1, kMostSums / (at_once_ * std::max<std::size_t>(1, exact.columns())));
        for (std::size_t begin = 0; begin < inputs.rows(); begin += vectors)
        {
            const compiler::Extent rows{
                static_cast<std::uint32_t>(begin),
                static_cast<std::uint32_t>(std::min(begin + vectors, inputs.rows()))};
            const Matrix<std::int32_t> part =
                part_of(inputs, rows, {0, static_cast<std::uint32_t>(inputs.columns())});
            judge(id, exact, begin,
                  [&](const Limits& limits)
                  { return crossbars_.multiply_at(limits, id, part, image, first + rows.begin); });
        }
        return exact;
    }
    [[nodiscard]] Matrix<std::int64_t> multiply_maps(LayerId id, const Matrix<std::int32_t>& inputs,
                                                     const Matrix<std::int32_t>& second,
                                                     std::uint32_t image) const override
    {
        Matrix<std::int64_t> exact = exact_product(inputs, second, integers_.network[id].heads);
        judge(id, exact, 0,
              [&](const Limits& limits)
              { return crossbars_.multiply_maps_at(limits, id, inputs, second, image); });
        return exact;
    }
    /// Squared, by layer and limit.
    [[nodiscard]] const std::vector<std::vector<double>>& errors() const { return errors_; }

private:
    /// `seen`: sums of the vectors from `first` on, with each of some limits.
    void judge(LayerId id, const Matrix<std::int64_t>& exact, std::size_t first,
               const std::function<std::vector<Matrix<std::int64_t>>(const Limits&)>& seen) const
    {
        const Limits& limits = limits_[id.index()];
        for (std::size_t begin = 0; begin < limits.size(); begin += at_once_)
        {
            const std::size_t end = std::min(begin + at_once_, limits.size());
            const std::vector<Matrix<std::int64_t>> sums =
                seen(Limits(limits.begin() + static_cast<std::ptrdiff_t>(begin),
                            limits.begin() + static_cast<std::ptrdiff_t>(end)));
            for (std::size_t k = 0; k < sums.size(); ++k)
            {
                errors_[id.index()][begin + k] += squared(sums[k], exact, first);
            }
        }
    }

    static double squared(const Matrix<std::int64_t>& sums, const Matrix<std::int64_t>& exact,
                          std::size_t first)
    {
        double total = 0;
        for (std::size_t i = 0; i < sums.rows(); ++i)
        {
            for (std::size_t c = 0; c < sums.columns(); ++c)
            {
                const auto error = static_cast<double>(sums(i, c) - exact(first + i, c));
                total += error * error;
            }
        }
        return total;
    }

    const IntegerNetwork& integers_;
    const Crossbars& crossbars_;
    const std::vector<Limits>& limits_;
    std::size_t at_once_; ///< limits
    mutable std::vector<std::vector<double>> errors_;
};

/// Looks for the limit of each layer with the smallest error.
class Search
{
public:
    Search(const IntegerNetwork& integers, const std::vector<Piece>& pieces,
           const Analogue& analogue, const std::vector<Map<std::int32_t>>& images,
           std::uint64_t seed, unsigned threads)
        : integers_(integers),
          images_(images),
          threads_(threads),
          crossbars_(integers, pieces, analogue, seed, threads),
          at_once_(numerics::needs_table(analogue.scheme.converter)
                       ? std::max<std::size_t>(1, kMostThresholds >> analogue.scheme.converter.bits)
                       : kAtOnce),
          best_(integers.layers.size(),
                static_cast<double>(numerics::greatest_sum(analogue.scheme, analogue.scheme.rows))),
          least_(integers.layers.size(), std::numeric_limits<double>::infinity())
    {
    }

    void look(const std::vector<Limits>& limits)
    {
        std::vector<std::vector<std::vector<double>>> by_image(images_.size());
        in_parallel(images_.size(), threads_,
                    [&](std::size_t image)
                    {
                        const Judge judge(integers_, crossbars_, limits, at_once_);
                        static_cast<void>(run(integers_, images_[image], &judge,
                                              static_cast<std::uint32_t>(image)));
                        by_image[image] = judge.errors();
                    });
        for (std::size_t layer = 0; layer < limits.size(); ++layer)
        {
            for (std::size_t k = 0; k < limits[layer].size(); ++k)
            {
                double error = 0;
                for (const auto& its : by_image)
                {
                    error += its[layer][k];
                }
                const double limit = limits[layer][k];
                if (error < least_[layer] || (error == least_[layer] && limit > best_[layer]))
                {
                    least_[layer] = error;
                    best_[layer] = limit;
                }
            }
        }
    }

    [[nodiscard]] const Limits& best() const { return best_; } ///< by layer

private:
    static constexpr std::size_t kAtOnce = 64;

    const IntegerNetwork& integers_;
    const std::vector<Map<std::int32_t>>& images_;
    unsigned threads_;
    Crossbars crossbars_;
    std::size_t at_once_;
    Limits best_;
    std::vector<double> least_;
};

Limits best_limits(const IntegerNetwork& integers, const std::vector<Piece>& pieces,
                   const Analogue& analogue, const std::vector<Map<std::int32_t>>& images,
                   std::uint64_t seed, unsigned threads)
{
    Search search(integers, pieces, analogue, images, seed, threads);
    std::vector<Limits> limits(integers.layers.size());
    for (const Piece& piece : pieces)
    {
        if (!piece.digital && limits[piece.layer.index()].empty())
        {
            limits[piece.layer.index()] = first_limits(analogue.scheme);
        }
    }
    search.look(limits);
    for (std::size_t i = 0; i < limits.size(); ++i)
    {
        if (!limits[i].empty())
        {
            limits[i] = second_limits(analogue.scheme, limits[i], search.best()[i]);
        }
    }
    search.look(limits);
    return search.best();
}

/// Takes the exact products, and shows the inputs to one piece after the other.
class Watch : public Products
{
public:
    /// Inputs, and the matrices of the groups or heads.
    using Look = std::function<void(LayerId, const Matrix<std::int32_t>&,
                                    const Matrix<std::int32_t>&, std::uint32_t)>;
    Watch(const IntegerNetwork& integers, Look look) : integers_(integers), look_(std::move(look))
    {
    }
    [[nodiscard]] Matrix<std::int64_t> multiply(LayerId id, const Matrix<std::int32_t>& inputs,
                                                std::uint32_t /*image*/,
                                                std::uint32_t /*first*/) const override
    {
        const std::uint32_t groups = integers_.network[id].groups;
        look_(id, inputs, integers_[id].weights, groups);
        return exact_product(inputs, integers_[id].weights, groups);
    }
    [[nodiscard]] Matrix<std::int64_t> multiply_maps(LayerId id, const Matrix<std::int32_t>& inputs,
                                                     const Matrix<std::int32_t>& second,
                                                     std::uint32_t /*image*/) const override
    {
        look_(id, inputs, second, integers_.network[id].heads);
        return exact_product(inputs, second, integers_.network[id].heads);
    }

private:
    const IntegerNetwork& integers_;
    Look look_;
};

/// The gain that no piece of the layer saturates its window with, and the range that no
/// difference is cut off by.
std::vector<numerics::AidacReadout> best_readouts(const IntegerNetwork& integers,
                                                  const std::vector<Piece>& pieces,
                                                  const AidacAnalogue& how,
                                                  const std::vector<Map<std::int32_t>>& images)
{
    numerics::AidacErrors errors = numerics::AidacErrors::none();
    errors.quantisation = true;
    struct Fit
    {
        Piece piece;
        std::unique_ptr<const numerics::AidacBlock> block; ///< null: of a matmul
    };
    const auto block_of =
        [&](const Piece& piece, const Matrix<std::int32_t>& weights, std::uint32_t groups)
    {
        return std::make_unique<const numerics::AidacBlock>(
            how.model, how.scheme, part_of_diagonal(weights, groups, piece.rows, piece.columns),
            errors);
    };
    std::vector<std::vector<Fit>> fits(integers.layers.size());
    for (const Piece& piece : pieces)
    {
        if (piece.digital)
        {
            continue;
        }
        const network::Layer& layer = integers.network[piece.layer];
        fits[piece.layer.index()].push_back(
            {piece, layer.kind == LayerKind::matmul
                        ? nullptr
                        : block_of(piece, integers[piece.layer].weights, layer.groups)});
    }
    struct Ends
    {
        double gain = std::numeric_limits<double>::infinity();
        double volts = 0; ///< range / gain
    };
    std::vector<Ends> ends(integers.layers.size());
    const Watch watch(
        integers,
        [&](LayerId id, const Matrix<std::int32_t>& inputs, const Matrix<std::int32_t>& matrices,
            std::uint32_t groups)
        {
            Matrix<std::int32_t> magnitudes = inputs;
            for (std::size_t i = 0; i < inputs.rows(); ++i)
            {
                std::transform(inputs.row(i), inputs.row(i) + inputs.columns(), magnitudes.row(i),
                               [](std::int32_t input) { return std::abs(input); });
            }
            Ends& its = ends[id.index()];
            for (const Fit& fit : fits[id.index()])
            {
                std::unique_ptr<const numerics::AidacBlock> written;
                if (fit.block == nullptr)
                {
                    const std::int32_t centre = *centre_of(integers[integers.network[id].inputs[1]],
                                                           how.scheme.weight_bits);
                    Matrix<std::int32_t> held = matrices;
                    for (std::size_t row = 0; row < held.rows(); ++row)
                    {
                        std::for_each(held.row(row), held.row(row) + held.columns(),
                                      [&](std::int32_t& weight) { weight -= centre; });
                    }
                    written = block_of(fit.piece, held, groups);
                }
                const numerics::AidacBlock& block = written ? *written : *fit.block;
                const numerics::AidacReadout readout = block.calibrated(part_of(
                    magnitudes, {0, static_cast<std::uint32_t>(inputs.rows())}, fit.piece.rows));
                its.gain = std::min(its.gain, readout.gain);
                its.volts = std::max(its.volts, readout.range / readout.gain);
            }
        });
    for (const Map<std::int32_t>& image : images)
    {
        throw_if_interrupted();
        static_cast<void>(run(integers, image, &watch));
    }
    std::vector<numerics::AidacReadout> readouts(integers.layers.size());
    for (std::size_t i = 0; i < readouts.size(); ++i)
    {
        if (!fits[i].empty())
        {
            const double finest = std::exp2(how.model.tdc_bits) * how.model.tdc_finest_ps * 1e-12;
            readouts[i] = {ends[i].gain, std::max(ends[i].gain * ends[i].volts, finest)};
        }
    }
    return readouts;
}

} // namespace

void check_calibration(const Analogue& analogue, bool given)
{
    if (!given && analogue.needs_calibration())
    {
        throw UsageError(
            "the chip's converters are calibrated: give images for that (--calibrate)");
    }
    if (given && !analogue.aidac && !analogue.needs_calibration())
    {
        throw UsageError("--calibrate means nothing to this chip: set macro.adc.range to "
                         "calibrated, or leave --calibrate out");
    }
}

Analogue calibrated(const Analogue& analogue, const IntegerNetwork& integers,
                    const std::vector<Piece>& pieces, const std::vector<Map<std::int32_t>>& images,
                    std::uint64_t seed, unsigned threads)
{
    Analogue result = analogue;
    if (result.aidac)
    {
        result.aidac->readouts = best_readouts(integers, pieces, *result.aidac, images);
        result.aidac->trim = true;
    }
    else if (result.needs_calibration())
    {
        result.limits.clear();
        result.limits = best_limits(integers, pieces, result, images, seed, threads);
    }
    return result;
}

} // namespace tessera::values
