// SPDX-License-Identifier: Apache-2.0
#include "../unit/noc/traffic.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <vector>

/// Flit-hops per CPU second of the mesh: 8x8, XY, uniform traffic, packets of 8 flits, buffers of
/// 8, 100 000 cycles, median of several runs; beside what BookSim2 and Noxim reach on the same task
/// on one machine of reference (2 cores, gcc 12).
namespace
{

using tessera::noc::testing::Load;
using tessera::noc::testing::mesh_chip;
using tessera::noc::testing::Traffic;

struct Case
{
    double load;
    std::uint32_t vcs;
    double booksim; ///< M flit-hops per CPU second
    double noxim;
};

constexpr int kRepetitions = 3;
constexpr std::uint64_t kCycles = 100'000;

void run(const Case& point)
{
    auto chip = mesh_chip(8, 8);
    chip.noc.vcs = point.vcs;
    Load load;
    load.flits_per_node_and_cycle = point.load;
    load.warm_up = 0;
    load.measured = kCycles;
    std::vector<double> seconds;
    double hops = 0;
    double latency = 0;
    double accepted = 0;
    for (int repetition = 0; repetition < kRepetitions; ++repetition)
    {
        Traffic traffic(chip, load);
        const std::clock_t begin = std::clock();
        traffic.wheel().run();
        seconds.push_back(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
        hops = 0;
        for (const tessera::LinkSummary& link : traffic.fabric().links(traffic.wheel().now()))
        {
            hops += link.name.front() == 'r' ? static_cast<double>(link.flits) : 0;
        }
        latency = traffic.mean_latency();
        accepted = traffic.accepted();
    }
    std::sort(seconds.begin(), seconds.end());
    const double rate = hops / seconds[seconds.size() / 2] / 1e6;
    std::printf("load %.2f  %u VC  %8.3f s  %6.2f M flit-hops/s  %8.0f k cycles/s  latency %5.1f  "
                "accepted %.4f | BookSim2 %.2f (x%.0f)  Noxim %.2f (x%.0f)\n",
                point.load, point.vcs, seconds[seconds.size() / 2], rate,
                static_cast<double>(kCycles) / seconds[seconds.size() / 2] / 1e3, latency, accepted,
                point.booksim, rate / point.booksim, point.noxim, rate / point.noxim);
}

} // namespace

int main()
{
    for (const Case& point : {Case{0.01, 1, 0.34, 0.21}, Case{0.01, 4, 0.32, 0.14},
                              Case{0.1, 1, 0.94, 0.61}, Case{0.1, 4, 0.70, 0.45}})
    {
        run(point);
    }
    return 0;
}
