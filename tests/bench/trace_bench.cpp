// SPDX-License-Identifier: Apache-2.0
// Writes and reads a big random trace in both encodings:
//   trace_bench [operations [folder]]
#include "synthetic_trace.h"

#include "tessera/error.h"
#include "trace/h5_trace.h"
#include "trace/reader.h"
#include "trace/text.h"
#include "trace/tools.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <iostream>
#include <string>
#include <sys/resource.h>

namespace
{

using tessera::UnitId;
using tessera::bench::SyntheticTrace;
namespace trace = tessera::trace;

double cpu_seconds()
{
    rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time)
    { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Runs `work`, which returns how many operations it did, and prints the rate. The rate of
/// processor time says more on a busy machine.
template <class Work> void timed(const std::string& name, Work work)
{
    const auto begin = std::chrono::steady_clock::now();
    const double cpu_begin = cpu_seconds();
    const auto operations = static_cast<double>(work());
    const double cpu = cpu_seconds() - cpu_begin;
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
    rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    std::cout << fmt::format("{:<30} {:>7.2f} s {:>7.2f} Mop/s   cpu {:>7.2f} s {:>7.2f} Mop/s   "
                             "peak {:>5} MiB\n",
                             name, wall.count(), operations / wall.count() / 1e6, cpu,
                             operations / cpu / 1e6, usage.ru_maxrss / 1024)
              << std::flush;
}

template <class Writer> std::uint64_t write_all(SyntheticTrace& generator, Writer& writer)
{
    trace::Operation operation;
    generator.restart();
    std::uint64_t count = 0;
    for (; generator.next(operation); ++count)
    {
        writer.write(operation);
    }
    writer.finish();
    return count;
}

std::uint64_t read_unit_by_unit(trace::OperationSource& source)
{
    trace::Operation operation;
    std::uint64_t count = 0;
    for (std::uint32_t unit = 0; unit < source.header().units.size(); ++unit)
    {
        while (source.next(UnitId(unit), operation))
        {
            ++count;
        }
    }
    return count;
}

std::uint64_t read_round_robin(trace::OperationSource& source)
{
    trace::Operation operation;
    std::uint64_t count = 0;
    for (std::uint64_t before = 1; before != count;)
    {
        before = count;
        for (std::uint32_t unit = 0; unit < source.header().units.size(); ++unit)
        {
            count += source.next(UnitId(unit), operation) ? 1 : 0;
        }
    }
    return count;
}

void run(std::uint64_t operations, const std::filesystem::path& folder)
{
    SyntheticTrace::Shape shape;
    shape.operations = operations;
    SyntheticTrace generator(shape);
    const std::string text = (folder / "bench.trace.jsonl").string();
    const std::string h5 = (folder / "bench.trace.h5").string();

    timed("generate",
          [&]
          {
              trace::Operation operation;
              generator.restart();
              while (generator.next(operation))
              {
              }
              return operations;
          });
    timed("generate and write JSON Lines",
          [&]
          {
              trace::TextWriter writer(text, generator.header());
              return write_all(generator, writer);
          });
    timed("generate and write HDF5",
          [&]
          {
              trace::H5Sizes sizes(generator.header());
              trace::Operation operation;
              generator.restart();
              while (generator.next(operation))
              {
                  sizes.add(operation);
              }
              trace::H5Writer writer(h5, generator.header(), sizes.words());
              return write_all(generator, writer);
          });
    const auto bytes = [&](const std::string& path) {
        return static_cast<double>(std::filesystem::file_size(path)) /
               static_cast<double>(operations);
    };
    std::cout << fmt::format("bytes per operation: {:.1f} JSON Lines, {:.1f} HDF5; window {}\n",
                             bytes(text), bytes(h5), generator.header().window);
    timed("read HDF5, round robin", [&] { return read_round_robin(*trace::open(h5)); });
    timed("read HDF5, unit by unit", [&] { return read_unit_by_unit(*trace::open(h5)); });
    timed("read JSON Lines in order",
          [&]
          {
              trace::TextReader reader(text);
              trace::Operation operation;
              std::uint64_t count = 0;
              while (reader.next(operation))
              {
                  ++count;
              }
              return count;
          });
    timed("read HDF5 in order",
          [&]
          {
              trace::H5Reader reader(h5, trace::OpenOptions().memory);
              trace::Operation operation;
              std::uint64_t count = 0;
              while (reader.next(operation))
              {
                  ++count;
              }
              return count;
          });
    timed("check JSON Lines", [&] { return trace::check(text).operations; });
    timed("check HDF5", [&] { return trace::check(h5).operations; });
    timed("read JSON Lines, round robin",
          [&]
          {
              trace::OpenOptions options;
              options.buffered_operations = operations;
              return read_round_robin(*trace::open(text, options));
          });
}

} // namespace

int main(int argc, char** argv)
{
    const std::uint64_t operations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000'000;
    const std::filesystem::path folder =
        argc > 2 ? std::filesystem::path(argv[2]) : std::filesystem::temp_directory_path();
    try
    {
        run(operations, folder);
    }
    catch (const tessera::Error& error)
    {
        std::cerr << error.what() << '\n';
        return static_cast<int>(error.code());
    }
    return 0;
}
