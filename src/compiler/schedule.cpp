// SPDX-License-Identifier: Apache-2.0
#include "compiler/schedule.h"

#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tessera::compiler
{
namespace
{

class LayerByLayer final : public Schedule
{
public:
    [[nodiscard]] std::vector<Stage> stages(const Graph& graph) const override
    {
        // Stage 0 holds the vector layers that depend on no crossbar layer.
        std::vector<Stage> result(1);
        std::vector<std::size_t> stage_of(graph.size(), 0);
        for (std::uint32_t i = 0; i < graph.size(); ++i)
        {
            const LayerId id(i);
            std::size_t& stage = stage_of[i];
            for (const LayerId input : graph.layer(id).inputs)
            {
                stage = std::max(stage, stage_of[input.index()]);
            }
            if (graph.role(id) == Role::crossbar)
            {
                stage = result.size();
                result.emplace_back();
            }
            if (graph.role(id) == Role::crossbar || graph.role(id) == Role::vector)
            {
                result[stage].push_back(id);
            }
        }
        result.erase(std::remove_if(result.begin(), result.end(),
                                    [](const Stage& stage) { return stage.empty(); }),
                     result.end());
        return result;
    }
    [[nodiscard]] bool as_soon_as_possible() const override { return false; }
};

class CrossLayer final : public Schedule
{
public:
    [[nodiscard]] std::vector<Stage> stages(const Graph& graph) const override
    {
        Stage all;
        for (std::uint32_t i = 0; i < graph.size(); ++i)
        {
            const Role role = graph.role(LayerId(i));
            if (role == Role::crossbar || role == Role::vector)
            {
                all.push_back(LayerId(i));
            }
        }
        return all.empty() ? std::vector<Stage>{} : std::vector<Stage>{std::move(all)};
    }
    [[nodiscard]] bool as_soon_as_possible() const override { return true; }
};

} // namespace

const Schedule& schedule(const std::string& name)
{
    static const LayerByLayer layer_by_layer;
    static const CrossLayer cross_layer;
    const std::array<std::pair<const char*, const Schedule*>, 2> known{
        {{"layer-by-layer", &layer_by_layer}, {"xinf", &cross_layer}}};
    std::string names;
    for (const auto& [its, policy] : known)
    {
        if (name == its)
        {
            return *policy;
        }
        names += (names.empty() ? "" : ", ") + std::string(its);
    }
    throw UsageError("there is no schedule '" + name + "'; use " + names);
}

} // namespace tessera::compiler
