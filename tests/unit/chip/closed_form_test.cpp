// SPDX-License-Identifier: Apache-2.0
// Two layers on a small chip, load - mvm - move - vec - move - mvm - vec - store, against a
// formula.
#include "tessera/error.h"
#include "unit/chip_fixture.h"

#include <gtest/gtest.h>
#include <optional>

namespace tessera::chip
{
namespace
{

using testing::simulate;
using testing::small_chip;
using testing::TraceBuilder;

constexpr std::uint64_t kInput = 1000;
constexpr std::uint64_t kFirst = 900;
constexpr std::uint64_t kMiddle = 300;
constexpr std::uint64_t kSecond = 512;
constexpr std::uint64_t kOutput = 128;

std::shared_ptr<const trace::Trace> two_layers(const config::ChipConfig& chip)
{
    TraceBuilder trace(chip);
    trace.load(0, {{NodeId(0), 1}}).bytes = kInput;
    auto make = [](trace::Operation& op, std::uint64_t bytes, std::vector<OpId> in)
    {
        op.bytes = bytes;
        op.in = std::move(in);
        op.uses = op.kind == trace::OpKind::mvm || op.kind == trace::OpKind::vec ? 1 : 0;
    };
    make(trace.mvm(0, 0, 3), kFirst, {OpId(0)});
    make(trace.move(0, {{NodeId(3), 1}}), kFirst, {OpId(1)});
    make(trace.vec(3, 300), kMiddle, {OpId(2)});
    make(trace.move(3, {{NodeId(1), 1}}), kMiddle, {OpId(3)});
    make(trace.mvm(1, 1, 1), kSecond, {OpId(4)});
    make(trace.vec(1, 128), kOutput, {OpId(5)});
    make(trace.store(1, 0), kOutput, {OpId(6)});
    return trace.build();
}

std::uint64_t ceil_div(std::uint64_t a, std::uint64_t b)
{
    return (a + b - 1) / b;
}

/// The whole chain in cycles of the 1 GHz clock. Routers on the way: memory port 0 hangs on the
/// router of tile 2, so load 2 (tile 2 to 0), moves 3 (0 to 3) and 2 (3 to 1), store 3 (1 to 2).
std::uint64_t closed_form(const config::ChipConfig& chip)
{
    const auto port = [&](std::uint64_t bytes)
    { return ceil_div(bytes, chip.buffer.bytes_per_cycle); };
    const auto network = [&](std::uint64_t bytes, std::uint64_t routers)
    {
        const std::uint64_t flits = chip.noc.header_flits + ceil_div(8 * bytes, chip.noc.flit_bits);
        return (4 + chip.noc.routing_delay) * routers + 2 + (flits - 1);
    };
    // The store follows the load in the row that the load has opened.
    const auto memory = [&](std::uint64_t bytes, std::uint64_t row_misses)
    {
        const std::uint64_t gigahertz = 1'000'000'000;
        return ceil_div(bytes * gigahertz, chip.memory.bytes_per_second) +
               (row_misses * chip.memory.row_miss.ticks + chip.memory.latency.ticks) / 1000;
    };
    const auto mvm = [&](std::uint64_t in, std::uint64_t n, std::uint64_t out)
    {
        const auto& m = chip.macro;
        const std::uint64_t slices = ceil_div(m.input_bits, m.dac.bits);
        const std::uint64_t drive = ceil_div(m.rows, m.dac.count) * m.dac.time.cycles;
        const std::uint64_t convert = ceil_div(m.columns, m.adc.count) * m.adc.time.cycles;
        const std::uint64_t sum = drive + m.crossbar.time.cycles + m.sample_hold.time.cycles +
                                  convert + m.shift_add.time.cycles + m.output.time.cycles;
        const std::uint64_t slowest = std::max({drive, convert, m.crossbar.time.cycles});
        return port(in) + sum + (n * slices - 1) * slowest + port(out);
    };
    const auto vec = [&](std::uint64_t in, std::uint64_t n, std::uint64_t out)
    {
        const auto found = chip.vector.cost.find("accumulate");
        const std::uint64_t cost = found == chip.vector.cost.end() ? 1 : found->second;
        return port(in) + chip.vector.startup.cycles + ceil_div(n * cost, chip.vector.lanes) +
               port(out);
    };
    const std::uint64_t reserve = chip.noc.reserve.cycles;
    return reserve + memory(kInput, 1) + network(kInput, 2) + mvm(kInput, 3, kFirst) + reserve +
           network(kFirst, 3) + vec(kFirst, 300, kMiddle) + reserve + network(kMiddle, 2) +
           mvm(kMiddle, 1, kSecond) + vec(kSecond, 128, kOutput) + network(kOutput, 3) +
           memory(kOutput, 0);
}

/// Time of one mvm with a block that its macro holds so often; `another` may be in the way.
Tick time_with(std::uint32_t replicas, std::uint32_t vectors, const char* signs = "differential",
               std::uint32_t references = 0, std::optional<std::uint32_t> another = {})
{
    config::ChipConfig chip = small_chip();
    chip.macro.cell.signs = signs;
    chip.buffer.bytes_per_cycle = config::kUnlimited; // the vectors are read all the same
    TraceBuilder builder(chip);
    builder.load(0, {{NodeId(0), 1}}).bytes = 1;
    trace::Operation& mvm = builder.mvm(0, 0, vectors);
    mvm.in = {OpId(0)};
    mvm.block = BlockId(0);
    trace::Trace trace = *builder.build();
    trace.header.layers.resize(1);
    trace::Block block;
    block.layer = LayerId(0);
    block.row_end = 32;
    block.column_end = 30;
    block.row_at = 0;
    block.column_at = 8;
    block.replicas = replicas;
    block.references = references;
    block.at = trace.operations.back().at;
    trace.header.blocks = {block};
    if (another)
    {
        block.replicas = 1;
        block.column_at = *another;
        trace.header.blocks.push_back(block);
    }
    return simulate(chip, std::make_shared<const trace::Trace>(trace)).summary.span;
}

TEST(Replicas, AsManyVectorsEnterTogether)
{
    for (std::uint32_t vectors = 1; vectors <= 9; ++vectors)
    {
        EXPECT_LT(time_with(1, vectors), time_with(1, vectors + 1));
        for (const std::uint32_t replicas : {1U, 2U, 3U, 4U})
        {
            EXPECT_EQ(time_with(replicas, vectors),
                      time_with(1, static_cast<std::uint32_t>(ceil_div(vectors, replicas))))
                << replicas << ' ' << vectors;
        }
    }
}

TEST(Replicas, FitIntoTheMacro)
{
    EXPECT_NO_THROW(time_with(4, 1)); // 128 rows, 8 + 120 columns
    EXPECT_THROW(time_with(5, 1), InputError);
}

/// Macros of 128 columns of weights, and one beyond; blocks of 30 columns from column 8 on.
TEST(Replicas, FitIntoTheMacroWithTheirReferences)
{
    for (const std::uint32_t said : {0U, 1U}) // a foreign trace may not say
    {
        EXPECT_NO_THROW(time_with(3, 1, "offset", said)); // 8 + 3 x 31 columns
        EXPECT_THROW(time_with(4, 1, "offset", said), InputError);
    }
    // Said of a chip whose macros have none beyond.
    EXPECT_NO_THROW(time_with(3, 1, "differential", 1));
    EXPECT_THROW(time_with(4, 1, "differential", 1), InputError);
    // Another block to the right of two, whose second reference column is column 69.
    EXPECT_NO_THROW(time_with(2, 1, "differential", 0, 68));
    EXPECT_THROW(time_with(2, 1, "offset", 0, 68), InputError);
    EXPECT_THROW(time_with(2, 1, "offset", 0, 69), InputError);
    EXPECT_NO_THROW(time_with(2, 1, "offset", 0, 70));
    EXPECT_NO_THROW(time_with(2, 1, "offset", 1, 70));
    EXPECT_NO_THROW(time_with(2, 1, "offset", 0, 98)); // 98 + 30 and the column beyond
    EXPECT_THROW(time_with(2, 1, "offset", 0, 99), InputError);
    // Blocks in the same cells take turns.
    EXPECT_NO_THROW(time_with(2, 1, "offset", 0, 67));
}

struct Parameter
{
    const char* name;
    std::uint64_t n;
    void (*set)(config::ChipConfig&, std::uint64_t);

