// SPDX-License-Identifier: Apache-2.0
#include "record/results.h"

#include "record/statistics.h"
#include "record/table.h"
#include "tessera/error.h"
#include "tessera/version.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace tessera::record
{
namespace
{

namespace fs = std::filesystem;

/// In the order in which they go.
constexpr std::array kResultFiles = {
    "run.json",  "activity.h5",   "activity.h5.part", "stats.json",    "config.resolved.json",
    "stats.txt", "deadlock.json", "watchdog.json",    "windows.jsonl", "values.h5"};

constexpr const char* kReserve = ".run.json.reserve";
constexpr std::size_t kReservedBytes = 65536;

constexpr const char* kHiddenActivity = ".activity.h5.tmp";

[[noreturn]] void fail(const std::string& what, const fs::path& path, const std::error_code& error)
{
    throw_io_error(what, path, error.value());
}

bool has_no_content(const fs::path& path)
{
    std::error_code error;
    const bool empty = fs::is_empty(path, error);
    if (error)
    {
        fail("read folder", path, error);
    }
    return empty;
}

/// Where a file goes before it is removed.
std::string old(const std::string& name)
{
    return "." + name + ".old";
}

/// What a killed process left on its way to a result.
bool is_left_over(const std::string& file)
{
    return file == kReserve || file == kHiddenActivity ||
           std::any_of(kResultFiles.begin(), kResultFiles.end(),
                       [&](const char* name)
                       { return file == old(name) || is_temporary_of(file, name); });
}

std::vector<std::string> names_in(const fs::path& folder)
{
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error))
    {
        names.push_back(entry->path().filename().string());
    }
    if (error)
    {
        fail("read folder", folder, error);
    }
    return names;
}

bool holds_results(const std::vector<std::string>& names)
{
    return std::any_of(names.begin(), names.end(),
                       [](const std::string& name)
                       {
                           return name == "run.json" || name == "activity.h5" ||
                                  name == "activity.h5.part" || is_left_over(name);
                       });
}

/// Hides older results, run.json first: no folder ever says `complete` without being it. What has
/// been hidden comes back when something cannot be.
class HiddenResults
{
public:
    explicit HiddenResults(fs::path folder) : folder_(std::move(folder)) {}
    HiddenResults(const HiddenResults&) = delete;
    HiddenResults& operator=(const HiddenResults&) = delete;
    ~HiddenResults()
    {
        for (auto name = hidden_.rbegin(); name != hidden_.rend(); ++name)
        {
            std::error_code ignored; // what went wrong first is what matters
            fs::rename(folder_ / old(*name), folder_ / *name, ignored);
        }
    }

    void hide(const std::string& name)
    {
        rename_file(folder_ / name, folder_ / old(name));
        hidden_.push_back(name);
    }
    void sync() const { sync_to_disk(folder_); }
    void keep_hidden() { hidden_.clear(); }

private:
    fs::path folder_;
    std::vector<std::string> hidden_;
};

void remove_results(const fs::path& folder, const std::vector<std::string>& names)
{
    for (const std::string& name : names)
    {
        std::error_code none; // it is there
        if (is_result(name) && fs::is_directory(folder / name, none))
        {
            throw UsageError((folder / name).string() +
                             " is a folder, which no run has made: move it away");
        }
    }
    HiddenResults results(folder);
    for (const char* name : kResultFiles) // of which run.json is the first
    {
        if (std::find(names.begin(), names.end(), name) != names.end())
        {
            results.hide(name);
        }
        if (name == std::string("run.json"))
        {
            results.sync(); // before anything that it speaks of
        }
    }
    results.keep_hidden();
    const auto remove = [&](const std::string& name)
    {
        std::error_code ignored; // a hidden file more; nothing takes it for a result
        fs::remove(folder / name, ignored);
    };
    for (const std::string& name : names)
    {
        if (is_left_over(name))
        {
            remove(name);
        }
    }
    for (const char* name : kResultFiles)
    {
        remove(old(name));
    }
}

