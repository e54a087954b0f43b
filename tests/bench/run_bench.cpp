// SPDX-License-Identifier: Apache-2.0
// Runs (does not only read) a big random trace on a chip of 512 tiles with 8 units each:
//   run_bench [operations [interconnect [folder]]]      interconnect: ideal, bus or mesh
#include "synthetic_trace.h"

#include "chip/chip.h"
#include "record/activity_writer.h"
#include "tessera/error.h"
#include "trace/h5_trace.h"
#include "trace/header.h"
#include "trace/reader.h"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <iostream>
#include <string>
#include <sys/resource.h>

namespace
{

namespace bench = tessera::bench;
using namespace tessera;

double cpu_seconds()
{
    rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

config::ChipConfig big_chip(const std::string& interconnect)
{
    config::ChipConfig chip;
    chip.tiles = {16, 32, 6};
    chip.macro.timed_as_whole = true;
    chip.macro.t_mvm = Duration::of_cycles(100);
    chip.buffer.capacity = config::kUnlimited;
    chip.noc.kind = interconnect;
    chip.noc.bytes_per_cycle = 4096;
    return chip;
}

void write_trace(const std::string& path, std::uint64_t operations)
{
    bench::SyntheticTrace::Shape shape;
    shape.operations = operations;
    bench::SyntheticTrace generator(shape);
    trace::H5Sizes sizes(generator.header());
    trace::Operation operation;
    while (generator.next(operation))
    {
        sizes.add(operation);
    }
    generator.restart();
    trace::H5Writer writer(path, generator.header(), sizes.words());
    while (generator.next(operation))
    {
        writer.write(operation);
    }
    writer.finish();
}

void run(std::uint64_t operations, const std::string& interconnect,
         const std::filesystem::path& folder)
{
    const std::string path = (folder / "run_bench.trace.h5").string();
    write_trace(path, operations);
    for (const ActivityLevel level : {ActivityLevel::off, ActivityLevel::unit})
    {
        const double begin = cpu_seconds();
        const auto source = trace::open(path);
        ActivitySink sink;
        chip::Chip chip(big_chip(interconnect), *source, sink);
        std::unique_ptr<record::ActivityWriter> writer;
        if (level != ActivityLevel::off)
        {
            record::ActivityMeta meta;
            meta.level = level;
            meta.trace_header = trace::header_text(source->header());
            for (const chip::IssueUnit* const unit : chip.units())
            {
                meta.units.push_back({unit->place().name, unit->place().kind, unit->place().node});
            }
            for (const trace::TracedLayer& layer : source->header().layers)
            {
                meta.layers.push_back({layer.name, layer.kind});
            }
            writer = std::make_unique<record::ActivityWriter>(folder, meta);
            writer->connect(sink);
        }
        chip::run_native(chip, nullptr);
        chip.close();
        const Summary summary = chip.summary();
        if (writer)
        {
            writer->finish(summary);
        }
        const double seconds = cpu_seconds() - begin;
        rusage usage = {};
        getrusage(RUSAGE_SELF, &usage);
        std::cout << fmt::format("{:<6} level {:<5} {:>7.2f} s  {:>6.3f} Mop/s  {:>7.2f} Mevent/s  "
                                 "simulated {:.4g} ms  peak {} MiB\n",
                                 interconnect, level == ActivityLevel::off ? "off" : "unit",
                                 seconds, static_cast<double>(summary.operations) / seconds / 1e6,
                                 static_cast<double>(summary.events) / seconds / 1e6,
                                 static_cast<double>(summary.span) / 1e9, usage.ru_maxrss / 1024)
                  << std::flush;
    }
}

} // namespace

int main(int argc, char** argv)
{
    const std::uint64_t operations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000'000;
    try
    {
        run(operations, argc > 2 ? argv[2] : "bus",
            argc > 3 ? std::filesystem::path(argv[3]) : std::filesystem::temp_directory_path());
    }
    catch (const tessera::Error& error)
    {
        std::cerr << error.what() << '\n';
        return static_cast<int>(error.code());
    }
    return 0;
}
