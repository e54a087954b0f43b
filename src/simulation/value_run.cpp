// SPDX-License-Identifier: Apache-2.0
#include "simulation/value_run.h"

#include "values/calibrate.h"
#include "values/dataset.h"
#include "values/float_network.h"
#include "values/integer_file.h"
#include "values/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>

namespace tessera
{
namespace
{

constexpr std::size_t kMostMissingTold = 8;

std::string integer_file(const std::string& name)
{
    const std::string path = network::find(name);
    const std::string file = values::integers_beside(path);
    if (file.empty())
    {
        throw InputError({path, 0, ""}, "has no whole numbers beside it",
                         "make them with tessera quantize, or name their file (--integers)");
    }
    return file;
}

const network::Layer& input_layer(const values::IntegerNetwork& integers)
{
    return values::input_layer(integers.network, integers.network.name);
}

std::vector<values::Map<std::int32_t>> codes_of(const values::IntegerNetwork& integers,
                                                const Tensor& images, const char* what)
{
    const network::Shape& shape = input_layer(integers).output;
    const auto refuse = [&](const std::string& problem)
    {
        throw InputError({what, 0, ""}, problem,
                         fmt::format("give finite numbers, images x {} x {} x {}", shape.height,
                                     shape.width, shape.channels));
    };
    if (images.rows != shape.height || images.columns != shape.width ||
        images.channels != shape.channels)
    {
        refuse(fmt::format("are images of {} x {} x {} (rows, columns, channels)", images.rows,
                           images.columns, images.channels));
    }
    if (images.numbers.size() != images.images * images.image_size())
    {
        refuse(fmt::format("are {} numbers for {} images", images.numbers.size(), images.images));
    }
    const auto odd = std::find_if_not(images.numbers.begin(), images.numbers.end(),
                                      [](float number) { return std::isfinite(number); });
    if (odd != images.numbers.end())
    {
        refuse(fmt::format("have {} at index {}", *odd, odd - images.numbers.begin()));
    }
    std::vector<values::Map<std::int32_t>> codes;
    for (std::size_t i = 0; i < images.images; ++i)
    {
        codes.push_back(integers.codes(images.numbers.data() + i * images.image_size()));
    }
    return codes;
}

values::Analogue analogue_of(const ChipModel& chip, ValueErrors errors)
{
    values::Analogue analogue = values::analogue_of(chip.config());
    return errors == ValueErrors::noiseless  ? values::noiseless(analogue)
           : errors == ValueErrors::lossless ? values::lossless(analogue)
                                             : analogue;
}

Tensor values_of(const values::Machine& machine, LayerId layer, const network::Shape& shape,
                 double scale)
{
    Tensor output{machine.images(), shape.height, shape.width, shape.channels, {}};
    output.numbers.assign(output.images * output.image_size(),
                          std::numeric_limits<float>::quiet_NaN());
    for (std::uint32_t image = 0; image < output.images; ++image)
    {
        const std::vector<std::int64_t>* const made = machine.made(image, layer);
        if (made == nullptr)
        {
            continue;
        }
        float* const to = output.numbers.data() + image * output.image_size();
        for (std::size_t i = 0; i < made->size(); ++i)
        {
            if ((*made)[i] != values::Machine::kPoison)
            {
                to[i] = static_cast<float>(static_cast<double>((*made)[i]) * scale);
            }
        }
    }
    return output;
}

} // namespace

QuantizedNetwork::QuantizedNetwork(const std::string& name)
    : QuantizedNetwork(open(integer_file(name)))
{
    file_.clear();
}

QuantizedNetwork QuantizedNetwork::open(const std::string& file)
{
    QuantizedNetwork network(
        std::make_shared<const values::IntegerNetwork>(values::load_integers(file).integers));
    network.file_ = file;
    return network;
}

Tensor QuantizedNetwork::input(std::size_t images) const
{
    const network::Shape& shape = input_layer(*integers_).output;
    return {images, shape.height, shape.width, shape.channels,
            std::vector<float>(images * shape.elements(), 0)};
}

Tensor QuantizedNetwork::images(const std::string& data, std::size_t first, std::size_t count,
                                const std::string& part) const
{
    values::Dataset found = values::load_dataset(data, part, input_layer(*integers_), first, count);
    if (found.count() < count)
    {
        throw InputError(
            {data, 0, ""},
            fmt::format("has {} images from number {} on, not {}", found.count(), first, count),
            "ask for fewer");
    }
    Tensor images = input(0);
    images.images = count;
    images.numbers = std::move(found.pixels);
    return images;
}

void ValueResult::require_equal() const
{
    if (missing_reads != 0)
    {
        std::string text = fmt::format("{} reads of data that had not arrived:", missing_reads);
        for (const std::string& read : first_missing_reads)
        {
            text += "\n  " + read;
        }
        throw SimulationError(text +
                              "\nadd the operations that make or bring these data to `in` (or, for "
                              "loads, `after`) of those that read them");
    }
    for (const LayerValues& layer : layers)
    {
        const bool exact = errors == ValueErrors::lossless;
        if (!exact && !layer.reference)
        {
            continue;
        }
        const Comparison& its = exact ? layer.integers : *layer.reference;
        if (!its.equal())
        {
            const Difference& one = its.first.front();
            throw SimulationError(fmt::format(
                "{} of {} elements of layer \"{}\" are not those of {}; the first is {}, not {}, "
                "at [{},{},{}] (row, column, channel) of image {}",
                its.different, layer.elements, layer.name,
                exact ? "the network of whole numbers" : "the slow reference", one.made, one.wanted,
                one.row, one.column, one.channel, one.image));
        }
    }
}

namespace simulation
{

ValueRun::ValueRun(const ChipModel& chip, const Program& program, const QuantizedNetwork& network,
                   const Tensor& inputs, const ValueOptions& options, std::uint64_t seed)
    : program_(program),
      network_(network),
      errors_(options.errors),
      analogue_(analogue_of(chip, options.errors)),
      inputs_(codes_of(network.integers(), inputs, "inputs"))
{
    const values::IntegerNetwork& integers = network_.integers();
    const trace::Header& header = program_.header();
    try
    {
        semantics::Effort effort;
        pieces_ = values::pieces_of(header, semantics::Naming(header, integers.network, effort),
                                    chip.config());
    }
    catch (const trace::Malformed& problem)
    {
        if (!network_.file().empty())
        {
            throw InputError({network_.file(), 0, "/network"},
                             fmt::format("does not fit {} ({}: {})", program_.name(),
                                         problem.pointer, problem.problem),
                             "give the whole numbers of the network that this was made of");
        }
        throw InputError({program_.name(), 1, problem.pointer}, problem.problem, problem.remedy);
    }
    values::check_apart(header, chip.config(), analogue_, program_.name());
    const unsigned threads =
        options.threads != 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency());
    values::check_calibration(analogue_, options.calibration.images != 0);
    if (options.calibration.images != 0)
    {
        analogue_ = values::calibrated(analogue_, integers, pieces_,
                                       codes_of(integers, options.calibration, "calibration"), seed,
                                       threads);
    }
    crossbars_ =
        std::make_unique<const values::Crossbars>(integers, pieces_, analogue_, seed, threads);
    machine_ =
        std::make_unique<values::Machine>(header, integers, chip.config(), *crossbars_, inputs_);
}

void ValueRun::follow(Run& run)
{
    run.chip().follow(*machine_);
    run.publish_too(
        [this](const std::filesystem::path& folder) {
            return values::values_file(folder / "values.h5", *machine_, network_.integers(),
                                       compared());
        });
}

const std::vector<values::LayerComparison>& ValueRun::compared()
{
    if (!compared_)
    {
        const values::IntegerNetwork& integers = network_.integers();
        values::ReferenceOf reference;
        if (errors_ == ValueErrors::noiseless)
        {
            reference = [&](const values::Map<std::int32_t>& input)
            { return values::finite_noiseless(integers, pieces_, analogue_, input); };
        }
        compared_ = values::compare(*machine_, integers, inputs_, reference);
    }
    return *compared_;
}

ValueResult ValueRun::finish(RunResult run)
{
    const values::IntegerNetwork& integers = network_.integers();
    ValueResult result;
    result.run = std::move(run);
    result.errors = errors_;
    for (const values::LayerComparison& its : compared())
    {
        const network::Layer& layer = integers.network[its.layer];
        const double scale = integers[its.layer].scale;
        result.layers.push_back({layer.name, std::string(network::name_of(layer.kind)), scale,
                                 values_of(*machine_, its.layer, layer.output, scale), its.elements,
                                 its.missing, its.from_integers, its.from_reference, its.snr_db});
    }
    const std::vector<values::Poison>& poison = machine_->poison();
    result.missing_reads = poison.size();
    for (std::size_t i = 0; i < std::min(poison.size(), kMostMissingTold); ++i)
    {
        result.first_missing_reads.push_back(machine_->text_of(poison[i]));
    }
    return result;
}

} // namespace simulation

ValueResult simulate(const ChipModel& chip, const Program& program, const QuantizedNetwork& network,
                     const Tensor& inputs, const ValueOptions& values, const RunOptions& options)
{
    // What does not fit together is refused before older results are replaced.
    simulation::ValueRun numbers(chip, program, network, inputs, values, options.seed);
    simulation::Run run(chip, program, options, {});
    numbers.follow(run);
    return numbers.finish(run.execute(chip::run_native));
}

} // namespace tessera