    friend void PrintTo(const Parameter& parameter, std::ostream* out) { *out << parameter.name; }
};

class ClosedForm : public ::testing::TestWithParam<Parameter>
{
};

TEST_P(ClosedForm, HoldsOnBothSidesOfTheEdge)
{
    config::ChipConfig chip = small_chip();
    Tick makespan[2] = {};
    for (const std::uint64_t step : {0U, 1U})
    {
        GetParam().set(chip, GetParam().n - 1 + step);
        const auto outcome = simulate(chip, two_layers(chip));
        EXPECT_EQ(outcome.summary.span, 1000 * closed_form(chip)) << "at n - 1 + " << step;
        EXPECT_EQ(outcome.summary.operations, 8U);
        makespan[step] = outcome.summary.span;
    }
    EXPECT_NE(makespan[0], makespan[1]) << "the parameter has no effect";
}

std::uint32_t narrow(std::uint64_t value)
{
    return static_cast<std::uint32_t>(value);
}

INSTANTIATE_TEST_SUITE_P(
    AllParameters, ClosedForm,
    ::testing::Values(
        Parameter{"dac_count", 128, [](auto& c, auto v) { c.macro.dac.count = narrow(v); }},
        Parameter{"dac_time", 2,
                  [](auto& c, auto v) { c.macro.dac.time = Duration::of_cycles(v); }},
        Parameter{"dac_bits", 2, [](auto& c, auto v) { c.macro.dac.bits = narrow(v); }},
        Parameter{"input_bits", 8, [](auto& c, auto v) { c.macro.input_bits = narrow(v); }},
        Parameter{"crossbar", 30,
                  [](auto& c, auto v) { c.macro.crossbar.time = Duration::of_cycles(v); }},
        Parameter{"hold", 2,
                  [](auto& c, auto v) { c.macro.sample_hold.time = Duration::of_cycles(v); }},
        Parameter{"adc_count", 3, [](auto& c, auto v) { c.macro.adc.count = narrow(v); }},
        Parameter{"adc_time", 10,
                  [](auto& c, auto v) { c.macro.adc.time = Duration::of_cycles(v); }},
        Parameter{"shift_add", 2,
                  [](auto& c, auto v) { c.macro.shift_add.time = Duration::of_cycles(v); }},
        Parameter{"output", 2,
                  [](auto& c, auto v) { c.macro.output.time = Duration::of_cycles(v); }},
        Parameter{"lanes", 32, [](auto& c, auto v) { c.vector.lanes = v; }},
        Parameter{"startup", 5, [](auto& c, auto v) { c.vector.startup = Duration::of_cycles(v); }},
        Parameter{"cost", 3, [](auto& c, auto v) { c.vector.cost["accumulate"] = narrow(v); }},
        Parameter{"port_width", 64, [](auto& c, auto v) { c.buffer.bytes_per_cycle = v; }},
        Parameter{"reserve", 4, [](auto& c, auto v) { c.noc.reserve = Duration::of_cycles(v); }},
        Parameter{"flit_bits", 256, [](auto& c, auto v) { c.noc.flit_bits = narrow(v); }},
        Parameter{"header_flits", 2, [](auto& c, auto v) { c.noc.header_flits = narrow(v); }},
        Parameter{"routing_delay", 1, [](auto& c, auto v) { c.noc.routing_delay = narrow(v); }},
        Parameter{"memory_latency", 40,
                  [](auto& c, auto v) { c.memory.latency = Duration::of_ticks(1000 * v); }},
        Parameter{"memory_row_miss", 40,
                  [](auto& c, auto v) { c.memory.row_miss = Duration::of_ticks(1000 * v); }},
        Parameter{"memory_bandwidth", 2,
                  [](auto& c, auto v) { c.memory.bytes_per_second = 500'000'000 * v; }}),
    [](const auto& info) { return info.param.name; });

} // namespace
} // namespace tessera::chip
