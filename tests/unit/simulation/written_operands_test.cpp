// SPDX-License-Identifier: Apache-2.0
#include "base/integer.h"
#include "chip/chip.h"
#include "compiler/compiler.h"
#include "compiler/report.h"
#include "config/load.h"
#include "network/network.h"
#include "semantics/checker.h"
#include "trace/reader.h"
#include "trace/rules.h"
#include "unit/compiler/random_network.h"
#include "unit/effort.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

/// Operands of attention that are written into macros: nothing is multiplied before it is written,
/// and every write is counted.
namespace tessera::compiler
{
namespace
{

using network::LayerKind;
using test::Dice;
using trace::Operation;
using trace::OpKind;

/// Keeps what a run tells of its operations.
class Times : public RecordStream<OpRecord>::Consumer
{
public:
    explicit Times(ActivitySink& sink) : chunk_(4096)
    {
        sink.level = ActivityLevel::unit;
        sink.operations.connect(*this, chunk());
    }
    RecordStream<OpRecord>::Chunk full(const OpRecord* begin, const OpRecord* end) override
    {
        for (const OpRecord* record = begin; record != end; ++record)
        {
            by_id_[record->id] = *record;
        }
        return chunk();
    }
    [[nodiscard]] const OpRecord& operator[](OpId id) const { return by_id_.at(id.value()); }

private:
    RecordStream<OpRecord>::Chunk chunk() { return {chunk_.data(), chunk_.data() + chunk_.size()}; }
    std::vector<OpRecord> chunk_;
    std::map<std::uint64_t, OpRecord> by_id_;
};

/// Runs the trace; when the last operation has ended.
Tick run(const trace::Trace& trace, const config::ChipConfig& chip, ActivitySink& sink)
{
    trace::MemorySource source(std::make_shared<const trace::Trace>(trace));
    chip::Chip hardware(chip, source, sink);
    EXPECT_TRUE(chip::run_native(hardware, nullptr));
    hardware.close();
    return hardware.summary().span;
}

const network::Layer& layer_of(const Operation& operation, const trace::Trace& trace,
                               const network::Network& network)
{
    return network[trace.header.blocks[operation.block.index()].layer];
}

bool on_operand(const Operation& operation, const trace::Trace& trace,
                const network::Network& network)
{
    return operation.block.valid() && layer_of(operation, trace, network).kind == LayerKind::matmul;
}

std::uint64_t elements(const trace::Box& box)
{
    const auto& b = box.bounds;
    return std::uint64_t{b[1] - b[0]} * (b[3] - b[2]) * (b[5] - b[4]);
}

/// For every image, each element of every second operand is written once, and each row of a block.
void expect_written_once(const trace::Trace& trace, const network::Network& network,
                         const config::ChipConfig& chip, std::uint32_t images)
{
    std::map<std::pair<LayerId, std::uint32_t>, std::uint64_t> written; // elements
    std::map<std::pair<BlockId, std::uint32_t>, std::uint64_t> rows;
    for (const Operation& operation : trace.operations)
    {
        if (operation.kind == OpKind::program && on_operand(operation, trace, network))
        {
            written[{trace.header.blocks[operation.block.index()].layer, operation.image}] +=
                elements(*operation.box);
            rows[{operation.block, operation.image}] += operation.n;
        }
    }
    std::uint64_t weights = 0; // of an image
    std::uint32_t products = 0;
    for (std::uint32_t i = 0; i < network.layers.size(); ++i)
    {
        const network::Layer& layer = network.layers[i];
        if (layer.kind != LayerKind::matmul || chip.mapping.attention == "vector")
        {
            continue;
        }
        ++products;
        const std::uint64_t size = network.input_shape(layer, 1).elements();
        weights += size;
        for (std::uint32_t image = 0; image < images; ++image)
        {
            EXPECT_EQ((written[{LayerId(i), image}]), size) << layer.name;
        }
    }
    EXPECT_EQ(written.size(), std::size_t{products} * images);
    for (const auto& [where, count] : rows)
    {
        const trace::Block& block = trace.header.blocks[where.first.index()];
        EXPECT_EQ(count, block.row_end - block.row_begin) << "block " << where.first.value();
    }
    const MappingReport its = report(trace, network, chip);
    const bool digital = chip.mapping.attention == "digital";
    const config::ChipConfig::Macro& macro = digital ? chip.digital.macro : chip.macro;
    EXPECT_EQ(its.attention.weights, weights);
    // In pairs; digital macros count weights.
    const unsigned slices =
        macro.weight_bits / macro.cell.bits + (macro.weight_bits % macro.cell.bits == 0 ? 0 : 1);
    EXPECT_EQ(its.attention.cells, weights * (digital ? 1 : 2 * slices));
    EXPECT_EQ(its.attention.energy, its.attention.cells * macro.program.cell_energy);
    EXPECT_EQ(its.attention.writes, weights == 0 ? 0U : 1U);
    EXPECT_EQ(its.attention.lifetime(), weights == 0 || digital ? 0 : macro.program.endurance);
    EXPECT_EQ(its.cells_written - its.weights_written, digital ? 0 : images * its.attention.cells);
}

/// As the chip runs it: operands are there before they are written, what multiplies with them comes
/// behind, and the next image's behind that.
void expect_in_time(const trace::Trace& trace, const network::Network& network,
                    const config::ChipConfig& chip)
{
    ActivitySink sink;
    Times times(sink);
    (void)run(trace, chip, sink);
    struct Block
    {
        std::uint32_t image = 0;
        Tick written = 0; ///< all of it so far
        Tick read = 0;    ///< the last product has begun
    };
    std::map<BlockId, Block> blocks;
    for (const Operation& operation : trace.operations)
    {
        if (!on_operand(operation, trace, network))
        {
            continue;
        }
        const OpRecord& its = times[operation.id];
        Block& block = blocks[operation.block];
        for (const OpId operand : operation.in)
        {
            // Of a datum that goes to several tiles, this tile's arrival counts, not the last one.
            const Operation& source = trace.operations[operand.index()];
            const OpRecord& before = times[operand];
            EXPECT_GE(its.start, source.to.size() > 1 ? before.start : before.end)
                << "operation " << operation.id.value() << " and " << operand.value();
        }
        if (operation.kind == OpKind::mvm)
        {
            EXPECT_EQ(block.image, operation.image);
            EXPECT_GE(its.start, block.written) << "operation " << operation.id.value();
            block.read = std::max(block.read, its.start);
            continue;
        }
        if (block.image != operation.image)
        {
            EXPECT_GT(its.start, block.read) << "operation " << operation.id.value();
        }
        block.image = operation.image;
        block.written = std::max(block.written, its.end);
    }
}

/// If a write came only behind the product that needs it, the checker would tell.
void expect_missed(const trace::Trace& trace, const network::Network& network, Dice& dice)
{
    std::vector<std::size_t> programs;
    for (std::size_t i = 0; i < trace.operations.size(); ++i)
    {
        if (trace.operations[i].kind == OpKind::program &&
            on_operand(trace.operations[i], trace, network))
        {
            programs.push_back(i);
        }
    }
    for (std::uint32_t k = 0; k < 3 && !programs.empty(); ++k)
    {
        const std::size_t late = dice.pick(programs);
        const Operation& program = trace.operations[late];
        semantics::Checker checker(trace.header, network);
        const Operation* refused = nullptr;
        for (std::size_t i = 0; i < trace.operations.size() && refused == nullptr; ++i)
        {
            try
            {
                if (i != late)
                {
                    checker.add(trace.operations[i]);
                }
            }
            catch (const trace::Malformed& problem)
            {
                refused = &trace.operations[i];
                EXPECT_NE(problem.problem.find("is not in its macro"), std::string::npos)
                    << problem.problem;
            }
        }
        ASSERT_NE(refused, nullptr) << "without operation " << program.id.value();
        EXPECT_EQ(refused->block, program.block);
        EXPECT_EQ(refused->image, program.image);
        EXPECT_EQ(refused->kind, OpKind::mvm);
    }
}

class WrittenOperands : public testing::TestWithParam<const char*>
{
};

TEST_P(WrittenOperands, OfRandomNetworks)
{
    constexpr std::uint32_t networks = tessera::test::effort(150U);
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_attention(dice);
        config::ChipConfig chip = test::random_chip(dice);
        test::choose_attention(dice, chip);
        chip.mapping.attention = GetParam();
        chip.digital.tile_columns = std::string(GetParam()) == "digital" ? 6 : dice(0, 8);
        chip.macro.cell.bits = dice(1, 4);
        chip.macro.program.cell_energy = dice(1, 1'000'000);
        chip.macro.program.endurance = dice(1, 1'000'000);
        chip.digital.macro.program.cell_energy = dice(1, 1'000'000);
        Options options;
        options.images = dice(1, 3);
        options.schedule = dice(0, 1) == 0 ? "layer-by-layer" : "xinf";
        options.plan.sets = dice.pick(std::vector<std::string>{"row", "pixel", "3x2"});
        options.plan.pack = dice(0, 2) == 0;
        SCOPED_TRACE("seed " + std::to_string(seed) + ' ' + options.schedule + '\n' +
                     test::describe(network));
        const trace::Trace trace = compile(network, chip, options);
        semantics::Checker checker(trace.header, network);
        for (const Operation& operation : trace.operations)
        {
            checker.add(operation);
        }
        EXPECT_EQ(checker.finish().images, options.images);
        expect_written_once(trace, network, chip, options.images);
        expect_in_time(trace, network, chip);
        expect_missed(trace, network, dice);
        ASSERT_FALSE(HasFailure());
    }
}

INSTANTIATE_TEST_SUITE_P(Ways, WrittenOperands, testing::Values("vector", "crossbar", "digital"),
                         [](const auto& info) { return std::string(info.param); });

/// One head of depth `depth` over `tokens` tokens: what is written, and how long all takes where
/// only MVMs and writes take time.
void expect_formula(std::uint32_t tokens, std::uint32_t depth, std::uint32_t rows,
                    std::uint32_t columns)
{
    SCOPED_TRACE(std::to_string(tokens) + " tokens of " + std::to_string(depth) + " in " +
                 std::to_string(rows) + " x " + std::to_string(columns));
    const std::string width = std::to_string(depth);
    const network::Network network = network::parse(
        R"({"name":"head","layers":[
            {"name":"x","kind":"input","shape":[)" +
            std::to_string(tokens) + R"(,1,4]},
            {"name":"q","kind":"dense","inputs":["x"],"channels":)" +
            width + R"(},
            {"name":"k","kind":"dense","inputs":["x"],"channels":)" +
            width + R"(},
            {"name":"v","kind":"dense","inputs":["x"],"channels":)" +
            width + R"(},
            {"name":"scores","kind":"matmul","inputs":["q","k"],"transpose_second":true},
            {"name":"softmax","kind":"softmax"},
            {"name":"context","kind":"matmul","inputs":["softmax","v"]}]})",
        "head.json");
    const Tick t_mvm = 1'400'000;
    const Tick t_row = 300'000;
    const Tick t_step = 2'000; // eight of them for an input vector of a digital macro
    for (const bool digital : {false, true})
    {
        for (const std::uint32_t images : {1U, 3U})
        {
            config::ChipConfig chip = config::load("clsa-256-ideal");
            chip.mapping.on_crossbar = {"conv2d", "dense"};
            chip.mapping.attention = digital ? "digital" : "crossbar";
            chip.digital.tile_columns = digital ? 6 : 0;
            config::ChipConfig::Macro& macro = digital ? chip.digital.macro : chip.macro;
            macro.rows = rows;
            macro.columns = columns;
            macro.program.row_time = Duration::of_ticks(t_row);
            macro.program.cell_energy = 7;
            macro.program.endurance = digital ? config::kUnlimited : 1'000;
            chip.macro.cell.bits = 3;
            chip.digital.macro.digital.step_time = Duration::of_ticks(t_step);
            chip.digital.macro.digital.drain_time = Duration();
            Options options;
            options.images = images;
            const trace::Trace trace = compile(network, chip, options);

            // Keys: `depth` rows of a cell for every token; values: a row for every token.
            const std::uint64_t weights = 2ULL * tokens * depth;
            const MappingReport::Attention its = report(trace, network, chip).attention;
            EXPECT_EQ(its.products, 2U);
            EXPECT_EQ(its.macs, 2ULL * tokens * tokens * depth);
            EXPECT_EQ(its.macros, ceil_div(depth, rows) * ceil_div(tokens, columns) +
                                      ceil_div(tokens, rows) * ceil_div(depth, columns));
            EXPECT_EQ(its.weights, weights);
            EXPECT_EQ(its.cells, digital ? weights : 6 * weights);
            EXPECT_EQ(its.energy, 7 * its.cells);
            EXPECT_EQ(its.writes, 1U);
            EXPECT_EQ(its.lifetime(), digital ? 0U : 1'000U);

            std::uint64_t written = 0; // rows of macros
            for (const Operation& operation : trace.operations)
            {
                written += operation.kind == OpKind::program ? operation.n : 0;
            }
            EXPECT_EQ(written, images * (depth * ceil_div(tokens, columns) +
                                         tokens * ceil_div(depth, columns)));

            // Queries, keys and values, then the products; blocks are written side by side.
            const Tick products = 2 * tokens * (digital ? 8 * t_step : t_mvm);
            const Tick writes = (std::min(depth, rows) + std::min(tokens, rows)) * t_row;
            ActivitySink sink;
            EXPECT_EQ(run(trace, chip, sink), images * (3 * tokens * t_mvm + products + writes));
        }
    }
}

TEST(OneHead, IsWrittenAsTheFormulaSays)
{
    expect_formula(16, 8, 16, 16);
    expect_formula(20, 6, 8, 8);
    expect_formula(5, 9, 4, 3);
    expect_formula(33, 4, 256, 256);
    expect_formula(1, 1, 3, 2);
}

} // namespace
} // namespace tessera::compiler
