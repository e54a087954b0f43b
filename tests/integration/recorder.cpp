// SPDX-License-Identifier: Apache-2.0
// Records as fast as it can, for tests that kill it:
//     recorder FOLDER MARKER OPERATIONS [live] [none] [unit]
// Record number i of every stream holds i. MARKER gets, after each flush, how many records of each
// stream (ops, deps, intervals, stalls, cycles) are safe: five 64-bit integers in one write. `unit`
// is the level; without it, that is `stage`.
#include "record/activity_writer.h"
#include "tessera/error.h"

#include <array>
#include <fcntl.h>
#include <iostream>
#include <string>
#include <unistd.h>

namespace
{

using namespace tessera;

void append(ActivitySink& sink, std::uint64_t i)
{
    OpRecord operation{};
    operation.id = i;
    operation.start = operation.ready = 7 * i;
    operation.end = operation.start + 5;
    operation.because = i == 0 ? ~std::uint64_t{0} : i - 1;
    operation.layer = static_cast<std::uint32_t>(i % 2);
    operation.cause = static_cast<std::uint8_t>(i == 0 ? Cause::none : Cause::unit);
    sink.operations.append(operation);
    // The chunks of these are smaller, so that they come in another order.
    sink.dependencies.append({i, i, 0, {}});
    if (sink.level >= ActivityLevel::stage)
    {
        sink.intervals.append({i, 7 * i, 7 * i + 5, 0, 1, 0, 0, {}});
        sink.stalls.append(
            {i, 7 * i + 5, 7 * i + 7, 0, static_cast<std::uint8_t>(Stage::no_work), {}});
    }
    sink.cycles.append({i, i, 1, 0, 0, 0});
}

int write_records(const std::filesystem::path& folder, const char* marker, std::uint64_t operations,
                  ActivityLevel level, record::WriterOptions options)
{
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    const int file = open(marker, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    options.on_flush = [file](const record::Flushed& safe)
    {
        const std::array<std::uint64_t, 5> counts = {safe.operations, safe.dependencies,
                                                     safe.intervals, safe.stalls, safe.cycles};
        if (pwrite(file, counts.data(), sizeof counts, 0) != sizeof counts)
        {
            std::cerr << "recorder: cannot write the marker\n";
            _exit(1);
        }
    };
    record::ActivityMeta meta;
    meta.level = level;
    meta.config = "{}";
    meta.trace_header = "{}";
    meta.reference_clock = Clock(1000, 1);
    meta.units = {{"t0.m0", trace::UnitKind::macro, NodeId(0)}};
    meta.layers = {{"conv1", "conv2d"}, {"fc", "dense"}};
    ActivitySink sink;
    record::ActivityWriter writer(folder, meta, options);
    writer.connect(sink);
    for (std::uint64_t i = 0; i < operations; ++i)
    {
        append(sink, i);
    }
    Summary summary;
    summary.span = operations == 0 ? 0 : 7 * operations - 2;
    summary.operations = operations;
    summary.units.resize(1);
    summary.layers.resize(2);
    writer.finish(summary);
    return 0;
}

} // namespace

int main(int count, char** words)
{
    const std::vector<std::string> arguments(words, words + count);
    if (arguments.size() < 4)
    {
        std::cerr << "usage: recorder FOLDER MARKER OPERATIONS [live] [none] [unit]\n";
        return 2;
    }
    record::WriterOptions options;
    ActivityLevel level = ActivityLevel::stage;
    for (std::size_t i = 4; i < arguments.size(); ++i)
    {
        options.live = options.live || arguments[i] == "live";
        options.compression =
            arguments[i] == "none" ? record::Compression::none : options.compression;
        level = arguments[i] == "unit" ? ActivityLevel::unit : level;
    }
    try
    {
        return write_records(arguments[1], words[2], std::stoull(arguments[3]), level, options);
    }
    catch (const Error& error)
    {
        std::cerr << "recorder: " << error.what() << '\n';
        return static_cast<int>(error.code());
    }
}
