// SPDX-License-Identifier: Apache-2.0
#include "semantics/checker.h"

#include "compiler/compiler.h"
#include "config/load.h"
#include "trace/rules.h"

#include <algorithm>
#include <functional>
#include <gtest/gtest.h>
#include <string>

namespace tessera::semantics
{
namespace
{

using trace::Operation;
using trace::OpKind;

network::Network small_network()
{
    return network::parse(R"({"name": "small", "layers": [
        {"name": "image", "kind": "input", "shape": [6, 6, 3]},
        {"name": "conv", "kind": "conv2d", "channels": 8, "kernel": 3, "padding": "same"},
        {"name": "relu", "kind": "activation", "function": "relu"},
        {"name": "pool", "kind": "max_pool", "kernel": 2},
        {"name": "flat", "kind": "reshape", "shape": [1, 1, 72]},
        {"name": "classes", "kind": "dense", "channels": 5}]})",
                          "small.json");
}

/// What the checker says of a trace; empty if it is sound.
std::string complaint(const trace::Trace& trace, const network::Network& network)
{
    try
    {
        Checker checker(trace.header, network);
        for (const Operation& operation : trace.operations)
        {
            checker.add(operation);
        }
        (void)checker.finish();
        return "";
    }
    catch (const trace::Malformed& problem)
    {
        return problem.pointer + ": " + problem.problem;
    }
}

/// The message for the small network's trace after a change; empty: nothing is wrong.
std::string message(const std::function<void(trace::Trace&)>& change)
{
    const network::Network network = small_network();
    config::ChipConfig chip = config::load("tiny");
    chip.macro.rows = 16; // several blocks a layer
    chip.macro.columns = 4;
    chip.tiles = {4, 4, 4};
    trace::Trace trace = compiler::compile(network, chip);
    change(trace);
    return complaint(trace, network);
}

Operation& last(trace::Trace& trace, OpKind kind)
{
    for (std::size_t i = trace.operations.size(); i-- > 0;)
    {
        if (trace.operations[i].kind == kind)
        {
            return trace.operations[i];
        }
    }
    throw std::logic_error("there is no such operation");
}

bool has(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

TEST(Checker, ACompiledTraceIsRight)
{
    EXPECT_EQ(message([](trace::Trace&) {}), "");
}

TEST(Checker, WrongBoxes)
{
    EXPECT_TRUE(has(message([](trace::Trace& t) { last(t, OpKind::mvm).ofm->bounds[5] = 99; }),
                    "/ofm: operation"));
    EXPECT_TRUE(has(message(
                        [](trace::Trace& t)
                        {
                            for (Operation& operation : t.operations)
                            {
                                if (operation.kind == OpKind::mvm)
                                {
                                    operation.ofm->bounds[5] -= 1;
                                    return;
                                }
                            }
                        }),
                    "lacks row 0 of the weight matrix of layer conv in the sums"));
    EXPECT_TRUE(has(message([](trace::Trace& t) { t.operations.front().box->bounds[1] = 0; }),
                    "/box: operation 0"));
    EXPECT_TRUE(has(message([](trace::Trace& t) { t.operations.front().box->bounds[3] -= 1; }),
                    "(row, column, channel) of layer image"));
    EXPECT_TRUE(has(message([](trace::Trace& t) { last(t, OpKind::store).box->bounds[5] += 1; }),
                    "/in/0: operation"));
    EXPECT_TRUE(has(message([](trace::Trace& t) { last(t, OpKind::mvm).ofm.reset(); }),
                    "does not say which elements"));
}

TEST(Checker, WrongOperations)
{
    EXPECT_TRUE(has(message([](trace::Trace& t) { last(t, OpKind::mvm).n = 2; }),
                    "takes 2 input vectors for 1 pixels"));
    EXPECT_TRUE(has(message([](trace::Trace& t) { last(t, OpKind::store).image = 1; }),
                    "its operand belongs to image 0"));
    EXPECT_TRUE(has(message([](trace::Trace& t) { last(t, OpKind::vec).bytes = 0; }), "/bytes: "));
    EXPECT_TRUE(has(message(
                        [](trace::Trace& t)
                        {
                            Operation& sum = last(t, OpKind::vec);
                            sum.in.push_back(sum.in.front());
                            for (Operation& operation : t.operations)
                            {
                                operation.uses += operation.id == sum.in.front() ? 1U : 0U;
                            }
                        }),
                    "twice"));
    EXPECT_TRUE(has(message(
                        [](trace::Trace& t)
                        {
                            for (Operation& operation : t.operations)
                            {
                                if (operation.function == *trace::find_function("max_pool"))
                                {
                                    operation.function = *trace::find_function("average_pool");
                                }
                            }
                        }),
                    "computes average_pool, its layer is max_pool"));
}

/// The message for attention in crossbars after a change; empty: nothing is wrong.
std::string attention(const std::function<void(trace::Trace&)>& change)
{
    const network::Network network = network::parse(
        R"({"name":"attention","layers":[
            {"name":"x","kind":"input","shape":[6,1,4]},
            {"name":"q","kind":"dense","inputs":["x"],"channels":6},
            {"name":"k","kind":"dense","inputs":["x"],"channels":6},
            {"name":"v","kind":"dense","inputs":["x"],"channels":6},
            {"name":"scores","kind":"matmul","inputs":["q","k"],"heads":2,"transpose_second":true},
            {"name":"context","kind":"matmul","inputs":["scores","v"],"heads":2}]})",
        "attention.json");
    config::ChipConfig chip = config::load("clsa-256");
    chip.mapping.attention = "crossbar";
    chip.macro.rows = 4; // two blocks for the 6 values of a head
    compiler::Options options;
    options.images = 2;
    trace::Trace trace = compiler::compile(network, chip, options);
    change(trace);
    return complaint(trace, network);
}

