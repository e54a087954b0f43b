// SPDX-License-Identifier: Apache-2.0
#include "reproduce/aidac.h"

#include "base/interrupt.h"
#include "base/philox.h"
#include "network/network.h"
#include "numerics/aidac_cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace tessera::reproduce
{
namespace
{

using Json = nlohmann::ordered_json;
using namespace numerics;

constexpr std::size_t kRows = 1024;
constexpr std::size_t kColumns = 256;
constexpr std::size_t kSamples = 1000;
constexpr std::size_t kFewSamples = 256; ///< of a trend, an interval, or one source of errors
constexpr unsigned kChips = 100;         ///< of an interval

/// Uniform in [0, 1), by what it is for.
double uniform(std::uint32_t purpose, std::uint32_t a, std::uint32_t b)
{
    return Draws(2312).uniform({purpose, a, b, 0});
}

/// Uniform operands in 0..most whose mean is `level` of `most`.
std::int32_t operand(double level, std::int32_t most, double random)
{
    const double low = std::max(0.0, 2 * level - 1);
    const double high = std::min(1.0, 2 * level);
    return static_cast<std::int32_t>(std::lround((low + (high - low) * random) * most));
}

struct Figures
{
    double latency_ns = 0;
    double tops = 0;
    double tops_per_watt = 0;
};

Figures figures(const AidacModel& model, const AidacScheme& scheme, std::size_t rows)
{
    const AidacCost cost = aidac_cost(model, scheme, rows, kColumns);
    const AidacTiming timing = aidac_timing(model, cost.chained);
    const double operations = 2.0 * static_cast<double>(rows) * kColumns;
    return {static_cast<double>(timing.latency()) * 1e-3,
            operations / static_cast<double>(timing.interval()),
            operations / total(aidac_energy(model, scheme, cost, 0.5)) * 1e-12};
}

struct Error
{
    double most = 0; ///< % of full scale
    double rms = 0;
    double snr_db = 0;
    double least_output = 100; ///< % of full scale that samples reach
    double most_output = 0;
};

std::int64_t exact(const Matrix<std::int32_t>& inputs, const Matrix<std::int32_t>& weights,
                   std::size_t vector, std::size_t column)
{
    std::int64_t sum = 0;
    for (std::size_t row = 0; row < weights.rows(); ++row)
    {
        sum += std::int64_t{inputs(vector, row)} * weights(row, column);
    }
    return sum;
}

/// A sample's outputs are judged against the integer product.
class Judge
{
public:
    explicit Judge(double full) : full_(full) {}
    void add(double ours, double integer)
    {
        const double error = ours - integer;
        worst_ = std::max(worst_, std::abs(error));
        squares_ += error * error;
        signal_ += integer * integer;
        sum_ += integer;
        least_ = std::min(least_, integer);
        most_ = std::max(most_, integer);
        ++count_;
    }
    [[nodiscard]] Error error() const
    {
        const double variance = signal_ / count_ - sum_ / count_ * sum_ / count_;
        return {100 * worst_ / full_, 100 * std::sqrt(squares_ / count_) / full_,
                10 * std::log10(variance / (squares_ / count_)), 100 * least_ / full_,
                100 * most_ / full_};
    }

private:
    double full_;
    double worst_ = 0;
    double squares_ = 0;
    double signal_ = 0;
    double sum_ = 0;
    double least_ = INFINITY;
    double most_ = -INFINITY;
    double count_ = 0;
};

std::vector<VectorIdentity> named(std::size_t count)
{
    std::vector<VectorIdentity> vectors(count);
    for (std::size_t i = 0; i < count; ++i)
    {
        vectors[i].pixel = static_cast<std::uint32_t>(i);
    }
    return vectors;
}

struct Sweep
{
    Error built;
    Error trimmed; ///< offsets of columns are taken away, as calibrated runs do
};

/// Samples whose outputs are spread evenly over the whole range: column j and its vectors have
/// operands whose mean levels multiply to the output wanted.
Sweep sweep(const AidacModel& model, unsigned bits, std::size_t rows, std::size_t samples,
            std::uint64_t chip, const AidacErrors& errors = {})
{
    const AidacScheme scheme{bits, bits, AidacSigns::none};
    const std::int32_t most = (1 << bits) - 1;
    Matrix<std::int32_t> weights(rows, kColumns);
    Matrix<std::int32_t> inputs(samples, rows);
    const auto level = [](double output) { return std::sqrt(output); };
    const auto column_of = [&](std::size_t sample) { return sample * kColumns / samples; };
    for (std::size_t row = 0; row < rows; ++row)
    {
        const auto r = static_cast<std::uint32_t>(row);
        for (std::size_t column = 0; column < kColumns; ++column)
        {
            const double output = (static_cast<double>(column) + 1) / kColumns;
            weights(row, column) =
                operand(level(output), most, uniform(1, r, static_cast<std::uint32_t>(column)));
        }
        for (std::size_t sample = 0; sample < samples; ++sample)
        {
            const double output = static_cast<double>(sample) / (static_cast<double>(samples) - 1);
            const double column = (static_cast<double>(column_of(sample)) + 1) / kColumns;
            inputs(sample, row) = operand(std::min(1.0, output / level(column)), most,
                                          uniform(2, r, static_cast<std::uint32_t>(sample)));
        }
    }
    const AidacBlock block(model, scheme, weights, errors, {chip, 0, 0});
    const auto products = block.product(inputs, named(samples));
    const std::vector<double> offsets = block.offsets();
    const double full = static_cast<double>(rows) * most * most;
    Judge built(full);
    Judge trimmed(full);
    for (std::size_t sample = 0; sample < samples; ++sample)
    {
        const std::size_t column = column_of(sample);
        const auto integer = static_cast<double>(exact(inputs, weights, sample, column));
        built.add(products(sample, column), integer);
        trimmed.add(products(sample, column) - offsets[column], integer);
    }
    return {built.error(), trimmed.error()};
}

/// Signed weights, inputs as after a ReLU; readout as built or calibrated on other vectors.
Error operands(const AidacModel& model, std::size_t rows, std::size_t columns, bool calibrated)
{
    rows = std::min(rows, kRows);
    columns = std::min<std::size_t>(columns, 32);
    const Draws draws(77);
    Matrix<std::int32_t> weights(rows, columns);
    Matrix<std::int32_t> inputs(32, rows);
    Matrix<std::int32_t> others(32, rows);
    const auto relu = [&](std::uint32_t set, std::size_t vector, std::size_t row)
    {
        const double value = draws.normal(
            {set, static_cast<std::uint32_t>(vector), static_cast<std::uint32_t>(row), 1});
        return static_cast<std::int32_t>(std::clamp(std::lround(64 * value), 0L, 255L));
    };
    for (std::size_t row = 0; row < rows; ++row)
    {
        for (std::size_t column = 0; column < columns; ++column)
        {
            const double value = draws.normal(
                {0, static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(column), 2});
            weights(row, column) =
                static_cast<std::int32_t>(std::clamp(std::lround(32 * value), -128L, 127L));
        }
        for (std::size_t vector = 0; vector < 32; ++vector)
        {
            inputs(vector, row) = relu(1, vector, row);
            others(vector, row) = relu(2, vector, row);
        }
    }
    const AidacBlock built(model, {}, weights);
    const AidacBlock block(model, {}, weights, {}, {},
                           calibrated ? built.calibrated(others) : built.nominal());
    const auto products = block.product(inputs, named(32));
    Judge judge(static_cast<double>(rows) * 255 * 255);
    for (std::size_t vector = 0; vector < 32; ++vector)
    {
        for (std::size_t column = 0; column < columns; ++column)
        {
            judge.add(products(vector, column),
                      static_cast<double>(exact(inputs, weights, vector, column)));
        }
    }
    return judge.error();
}

/// Every constant with a range, drawn from it at random: what the figures may be.
Json intervals(const AidacModel& model, const Settings& settings)
{
    std::vector<std::vector<double>> drawn(4);
    for (std::uint32_t chip = 0; chip < kChips; ++chip)
    {
        settings.tell(fmt::format("constants drawn from their ranges, {} of {}", chip, kChips));
        AidacModel other = model;
        for (std::size_t i = 0; i < aidac_constants().size(); ++i)
        {
            const AidacOrigin& origin = model.origins[i];
            if (origin.high > origin.low)
            {
                other.*aidac_constants()[i].member =
                    origin.low +
                    (origin.high - origin.low) * uniform(3, chip, static_cast<std::uint32_t>(i));
            }
        }
        const Figures now = figures(other, {}, kRows);
        drawn[0].push_back(now.latency_ns);
        drawn[1].push_back(now.tops);
        drawn[2].push_back(now.tops_per_watt);
        if (chip % 5 == 0)
        {
            drawn[3].push_back(sweep(other, 8, kRows, kFewSamples, chip + 1).built.most);
        }
    }
    Json list = Json::array();
    const char* const names[] = {"latency [ns]", "throughput [TOPS]", "efficiency [TOPS/W]",
                                 "error, max [% of full scale]"};
    for (std::size_t i = 0; i < drawn.size(); ++i)
    {
        std::sort(drawn[i].begin(), drawn[i].end());
        const auto at = [&](double part) {
            return drawn[i]
                        [static_cast<std::size_t>(part * static_cast<double>(drawn[i].size() - 1))];
        };
        list.push_back({{"quantity", names[i]},
                        {"5 %", at(0.05)},
                        {"median", at(0.5)},
                        {"95 %", at(0.95)},
                        {"draws", drawn[i].size()}});
    }
    return list;
}

/// The largest errors of chips of the same constants, from the best to the worst.
Json chips(const AidacModel& model, const Settings& settings)
{
    std::vector<double> built;
    std::vector<double> trimmed;
    for (std::uint32_t chip = 1; chip <= kChips / 10; ++chip)
    {
        settings.tell(fmt::format("errors of chip {} of {}", chip, kChips / 10));
        const Sweep errors = sweep(model, 8, kRows, kSamples, chip);
        built.push_back(errors.built.most);
        trimmed.push_back(errors.trimmed.most);
    }
    Json list = Json::array();
    for (auto& [name, errors] : {std::pair{"as built", &built}, std::pair{"trimmed", &trimmed}})
    {
        std::sort(errors->begin(), errors->end());
        list.push_back({{"offsets of columns", name},
                        {"chips", errors->size()},
                        {"least max [%]", errors->front()},
                        {"median max [%]", (*errors)[errors->size() / 2]},
                        {"greatest max [%]", errors->back()}});
    }
    return list;
}

Json constants(const AidacModel& model)
{
    Json list = Json::array();
    for (std::size_t i = 0; i < aidac_constants().size(); ++i)
    {
        const AidacConstant& constant = aidac_constants()[i];
        const AidacOrigin& origin = model.origins[i];
        if (!origin.status.empty())
        {
            list.push_back({{"constant", constant.name},
                            {"value", model.*constant.member},
                            {"low", origin.low},
                            {"high", origin.high},
                            {"status", origin.status},
                            {"calibrated on", origin.calibrated_on},
                            {"meaning", constant.doc},
                            {"source", origin.source}});
        }
    }
    return list;
}

Json layer_shapes(const AidacModel& model, const Settings& settings)
{
    Json list = Json::array();
    for (const char* const name : {"lenet5", "resnet18"})
    {
        const network::Network network = network::load(network::find(name));
        std::set<std::size_t> seen;
        for (const network::Layer& layer : network.layers)
        {
            throw_if_interrupted();
            const auto outputs = static_cast<std::uint64_t>(layer.output.channels);
            const std::uint64_t pixels =
                std::uint64_t{layer.output.height} * layer.output.width * outputs;
            const std::size_t rows =
                pixels == 0 ? 0 : static_cast<std::size_t>(layer.macs / pixels);
            if (layer.parameters == 0 || rows < 2 || !seen.insert(rows).second)
            {
                continue;
            }
            settings.tell(fmt::format("{} of {}", layer.name, name));
            list.push_back({{"network", name},
                            {"layer", layer.name},
                            {"rows", rows},
                            {"SNR as built [dB]", operands(model, rows, outputs, false).snr_db},
                            {"SNR calibrated [dB]", operands(model, rows, outputs, true).snr_db}});
        }
    }
    return list;
}

} // namespace

Report aidac(const Settings& settings)
{
    const AidacModel model = load_aidac("aidac-28nm");
    const AidacModel yoco = load_aidac("yoco-28nm");
    const Figures now = figures(model, {}, kRows);
    const Figures later = figures(yoco, {}, kRows);
    settings.tell("errors of one chip");
    const Sweep errors = sweep(model, 8, kRows, kSamples, 1);
    const Error& error = errors.built;
    const Error yoco_error = sweep(yoco, 8, kRows, kSamples, 1).built;
    Report report;
    report.name = "aidac";
    report.paper = "AiDAC, later YOCO (arXiv 2312.11836): one 8-bit product of 1024 x 256";
    const std::string bound = "published as an upper bound";
    report.rows = {
        {"AiDAC: latency", 20, now.latency_ns, "ns", Status::reference_model, bound},
        {"AiDAC: throughput", 26.2, now.tops, "TOPS", Status::calibration,
         "no figure of its own: the 256 columns were derived from 26.2 TOPS x 20 ns, and products "
         "do not overlap (vtc_samples) because of it, so it differs as the latency does"},
        {"AiDAC: efficiency", 123.8, now.tops_per_watt, "TOPS/W", Status::calibration,
         "the unit capacitor (unit_fF) is chosen for it"},
        {"AiDAC: error, max of full scale", 0.79, error.most, "%", Status::reference_model, bound},
        {"AiDAC: same, offsets of columns trimmed", 0.79, errors.trimmed.most, "%",
         Status::reference_model, bound},
        {"AiDAC: error, RMS of full scale", std::nullopt, error.rms, "%", Status::reference_model,
         "no figure published"},
        {"2 x 1024 x 256 operations in 20 ns", 26.2, 2.0 * kRows * kColumns / 20e3, "TOPS",
         Status::accounting_check, "cannot fail: the 256 columns were derived from it"},
        {"YOCO: throughput", 34.9, later.tops, "TOPS", Status::prediction,
         "nothing that is stated explains 15 ns"},
        {"YOCO: efficiency", 123.8, later.tops_per_watt, "TOPS/W", Status::calibration,
         "with AiDAC's unit capacitor"},
        {"YOCO: error, max of full scale", 0.98, yoco_error.most, "%", Status::prediction,
         "published figure from a summary of the paper"},
    };
    Json& result = report.details;
    result["note"] =
        "The cell, circuits, times and voltages of the papers are not known. Published "
        "figures are from the abstracts, YOCO's error from a summary of it.";
    result["sweep"] = {{{"samples", kSamples},
                        {"least output [%]", error.least_output},
                        {"greatest output [%]", error.most_output},
                        {"SNR [dB]", error.snr_db}}};
    const AidacCost cost = aidac_cost(model, {}, kRows, kColumns);
    for (const EnergyTerm& term : aidac_energy(model, {}, cost, 0.5))
    {
        result["energy"].push_back({{"component", term.component},
                                    {"formula", term.formula},
                                    {"pJ a product", term.joules * 1e12}});
    }
    const std::pair<const char*, bool AidacErrors::*> sources[] = {
        {"mismatch", &AidacErrors::mismatch},        {"kT/C", &AidacErrors::thermal},
        {"injection", &AidacErrors::injection},      {"leakage", &AidacErrors::leakage},
        {"converters", &AidacErrors::converter},     {"jitter", &AidacErrors::jitter},
        {"quantisation", &AidacErrors::quantisation}};
    for (const auto& [name, source] : sources)
    {
        settings.tell(fmt::format("errors of {} alone", name));
        AidacErrors alone = AidacErrors::none();
        alone.*source = true;
        const Error part = sweep(model, 8, kRows, kFewSamples, 1, alone).built;
        result["errors"].push_back({{"alone", name},
                                    {"max [%]", part.most},
                                    {"RMS [%]", part.rms},
                                    {"samples", kFewSamples}});
    }
    result["chips"] = chips(model, settings);
    result["intervals"] = intervals(model, settings);
    for (const std::size_t rows : {128, 256, 512, 1024})
    {
        settings.tell(fmt::format("{} rows", rows));
        const Figures f = figures(model, {}, rows);
        result["rows_trend"].push_back(
            {{"rows", rows},
             {"latency [ns]", f.latency_ns},
             {"TOPS", f.tops},
             {"TOPS/W", f.tops_per_watt},
             {"error max [%]", sweep(model, 8, rows, kFewSamples, 1).built.most},
             {"samples", kFewSamples}});
    }
    for (const unsigned bits : {4U, 6U, 8U})
    {
        settings.tell(fmt::format("{} bits", bits));
        const Figures f = figures(model, {bits, bits, AidacSigns::offset}, kRows);
        result["bits_trend"].push_back(
            {{"bits", bits},
             {"latency [ns]", f.latency_ns},
             {"TOPS", f.tops},
             {"TOPS/W", f.tops_per_watt},
             {"error max [%]", sweep(model, bits, kRows, kFewSamples, 1).built.most},
             {"samples", kFewSamples}});
    }
    result["layers"] = layer_shapes(model, settings);
    result["constants"] = constants(model);
    for (const auto& [title, part] : result.items())
    {
        report.tables += title + (part.is_array() ? ":\n" + table(part) : ": " + cell(part) + '\n');
        report.tables += '\n';
    }
    return report;
}

} // namespace tessera::reproduce
