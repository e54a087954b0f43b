// SPDX-License-Identifier: Apache-2.0
// A saturated recorder against the disk: all streams are appended as fast as they are taken, the
// file is closed, synced and renamed. Beside it, in turn, the same bytes (those of the finished
// file) written raw in blocks of a mebibyte and synced. Medians of the ratios; rates in wall time.
//     record_bench [FOLDER [RUNS [OPERATIONS]]]
#include "record/activity_writer.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

namespace
{

using namespace tessera;
namespace fs = std::filesystem;

constexpr std::size_t kBlock = std::size_t{1} << 20U;

struct Cost
{
    double wall = 0; ///< seconds
    double cpu = 0;
};

double cpu_seconds()
{
    rusage used = {};
    getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time)
    { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

Cost cost_of(const std::function<void()>& action)
{
    const auto begin = std::chrono::steady_clock::now();
    const double cpu = cpu_seconds();
    action();
    return {std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
            cpu_seconds() - cpu};
}

/// Records as a run makes them: times that rise, units and causes that vary.
struct Records
{
    std::vector<OpRecord> operations;
    std::vector<IntervalRecord> intervals;

    explicit Records(std::size_t count) : operations(count), intervals(count)
    {
        std::mt19937_64 random(1);
        Tick now = 0;
        for (std::size_t i = 0; i < count; ++i)
        {
            now += random() % 2000;
            const std::uint64_t bits = random();
            OpRecord& operation = operations[i];
            operation = {};
            operation.id = i;
            operation.ready = now;
            operation.start = now + (bits % 4) * 1000;
            operation.end = operation.start + 1'400'000;
            operation.because = i - std::min<std::uint64_t>(i, 1 + (bits >> 8U) % 64);
            operation.unit = static_cast<std::uint32_t>((bits >> 16U) % 2304);
            operation.layer = static_cast<std::uint32_t>(i / 4096 % 50);
            operation.cause = static_cast<std::uint8_t>((bits >> 32U) % 5);
            intervals[i] = {i, operation.start, operation.end, 0, 1, operation.unit, 7, {}};
        }
    }
};

void record_all(const fs::path& folder, const Records& records, std::size_t repetitions,
                const record::WriterOptions& options)
{
    record::ActivityMeta meta;
    meta.level = ActivityLevel::stage;
    meta.reference_clock = Clock(1000, 1);
    meta.units.resize(2304, {"t0.m0", trace::UnitKind::macro, NodeId(0)});
    meta.layers.resize(50, {"conv", "conv2d"});
    ActivitySink sink;
    record::ActivityWriter writer(folder, meta, options);
    writer.connect(sink);
    for (std::size_t round = 0; round < repetitions; ++round)
    {
        for (std::size_t i = 0; i < records.operations.size(); ++i)
        {
            const OpRecord& operation = records.operations[i];
            sink.operations.append(operation);
            sink.dependencies.append({operation.id, operation.because, 0, {}});
            sink.intervals.append(records.intervals[i]);
            sink.stalls.append({i, operation.ready, operation.start, operation.unit, 15, {}});
            sink.cycles.append({operation.start, i, operation.unit, 1, 2, 3});
        }
    }
    Summary summary;
    summary.units.resize(2304);
    summary.layers.resize(50);
    writer.finish(summary);
}

/// The bytes of `from` written and synced as plainly as it goes.
void write_raw(const std::string& bytes, const fs::path& to)
{
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    const int file = open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    for (std::size_t done = 0; done < bytes.size(); done += kBlock)
    {
        const std::size_t count = std::min(kBlock, bytes.size() - done);
        if (write(file, bytes.data() + done, count) != static_cast<ssize_t>(count))
        {
            std::perror("record_bench");
            std::exit(1);
        }
    }
    fsync(file);
    close(file);
}

double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

void compare(const char* name, const fs::path& folder, const Records& records,
             std::size_t repetitions, std::size_t runs, const record::WriterOptions& options)
{
    std::vector<double> ratios;
    std::vector<double> recorded;
    std::vector<double> raw;
    std::vector<double> cpu;
    double megabytes = 0;
    const double count = 5.0 * static_cast<double>(records.operations.size() * repetitions);
    for (std::size_t run = 0; run < runs; ++run)
    {
        const fs::path file = folder / "activity.h5";
        const Cost own = cost_of([&] { record_all(folder, records, repetitions, options); });
        std::string bytes;
        {
            std::ifstream stream(file, std::ios::binary);
            bytes.assign(std::istreambuf_iterator<char>(stream), {});
        }
        fs::remove(file);
        const Cost plain = cost_of([&] { write_raw(bytes, folder / "raw"); });
        fs::remove(folder / "raw");
        megabytes = 1e-6 * static_cast<double>(bytes.size());
        ratios.push_back(plain.wall / own.wall);
        recorded.push_back(own.wall);
        raw.push_back(plain.wall);
        cpu.push_back(own.cpu);
    }
    std::printf(
        "%-14s %7.1f MB  recorder %7.1f MB/s  raw %7.1f MB/s  ratio %.2f  %6.1f M records/s, "
        "%5.1f ns CPU a record\n",
        name, megabytes, megabytes / median(recorded), megabytes / median(raw), median(ratios),
        1e-6 * count / median(recorded), 1e9 * median(cpu) / count);
}

} // namespace

int main(int count, char** words)
{
    const fs::path folder = fs::path(count > 1 ? words[1] : ".") / "record_bench_files";
    const std::size_t runs = count > 2 ? std::stoul(words[2]) : 7;
    const std::size_t operations = count > 3 ? std::stoul(words[3]) : 2'000'000;
    constexpr std::size_t period = 200'000;
    fs::create_directories(folder);
    const Records records(std::min(period, operations));
    const std::size_t repetitions = std::max<std::size_t>(1, operations / period);
    record::WriterOptions options;
    options.compression = record::Compression::none;
    compare("uncompressed", folder, records, repetitions, runs, options);
    options.live = true;
    compare("the same, live", folder, records, repetitions, runs, options);
    options = {};
    compare("deflated", folder, records, std::max<std::size_t>(1, repetitions / 5), runs, options);
    fs::remove_all(folder);
}
