// SPDX-License-Identifier: Apache-2.0
#include "reproduce/clsa_cim.h"

#include "base/interrupt.h"
#include "compiler/compiler.h"
#include "compiler/graph.h"
#include "compiler/plan.h"
#include "network/network.h"
#include "tessera/error.h"
#include "tessera/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace tessera::reproduce
{
namespace
{

constexpr const char* kChip = "clsa-256-ideal";
constexpr const char* kRealChip = "clsa-256";

/// What CLSA-CIM calls a configuration.
struct Variant
{
    const char* name;
    const char* schedule;
    const char* duplicate;
    const char* sets;
    const char* order = "raster";
    bool replicate = false; ///< inside crossbars too
};
constexpr Variant kLayerByLayer = {"layer-by-layer", "layer-by-layer", "none", "row"};
constexpr Variant kWdup = {"wdup", "layer-by-layer", "greedy", "row"};
constexpr Variant kXinf = {"xinf", "xinf", "none", "row"};
constexpr Variant kWdupXinf = {"wdup+xinf", "xinf", "greedy", "row"};
/// What else the words of the paper could mean; each is a reference model too.
constexpr Variant kFineSets = {"wdup+xinf, sets of one pixel", "xinf", "greedy", "pixel"};
constexpr Variant kMinSum = {"wdup+xinf, copies for the least sum", "xinf", "optimal", "row"};

/// Made for the bound T*.
constexpr std::uint64_t kBestExtra = 32; ///< for which they are sought
constexpr Variant kBest = {"balanced, pixels on demand", "xinf", "balanced", "pixel", "demand"};

/// Copies inside crossbars pass T*, which is of whole ones. Nine kernels of 3 x 3 x 3 x 16 share
/// one of 256 x 256.
constexpr Variant kReplicated = {
    "wdup+xinf, also inside crossbars", "xinf", "greedy", "row", "raster", true};
constexpr Variant kBestReplicated = {"balanced, also inside crossbars, nine pixels on demand",
                                     "xinf",
                                     "balanced",
                                     "1x9",
                                     "demand",
                                     true};

/// A configuration, simulated.
struct Measured
{
    std::string network;
    std::string variant;
    std::uint64_t extra = 0;
    Tick makespan = 0;
    std::uint64_t steps = 0; ///< of t_mvm
    double speed_up = 0;     ///< over layer by layer without copies
    double utilization = 0;  ///< of the network's crossbars and the extra ones, used or not
    double gain = 0;         ///< of the utilization, over layer by layer without copies
};

/// What does not depend on how it is scheduled.
struct Subject
{
    std::string name;
    std::uint64_t crossbars = 0; ///< of one copy
    std::uint64_t steps = 0;     ///< layer by layer
    double utilization = 0;      ///< layer by layer
    std::vector<compiler::Demand> demands;
};

class Bench
{
public:
    explicit Bench(const Settings& settings) : settings_(settings), chip_(kChip), real_(kRealChip)
    {
    }

    [[nodiscard]] Subject subject(const std::string& name) const
    {
        const network::Network network = network::load(network::find(name));
        const compiler::Graph graph(network, chip_.config());
        const compiler::Plan plan(graph, chip_.config(), compiler::schedule("layer-by-layer"));
        Subject result;
        result.name = name;
        result.crossbars = plan.block_count();
        result.demands = plan.demands();
        const Measured base = measure(result, kLayerByLayer, 0);
        result.steps = base.steps;
        result.utilization = base.utilization;
        return result;
    }

    [[nodiscard]] Measured measure(const Subject& subject, const Variant& variant,
                                   std::uint64_t extra) const
    {
        tell(subject.name, chip_, variant, extra);
        CompileOptions compiling;
        compiling.schedule = variant.schedule;
        compiling.duplicate = variant.duplicate;
        compiling.extra_pes = extra;
        compiling.sets = variant.sets;
        compiling.order = variant.order;
        compiling.replicate_in_crossbar = variant.replicate;
        const Summary summary =
            run(chip_, Program::compile(subject.name, chip_, compiling)).summary;
        const Tick step = chip_.config().macro.t_mvm.end(chip_.config().macro.clock, 0);
        Measured result;
        result.network = subject.name;
        result.variant = variant.name;
        result.extra = extra;
        result.makespan = summary.span;
        result.steps = (summary.span + step - 1) / step;
        // The summary's is of the crossbars that hold weights.
        result.utilization = summary.utilization * static_cast<double>(summary.crossbars) /
                             static_cast<double>(subject.crossbars + extra);
        if (subject.steps != 0)
        {
            result.speed_up =
                static_cast<double>(subject.steps) / static_cast<double>(result.steps);
            result.gain = result.utilization / subject.utilization;
        }
        return result;
    }

    /// The time of a schedule made for the real chip.
    struct Real
    {
        Tick makespan = 0;
        Tick free = 0; ///< of the same operations where everything but MVMs takes no time
    };
    /// Throws InputError when it does not fit.
    [[nodiscard]] Real real(const std::string& network, const Variant& variant,
                            std::uint64_t extra) const
    {
        tell(network, real_, variant, extra);
        compiler::Options compiling;
        compiling.schedule = variant.schedule;
        compiling.plan = {variant.duplicate, extra, variant.sets, variant.order};
        const Program program = Program::of(
            compiler::compile(network::load(network::find(network)), real_.config(), compiling));
        return {run(real_, program).summary.span, run(chip_, program).summary.span};
    }

private:
    void tell(const std::string& network, const ChipModel& chip, const Variant& variant,
              std::uint64_t extra) const
    {
        settings_.tell(
            fmt::format("{} on {}: {}, {} extra", network, chip.name(), variant.name, extra));
    }

    [[nodiscard]] static RunResult run(const ChipModel& chip, const Program& program)
    {
        RunOptions running;
        running.monitor = [](const Progress&) { return !interrupt_requested(); };
        RunResult result = simulate(chip, program, running);
        throw_if_interrupted();
        return result;
    }

    const Settings& settings_;
    ChipModel chip_;
    ChipModel real_;
};

/// All that was measured, by network, variant and extra crossbars.
class Results
{
public:
    void add(Measured measured)
    {
        index_[{measured.network, measured.variant, measured.extra}] = list_.size();
        list_.push_back(std::move(measured));
    }
    [[nodiscard]] const Measured& at(const std::string& network, const Variant& variant,
                                     std::uint64_t extra) const
    {
        return list_[index_.at({network, variant.name, extra})];
    }
    [[nodiscard]] bool has(const std::string& network, const Variant& variant,
                           std::uint64_t extra) const
    {
        return index_.count({network, variant.name, extra}) != 0;
    }
    [[nodiscard]] const std::vector<Measured>& all() const { return list_; }

private:
    std::vector<Measured> list_;
    std::map<std::tuple<std::string, std::string, std::uint64_t>, std::size_t> index_;
};

double bound(const Subject& subject, std::uint64_t extra)
{
    return static_cast<double>(compiler::least_steps(subject.demands, extra));
}

std::string table(const Subject& subject, const std::vector<std::uint64_t>& extras,
                  const Results& results)
{
    std::string text =
        fmt::format("{}: {} crossbars; layer by layer {} steps, utilization {:.3f} %\n"
                    "  extra |  wdup: S    U [%] | xinf: S    U [%] | wdup+xinf: steps       S"
                    "    U [%]  gain of U |     T*  most S\n",
                    subject.name, subject.crossbars, subject.steps, 100 * subject.utilization);
    for (const std::uint64_t extra : extras)
    {
        const Measured& wdup = results.at(subject.name, kWdup, extra);
        const Measured& xinf = results.at(subject.name, kXinf, extra);
        const Measured& both = results.at(subject.name, kWdupXinf, extra);
        const double least = bound(subject, extra);
        text +=
            fmt::format("  {:>5} | {:>8.2f} {:>8.2f} | {:>7.2f} {:>8.2f} | {:>16} {:>7.2f} "
                        "{:>8.2f} {:>10.2f} | {:>6.0f} {:>7.2f}\n",
                        extra, wdup.speed_up, 100 * wdup.utilization, xinf.speed_up,
                        100 * xinf.utilization, both.steps, both.speed_up, 100 * both.utilization,
                        both.gain, least, static_cast<double>(subject.steps) / least);
    }
    return text + '\n';
}

/// The configuration of wdup+xinf with the largest figure.
const Measured& largest(const Results& results, double Measured::*figure)
{
    const Measured* best = nullptr;
    for (const Measured& its : results.all())
    {
        if (its.variant == kWdupXinf.name && (best == nullptr || its.*figure > best->*figure))
        {
            best = &its;
        }
    }
    return *best;
}

/// The published figures. The abstract gives the two maxima without network and configuration.
std::vector<Row> anchors(const Results& results)
{
    const auto most = [&](double Measured::*figure)
    {
        const Measured& its = largest(results, figure);
        return fmt::format("of all that is measured here the largest is {:.2f} ({}, {} extra)",
                           its.*figure, its.network, its.extra);
    };
    const Measured& yolo3 = results.at("tinyyolov3", kWdupXinf, 32);
    const Measured& yolo4 = results.at("tinyyolov4", kWdupXinf, 32);
    const Measured& resnet = results.at("resnet50", kWdupXinf, 32);
    const auto spread = [&](const char* network) -> std::string
    {
        if (!results.has(network, kFineSets, 32))
        {
            return "";
        }
        return fmt::format("; other readings of the method: {:.2f} with sets of one pixel, {:.2f} "
                           "with copies for the least sum of times",
                           results.at(network, kFineSets, 32).speed_up,
                           results.at(network, kMinSum, 32).speed_up);
    };
    return {
        {"speed-up of tinyyolov3, 32 extra (published: the largest)", 29.2, yolo3.speed_up, "x",
         Status::reference_model,
         "abstract, without network and configuration, which are assumed; " +
             most(&Measured::speed_up) + spread("tinyyolov3")},
        {"speed-up of tinyyolov4, 32 extra", 21.9, yolo4.speed_up, "x", Status::reference_model,
         "quoted at second hand, configuration assumed" + spread("tinyyolov4")},
        {"gain of utilization of resnet50, 32 extra (published: the largest)", 17.9, resnet.gain,
         "x", Status::reference_model,
         fmt::format("abstract, without network and configuration, which are assumed; the same "
                     "model gives {:.2f} for tinyyolov3, 32 extra, and {}. S = gain x (crossbars + "
                     "extra) / crossbars: the two maxima belong to different configurations, or "
                     "the gain is over something else",
                     yolo3.gain, most(&Measured::gain))},
    };
}

/// How near schedules come to the bound, or how far copies inside crossbars are beyond it.
std::vector<Row> distances(const std::vector<Subject>& subjects, const Results& results)
{
    std::vector<Row> rows;
    for (const Subject& its : subjects)
    {
        for (const Variant& variant : {kBest, kReplicated, kBestReplicated})
        {
            if (!results.has(its.name, variant, kBestExtra))
            {
                continue;
            }
            const Measured& best = results.at(its.name, variant, kBestExtra);
            const double least = bound(its, kBestExtra);
            rows.push_back(
                {fmt::format("steps of {} over T*, {} extra{}", its.name, kBestExtra,
                             variant.replicate ? ": " + std::string(variant.name) : ""),
                 std::nullopt, static_cast<double>(best.steps) / least, "x", Status::prediction,
                 fmt::format("{} steps, T* = {:.0f}; speed-up {:.2f}, utilization {:.2f} % ({})",
                             best.steps, least, best.speed_up, 100 * best.utilization,
                             variant.name)});
        }
    }
    return rows;
}

/// What the paper's idealisations hide.
struct Reality
{
    std::string network;
    const char* variant = "";
    std::uint64_t extra = 0;
    double over_free = 0;  ///< time over that of the same operations where only MVMs take time
    double over_ideal = 0; ///< time over that on the ideal chip
    std::string problem;   ///< why it does not fit; then there are no figures
};

std::vector<Reality> realities(const Bench& bench, const std::vector<Subject>& subjects,
                               const Results& results)
{
    std::vector<Reality> all;
    for (const Subject& its : subjects)
    {
        // Copies need extra crossbars, and nothing else does.
        for (const auto& [variant, extra] :
             {std::pair(kLayerByLayer, std::uint64_t{0}), std::pair(kWdup, kBestExtra),
              std::pair(kXinf, std::uint64_t{0}), std::pair(kWdupXinf, kBestExtra)})
        {
            Reality& reality = all.emplace_back();
            reality.network = its.name;
            reality.variant = variant.name;
            reality.extra = extra;
            try
            {
                const Bench::Real real = bench.real(its.name, variant, extra);
                const auto makespan = static_cast<double>(real.makespan);
                reality.over_free = makespan / static_cast<double>(real.free);
                reality.over_ideal =
                    makespan / static_cast<double>(results.at(its.name, variant, extra).makespan);
            }
            catch (const InputError& error)
            {
                reality.problem = error.what();
            }
        }
    }
    return all;
}

void append(const std::vector<Reality>& realities, Report& report)
{
    report.tables += fmt::format(
        "Time on {} (mesh, buffers, vector units, memory are finite; dense layers too) over that "
        "of "
        "the same\noperations where only MVMs take time, and over the time on {}. The second "
        "is below 1\nwhere small buffers make the compiler cut rows into smaller sets.\n"
        "  {:<12}{:<16}{:>6}{:>17}{:>10}\n",
        kRealChip, kChip, "network", "variant", "extra", "same operations", "ideal");
    for (const Reality& its : realities)
    {
        const std::string what = fmt::format("{}, {}, {} extra: time on {}", its.network,
                                             its.variant, its.extra, kRealChip);
        if (!its.problem.empty())
        {
            report.rows.push_back({what, std::nullopt, std::nullopt, "x", Status::prediction,
                                   "does not fit: " + its.problem});
            continue;
        }
        report.tables += fmt::format("  {:<12}{:<16}{:>6}{:>17.3f}{:>10.3f}\n", its.network,
                                     its.variant, its.extra, its.over_free, its.over_ideal);
        report.rows.push_back({what + " over that of the same operations, only MVMs take time",
                               std::nullopt, its.over_free, "x", Status::prediction, ""});
        report.rows.push_back({what + " over that on " + kChip, std::nullopt, its.over_ideal, "x",
                               Status::prediction, ""});
    }
    report.tables += '\n';
}

} // namespace

Report clsa_cim(const Settings& settings)
{
    const std::vector<std::string> networks =
        settings.quick ? std::vector<std::string>{"tinyyolov3", "tinyyolov4", "resnet50"}
                       : std::vector<std::string>{"tinyyolov3", "tinyyolov4", "vgg16",    "vgg19",
                                                  "resnet50",   "resnet101",  "resnet152"};
    const std::vector<std::uint64_t> extras = settings.quick
                                                  ? std::vector<std::uint64_t>{0, 32}
                                                  : std::vector<std::uint64_t>{0, 4, 8, 16, 32, 64};
    Report report;
    report.name = "clsa-cim";
    report.paper = "CLSA-CIM: A Cross-Layer Scheduling Approach for Computing-in-Memory "
                   "Architectures, DATE 2024 (arXiv 2401.07671)";
    report.tables =
        fmt::format("By simulation on {}, one step is one MVM. S: speed-up over layer by layer; U: "
                    "utilization of all crossbars;\nT*: no schedule with whole copies takes fewer "
                    "steps. Sets are rows, copies are greedy: a reference model.\n\n",
                    kChip);
    const Bench bench(settings);
    Results results;
    std::vector<Subject> subjects;
    for (const std::string& name : networks)
    {
        const Subject& its = subjects.emplace_back(bench.subject(name));
        for (const std::uint64_t extra : extras)
        {
            for (const Variant& variant : {kLayerByLayer, kWdup, kXinf, kWdupXinf})
            {
                results.add(bench.measure(its, variant, extra));
            }
        }
        report.tables += table(its, extras, results);
    }
    for (const Subject& its : subjects)
    {
        const bool has_anchor = its.name == "tinyyolov3" || its.name == "tinyyolov4";
        for (const Variant& variant : {kFineSets, kMinSum})
        {
            if (has_anchor && !settings.quick)
            {
                results.add(bench.measure(its, variant, 32));
            }
        }
        results.add(bench.measure(its, kReplicated, kBestExtra));
        if (!settings.quick)
        {
            results.add(bench.measure(its, kBest, kBestExtra));
            results.add(bench.measure(its, kBestReplicated, kBestExtra));
        }
    }

    report.rows = anchors(results);
    const std::vector<Row> near_bound = distances(subjects, results);
    report.rows.insert(report.rows.end(), near_bound.begin(), near_bound.end());
    // Nobody's method but this compiler's.
    const std::set<std::string> ours = {kBest.name, kReplicated.name, kBestReplicated.name};
    nlohmann::ordered_json configurations = nlohmann::ordered_json::array();
    for (const Measured& its : results.all())
    {
        const auto subject = std::find_if(subjects.begin(), subjects.end(),
                                          [&](const Subject& s) { return s.name == its.network; });
        report.rows.push_back(
            {fmt::format("speed-up of {}, {}, {} extra", its.network, its.variant, its.extra),
             std::nullopt, its.speed_up, "x",
             ours.count(its.variant) != 0 ? Status::prediction : Status::reference_model, ""});
        configurations.push_back({{"network", its.network},
                                  {"variant", its.variant},
                                  {"extra", its.extra},
                                  {"steps", its.steps},
                                  {"least_steps", bound(*subject, its.extra)},
                                  {"speed_up", its.speed_up},
                                  {"utilization", its.utilization},
                                  {"gain", its.gain}});
    }
    if (settings.real)
    {
        append(realities(bench, subjects, results), report);
    }
    report.details = {{"chip", kChip}, {"configurations", std::move(configurations)}};
    return report;
}

} // namespace tessera::reproduce
