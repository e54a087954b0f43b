// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include <functional>
#include <optional>
#include <string>
#include <vector>

/// Tables of papers side by side with what this simulator says. Published figures are compared
/// with, never entered as results.
namespace tessera::reproduce
{

/// What a figure of ours rests on.
enum class Status : std::uint8_t
{
    prediction,       ///< nothing that went in was chosen by looking at it
    accounting_check, ///< the paper's own figures added up again
    calibration,      ///< a constant was fitted to it
    reference_model   ///< a model made after seeing the published figure
};
/// "reference model"
[[nodiscard]] const char* name_of(Status status);

/// One figure.
struct Row
{
    std::string quantity;
    std::optional<double> published; ///< nothing: only ours is known
    std::optional<double> ours;      ///< nothing: `note` says why there is none
    std::string unit;
    Status status = Status::prediction;
    std::string note;

    /// Ours against the published figure; nothing unless there are both.
    [[nodiscard]] std::optional<double> difference_percent() const;
};

/// What a reproduction found.
struct Report
{
    std::string name;
    std::string paper; ///< title and where it appeared
    std::vector<Row> rows;
    std::string tables;             ///< for people, before the rows
    nlohmann::ordered_json details; ///< the same as data, for plots
};

/// `name`, `paper`, `rows` (`quantity`, `published`, `ours`, `unit`, `difference_percent`,
/// `status`, `note`), then the details.
[[nodiscard]] nlohmann::ordered_json json(const Report& report);
/// Tables, then the rows that have a published figure or a note.
[[nodiscard]] std::string text(const Report& report);

/// A number, text or truth value as people read it.
[[nodiscard]] std::string cell(const nlohmann::ordered_json& value);
/// A list of objects with the same members, as aligned columns.
[[nodiscard]] std::string table(const nlohmann::ordered_json& rows);

/// How thorough a reproduction is.
struct Settings
{
    bool quick = false; ///< a part that takes seconds
    bool real = false;  ///< on hardware without the paper's idealisations
    std::function<void(const std::string&)>
        progress; ///< told what is being worked on; may be empty

    /// Says what is worked on next. Throws Error when the work is interrupted.
    void tell(const std::string& what) const;
};

/// One paper: one file, one entry in reproductions().
struct Reproduction
{
    const char* name;
    const char* summary;
    bool knows_real;  ///< Settings::real means something
    bool knows_quick; ///< so does Settings::quick
    Report (*run)(const Settings& settings);
};

[[nodiscard]] const std::vector<Reproduction>& reproductions();
/// Throws UsageError listing the known ones.
[[nodiscard]] const Reproduction& find_reproduction(const std::string& name);

} // namespace tessera::reproduce
