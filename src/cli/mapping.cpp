// SPDX-License-Identifier: Apache-2.0
#include "cli/mapping.h"

#include "cli/progress.h"
#include "compiler/report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <ostream>
#include <string>
#include <utility>

namespace tessera::cli
{

nlohmann::ordered_json mapping_json(const MappingReport& mapping, const trace::Header& header)
{
    nlohmann::ordered_json layers = nlohmann::ordered_json::array();
    for (const MappingReport::Layer& layer : mapping.layers)
    {
        layers.push_back({{"layer", layer.name},
                          {"copies", layer.copies},
                          {"blocks", layer.blocks},
                          {"weights", layer.weights},
                          {"occupancy", layer.occupancy}});
    }
    nlohmann::ordered_json result = {{"operations", header.operations},
                                     {"units", header.units.size()},
                                     {"blocks", header.blocks.size()},
                                     {"crossbars", mapping.crossbars},
                                     {"weights", mapping.weights},
                                     {"occupancy", mapping.occupancy},
                                     {"segments", mapping.segments},
                                     {"images", mapping.images},
                                     {"cells_written", mapping.cells_written},
                                     {"write_energy_aj", mapping.write_energy},
                                     {"writes_per_cell", mapping.writes},
                                     {"endurance", mapping.endurance},
                                     {"bytes_sent", mapping.bytes_sent},
                                     {"byte_hops", mapping.byte_hops},
                                     {"attention", compiler::attention_json(mapping.attention)},
                                     {"layers", layers}};
    if (mapping.pipeline)
    {
        const MappingReport::Pipeline& its = *mapping.pipeline;
        result["pipeline"] = {{"in_flight", its.in_flight},
                              {"interval_ps", its.planned.interval},
                              {"least_interval_ps", its.least_interval},
                              {"busiest", its.busiest},
                              {"work_ps", its.work},
                              {"wanted", its.wanted},
                              {"first_latency_ps", its.planned.first_latency},
                              {"mean_latency_ps", its.planned.mean_latency},
                              {"most_latency_ps", its.planned.most_latency}};
    }
    result["divided"] = compiler::divided_json(mapping.divided);
    result["plans"] = mapping.plans;
    if (mapping.buffers)
    {
        nlohmann::ordered_json refuges = nlohmann::ordered_json::array();
        for (const MappingReport::Buffers::Refuge& refuge : mapping.buffers->refuges)
        {
            refuges.push_back({{"from", refuge.from},
                               {"to", refuge.to},
                               {"at", refuge.at},
                               {"bytes", refuge.bytes}});
        }
        result["buffers"] = {{"held_back", mapping.buffers->held_back},
                             {"unbounded_ps", mapping.buffers->unbounded},
                             {"bounded_ps", mapping.buffers->bounded},
                             {"refuges", std::move(refuges)}};
    }
    return result;
}

void print_pipeline(std::ostream& out, const MappingReport& mapping)
{
    if (!mapping.pipeline)
    {
        return;
    }
    const MappingReport::Pipeline& its = *mapping.pipeline;
    const auto time = [](double ps) { return human_time(static_cast<Tick>(ps + 0.5)); };
    out << fmt::format(
        "{} images, {} in flight{}; the busiest unit, {}, works {} on each", its.planned.count,
        its.in_flight,
        its.in_flight < its.wanted ? fmt::format(" (buffers have no room for {})", its.wanted) : "",
        its.busiest, human_time(its.work));
    const bool waits = mapping.buffers && mapping.buffers->held_back; // which no pace foresees
    out << (waits ? std::string("\n")
                  : fmt::format("; if only MVMs take time, one every {} (at least {}), latency {} "
                                "to {}\n",
                                time(its.planned.interval), human_time(its.least_interval),
                                human_time(its.planned.first_latency),
                                human_time(its.planned.most_latency)));
}

void print_sets(std::ostream& out, const MappingReport& mapping)
{
    out << compiler::divided_text(compiler::divided_json(mapping.divided), mapping.computed,
                                  mapping.plans);
}

void print_buffers(std::ostream& out, const MappingReport& mapping)
{
    if (!mapping.buffers || (mapping.buffers->refuges.empty() && !mapping.buffers->held_back))
    {
        return;
    }
    const MappingReport::Buffers& its = *mapping.buffers;
    out << fmt::format("buffers are too small for all that waits{}: if only MVMs take time, {} "
                       "instead of {}\n",
                       its.held_back ? ", producers are held back" : "", human_time(its.bounded),
                       human_time(its.unbounded));
    for (const MappingReport::Buffers::Refuge& refuge : its.refuges)
    {
        out << fmt::format("  {} waits for {} in {}: {} bytes an image are {}\n", refuge.from,
                           refuge.to, refuge.at, refuge.bytes,
                           refuge.at == "memory" ? "stored and loaded" : "sent once more");
    }
}

void print_writing(std::ostream& out, const MappingReport& mapping, std::optional<Tick> makespan)
{
    if (mapping.weights_written != 0)
    {
        out << fmt::format(
            "{} segments take turns for {} image{}: {} cells are written, {:.6g} mJ\n",
            mapping.segments, mapping.images, mapping.images == 1 ? "" : "s", mapping.cells_written,
            static_cast<double>(mapping.write_energy) * 1e-15);
    }
    out << compiler::attention_text(compiler::attention_json(mapping.attention));
    const bool told = mapping.weights_written == 0 && !makespan; // by the line on attention
    if (mapping.writes == 0 || mapping.endurance == 0 || told)
    {
        return;
    }
    const double runs =
        static_cast<double>(mapping.endurance) / static_cast<double>(mapping.writes);
    out << fmt::format("{:.4g} writes of a cell per image, which lasts for {:.6g} images",
                       static_cast<double>(mapping.writes) / mapping.images, runs * mapping.images);
    if (makespan)
    {
        out << fmt::format(", {:.4g} hours without a pause",
                           runs * static_cast<double>(*makespan) * 1e-12 / 3600);
    }
    out << '\n';
}

} // namespace tessera::cli
