// SPDX-License-Identifier: Apache-2.0
#include "values/crossbars.h"

#include "base/interrupt.h"
#include "compiler/mapping.h"
#include "tessera/error.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <stdexcept>
#include <thread>

namespace tessera::values
{

using numerics::Circuit;
using numerics::InputCoding;
using numerics::Matrix;
using numerics::Range;
using numerics::Rounding;
using numerics::Signs;
using numerics::Step;

namespace
{

/// What a choice of the config means here.
template <class Enum>
Enum one_of(const std::string& name, std::initializer_list<std::pair<const char*, Enum>> names)
{
    for (const auto& [known, value] : names)
    {
        if (name == known)
        {
            return value;
        }
    }
    throw std::logic_error("the config knows '" + name + "', the numerics do not");
}

bool on_crossbar(const network::Layer& layer, const config::ChipConfig& chip)
{
    const auto& kinds = chip.mapping.on_crossbar;
    return layer.groups == 1 &&
           std::find(kinds.begin(), kinds.end(), name_of(layer.kind)) != kinds.end();
}

numerics::Scheme scheme_for(const Analogue& analogue, const IntegerNetwork& integers,
                            std::size_t layer)
{
    numerics::Scheme scheme = analogue.scheme;
    const LayerId operand = integers.network.layers[layer].inputs[0];
    if (integers[operand].least < 0)
    {
        scheme.coding = analogue.signed_inputs;
    }
    if (scheme.converter.range == Range::calibrated)
    {
        scheme.converter.limit = analogue.limits.empty() ? 1 : analogue.limits[layer];
    }
    return scheme;
}

numerics::Analog written(const Analogue& analogue, const numerics::Scheme& scheme,
                         const Matrix<std::int32_t>& weights, std::uint64_t seed,
                         std::uint32_t array)
{
    if (!analogue.device)
    {
        return {};
    }
    const numerics::Device& device = *analogue.device;
    numerics::Writing writing;
    writing.cell_bits = scheme.cell_bits;
    writing.steps = analogue.steps;
    writing.time = analogue.age;
    writing.seed = seed;
    writing.array = array;
    numerics::Analog analog =
        numerics::write_cells(device, numerics::cells_of(scheme, weights).levels, writing).analog;
    if (!analogue.wires)
    {
        return analog;
    }
    numerics::ReadOut out;
    out.wires = *analogue.wires;
    out.off_us = device.off;
    out.step_us = device.target(1, scheme.cell_bits) - device.target(0, scheme.cell_bits);
    return numerics::through_wires(scheme, analog, out);
}

bool flawed(const numerics::ConverterScheme& converter)
{
    return converter.mismatch != 0 || converter.comparator_offset != 0 || converter.offset != 0 ||
           converter.gain != 1 || converter.inl != 0;
}

numerics::ConverterScheme without_flaws(numerics::ConverterScheme converter)
{
    converter.circuit = Circuit::uniform;
    converter.mismatch = converter.comparator_offset = converter.offset = converter.inl = 0;
    converter.gain = 1;
    return converter;
}

} // namespace

void in_parallel(std::size_t count, unsigned threads, const std::function<void(std::size_t)>& work)
{
    std::vector<std::exception_ptr> failures(count);
    std::atomic<std::size_t> next{0};
    std::atomic<bool> failed{false};
    const auto loop = [&]()
    {
        for (std::size_t i = next++; i < count && !failed; i = next++)
        {
            try
            {
                throw_if_interrupted();
                work(i);
            }
            catch (...)
            {
                failures[i] = std::current_exception();
                failed = true;
            }
        }
    };
    std::vector<std::thread> others;
    for (std::size_t i = 1; i < std::min<std::size_t>(threads, count); ++i)
    {
        others.emplace_back(loop);
    }
    loop();
    for (std::thread& other : others)
    {
        other.join();
    }
    for (const std::exception_ptr& failure : failures)
    {
        if (failure)
        {
            std::rethrow_exception(failure);
        }
    }
}

Analogue analogue_of(const config::ChipConfig& chip)
{
    const config::ChipConfig::Macro& macro = chip.macro;
    if (macro.kind != "adc")
    {
        throw InputError({chip.name, 0, "/macro/kind"},
                         "values go through macros of kind adc only, not " + macro.kind,
                         "give a chip whose macros are crossbars with converters");
    }
    Analogue analogue;
    numerics::Scheme& scheme = analogue.scheme;
    scheme.weight_bits = macro.weight_bits;
    scheme.cell_bits = macro.cell.bits;
    scheme.signs =
        one_of<Signs>(macro.cell.signs, {{"differential", Signs::differential},
                                         {"differential-separate", Signs::differential_separate},
                                         {"offset", Signs::offset},
                                         {"sign-magnitude", Signs::sign_magnitude}});
    scheme.input_bits = macro.input_bits;
    scheme.slice_bits = std::min(macro.dac.bits, macro.input_bits);
    scheme.rows = macro.rows;
    scheme.columns = std::size_t{macro.columns} * numerics::cells_per_weight(scheme);
    analogue.signed_inputs = one_of<InputCoding>(
        macro.cell.signed_inputs,
        {{"two-pass", InputCoding::two_pass}, {"twos-complement", InputCoding::twos_complement}});
    numerics::ConverterScheme& converter = scheme.converter;
    const config::ChipConfig::Macro::Adc& adc = macro.adc;
    converter.bits = adc.bits;
    converter.rounding = adc.range == "lossless" ? Rounding::ideal : Rounding::uniform;
    converter.range = one_of<Range>(adc.range, {{"lossless", Range::full},
                                                {"full", Range::full},
                                                {"granular", Range::granular},
                                                {"calibrated", Range::calibrated}});
    converter.limit = 1; // until it is calibrated
    converter.circuit = one_of<Circuit>(
        adc.circuit,
        {{"uniform", Circuit::uniform}, {"sar", Circuit::sar}, {"flash", Circuit::flash}});
    converter.mismatch = adc.mismatch;
    converter.comparator_offset = adc.comparator_offset;
    converter.offset = adc.offset;
    converter.gain = adc.gain;
    converter.inl = adc.inl;
    converter.shared_by = (scheme.columns + adc.count - 1) / adc.count;
    if (converter.rounding == Rounding::ideal)
    {
        converter = without_flaws(converter);
    }
    try
    {
        numerics::check(scheme);
    }
    catch (const InputError& error)
    {
        throw InputError({chip.name, 0, "/macro: " + error.place().pointer}, error.problem(),
                         error.remedy());
    }
    analogue.age = macro.cell.age;
    if (!macro.cell.device.empty())
    {
        analogue.device = numerics::load_device(macro.cell.device);
        for (const Step step : analogue.device->steps())
        {
            if (analogue.device->contained.count(step) == 0)
            {
                analogue.steps.insert(step);
            }
        }
    }
    if (macro.cell.row_ohm > 0 || macro.cell.column_ohm > 0)
    {
        numerics::Wires wires;
        wires.read = one_of<numerics::Read>(
            macro.cell.read, {{"row-voltage", numerics::Read::row_voltage},
                              {"row-voltage-floating", numerics::Read::row_voltage_floating},
                              {"gated-1t1r", numerics::Read::gated_1t1r}});
        wires.row_segment = macro.cell.row_ohm;
        wires.column_segment = macro.cell.column_ohm;
        wires.driver = macro.cell.driver_ohm;
        wires.sense = macro.cell.sense_ohm;
        if (!analogue.device)
        {
            throw InputError({chip.name, 0, "/macro/cell/device"},
                             "is not given, but wires have a resistance",
                             "name a device, whose conductances wires compare with");
        }
        numerics::check(wires);
        analogue.wires = wires;
    }
    return analogue;
}

Analogue noiseless(const Analogue& analogue)
{
    Analogue result = analogue;
    result.device.reset();
    result.steps.clear();
    result.wires.reset();
    result.scheme.converter = without_flaws(result.scheme.converter);
    return result;
}

Analogue lossless(const Analogue& analogue)
{
    Analogue result = noiseless(analogue);
    result.scheme.converter.rounding = Rounding::ideal;
    result.scheme.converter.range = Range::full;
    return result;
}

std::vector<Source> sources(const Analogue& analogue)
{
    std::vector<Source> all;
    if (analogue.device)
    {
        // Faults are part of every write; a source on its own is without them.
        numerics::Device sound = *analogue.device;
        sound.faults.reset();
        sound.endurance.reset();
        const auto add = [&](const char* name, std::set<Step> steps, const numerics::Device& device)
        {
            Analogue alone = noiseless(analogue);
            alone.device = device;
            alone.steps = std::move(steps);
            all.push_back({name, std::move(alone)});
        };
        std::set<Step> programming;
        for (const Step step : {Step::programming, Step::verify})
        {
            if (analogue.steps.count(step) != 0)
            {
                programming.insert(step);
            }
        }
        if (!programming.empty())
        {
            add("programming", programming, sound);
        }
        for (const auto& [step, name] :
             {std::pair{Step::relaxation, "relaxation"}, std::pair{Step::retention, "retention"},
              std::pair{Step::read_noise, "read noise"}})
        {
            if (analogue.steps.count(step) != 0)
            {
                add(name, {step}, sound);
            }
        }
        const auto& faults = analogue.device->faults;
        if (faults && faults->stuck_on + faults->stuck_off > 0)
        {
            add("stuck cells", {}, *analogue.device);
        }
        if (analogue.wires)
        {
            Analogue alone = noiseless(analogue);
            alone.device = sound;
            alone.wires = analogue.wires;
            all.push_back({"wires", std::move(alone)});
        }
    }
    if (flawed(analogue.scheme.converter))
    {
        Analogue alone = noiseless(analogue);
        alone.scheme.converter = analogue.scheme.converter;
        all.push_back({"converter flaws", std::move(alone)});
    }
    return all;
}

std::vector<std::string> remarks(const config::ChipConfig& chip)
{
    if (chip.macro.kind != "adc")
    {
        return {};
    }
    Analogue analogue;
    try
    {
        analogue = analogue_of(chip);
    }
    catch (const InputError& error)
    {
        if (error.place().file != chip.name)
        {
            throw; // a device's file
        }
        return {std::string("values cannot be computed: ") + error.what()};
    }
    const numerics::Scheme& scheme = analogue.scheme;
    std::vector<std::string> all;
    const unsigned needed = numerics::lossless_bits(scheme, scheme.rows);
    std::string text = "converters of " + std::to_string(needed) + " bits lose nothing of " +
                       std::to_string(scheme.rows) + " rows";
    if (chip.macro.adc.range == "lossless")
    {
        text += "; macro.adc.range is lossless";
    }
    else if (scheme.converter.bits < needed)
    {
        text += "; warning: macro.adc.bits is " + std::to_string(scheme.converter.bits) +
                ", so results differ from whole-number arithmetic";
    }
    all.push_back(text);
    const unsigned conversions =
        numerics::weight_slices(scheme) * (scheme.signs == Signs::differential_separate ? 2 : 1);
    if (!chip.macro.timed_as_whole && chip.macro.cells_per_weight != conversions)
    {
        all.push_back("warning: macro.cell has " + std::to_string(conversions) +
                      " conversions a weight, but times are those of macro.cells_per_weight = " +
                      std::to_string(chip.macro.cells_per_weight));
    }
    return all;
}

Crossbars::Crossbars(const IntegerNetwork& integers, const config::ChipConfig& chip,
                     const Analogue& analogue, std::uint64_t seed, unsigned threads)
    : layers_(integers.layers.size()), exact_(integers.layers.size())
{
    const network::Network& network = integers.network;
    if (network.weight_bits > analogue.scheme.weight_bits ||
        network.activation_bits > analogue.scheme.input_bits)
    {
        throw InputError({chip.name, 0, "/macro/weight_bits"},
                         "or macro.input_bits are fewer than the " +
                             std::to_string(network.weight_bits) + " and " +
                             std::to_string(network.activation_bits) + " of the network",
                         "raise them");
    }
    struct Job
    {
        std::size_t layer;
        std::uint32_t number;
        Part* part;
        compiler::MatrixBlock where;
    };
    std::vector<Job> jobs;
    std::uint32_t array = 0;
    for (std::size_t i = 0; i < layers_.size(); ++i)
    {
        const network::Layer& layer = network.layers[i];
        if (integers.layers[i].weights.rows() == 0)
        {
            continue;
        }
        if (!on_crossbar(layer, chip))
        {
            exact_[i] = integers.layers[i].weights;
            continue;
        }
        const auto blocks = compiler::cut(network, layer, chip.macro);
        layers_[i].resize(blocks.size());
        for (std::size_t b = 0; b < blocks.size(); ++b)
        {
            jobs.push_back({i, array++, &layers_[i][b], blocks[b]});
        }
    }
    in_parallel(
        jobs.size(), threads,
        [&](std::size_t index)
        {
            const Job& job = jobs[index];
            const Matrix<std::int32_t>& all = integers.layers[job.layer].weights;
            Matrix<std::int32_t> weights(job.where.rows.size(), job.where.columns.size());
            for (std::size_t row = 0; row < weights.rows(); ++row)
            {
                const std::int32_t* from =
                    all.row(job.where.rows.begin + row) + job.where.columns.begin;
                std::copy(from, from + weights.columns(), weights.row(row));
            }
            const numerics::Scheme scheme = scheme_for(analogue, integers, job.layer);
            job.part->row = job.where.rows.begin;
            job.part->column = job.where.columns.begin;
            job.part->block = std::make_unique<numerics::Block>(
                scheme, weights, written(analogue, scheme, weights, seed, job.number),
                numerics::BlockIdentity{seed, static_cast<std::uint32_t>(job.layer), job.number});
        });
}

Matrix<std::int64_t> Crossbars::sums(const Part& part, const Matrix<std::int32_t>& inputs,
                                     const std::vector<numerics::VectorIdentity>& vectors)
{
    Matrix<std::int64_t> sums = part.block->multiply(inputs, vectors);
    for (std::size_t i = 0; i < sums.rows(); ++i)
    {
        for (std::size_t c = 0; c < sums.columns(); ++c)
        {
            // What the macro hands on are whole numbers again: codes times levels per code.
            const double product = static_cast<double>(sums(i, c)) * part.block->step();
            sums(i, c) =
                static_cast<std::int64_t>(std::floor(product + 0.5)) + part.block->correction(c);
        }
    }
    return sums;
}

Matrix<std::int64_t> Crossbars::multiply(LayerId id, const Matrix<std::int32_t>& inputs,
                                         std::uint32_t image, std::uint32_t first) const
{
    const std::vector<Part>& parts = layers_[id.index()];
    if (parts.empty())
    {
        return exact_product(inputs, exact_[id.index()]);
    }
    std::vector<numerics::VectorIdentity> vectors(inputs.rows());
    for (std::size_t i = 0; i < vectors.size(); ++i)
    {
        vectors[i] = {image, first + static_cast<std::uint32_t>(i)};
    }
    const Part& last = parts.back();
    Matrix<std::int64_t> total(inputs.rows(), last.column + last.block->columns());
    for (const Part& part : parts)
    {
        Matrix<std::int32_t> own(inputs.rows(), part.block->rows());
        for (std::size_t i = 0; i < own.rows(); ++i)
        {
            const std::int32_t* from = inputs.row(i) + part.row;
            std::copy(from, from + own.columns(), own.row(i));
        }
        const Matrix<std::int64_t> partial = sums(part, own, vectors);
        for (std::size_t i = 0; i < partial.rows(); ++i)
        {
            for (std::size_t c = 0; c < partial.columns(); ++c)
            {
                total(i, part.column + c) += partial(i, c);
            }
        }
    }
    return total;
}

Matrix<std::int64_t> Crossbars::multiply_block(LayerId id, std::size_t row, std::size_t column,
                                               const Matrix<std::int32_t>& inputs,
                                               std::uint32_t image,
                                               const std::vector<std::uint32_t>& pixels) const
{
    const std::vector<Part>& parts = layers_[id.index()];
    const auto part =
        std::find_if(parts.begin(), parts.end(),
                     [&](const Part& one) { return one.row == row && one.column == column; });
    if (part == parts.end() || part->block->rows() != inputs.columns())
    {
        throw InputError({"", 0, ""},
                         "no block of the chip begins at weight " + std::to_string(row) + '/' +
                             std::to_string(column) + " with " + std::to_string(inputs.columns()) +
                             " rows",
                         "compile the trace for this chip");
    }
    std::vector<numerics::VectorIdentity> vectors(inputs.rows());
    for (std::size_t i = 0; i < vectors.size(); ++i)
    {
        vectors[i] = {image, pixels[i]};
    }
    return sums(*part, inputs, vectors);
}

std::vector<double> calibrated_limits(const IntegerNetwork& integers,
                                      const config::ChipConfig& chip, const Analogue& analogue,
                                      const std::vector<Map<std::int32_t>>& images)
{
    /// Takes the exact products, and notes how far those of the crossbars are off.
    class Judge : public Products
    {
    public:
        Judge(const IntegerNetwork& integers, const Crossbars& crossbars)
            : integers_(integers), crossbars_(crossbars), errors(integers.layers.size(), 0)
        {
        }
        [[nodiscard]] Matrix<std::int64_t> multiply(LayerId id, const Matrix<std::int32_t>& inputs,
                                                    std::uint32_t image,
                                                    std::uint32_t first) const override
        {
            Matrix<std::int64_t> exact = exact_product(inputs, integers_[id].weights);
            const Matrix<std::int64_t> seen = crossbars_.multiply(id, inputs, image, first);
            for (std::size_t i = 0; i < exact.rows(); ++i)
            {
                for (std::size_t c = 0; c < exact.columns(); ++c)
                {
                    const auto error = static_cast<double>(seen(i, c) - exact(i, c));
                    errors[id.index()] += error * error;
                }
            }
            return exact;
        }

    private:
        const IntegerNetwork& integers_;
        const Crossbars& crossbars_;

    public:
        mutable std::vector<double> errors; ///< squared, by layer
    };

    constexpr int kHalvings = 10;  // of the full range
    constexpr double kPerStep = 2; // steps that halve it
    Analogue trial = noiseless(analogue);
    const auto full = static_cast<double>(numerics::greatest_sum(trial.scheme, trial.scheme.rows));
    std::vector<double> limits(integers.layers.size(), full);
    std::vector<double> best(integers.layers.size(), std::numeric_limits<double>::infinity());
    for (int step = 0; step <= kHalvings * static_cast<int>(kPerStep); ++step)
    {
        const double limit = full * std::exp2(-step / kPerStep);
        trial.limits.assign(integers.layers.size(), limit);
        const Crossbars crossbars(integers, chip, trial, 0, 1);
        const Judge judge(integers, crossbars);
        for (const Map<std::int32_t>& image : images)
        {
            throw_if_interrupted();
            static_cast<void>(run(integers, image, &judge));
        }
        for (std::size_t i = 0; i < limits.size(); ++i)
        {
            if (judge.errors[i] < best[i])
            {
                best[i] = judge.errors[i];
                limits[i] = limit;
            }
        }
    }
    return limits;
}

} // namespace tessera::values
