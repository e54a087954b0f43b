// SPDX-License-Identifier: Apache-2.0
#include "values/code_ranges.h"

#include "base/interrupt.h"
#include "base/reporter.h"
#include "tessera/error.h"
#include "values/float_network.h"

#include <fmt/format.h>

namespace tessera::values
{

using network::Layer;
using network::LayerKind;
using network::Network;

namespace
{

constexpr std::size_t kBins = 4096;
constexpr std::size_t kMseSteps = 80; ///< ranges tried, down to a fifth of the largest

/// Does the layer have the codes of its operands?
bool keeps_codes(const Structure& structure, const Layer& layer, std::size_t i)
{
    const bool may = moves_only(layer.kind) || layer.kind == LayerKind::max_pool ||
                     layer.kind == LayerKind::average_pool;
    return may &&
           std::any_of(layer.inputs.begin(), layer.inputs.end(),
                       [&](LayerId operand)
                       { return structure.groups.of(operand.index()) == structure.groups.of(i); });
}

/// Squared error of the magnitudes when `limit` is the largest code of `codes`.
double squared_error(const Seen& seen, double limit, double codes)
{
    double error = 0;
    for (std::size_t bin = 0; bin < kBins; ++bin)
    {
        const double value = (static_cast<double>(bin) + 0.5) / kBins * seen.magnitude();
        const double step = limit / codes;
        const double code = std::min(std::floor(value / step + 0.5), codes);
        error += static_cast<double>(seen.bins[bin]) * std::pow(value - code * step, 2);
    }
    return error;
}

} // namespace

Structure structure_of(const network::WeightedNetwork& weighted)
{
    const Network& network = weighted.network;
    const auto coded = [&](std::size_t layer)
    { return weighted.weights[layer].codes.output.has_value(); };
    std::vector<std::size_t> readers(network.layers.size(), 0);
    for (const Layer& layer : network.layers)
    {
        for (const LayerId operand : layer.inputs)
        {
            ++readers[operand.index()];
        }
    }
    for (const LayerId output : network.outputs)
    {
        ++readers[output.index()];
    }
    Structure its{Groups(network.layers.size()), std::vector<char>(network.layers.size(), 0)};
    std::vector<char> has_codes(network.layers.size(), 0); // its own, or those of its operand
    for (std::size_t i = 0; i < network.layers.size(); ++i)
    {
        const Layer& layer = network.layers[i];
        has_codes[i] = coded(i) || ((moves_only(layer.kind) || layer.kind == LayerKind::max_pool) &&
                                    has_codes[layer.inputs[0].index()] != 0)
                           ? 1
                           : 0;
        if (layer.kind == LayerKind::concat && coded(i))
        {
            // Operands that the file codes by themselves become codes of the concat.
            for (const LayerId operand : layer.inputs)
            {
                if (has_codes[operand.index()] == 0)
                {
                    its.groups.join(i, operand.index());
                }
            }
        }
        else if (moves_only(layer.kind) || layer.kind == LayerKind::max_pool ||
                 (layer.kind == LayerKind::average_pool && !coded(i) &&
                  has_codes[layer.inputs[0].index()] == 0))
        {
            for (const LayerId operand : layer.inputs)
            {
                its.groups.join(i, operand.index());
            }
        }
        if (layer.kind == LayerKind::activation &&
            (layer.activation == "relu" || (layer.activation == "relu6" && coded(i))))
        {
            const std::size_t from = layer.inputs[0].index();
            const LayerKind kind = network.layers[from].kind;
            const bool sums =
                kind == LayerKind::conv2d || kind == LayerKind::dense || kind == LayerKind::add;
            const bool rounds = kind == LayerKind::mul || kind == LayerKind::matmul ||
                                kind == LayerKind::batch_norm || kind == LayerKind::average_pool ||
                                kind == LayerKind::global_average_pool;
            if (readers[from] == 1 && !coded(from) && (sums || (rounds && coded(i))))
            {
                its.groups.join(i, from);
                its.swallowed[from] = 1;
            }
        }
    }
    return its;
}

LayerCodes recorded_codes(const network::WeightedNetwork& weighted, const Structure& structure,
                          const std::string& file)
{
    const std::vector<Layer>& layers = weighted.network.layers;
    LayerCodes codes(layers.size());
    std::vector<std::optional<std::size_t>> first(layers.size()); // by group, that has codes
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        codes[i] = weighted.weights[i].codes.output;
        if (!codes[i])
        {
            continue;
        }
        std::optional<std::size_t>& other = first[structure.groups.of(i)];
        if (other && codes[*other]->scale != codes[i]->scale)
        {
            throw InputError({file, 0, "/graph/" + layers[i].name},
                             "is coded with the scale " + fmt::format("{:.6g}", codes[i]->scale) +
                                 ", but layer \"" + layers[*other].name +
                                 "\", whose codes it keeps, with " +
                                 fmt::format("{:.6g}", codes[*other]->scale),
                             "quantise both with one scale");
        }
        other = other ? other : i;
        if (layers[i].kind == LayerKind::activation && layers[i].activation.rfind("relu", 0) == 0)
        {
            codes[i]->least = std::max(codes[i]->least, 0);
            if (layers[i].activation == "relu6")
            {
                codes[i]->most = static_cast<std::int32_t>(std::min<double>(
                    codes[i]->most, std::max(1.0, std::nearbyint(6 / codes[i]->scale))));
            }
        }
    }
    // Who reads a layer beside those that share its codes sees it unrounded.
    std::vector<char> shared(layers.size(), 1);
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        for (const LayerId operand : layers[i].inputs)
        {
            if (structure.groups.of(operand.index()) != structure.groups.of(i))
            {
                shared[operand.index()] = 0;
            }
        }
    }
    for (const LayerId output : weighted.network.outputs)
    {
        shared[output.index()] = 0;
    }
    // Against the data's way to operands, with it to readers, until all of a group are reached.
    for (bool changed = true; changed;)
    {
        changed = false;
        for (std::size_t i = layers.size(); i-- > 0;)
        {
            for (const LayerId operand : layers[i].inputs)
            {
                auto& its = codes[operand.index()];
                if (codes[i] && !its && shared[operand.index()] != 0 &&
                    structure.groups.of(operand.index()) == structure.groups.of(i))
                {
                    its = codes[i];
                    changed = true;
                }
            }
        }
        for (std::size_t i = 0; i < layers.size(); ++i)
        {
            if (codes[i] || !keeps_codes(structure, layers[i], i))
            {
                continue;
            }
            for (const LayerId operand : layers[i].inputs)
            {
                const auto& its = codes[operand.index()];
                if (its && structure.groups.of(operand.index()) == structure.groups.of(i))
                {
                    codes[i] = codes[i] ? codes[i] : its;
                    codes[i]->least = std::min(codes[i]->least, its->least);
                    codes[i]->most = std::max(codes[i]->most, its->most);
                    if (layers[i].kind == LayerKind::pad) // with zeros
                    {
                        codes[i]->least = std::min(codes[i]->least, 0);
                        codes[i]->most = std::max(codes[i]->most, 0);
                    }
                    changed = true;
                }
            }
        }
    }
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        for (const LayerId operand : layers[i].inputs)
        {
            const auto& its = codes[operand.index()];
            if (codes[i] && its && keeps_codes(structure, layers[i], i) &&
                structure.groups.of(operand.index()) == structure.groups.of(i) &&
                (its->least < codes[i]->least || its->most > codes[i]->most))
            {
                throw InputError({file, 0, "/graph/" + layers[i].name},
                                 "is coded with another zero point than layer \"" +
                                     layers[operand.index()].name + "\", whose codes it keeps",
                                 "quantise both with one scale and zero point");
            }
        }
    }
    return codes;
}

