// SPDX-License-Identifier: Apache-2.0
#include "config/macro_timing.h"

#include "base/integer.h"

#include <algorithm>
#include <array>
#include <string>

namespace tessera::config
{
namespace
{

struct NamedStage
{
    const char* name; ///< as in `macro.pipeline.groups`
    Stage stage;
    Duration length;
};

std::array<NamedStage, 6> stages_of(const ChipConfig::Macro& macro)
{
    const std::uint64_t cell_columns =
        std::uint64_t{macro.columns} * macro.cells_per_weight + macro.reference_columns();
    return {{
        {"drive", Stage::drive, ceil_div(macro.rows, macro.dac.count) * macro.dac.time},
        {"crossbar", Stage::crossbar, macro.crossbar.time},
        {"hold", Stage::hold, macro.sample_hold.present ? macro.sample_hold.time : Duration{}},
        {"convert", Stage::convert, ceil_div(cell_columns, macro.adc.count) * macro.adc.time},
        {"shift_add", Stage::shift_add, macro.shift_add.time},
        {"output", Stage::output, macro.output.time},
    }};
}

/// Stages that are one resource for the slices passing through.
std::vector<std::vector<std::string>> resources_of(const ChipConfig::Macro& macro)
{
    std::vector<std::vector<std::string>> resources = {{"drive"},   {"crossbar"},  {"hold"},
                                                       {"convert"}, {"shift_add"}, {"output"}};
    resources.insert(resources.end(), macro.pipeline.groups.begin(), macro.pipeline.groups.end());
    if (!macro.sample_hold.present)
    {
        // Nothing remembers the column currents: DACs and array stay driven until they are
        // converted.
        resources.push_back({"drive", "crossbar", "convert"});
    }
    return resources;
}

/// Steps of input bits follow each other without a gap; adder trees and output register are a
/// pipeline behind them.
MacroTiming digital_timing(const ChipConfig::Macro& macro)
{
    const ChipConfig::Macro::Digital& digital = macro.digital;
    MacroTiming timing;
    timing.slices = static_cast<std::uint32_t>(ceil_div(macro.input_bits, digital.step_bits));
    timing.slice_interval = digital.step_time;
    timing.interval = timing.slices * digital.step_time;
    timing.latency = timing.interval + digital.drain_time;
    timing.stages = {{Stage::multiply, Duration{}, digital.step_time}};
    if (!digital.drain_time.zero())
    {
        timing.stages.push_back({Stage::shift_add, digital.step_time, digital.drain_time});
    }
    return timing;
}

} // namespace

MacroTiming macro_timing(const ChipConfig::Macro& macro)
{
    if (macro.kind == "digital")
    {
        return digital_timing(macro);
    }
    MacroTiming timing;
    if (macro.timed_as_whole)
    {
        timing.latency = timing.interval = timing.slice_interval = macro.t_mvm;
        timing.stages = {{Stage::mvm, Duration{}, macro.t_mvm}};
        return timing;
    }
    const auto longer = [&](Duration a, Duration b)
    { return a.length(macro.clock) < b.length(macro.clock); };
    const auto stages = stages_of(macro);
    Duration sum;
    for (const NamedStage& stage : stages)
    {
        if (!stage.length.zero())
        {
            timing.stages.push_back({stage.stage, sum, stage.length});
        }
        sum = sum + stage.length;
    }
    for (std::size_t i = 1; i < timing.stages.size(); ++i)
    {
        if (longer(timing.stages[timing.bottleneck].length, timing.stages[i].length))
        {
            timing.bottleneck = i;
        }
    }
    for (const auto& resource : resources_of(macro))
    {
        Duration held;
        for (const NamedStage& stage : stages)
        {
            if (std::find(resource.begin(), resource.end(), stage.name) != resource.end())
            {
                held = held + stage.length;
            }
        }
        timing.slice_interval = std::max(timing.slice_interval, held, longer);
    }
    timing.slices = static_cast<std::uint32_t>(ceil_div(macro.input_bits, macro.dac.bits));
    timing.latency = sum + (timing.slices - 1) * timing.slice_interval;
    timing.interval = timing.slices * timing.slice_interval;
    return timing;
}

} // namespace tessera::config
