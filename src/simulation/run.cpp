// SPDX-License-Identifier: Apache-2.0
#include "simulation/run.h"

#include "base/arrivals.h"
#include "base/json.h"
#include "base/log_pattern.h"
#include "base/time_limit.h"
#include "chip/deadlock.h"
#include "config/load.h"
#include "simulation/log_units.h"
#include "trace/header.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <zlib.h>

namespace tessera::simulation
{
namespace
{

/// A trace is only right for the chip whose mapping it assumes. Foreign traces may not say. How the
/// compiler decided, `mapping`, is on record, but no property of the chip.
void check_mapping(const trace::Header& header, const config::ChipConfig& chip,
                   const std::string& name)
{
    static const std::string kDecisions = "mapping.";
    const auto own = config::mapping_keys(chip);
    std::string differing;
    for (const auto& [key, value] : header.mapping)
    {
        if (key.compare(0, kDecisions.size(), kDecisions) == 0)
        {
            continue;
        }
        const auto found = own.find(key);
        if (found == own.end() || found->second != value)
        {
            differing += (differing.empty() ? "" : ", ") + key + " (trace " + value + ", chip " +
                         (found == own.end() ? "nothing" : found->second) + ")";
        }
    }
    if (!differing.empty())
    {
        throw InputError({name, 1, "/mapping"}, "compiled for another chip: " + differing,
                         "compile the network for this chip, or run it on the other");
    }
}

record::ActivityMeta meta_of(const chip::Chip& chip, const trace::Header& header,
                             const std::string& config, ActivityLevel level,
                             const record::ImageMeta& images)
{
    record::ActivityMeta meta;
    meta.level = level;
    meta.config = config;
    meta.trace_header = trace::header_text(header);
    meta.reference_clock = chip.config().clock;
    meta.images = images;
    for (const chip::IssueUnit* const unit : chip.units())
    {
        meta.units.push_back({unit->place().name, unit->place().kind, unit->place().node});
    }
    for (const trace::TracedLayer& layer : header.layers)
    {
        meta.layers.push_back({layer.name, layer.kind});
    }
    return meta;
}

std::string checksum(const std::string& text)
{
    return fmt::format("crc32:{:08x}", crc32(0, reinterpret_cast<const Bytef*>(text.data()),
                                             static_cast<uInt>(text.size())));
}

/// Throws UsageError for what no run gets to.
void check_time(const char* name, Tick time)
{
    if (time > kLatestTime)
    {
        throw UsageError(std::string(name) + " is " + std::to_string(time) +
                         " ps, after the end of simulated time; give at most " +
                         latest_time_text());
    }
}

/// Tells when no operation has ended for too long.
class Watchdog
{
public:
    explicit Watchdog(double seconds) : seconds_(seconds) {}
    void look(chip::Chip& chip, const Progress& progress)
    {
        if (seconds_ <= 0)
        {
            return;
        }
        const Clock::time_point now = Clock::now();
        if (progress.operations != operations_)
        {
            operations_ = progress.operations;
            since_ = now;
        }
        else if (std::chrono::duration<double>(now - since_).count() > seconds_)
        {
            chip::throw_watchdog(chip, seconds_);
        }
    }

private:
    using Clock = std::chrono::steady_clock;
    double seconds_;
    std::uint64_t operations_ = 0;
    Clock::time_point since_ = Clock::now();
};

} // namespace

Run::Run(const ChipModel& model, const Program& program, RunOptions options, RunIdentity identity)
    : model_(model), options_(std::move(options)), source_(program.source())
{
    check_mapping(source_->header(), model_.config(), program.name());
    check_time("until", options_.until == kNever ? 0 : options_.until);
    check_time("stats_every", options_.stats_every);
    std::optional<Arrivals> arrivals;
    if (!options_.arrivals.empty())
    {
        arrivals.emplace(options_.arrivals, options_.seed);
    }
    if (!options_.log.empty())
    {
        log_.emplace(options_.log, options_.log_to != nullptr ? *options_.log_to : std::cerr);
    }
    if (options_.stats_every != 0 && options_.folder.empty())
    {
        throw UsageError("statistics of stretches of time need a folder to go to");
    }
    chip_ = std::make_unique<chip::Chip>(model_.config(), *source_, sink_, identity.shuffle,
                                         identity.external);
    if (arrivals)
    {
        chip_->expect(*std::move(arrivals));
    }
    if (log_)
    {
        check_units(log_patterns(options_.log), log_units(*chip_));
    }
    if (!options_.folder.empty())
    {
        images_ = {options_.arrivals, options_.arrivals.empty() ? 0 : options_.seed,
                   program.operations_per_image()};
        folder_.emplace(options_.folder, options_.replace);
    }
    info_.command_line = std::move(identity.command_line);
    info_.seed = options_.seed;
    info_.kernel = std::move(identity.kernel);
    info_.hashes = {{"config", checksum(text_of(config::effective(model_.config())))},
                    {"trace_header", checksum(trace::header_text(source_->header()))}};
}

void Run::write(const std::string& name, const std::string& text)
{
    if (folder_)
    {
        folder_->write(name, text);
    }
}

void Run::report(const std::string& status)
{
    info_.status = status;
    write("run.json", meter_.report(info_));
}

template <class Action> auto Run::noting_failure(Action action) -> decltype(action())
{
    try
    {
        return action();
    }
    catch (...)
    {
        try
        {
            report("failed");
        }
        catch (const Error&) // NOLINT(bugprone-empty-catch): the first failure is the one to tell
        {
        }
        throw;
    }
}

RunResult Run::execute(const Drive& drive)
{
    const chip::Monitor monitor = begin();
    bool ended = false;
    try
    {
        ended = drive(*chip_, monitor);
    }
    catch (...)
    {
        return fail(std::current_exception());
    }
    return end(ended);
}

chip::Monitor Run::begin()
{
    noting_failure(
        [&]
        {
            report("running");
            if (!folder_)
            {
                return;
            }
            const std::string config = model_.json();
            folder_->write_config(config);
            if (options_.level != ActivityLevel::off)
            {
                record::WriterOptions writing;
                writing.live = options_.live;
                writing.compression =
                    options_.compress ? record::Compression::deflate : record::Compression::none;
                writer_ = std::make_unique<record::ActivityWriter>(
                    folder_->path(),
                    meta_of(*chip_, source_->header(), config, options_.level, images_), writing);
                writer_->connect(sink_);
            }
            if (options_.stats_every != 0)
            {
                windows_.emplace(folder_->path(), *chip_);
            }
        });
    chip_->stop_after(options_.until);
    if (log_)
    {
        chip_->wheel().set_log(&*log_);
    }
    if (windows_)
    {
        chip_->look_every(options_.stats_every,
                          [this](Tick at)
                          {
                              if (!chip_->done()) // the last window ends with the run
                              {
                                  windows_->end(at);
                                  windows_->check_count();
                              }
                          });
    }
    return [this, watchdog = Watchdog(options_.watchdog_seconds)](const Progress& progress) mutable
    {
        watchdog.look(*chip_, progress);
        if (windows_)
        {
            windows_->show();
        }
        return !options_.monitor || options_.monitor(progress);
    };
}

RunResult Run::end(bool ended)
{
    return noting_failure(
        [&]
        {
            return conclude(ended                    ? RunEnd::complete
                            : chip_->reached_limit() ? RunEnd::until
                                                     : RunEnd::stopped);
        });
}

RunResult Run::fail(const std::exception_ptr& problem)
{
    const auto account = [&](const std::string& file, const nlohmann::ordered_json& what)
    {
        write(file, text_of(what, 2) + "\n");
        static_cast<void>(finish(record::Outcome::interrupted, {}));
    };
    return noting_failure(
        [&]
        {
            try
            {
                std::rethrow_exception(problem);
            }
            catch (const chip::DeadlockError& error)
            {
                account("deadlock.json", error.report());
                throw;
            }
            catch (const chip::WatchdogError& error)
            {
                account("watchdog.json", error.report());
                throw;
            }
            catch (const TooManyWindows&)
            {
                static_cast<void>(finish(record::Outcome::interrupted, {}));
                throw;
            }
            catch (const Error& error)
            {
                if (error.code() != ExitCode::interrupted)
                {
                    throw;
                }
            }
            return conclude(RunEnd::stopped); // while it read the trace
        });
}

Summary Run::finish(record::Outcome outcome, const Extra& extra)
{
    if (windows_)
    {
        chip_->sequencer().settle();
        windows_->end(chip_->span());
    }
    chip_->close();
    Summary summary = chip_->summary();
    // What does not fit on the disk leaves nothing behind that looks complete.
    if (folder_)
    {
        folder_->prepare_statistics(summary);
        if (extra)
        {
            folder_->prepare(extra(folder_->path()));
        }
    }
    if (windows_)
    {
        windows_->close();
    }
    if (writer_)
    {
        if (auto activity = writer_->seal(summary, outcome))
        {
            folder_->prepare(std::move(*activity));
        }
    }
    if (folder_)
    {
        folder_->publish();
    }
    return summary;
}

RunResult Run::conclude(RunEnd end)
{
    struct Ending
    {
        record::Outcome outcome;
        const char* status;
    };
    const Ending ending = end == RunEnd::complete ? Ending{record::Outcome::complete, "complete"}
                          : end == RunEnd::until
                              ? Ending{record::Outcome::cut, "until"}
                              : Ending{record::Outcome::interrupted, "interrupted"};
    RunResult result;
    result.end = end;
    result.summary = finish(ending.outcome, extra_);
    result.unread = end == RunEnd::complete ? chip_->sequencer().data().live() : 0;
    report(ending.status);
    return result;
}

} // namespace tessera::simulation