std::vector<Seen> look(const network::WeightedNetwork& weighted, const Structure& structure,
                       const Dataset& images, const PhaseMonitor& monitor)
{
    Reporter reporter(monitor);
    const FloatNetwork network(weighted);
    std::vector<Seen> seen(weighted.network.layers.size());
    const auto each = [&](const char* phase, auto visit)
    {
        reporter.begin(phase, images.count());
        for (std::size_t image = 0; image < images.count(); ++image)
        {
            throw_if_interrupted();
            const auto maps = network.run(images.image(image));
            for (std::size_t i = 0; i < maps.size(); ++i)
            {
                if (structure.swallowed[i] == 0)
                {
                    visit(seen[structure.groups.of(i)], maps[i]);
                }
            }
            reporter.add();
        }
    };
    each("looking for the ranges of codes",
         [](Seen& its, const Map<float>& map)
         {
             const auto [least, most] = std::minmax_element(map.begin(), map.end());
             its.least = std::min(its.least, *least);
             its.most = std::max(its.most, *most);
         });
    each("counting codes",
         [](Seen& its, const Map<float>& map)
         {
             its.bins.resize(kBins);
             const double per_bin = static_cast<double>(kBins) / std::max(its.magnitude(), 1e-30);
             for (const float value : map)
             {
                 const auto bin =
                     static_cast<std::size_t>(std::abs(static_cast<double>(value)) * per_bin);
                 ++its.bins[std::min(bin, kBins - 1)];
             }
         });
    return seen;
}

double limit_of(const Seen& seen, double codes, const QuantizeOptions& options)
{
    const double largest = seen.magnitude();
    if (largest == 0)
    {
        return 1; // a layer of zeros
    }
    switch (options.rule)
    {
    case RangeRule::min_max:
        break;
    case RangeRule::percentile:
    {
        const std::uint64_t all =
            std::accumulate(seen.bins.begin(), seen.bins.end(), std::uint64_t{0});
        std::uint64_t below = 0;
        for (std::size_t bin = 0; bin < kBins; ++bin)
        {
            below += seen.bins[bin];
            if (static_cast<double>(below) >= options.percentile / 100 * static_cast<double>(all))
            {
                return largest * static_cast<double>(bin + 1) / kBins;
            }
        }
        break;
    }
    case RangeRule::mse:
    {
        double best = largest;
        double least = squared_error(seen, largest, codes);
        for (std::size_t step = 1; step < kMseSteps; ++step)
        {
            const double limit = largest * (1 - 0.8 * static_cast<double>(step) / kMseSteps);
            const double error = squared_error(seen, limit, codes);
            if (error < least)
            {
                least = error;
                best = limit;
            }
        }
        return best;
    }
    }
    return largest;
}

} // namespace tessera::values
