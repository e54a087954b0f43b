// SPDX-License-Identifier: Apache-2.0
#include "values/comparison.h"

#include "base/h5.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace tessera::values
{
namespace
{

constexpr std::int32_t kNotMade = std::numeric_limits<std::int32_t>::min();
constexpr std::size_t kMostDifferencesKept = 8;

/// Counts element `index` of an image unless it is as wanted.
void judge(Comparison& comparison, const network::Shape& shape, std::size_t image,
           std::size_t index, std::int64_t made, std::int64_t wanted)
{
    if (made == wanted)
    {
        return;
    }
    if (++comparison.different <= kMostDifferencesKept)
    {
        const std::size_t pixel = index / shape.channels;
        comparison.first.push_back({image, pixel / shape.width, pixel % shape.width,
                                    index % shape.channels, made, wanted});
    }
}

} // namespace

std::vector<LayerComparison> compare(const Machine& machine, const IntegerNetwork& integers,
                                     const std::vector<Map<std::int32_t>>& inputs,
                                     const ReferenceOf& reference)
{
    const std::size_t count = integers.layers.size();
    std::vector<LayerComparison> all(count);
    std::vector<double> signal(count, 0);
    std::vector<double> noise(count, 0);
    for (std::uint32_t image = 0; image < inputs.size(); ++image)
    {
        const std::vector<Map<std::int32_t>> exact = run(integers, inputs[image]);
        const std::vector<Map<std::int32_t>> slow =
            reference ? reference(inputs[image]) : std::vector<Map<std::int32_t>>();
        for (std::uint32_t i = 0; i < count; ++i)
        {
            LayerComparison& its = all[i];
            its.layer = LayerId(i);
            const std::vector<std::int64_t>* const made = machine.made(image, its.layer);
            if (made == nullptr)
            {
                continue;
            }
            const network::Shape& shape = integers.network[its.layer].output;
            its.elements += made->size();
            if (reference)
            {
                its.from_reference = its.from_reference.value_or(Comparison{});
            }
            for (std::size_t k = 0; k < made->size(); ++k)
            {
                const std::int64_t code = (*made)[k];
                if (code == Machine::kPoison)
                {
                    ++its.missing;
                    continue;
                }
                const auto wanted = static_cast<double>(exact[i][k]);
                const double off = static_cast<double>(code) - wanted;
                signal[i] += wanted * wanted;
                noise[i] += off * off;
                judge(its.from_integers, shape, image, k, code, exact[i][k]);
                if (reference)
                {
                    judge(*its.from_reference, shape, image, k, code, slow[i][k]);
                }
            }
        }
    }
    for (std::size_t i = 0; i < count; ++i)
    {
        all[i].snr_db = noise[i] == 0 ? std::numeric_limits<double>::infinity()
                                      : 10 * std::log10(signal[i] / noise[i]);
    }
    all.erase(std::remove_if(all.begin(), all.end(),
                             [](const LayerComparison& its) { return its.elements == 0; }),
              all.end());
    return all;
}

namespace
{

OutputFile make_file(const std::filesystem::path& path, const Machine& machine,
                     const IntegerNetwork& integers, const std::vector<LayerComparison>& layers)
{
    const h5::Lock lock;
    h5::Output file(path);
    h5::Handle group = h5::create_group(file.get(), "layers");
    for (const LayerComparison& its : layers)
    {
        const network::Layer& layer = integers.network[its.layer];
        const std::string name =
            h5::link_name(fmt::format("{:03}_{}", its.layer.value(), layer.name));
        std::vector<std::int32_t> codes;
        for (std::uint32_t image = 0; image < machine.images(); ++image)
        {
            const std::vector<std::int64_t>* const made = machine.made(image, its.layer);
            for (std::size_t k = 0; k < layer.output.elements(); ++k)
            {
                const std::int64_t code = made == nullptr ? Machine::kPoison : (*made)[k];
                codes.push_back(code == Machine::kPoison ? kNotMade
                                                         : static_cast<std::int32_t>(code));
            }
        }
        const h5::Handle dataset = h5::create_dataset(
            group.get(), name, H5T_STD_I32LE,
            {machine.images(), layer.output.height, layer.output.width, layer.output.channels});
        h5::check(
            H5Dwrite(dataset.get(), H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, codes.data()),
            "write " + name);
        h5::set_attribute(dataset.get(), "layer", layer.name);
        h5::set_attribute(dataset.get(), "kind", std::string(network::name_of(layer.kind)));
        h5::set_attribute(dataset.get(), "scale", integers[its.layer].scale);
        h5::set_attribute(dataset.get(), "missing", its.missing);
        h5::set_attribute(dataset.get(), "different_from_integers", its.from_integers.different);
        if (its.from_reference)
        {
            h5::set_attribute(dataset.get(), "different_from_reference",
                              its.from_reference->different);
        }
    }
    group.reset();
    return file.finish();
}

} // namespace

OutputFile values_file(const std::filesystem::path& path, const Machine& machine,
                       const IntegerNetwork& integers, const std::vector<LayerComparison>& layers)
{
    return naming(path, [&] { return make_file(path, machine, integers, layers); });
}

} // namespace tessera::values