TEST(Checker, OperandsThatAreNotInTheirMacro)
{
    EXPECT_EQ(attention([](trace::Trace&) {}), "");
    const auto program = [](const std::function<void(Operation&)>& change)
    { return attention([&](trace::Trace& trace) { change(last(trace, OpKind::program)); }); };
    // The last program writes rows 4 and 5 of the values of head 1.
    EXPECT_TRUE(has(program(
                        [](Operation& its)
                        {
                            its.box->bounds[0] = 5;
                            its.n = 1;
                        }),
                    "multiplies with [4,0,3] (row, column, channel) of layer"));
    EXPECT_TRUE(has(program([](Operation& its) { its.n = 3; }), "/n: ")) << "rows";
    EXPECT_TRUE(has(program([](Operation& its) { its.n = 3; }), "fills 2"));
    EXPECT_TRUE(has(program([](Operation& its) { its.box.reset(); }),
                    "does not say what it writes of layer"));
    EXPECT_TRUE(has(program([](Operation& its) { its.tensor = TensorId(2); }),
                    "does not say what it writes of layer"));
    EXPECT_TRUE(has(program([](Operation& its) { its.in.clear(); }), "lacks [4,0,3]"));
    // A block that reaches over the edge of a head.
    EXPECT_TRUE(has(attention(
                        [](trace::Trace& trace)
                        {
                            const Operation& its = last(trace, OpKind::mvm);
                            trace.header.blocks[its.block.index()].row_begin = 5;
                        }),
                    "of the matrices of 2 heads, of 6 x 3 each"));
    EXPECT_TRUE(has(attention([](trace::Trace& trace) { last(trace, OpKind::mvm).n = 7; }),
                    "takes 7 input vectors for 6 rows"));
    // The wrong image.
    EXPECT_TRUE(has(attention(
                        [](trace::Trace& trace)
                        {
                            const auto first =
                                std::find_if(trace.operations.begin(), trace.operations.end(),
                                             [](const Operation& operation)
                                             { return operation.kind == OpKind::program; });
                            first->image = 1;
                        }),
                    "belongs to image 0"));
}

TEST(Checker, OutputsThatAreNotStored)
{
    EXPECT_TRUE(has(message(
                        [](trace::Trace& t)
                        {
                            const OpId id = last(t, OpKind::store).id;
                            t.operations.erase(t.operations.begin() +
                                               static_cast<std::ptrdiff_t>(id.index()));
                        }),
                    "an output of the network, is never stored"));
}

TEST(Checker, HeadersOfOtherNetworks)
{
    EXPECT_TRUE(has(message([](trace::Trace& t) { t.header.layers[1].name = "conf"; }),
                    "/network/layers/1: network small has no layer 'conf'"));
    EXPECT_TRUE(has(message([](trace::Trace& t) { t.header.tensors[1].height = 7; }),
                    "/network/tensors/1/shape"));
    EXPECT_TRUE(has(message([](trace::Trace& t) { t.header.layers[1].output = TensorId(3); }),
                    "/network/layers/1/output"));
}

TEST(Coverage, FindsTheFirstElementThatNoBoxHolds)
{
    Effort effort;
    const trace::Box left{{0, 4, 0, 2, 0, 8}};
    const trace::Box right{{0, 4, 3, 6, 0, 8}};
    const Need all = need_of(LayerId(0), {{0, 4, 0, 6, 0, 8}});
    EXPECT_EQ(uncovered(all, {&left, &right}, effort), (Element{0, 2, 0}));
    const Need apart{LayerId(0), {{0, 1}, {3, 4}}, {{0, 2}, {3, 6}}, {2, 5}};
    EXPECT_EQ(uncovered(apart, {&left, &right}, effort), std::nullopt);
    EXPECT_EQ(uncovered(apart, {&left}, effort), (Element{0, 3, 2}));
}

TEST(Coverage, HostileCutsRunOut)
{
    std::vector<trace::Box> boxes;
    for (std::uint32_t i = 0; i < 2000; ++i)
    {
        boxes.push_back({{i, i + 1, i, i + 1, i, i + 1}});
    }
    std::vector<const trace::Box*> list;
    for (const trace::Box& box : boxes)
    {
        list.push_back(&box);
    }
    Effort effort;
    EXPECT_THROW((void)uncovered(need_of(LayerId(0), {{0, 2000, 0, 2000, 0, 2000}}), list, effort),
                 trace::Malformed);
}

} // namespace
} // namespace tessera::semantics