double seconds(const timeval& time)
{
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

rusage usage()
{
    rusage result = {};
    getrusage(RUSAGE_SELF, &result);
    return result;
}

double cpu_seconds()
{
    const rusage used = usage();
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

std::string utc(std::chrono::system_clock::time_point time)
{
    const std::time_t value = std::chrono::system_clock::to_time_t(time);
    std::tm parts = {};
    gmtime_r(&value, &parts);
    std::array<char, 32> text{};
    const std::size_t length =
        std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return {text.data(), length};
}

/// True: it was not there.
bool make_folder(const fs::path& path)
{
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found)
    {
        fs::create_directories(path, error);
        if (error)
        {
            fail("create folder", path, error);
        }
        return true;
    }
    if (error)
    {
        fail("use folder", path, error);
    }
    if (!fs::is_directory(status))
    {
        throw UsageError(path.string() + " is not a folder: results need one of their own");
    }
    return false;
}

/// Removes the results of another run.
void make_ready(const fs::path& path, bool force)
{
    if (has_no_content(path))
    {
        return;
    }
    if (!force)
    {
        throw UsageError("folder " + path.string() +
                         " is not empty: name another one, or use --force to replace results");
    }
    const std::vector<std::string> names = names_in(path);
    if (!holds_results(names))
    {
        throw UsageError("folder " + path.string() +
                         " does not hold the results of a run, so --force leaves it alone: name "
                         "another one");
    }
    remove_results(path, names);
}

} // namespace

bool is_result(const std::string& file)
{
    return is_left_over(file) ||
           std::find(kResultFiles.begin(), kResultFiles.end(), file) != kResultFiles.end();
}

/// Files that are there only while the run goes on.
class ResultFolder::Scratch
{
public:
    /// Reserves room for the last run.json.
    explicit Scratch(fs::path folder) : folder_(std::move(folder))
    {
        try
        {
            reserve_file(reserve(), kReservedBytes);
        }
        catch (...)
        {
            clear();
            throw;
        }
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { clear(); }

    [[nodiscard]] fs::path reserve() const { return folder_ / kReserve; }

private:
    void clear() const
    {
        std::error_code ignored; // a hidden file more; nothing takes it for a result
        fs::remove(reserve(), ignored);
    }

    fs::path folder_;
};

ResultFolder::ResultFolder(fs::path path, bool force) : path_(std::move(path))
{
    const bool made = make_folder(path_);
    lock_ = std::make_shared<const FolderLock>(path_);
    if (lock_->taken())
    {
        throw UsageError("another run is writing to folder " + path_.string() +
                         ": name another one, or wait for its end");
    }
    make_ready(path_, force);
    try
    {
        scratch_ = std::make_shared<const Scratch>(path_);
    }
    catch (...)
    {
        if (made)
        {
            std::error_code ignored; // an empty folder more
            fs::remove(path_, ignored);
        }
        throw;
    }
}

void ResultFolder::write(const std::string& name, const std::string& text) const
{
    try
    {
        write_file(path_ / name, text);
    }
    catch (const IoError&)
    {
        std::error_code ignored; // not to be asked: gone
        // What is set aside is for how the run ends, not for its beginning.
        if (name != "run.json" || text.size() > kReservedBytes ||
            !fs::exists(path_ / name, ignored) || !fs::exists(scratch_->reserve(), ignored))
        {
            throw;
        }
        write_into_reserved(scratch_->reserve(), path_ / name, text);
    }
}

void ResultFolder::write_config(const std::string& text) const
{
    write("config.resolved.json", text);
}

void ResultFolder::prepare_statistics(const Summary& summary)
{
    const std::vector<Statistic> list = statistics(summary);
    const auto prepare_text = [&](const char* name, const std::string& text)
    {
        OutputFile file(path_ / name);
        file.write(text);
        file.complete();
        prepare(std::move(file));
    };
    prepare_text("stats.json", statistics_json(list));
    prepare_text("stats.txt", statistics_text(list));
}

void ResultFolder::publish()
{
    tessera::publish(prepared_);
    prepared_.clear();
}

RunMeter::RunMeter()
    : started_(std::chrono::system_clock::now()),
      begin_(std::chrono::steady_clock::now()),
      cpu_begin_(cpu_seconds())
{
}

std::string RunMeter::report(const RunInfo& info) const
{
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin_;
    utsname host = {};
    uname(&host);
    nlohmann::ordered_json document;
    document["status"] = info.status;
    document["tessera_version"] = version();
    document["command_line"] = info.command_line;
    document["seed"] = info.seed;
    document["kernel"] = info.kernel;
    document["hashes"] = info.hashes;
    document["host"] = {{"name", host.nodename},
                        {"system", std::string(host.sysname) + " " + host.release},
                        {"machine", host.machine},
                        {"processors", std::thread::hardware_concurrency()}};
    document["process"] = getpid();
    document["started"] = utc(started_);
    document["wall_seconds"] = wall.count();
    document["cpu_seconds"] = cpu_seconds() - cpu_begin_;
    document["peak_memory_bytes"] = static_cast<std::uint64_t>(usage().ru_maxrss) * 1024;
    return dump(document);
}

} // namespace tessera::record
