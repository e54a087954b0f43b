// SPDX-License-Identifier: Apache-2.0
#include "record/follow.h"

#include "base/input_file.h"
#include "tessera/error.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sys/utsname.h>
#include <system_error>

namespace tessera::record
{
namespace
{

namespace fs = std::filesystem;

/// A block may be caught while it is being written; looks that fail in a row mean more than that.
constexpr unsigned kMostFailures = 20;
/// Operations end nearly in the order of the file.
constexpr std::uint64_t kLatest = 256;

Glimpse glimpse_of(const ResultReader& reader)
{
    Glimpse glimpse;
    glimpse.operations = reader.count<OpRecord>();
    glimpse.closed = reader.header().closed;
    const std::uint64_t first = glimpse.operations - std::min(glimpse.operations, kLatest);
    for (const OpRecord& record : reader.read<OpRecord>(first, kLatest))
    {
        glimpse.now = std::max(glimpse.now, record.end);
    }
    if (glimpse.closed)
    {
        glimpse.now = reader.header().summary.span;
    }
    return glimpse;
}

/// Does the run go on on this machine? Elsewhere its process has another meaning.
bool is_here(const nlohmann::json& document)
{
    utsname host = {};
    const nlohmann::json::json_pointer name("/host/name");
    return !document.contains(name) || !document.at(name).is_string() || uname(&host) != 0 ||
           document.at(name).get<std::string>() == host.nodename;
}

} // namespace

fs::path Follower::folder() const
{
    if (path_.filename().string().rfind("activity.h5", 0) != 0)
    {
        return path_;
    }
    return path_.has_parent_path() ? path_.parent_path() : fs::path(".");
}

std::optional<Glimpse> Follower::look()
{
    try
    {
        std::error_code error;
        // The file may have got its final name meanwhile.
        fs::path file = path_;
        if (!fs::is_regular_file(file, error))
        {
            file = activity_file(folder());
        }
        const fs::file_time_type changed = fs::last_write_time(file, error);
        if (last_ && !error && changed == changed_)
        {
            return std::nullopt;
        }
        const Glimpse glimpse = glimpse_of(ResultReader(file));
        const bool news =
            !last_ || glimpse.operations != last_->operations || glimpse.closed != last_->closed;
        last_ = glimpse;
        changed_ = changed;
        failures_ = 0;
        return news ? std::optional(glimpse) : std::nullopt;
    }
    catch (const Error& error)
    {
        const bool there_may_be_more =
            error.code() == ExitCode::bad_input || error.code() == ExitCode::io;
        if (!there_may_be_more || ++failures_ > kMostFailures)
        {
            throw;
        }
        return std::nullopt;
    }
}

std::string Follower::status() const
{
    require_regular((folder() / "run.json").string());
    std::ifstream file(folder() / "run.json");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const nlohmann::json document = nlohmann::json::parse(text, nullptr, false);
    const auto status = document.is_object() ? document.find("status") : document.end();
    if (status == document.end() || !status->is_string())
    {
        return "";
    }
    const auto process = document.find("process");
    if (*status == "running" && is_here(document) && process != document.end() &&
        process->is_number_integer())
    {
        const auto number = process->get<std::int64_t>();
        const bool there = number > 0 && number <= std::int64_t{1} << 30U &&
                           (kill(static_cast<pid_t>(number), 0) == 0 || errno == EPERM);
        return there ? "running" : "died";
    }
    return status->get<std::string>();
}

} // namespace tessera::record
