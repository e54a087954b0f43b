// SPDX-License-Identifier: Apache-2.0
#include "simulation/compiler_choices.h"

#include "base/nearest.h"
#include "chip/aidac.h"
#include "config/chip_keys.h"
#include "config/load.h"
#include "tessera/error.h"

#include <algorithm>

namespace tessera::simulation
{
namespace
{

/// Images that are compiled; more follow the last one as it follows the one before.
constexpr std::uint32_t kCompiledImages = 2;

/// What was chosen for one program, or else what the chip says. Throws UsageError for what `key`
/// does not allow.
std::string choice(const std::optional<std::string>& chosen, const char* key,
                   const std::string& otherwise)
{
    const std::vector<std::string>& known = config::find_key(key)->choices;
    if (chosen && std::find(known.begin(), known.end(), *chosen) == known.end())
    {
        throw UsageError(std::string("there is no ") + key + " '" + *chosen + "'; use " +
                         joined(known));
    }
    return chosen.value_or(otherwise);
}

} // namespace

CompilerChoices compiler_choices(const config::ChipConfig& chip, const CompileOptions& options)
{
    compiler::Options choices;
    choices.schedule = options.schedule;
    choices.plan.duplicate = options.duplicate;
    choices.plan.extra_pes = options.extra_pes;
    choices.plan.sets = options.sets;
    choices.plan.order = options.order;
    choices.plan.time_multiplex = options.time_multiplex;
    choices.plan.pack = options.pack;
    choices.plan.replicate_in_crossbar = options.replicate_in_crossbar;
    // Segments that take turns hold all the images, and across layers images mingle; else one
    // follows the other.
    const bool together =
        options.time_multiplex || compiler::schedule(options.schedule).as_soon_as_possible();
    choices.images = together ? options.images : std::min(options.images, kCompiledImages);
    // What is chosen for this program only changes nothing of the chip that it is for.
    config::ChipConfig config = chip;
    config.mapping.placement =
        choice(options.placement, "mapping.placement", config.mapping.placement);
    config.mapping.depthwise =
        choice(options.depthwise, "mapping.depthwise", config.mapping.depthwise);
    config.mapping.attention =
        choice(options.attention, "mapping.attention", config.mapping.attention);
    choices.mapping = config::mapping_keys(config);
    if (config.macro.kind == "aidac" && (choices.images > 1 || options.sets == "auto"))
    {
        choices.plan.crossbars = chip::macro_timing(chip::aidac_design(config));
    }
    return {std::move(choices), std::move(config)};
}

} // namespace tessera::simulation
