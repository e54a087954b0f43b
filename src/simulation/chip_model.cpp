// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"
#include "config/load.h"
#include "tessera/simulation.h"
#include "values/analogue.h"

#include <nlohmann/json.hpp>

namespace tessera
{

ChipModel::ChipModel(const std::string& chip, const std::vector<std::string>& overrides)
{
    config::ChipConfig config = config::load(chip, overrides, trace::function_names());
    for (std::string& file : values::validate(config))
    {
        config.files.push_back(std::move(file));
    }
    config_ = std::make_shared<const config::ChipConfig>(std::move(config));
}

const std::string& ChipModel::name() const
{
    return config_->name;
}

std::string ChipModel::json() const
{
    return text_of(config::effective(*config_), 2) + "\n";
}

} // namespace tessera
