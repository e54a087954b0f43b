// SPDX-License-Identifier: Apache-2.0
#include "numerics/block.h"
#include "numerics/kernels.h"
#include "numerics/non_linear.h"
#include "numerics/product.h"
#include "numerics/wires.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

/// Crossbar products beside what their matrix products alone would cost at the rate of sgemm for
/// the same shapes, measured in the same run: CPU time of one thread, medians of interleaved
/// repetitions. Outputs are verified against plain loops.
namespace
{

using namespace tessera::numerics;

constexpr std::size_t kRows = 1152;
constexpr std::size_t kColumns = 512;
constexpr std::size_t kBatch = 64;
constexpr std::size_t kSlices = 8;
constexpr int kRepetitions = 7;
constexpr float kReadNoise = 0.02F; ///< of a cell, in levels

double cpu_seconds()
{
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double timed(const std::function<void()>& work)
{
    const double begin = cpu_seconds();
    work();
    return cpu_seconds() - begin;
}

double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

struct Workload
{
    Scheme scheme;
    Matrix<std::int32_t> weights{kRows, kColumns};
    Matrix<std::int32_t> inputs{kBatch, kRows};
    std::vector<VectorIdentity> vectors;
    Analog analog;
};

Workload make_workload()
{
    Workload work;
    work.scheme.columns = 128 / cells_per_weight(work.scheme);
    std::mt19937 random(1);
    for (std::size_t row = 0; row < kRows; ++row)
    {
        for (std::size_t column = 0; column < kColumns; ++column)
        {
            work.weights(row, column) = static_cast<std::int32_t>(random() % 256) - 128;
        }
        for (std::size_t vector = 0; vector < kBatch; ++vector)
        {
            work.inputs(vector, row) = static_cast<std::int32_t>(random() % 256);
        }
    }
    for (std::uint32_t vector = 0; vector < kBatch; ++vector)
    {
        work.vectors.push_back({0, vector});
    }
    const Cells cells = cells_of(work.scheme, work.weights);
    std::normal_distribution<float> normal;
    work.analog.levels = Matrix<float>(kRows, cells.levels.columns());
    for (std::size_t row = 0; row < kRows; ++row)
    {
        for (std::size_t column = 0; column < cells.levels.columns(); ++column)
        {
            const auto level = static_cast<float>(cells.levels(row, column));
            work.analog.levels(row, column) = level * (1 + 0.05F * normal(random));
        }
    }
    return work;
}

/// Of some vectors, in codes of the lowest slice.
struct Verified
{
    double worst = 0;    ///< difference of the outputs without read noise from plain loops
    double changed = 0;  ///< root mean square of what read noise changes
    double expected = 0; ///< the same by its equation
};

/// Mean square of the change of a conversion of `sum` codes by noise of deviation `sigma` codes.
double mean_change(double sum, double sigma)
{
    const double code = std::nearbyint(sum);
    double square = 0;
    for (int step = 1; step <= 4; ++step) // beyond: nothing
    {
        // The squares' differences, times the probability to pass that many thresholds.
        const double weight = 2.0 * step - 1;
        const auto passes = [&](double distance)
        { return 0.5 * std::erfc(distance / sigma / std::sqrt(2.0)); };
        square += weight * passes(code + step - 0.5 - sum);
        square += weight * passes(sum - (code - step + 0.5));
    }
    return square;
}

/// Cells are held to a power of two of a level, the finest up to 2^-15 that keeps every sum exact.
double held_to(const Workload& work)
{
    double greatest = 0;
    for (std::size_t first = 0; first < kRows; first += 128)
    {
        for (std::size_t pair = 0; pair < kColumns * 4; ++pair)
        {
            double sum = 0;
            for (std::size_t row = first; row < first + 128; ++row)
            {
                const float* cell = work.analog.levels.row(row) + 2 * pair;
                sum += std::abs(double{cell[0]} - double{cell[1]});
            }
            greatest = std::max(greatest, sum);
        }
    }
    return std::exp2(-std::min(15.0, std::floor(std::log2((0x1p24 - 128) / greatest))));
}

Verified verify(const Workload& work, const Matrix<std::int64_t>& outputs,
                const Matrix<std::int64_t>& noisy, double sigma, double step)
{
    const double quantum = held_to(work);
    const auto per_code = static_cast<float>(quantum / step);
    Verified verified;
    double count = 0;
    for (std::size_t vector = 0; vector < kBatch; vector += 21)
    {
        for (std::size_t column = 0; column < kColumns; ++column)
        {
            double total = 0;
            for (std::size_t first = 0; first < kRows; first += 128)
            {
                for (std::size_t place = 0; place < 4 * kSlices; ++place)
                {
                    const std::size_t slice = place / kSlices;
                    const std::size_t bit = place % kSlices;
                    double sum = 0;
                    double cells = 0;
                    for (std::size_t row = first; row < first + 128; ++row)
                    {
                        if ((work.inputs(vector, row) >> bit & 1) != 0)
                        {
                            const float* cell =
                                work.analog.levels.row(row) + column * 8 + 2 * slice;
                            sum += std::nearbyint((double{cell[0]} - double{cell[1]}) / quantum);
                            cells += 2;
                        }
                    }
                    const double weight = std::exp2(static_cast<double>(2 * slice + bit));
                    total += weight *
                             double{std::clamp(std::nearbyint(static_cast<float>(sum) * per_code),
                                               -128.0F, 127.0F)};
                    verified.expected +=
                        weight * weight *
                        mean_change(sum * quantum / step, sigma * std::sqrt(cells) / step);
                }
            }
            const auto quiet = static_cast<double>(outputs(vector, column));
            const double change = static_cast<double>(noisy(vector, column)) - quiet;
            verified.worst = std::max(verified.worst, std::abs(total - quiet));
            verified.changed += change * change;
            count += 1;
        }
    }
    verified.changed = std::sqrt(verified.changed / count);
    verified.expected = std::sqrt(verified.expected / count);
    return verified;
}

/// Cells of 1 to 100 uS whose conductance at 0.2 V is some 3 % above that at small signals.
Device bent_device()
{
    Device device;
    device.off = 1;
    device.on = 100;
    device.bits = 2;
    Curve second;
    second.coefficients = {0.1};
    second.relative = true;
    Curve third;
    third.coefficients = {0.25};
    third.relative = true;
    device.non_linear = Device::NonLinear{second, third};
    return device;
}

/// IR drop of 256 x 256 weights: ms per vector.
void wires_bench(const Workload& all)
{
    constexpr std::size_t size = 256;
    Matrix<std::int32_t> weights(size, size);
    Matrix<std::int32_t> inputs(kBatch, size);
    Analog analog;
    analog.levels = Matrix<float>(size, size * 8);
    for (std::size_t row = 0; row < size; ++row)
    {
        std::copy_n(all.weights.row(row), size, weights.row(row));
        std::copy_n(all.analog.levels.row(row), size * 8, analog.levels.row(row));
        for (std::size_t vector = 0; vector < kBatch; ++vector)
        {
            inputs(vector, row) = all.inputs(vector, row);
        }
    }
    ReadOut out;
    out.off_us = 1;
    out.step_us = 33;
    struct Row
    {
        const char* name;
        Block block;
        std::size_t batch;
        double setup;
    };
    std::vector<Row> rows;
    const auto add = [&](const char* name, std::size_t batch, const std::function<Analog()>& read)
    {
        Analog seen;
        const double setup = timed([&] { seen = read(); });
        rows.push_back({name, Block(all.scheme, weights, seen), batch, setup});
    };
    const auto through = [&](Read read, bool approximate)
    {
        out.wires.read = read;
        out.approximate = approximate;
        return through_wires(all.scheme, analog, out);
    };
    add("no wires", kBatch, [&] { return analog; });
    add("row-voltage, exact", kBatch, [&] { return through(Read::row_voltage, false); });
    add("row-voltage, approximate", kBatch, [&] { return through(Read::row_voltage, true); });
    add("row-voltage-floating", 4, [&] { return through(Read::row_voltage_floating, false); });
    add("gated-1t1r", 4, [&] { return through(Read::gated_1t1r, false); });
    const Cells cells = cells_of(all.scheme, weights);
    const auto bent = [&](Read read)
    {
        NonLinearRead how;
        how.wires = out.wires;
        how.wires->read = read;
        return non_linear(all.scheme, cells, analog, bent_device(), how);
    };
    add("non-linear, row-voltage", 4, [&] { return bent(Read::row_voltage); });
    add("non-linear, row-voltage-floating", 4, [&] { return bent(Read::row_voltage_floating); });
    add("non-linear, gated-1t1r", 4, [&] { return bent(Read::gated_1t1r); });
    std::vector<std::vector<double>> times(rows.size());
    for (int repetition = 0; repetition < kRepetitions; ++repetition)
    {
        for (std::size_t i = 0; i < rows.size(); ++i)
        {
            Matrix<std::int32_t> some(rows[i].batch, size);
            std::copy_n(inputs.row(0), rows[i].batch * size, some.row(0));
            times[i].push_back(timed([&] { static_cast<void>(rows[i].block.multiply(some)); }) /
                               static_cast<double>(rows[i].batch));
        }
    }
    std::printf("\n%-34s %9s %12s %8s\n", "256 x 256 in 128 x 128, 1 ohm", "ms/vector", "setup s",
                "ratio");
    for (std::size_t i = 0; i < rows.size(); ++i)
    {
        std::printf("%-34s %9.3f %12.2f %8.2f\n", rows[i].name, 1e3 * median(times[i]),
                    rows[i].setup, median(times[i]) / median(times[0]));
    }
}

} // namespace

/// With the argument `wires`: IR drop alone.
int main(int argc, char** argv)
{
    Workload work = make_workload();
    if (argc > 1 && std::string(argv[1]) == "wires")
    {
        wires_bench(work);
        return 0;
    }
    const Block block(work.scheme, work.weights, work.analog);
    work.analog.read_sigma =
        Matrix<float>(work.analog.levels.rows(), work.analog.levels.columns(), kReadNoise);
    const Block noisy(work.scheme, work.weights, work.analog, {1, 2, 3});
    Analog mixed = work.analog; // in proportion to conductances that span two orders of magnitude
    for (std::size_t row = 0; row < kRows; ++row)
    {
        std::transform(mixed.levels.row(row), mixed.levels.row(row) + mixed.levels.columns(),
                       mixed.read_sigma.row(row),
                       [](float level) { return kReadNoise * (0.03F + std::max(level, 0.0F)); });
    }
    const Block uneven(work.scheme, work.weights, mixed, {1, 2, 3});
    Analog moving = work.analog;
    moving.read_sigma = {};
    moving.slow.flicker = Flicker{0.01, 1e-6, 1, 7};
    moving.slow.telegraph = Telegraph{0.02, 1e-3, 1e-3};
    const Block fluctuating(work.scheme, work.weights, moving, {1, 2, 3});
    constexpr double interval = 1e-6; // from vector to vector

    const std::size_t rows = kBatch * kSlices;
    const std::size_t width = kColumns * 4;
    std::vector<float> left(rows * kRows, 1);
    std::vector<float> right(kRows * width, 0.5F);
    std::vector<float> sums(rows * width);
    const auto sgemm = [&]
    {
        for (std::size_t first = 0; first < kRows; first += 128)
        {
            product(rows, width, 128, left.data() + first, kRows, right.data() + first * width,
                    width, sums.data(), width);
        }
    };

    Matrix<std::int64_t> outputs;
    Matrix<std::int64_t> noisy_outputs;
    std::vector<double> sgemm_times;
    std::vector<double> times;
    std::vector<double> noisy_times;
    std::vector<double> uneven_times;
    std::vector<double> fluctuating_times;
    for (int repetition = 0; repetition < kRepetitions; ++repetition)
    {
        sgemm_times.push_back(timed(sgemm) / kBatch);
        times.push_back(timed([&] { outputs = block.multiply(work.inputs); }) / kBatch);
        noisy_times.push_back(
            timed([&] { noisy_outputs = noisy.multiply(work.inputs, work.vectors); }) / kBatch);
        uneven_times.push_back(
            timed([&] { static_cast<void>(uneven.multiply(work.inputs, work.vectors)); }) / kBatch);
        const auto cells = fluctuating.fluctuation(0);
        fluctuating_times.push_back(timed(
                                        [&] {
                                            static_cast<void>(fluctuating.multiply(
                                                work.inputs, {}, {cells.get(), 0, interval}));
                                        }) /
                                    kBatch);
    }
    const double flop = 2.0 * kRows * static_cast<double>(width) * kSlices;
    const double base = median(sgemm_times);
    std::printf("instruction set of the loops: %s\n", instruction_set());
    std::printf("sgemm, %zu x %zu x 128 nine times: %.2f GFLOP/s\n", rows, width,
                flop / base / 1e9);
    std::printf("%-34s %9s %12s %8s\n", "1152 x 512 in 128 x 128, batch 64", "ms/vector",
                "sgemm alone", "ratio");
    const auto line = [&](const char* name, double time, double alone)
    { std::printf("%-34s %9.3f %12.3f %8.2f\n", name, 1e3 * time, 1e3 * alone, time / alone); };
    line("programming error", median(times), base);
    line("and white read noise", median(noisy_times), 2 * base);
    line("in proportion to conductances", median(uneven_times), 2 * base);
    line("and 1/f and telegraph noise", median(fluctuating_times), base);

    const Verified verified = verify(work, outputs, noisy_outputs, kReadNoise, block.step());
    std::printf("worst difference from plain loops: %.0f codes\n", verified.worst);
    std::printf("read noise changes accumulators by %.0f codes rms, expected %.0f\n",
                verified.changed, verified.expected);
    wires_bench(work);
    return 0;
}
