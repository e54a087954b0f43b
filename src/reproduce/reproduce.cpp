// SPDX-License-Identifier: Apache-2.0
#include "reproduce/reproduce.h"

namespace tessera::reproduce
{

const std::vector<Paper>& papers()
{
    static const std::vector<Paper> list{
        {"aidac", "AiDAC and YOCO (arXiv 2312.11836): time, energy and error of one product",
         aidac},
    };
    return list;
}

nlohmann::ordered_json row(const std::string& quantity, const nlohmann::ordered_json& published,
                           double ours, const std::string& status)
{
    nlohmann::ordered_json difference;
    if (published.is_number())
    {
        const auto theirs = published.get<double>();
        difference = 100 * (ours - theirs) / theirs;
    }
    return {{"quantity", quantity},
            {"published", published},
            {"ours", ours},
            {"difference_percent", difference},
            {"status", status}};
}

} // namespace tessera::reproduce
