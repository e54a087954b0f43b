// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/output_file.h"
#include "record/folder_lock.h"
#include "tessera/summary.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tessera::record
{

/// The folder that one run leaves behind: activity.h5, stats.json, stats.txt, config.resolved.json,
/// run.json.
class ResultFolder
{
public:
    /// Creates the folder. An existing one must be empty or, with `force`, hold the results of
    /// another run, which are removed (nothing else is; run.json is the first to go, so that it
    /// never speaks of what is no longer there). While this object is there no other one takes the
    /// folder, in this or any other process. Throws UsageError, IoError.
    ResultFolder(std::filesystem::path path, bool force);

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

    /// Writes a whole file. Room for one last run.json is set aside, so that also a run that filled
    /// the disk can say how it ended. Throws IoError.
    void write(const std::string& name, const std::string& text) const;
    void write_config(const std::string& text) const; ///< config.resolved.json

    /// Files that are to appear together when nothing can fail any more but their renaming.
    /// Throws IoError.
    void prepare(OutputFile file) { prepared_.push_back(std::move(file)); }
    void prepare_statistics(const Summary& summary); ///< stats.json and stats.txt
    /// Puts what was prepared under its names, all or nothing. Throws IoError.
    void publish();

private:
    class Scratch;

    std::filesystem::path path_;
    std::shared_ptr<const FolderLock> lock_;
    std::shared_ptr<const Scratch> scratch_; ///< what is removed in the end
    std::vector<OutputFile> prepared_;
};

/// Is this the name of a file of results?
[[nodiscard]] bool is_result(const std::string& file);

/// What run.json says that the run itself knows.
struct RunInfo
{
    std::vector<std::string> command_line;
    std::uint64_t seed = 0;
    std::string kernel;                        ///< "systemc", "native"
    std::string status;                        ///< "running", "complete", "interrupted", "failed"
    std::map<std::string, std::string> hashes; ///< of the inputs, by what they are
};

/// Measures a run from its construction on: wall and CPU time, memory.
class RunMeter
{
public:
    RunMeter();
    /// Text of run.json: everything that may differ between two runs of the same thing. Write it
    /// first with status "running": it marks the folder as one of results.
    [[nodiscard]] std::string report(const RunInfo& info) const;

private:
    std::chrono::system_clock::time_point started_;
    std::chrono::steady_clock::time_point begin_;
    double cpu_begin_;
};

} // namespace tessera::record
