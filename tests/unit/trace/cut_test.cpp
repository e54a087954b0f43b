// SPDX-License-Identifier: Apache-2.0
#include "trace_fixture.h"
#include "unit/effort.h"

#include <algorithm>
#include <cstdint>

namespace tessera::trace
{
namespace
{

constexpr int kCuts = tessera::test::effort(1000);
/// Of a file in HDF5, for each of which the guard starts two processes.
constexpr int kHdf5Cuts = tessera::test::effort(250);

class CutFiles : public TraceTest
{
public:
    /// Two hundred operations or more, of all kinds.
    static Trace big_trace()
    {
        Trace trace = random_trace(1);
        for (std::uint64_t seed = 2; trace.operations.size() < 50; ++seed)
        {
            trace = random_trace(seed);
        }
        return trace;
    }
};

struct Outcome
{
    std::uint64_t operations = 0; ///< taken before the error
    std::string error;
};

Outcome read_in_order(const std::string& file)
{
    Outcome outcome;
    try
    {
        const auto reader = open_in_order(file);
        Operation operation;
        while (reader->next(operation))
        {
            ++outcome.operations;
        }
    }
    catch (const InputError& error)
    {
        outcome.error = error.what();
    }
    return outcome;
}

Outcome read_by_unit(const std::string& file)
{
    Outcome outcome;
    try
    {
        const auto source = open(file);
        Operation operation;
        for (std::uint32_t unit = 0; unit < source->header().units.size(); ++unit)
        {
            while (source->next(UnitId(unit), operation))
            {
                ++outcome.operations;
            }
        }
    }
    catch (const InputError& error)
    {
        outcome.error = error.what();
    }
    return outcome;
}

/// Cuts at `count` random places up to `last`, at both ends and around every position in `edges`.
template <class Check>
void cut_everywhere(int count, std::size_t last, const std::vector<std::size_t>& edges, Check check)
{
    std::mt19937_64 random(42);
    for (int i = 0; i < count; ++i)
    {
        check(random() % (last + 1));
    }
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{2}, last - 1, last})
    {
        check(size);
    }
    for (const std::size_t edge : edges)
    {
        for (const std::size_t size : {edge - 1, edge, edge + 1})
        {
            check(std::min(size, last));
        }
    }
}

TEST_F(CutFiles, TextEndsInAnErrorBeforeAnythingBehindTheCut)
{
    const std::string text = canonical_text(big_trace());
    std::vector<std::size_t> edges;
    for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 1))
    {
        edges.push_back(at);
    }
    edges.pop_back(); // the last newline may be missing
    cut_everywhere(kCuts, text.size() - 2, edges,
                   [&](std::size_t size)
                   {
                       const std::string file = put("cut.trace.jsonl", text.substr(0, size));
                       const auto lines = static_cast<std::uint64_t>(
                           std::count(text.begin(), text.begin() + static_cast<long>(size), '\n'));
                       for (const Outcome& outcome : {read_in_order(file), read_by_unit(file)})
                       {
                           ASSERT_EQ(outcome.error.rfind(file, 0), 0U) << size << outcome.error;
                           ASSERT_LE(outcome.operations + 1, std::max<std::uint64_t>(lines, 1))
                               << size;
                       }
                   });
}

TEST_F(CutFiles, CompressedTextEndsInAnError)
{
    const Trace trace = big_trace();
    write(trace, path("a.trace.jsonl.gz"));
    const std::string bytes = get(path("a.trace.jsonl.gz"));
    cut_everywhere(kCuts, bytes.size() - 1, {10, bytes.size() - 8},
                   [&](std::size_t size)
                   {
                       const std::string file = put("cut.trace.jsonl.gz", bytes.substr(0, size));
                       const Outcome outcome = read_in_order(file);
                       ASSERT_EQ(outcome.error.rfind(file, 0), 0U) << size << outcome.error;
                       ASSERT_LT(outcome.operations, trace.operations.size()) << size;
                   });
}

TEST_F(CutFiles, Hdf5IsRefusedAtOnce)
{
    write(big_trace(), path("a.trace.h5"));
    const std::string bytes = get(path("a.trace.h5"));
    cut_everywhere(kHdf5Cuts, bytes.size() - 1, {8, 96},
                   [&](std::size_t size)
                   {
                       const std::string file = put("cut.trace.h5", bytes.substr(0, size));
                       for (const Outcome& outcome : {read_in_order(file), read_by_unit(file)})
                       {
                           ASSERT_EQ(outcome.error.rfind(file, 0), 0U) << size << outcome.error;
                           ASSERT_EQ(outcome.operations, 0U) << size;
                       }
                   });
}

TEST_F(CutFiles, FlippedBytesOfTextNeverPass)
{
    const std::string text = canonical_text(big_trace());
    std::mt19937_64 random(43);
    for (int i = 0; i < kCuts; ++i)
    {
        std::string damaged = text;
        char& byte = damaged[random() % (text.size() - 1)];
        byte = static_cast<char>(byte ^ (1 << (random() % 8)));
        const std::string file = put("flipped.trace.jsonl", damaged);
        ASSERT_EQ(read_in_order(file).error.rfind(file, 0), 0U) << i;
    }
}

} // namespace
} // namespace tessera::trace
