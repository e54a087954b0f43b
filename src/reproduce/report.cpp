// SPDX-License-Identifier: Apache-2.0
#include "reproduce/report.h"

#include "base/interrupt.h"
#include "reproduce/aidac.h"
#include "reproduce/clsa_cim.h"
#include "tessera/error.h"

#include <fmt/format.h>

#include <algorithm>

namespace tessera::reproduce
{

void Settings::tell(const std::string& what) const
{
    throw_if_interrupted();
    if (progress)
    {
        progress(what);
    }
}

namespace
{

nlohmann::ordered_json optional_number(const std::optional<double>& value)
{
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

std::string optional_text(const std::optional<double>& value, const char* format)
{
    return value ? fmt::format(fmt::runtime(format), *value) : "-";
}

} // namespace

const char* name_of(Status status)
{
    switch (status)
    {
    case Status::prediction:
        return "prediction";
    case Status::accounting_check:
        return "accounting check";
    case Status::calibration:
        return "calibration";
    default:
        return "reference model";
    }
}

std::optional<double> Row::difference_percent() const
{
    return published && ours ? std::optional(100 * (*ours / *published - 1)) : std::nullopt;
}

nlohmann::ordered_json json(const Report& report)
{
    nlohmann::ordered_json result = {
        {"name", report.name}, {"paper", report.paper}, {"rows", nlohmann::ordered_json::array()}};
    for (const Row& row : report.rows)
    {
        result["rows"].push_back({{"quantity", row.quantity},
                                  {"published", optional_number(row.published)},
                                  {"ours", optional_number(row.ours)},
                                  {"unit", row.unit},
                                  {"difference_percent", optional_number(row.difference_percent())},
                                  {"status", name_of(row.status)},
                                  {"note", row.note}});
    }
    result.update(report.details);
    return result;
}

std::string text(const Report& report)
{
    std::string result = report.paper + "\n\n" + report.tables;
    result += fmt::format("{:<52}{:>10}{:>10}{:>9}  {}\n", "quantity", "published", "ours", "diff",
                          "status");
    for (const Row& row : report.rows)
    {
        if (!row.published && row.note.empty())
        {
            continue;
        }
        result +=
            fmt::format("{:<52}{:>10}{:>10}{:>9}  {}\n", row.quantity,
                        optional_text(row.published, "{:.2f}"), optional_text(row.ours, "{:.2f}"),
                        optional_text(row.difference_percent(), "{:+.1f} %"), name_of(row.status));
        if (!row.note.empty())
        {
            result += "    " + row.note + '\n';
        }
    }
    return result;
}

std::string cell(const nlohmann::ordered_json& value)
{
    if (value.is_null())
    {
        return "-";
    }
    if (value.is_number_float())
    {
        return fmt::format("{:.4g}", value.get<double>());
    }
    return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string table(const nlohmann::ordered_json& rows)
{
    std::vector<std::vector<std::string>> lines(1);
    for (const auto& [name, value] : rows.front().items())
    {
        lines.front().push_back(name);
    }
    for (const auto& row : rows)
    {
        std::vector<std::string>& line = lines.emplace_back();
        for (const std::string& name : lines.front())
        {
            line.push_back(cell(row.at(name)));
        }
    }
    std::string result;
    for (const auto& line : lines)
    {
        std::string words;
        for (std::size_t column = 0; column < line.size(); ++column)
        {
            std::size_t width = 0;
            for (const auto& other : lines)
            {
                width = std::max(width, other[column].size());
            }
            words += fmt::format("  {:<{}}", line[column], width);
        }
        result += words.substr(0, words.find_last_not_of(' ') + 1) + '\n';
    }
    return result;
}

const std::vector<Reproduction>& reproductions()
{
    static const std::vector<Reproduction> list = {
        {"clsa-cim", "CLSA-CIM: cross-layer schedules of seven networks on 256 x 256 crossbars",
         true, true, clsa_cim},
        {"aidac", "AiDAC and YOCO: time, energy and error of one all-analog product", false, false,
         aidac},
    };
    return list;
}

const Reproduction& find_reproduction(const std::string& name)
{
    std::string names;
    for (const Reproduction& known : reproductions())
    {
        if (name == known.name)
        {
            return known;
        }
        names += (names.empty() ? "" : ", ") + std::string(known.name);
    }
    throw UsageError("there is no reproduction '" + name + "'; use " + names);
}

} // namespace tessera::reproduce
