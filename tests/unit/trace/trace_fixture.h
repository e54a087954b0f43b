// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/error.h"
#include "tessera/trace.h"
#include "trace/header.h"
#include "trace/line_format.h"
#include "trace/reader.h"
#include "trace/text.h"
#include "trace/tools.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace tessera::trace
{

/// A folder of its own for every test, removed at its end.
class TraceTest : public testing::Test
{
public:
    TraceTest()
        : folder_(std::filesystem::temp_directory_path() /
                  ("tessera_trace_" + std::to_string(getpid()) + "_" +
                   testing::UnitTest::GetInstance()->current_test_info()->name()))
    {
        std::filesystem::create_directories(folder_);
    }
    ~TraceTest() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string path(const std::string& name) const
    {
        return (folder_ / name).string();
    }
    std::string put(const std::string& name, const std::string& bytes) const
    {
        std::ofstream(path(name), std::ios::binary) << bytes;
        return path(name);
    }
    [[nodiscard]] static std::string get(const std::string& file)
    {
        std::ifstream in(file, std::ios::binary);
        std::ostringstream out;
        out << in.rdbuf();
        return out.str();
    }

private:
    std::filesystem::path folder_;
};

inline std::string canonical_text(const Trace& trace)
{
    std::ostringstream out;
    TextWriter writer(out, trace.header);
    for (Operation operation : trace.operations)
    {
        writer.write(operation);
    }
    writer.finish();
    return out.str();
}

/// A whole file out of its lines: the last line is computed.
inline std::string sealed(const std::vector<std::string>& lines)
{
    std::string text;
    for (const std::string& line : lines)
    {
        text += line + '\n';
    }
    return text + end_line(lines.size() - 1, crc32_of(0, text.data(), text.size()));
}

inline std::vector<Operation> read_all(Reader& reader)
{
    std::vector<Operation> operations;
    Operation operation;
    while (reader.next(operation))
    {
        operations.push_back(operation);
    }
    return operations;
}

inline std::vector<Operation> read_all(const std::string& path)
{
    return read_all(*open_in_order(path));
}

/// Message of the InputError that reading all of `path` in order ends with; "" if there is none.
inline std::string error_of(const std::string& path)
{
    try
    {
        read_all(path);
    }
    catch (const InputError& error)
    {
        return error.what();
    }
    return "";
}

/// A random trace that every reader accepts, with every field somewhere. Its operands obey the
/// rules of single operations, not those of check().
inline Trace random_trace(std::uint64_t seed)
{
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t bound) { return random() % bound; };
    const auto below32 = [&](std::uint64_t bound)
    { return static_cast<std::uint32_t>(random() % bound); };
    const auto chance = [&](std::uint64_t of) { return random() % of == 0; };
    const auto wide = [&] { return (std::uint64_t{random()} & kMaxNumber) >> below(63); };
    const auto box = [&](std::uint32_t h, std::uint32_t w, std::uint32_t c)
    {
        Box result;
        const std::uint32_t sizes[] = {h, w, c};
        for (std::size_t axis = 0; axis < 3; ++axis)
        {
            const std::uint32_t a = below32(sizes[axis] + 1);
            const std::uint32_t b = below32(sizes[axis] + 1);
            result.bounds[2 * axis] = std::min(a, b);
            result.bounds[2 * axis + 1] = std::max(a, b);
        }
        return result;
    };

    Trace trace;
    Header& header = trace.header;
    header.producer = chance(2) ? "random \"producer\" \\ \n\t\x01 \xc3\xa9" : "";
    header.network = chance(2) ? "net" : "";
    header.tiles = 2 + below32(5);
    header.memory_ports = 1 + below32(2);
    for (std::uint64_t i = below(3); i-- > 0;)
    {
        header.mapping["key" + std::to_string(i)] = std::to_string(wide());
    }
    for (std::uint32_t i = 0; i < 1 + below32(3); ++i)
    {
        header.tensors.push_back({"tensor" + std::to_string(i), 1 + below32(9), 1 + below32(9),
                                  1 + below32(9), static_cast<std::uint8_t>(1 + below(64))});
        header.layers.push_back({"layer" + std::to_string(i), chance(2) ? "conv2d" : "",
                                 chance(3) ? TensorId() : TensorId(i), chance(2) ? wide() : 0,
                                 static_cast<std::uint8_t>(1 + below(64))});
    }
    const std::uint32_t layers = static_cast<std::uint32_t>(header.layers.size());
    for (std::uint32_t tile = 0; tile < header.tiles; ++tile)
    {
        header.units.push_back({UnitKind::network_interface, NodeId(tile), 0, 0});
        header.units.push_back({UnitKind::vector_unit, NodeId(tile), 0, 0});
        header.units.push_back({UnitKind::macro, NodeId(tile), 7 * below32(2), 0});
        header.blocks.push_back({chance(4) ? LayerId() : LayerId(below32(layers)), below32(2), 10,
                                 20 + below32(9), 0, 1 + below32(300), UnitId(3 * tile + 2),
                                 below32(2), below32(2), 1 + below32(3), below32(2)});
    }
    for (std::uint32_t port = 0; port < header.memory_ports; ++port)
    {
        header.units.push_back({UnitKind::memory_port, NodeId(header.tiles + port), 0, 0});
    }

    const std::uint64_t count = below(60);
    std::uint64_t id = chance(2) ? 0 : wide() / 2;
    for (std::uint64_t i = 0; i < count; ++i)
    {
        Operation op;
        op.id = OpId(id);
        op.kind = static_cast<OpKind>(below(kOpKinds));
        const std::uint32_t tile = below32(header.tiles);
        const auto earlier = [&] { return trace.operations[below(trace.operations.size())].id; };
        if (trace.operations.empty() && (op.kind == OpKind::move || op.kind == OpKind::store))
        {
            op.kind = OpKind::load;
        }
        const bool is_load = op.kind == OpKind::load;
        const bool travels = op.kind == OpKind::move || op.kind == OpKind::store;
        switch (issuer_of(op.kind))
        {
        case UnitKind::network_interface:
            op.at = UnitId(3 * tile);
            break;
        case UnitKind::vector_unit:
            op.at = UnitId(3 * tile + 1);
            break;
        case UnitKind::macro:
            op.at = UnitId(3 * tile + 2);
            break;
        case UnitKind::memory_port:
            op.at = UnitId(3 * header.tiles + below32(header.memory_ports));
            break;
        }
        if (!trace.operations.empty())
        {
            const std::uint64_t operands = travels                      ? 1
                                           : is_load                    ? 0
                                           : op.kind == OpKind::program ? below(2)
                                                                        : below(5);
            for (std::uint64_t k = 0; k < operands; ++k)
            {
                op.in.push_back(earlier());
            }
            for (std::uint64_t k = chance(3) ? below(4) : 0; k-- > 0;)
            {
                op.after.push_back(earlier());
            }
        }
        const bool computes = op.kind == OpKind::mvm || op.kind == OpKind::vec;
        if (computes || op.kind == OpKind::program)
        {
            op.n = op.kind == OpKind::vec ? below32(3) : 1 + below32(0xffff'ffffU);
        }
        if (computes)
        {
            op.uses = chance(3) ? 0 : below32(0xffff'ffffU);
            op.into =
                op.in.empty() || chance(2) ? -1 : static_cast<std::int32_t>(below(op.in.size()));
        }
        if (op.kind == OpKind::move || is_load)
        {
            for (std::uint32_t k = 1; k < header.tiles; ++k)
            {
                if (k == 1 || chance(2))
                {
                    op.to.push_back(
                        {NodeId((tile + k) % header.tiles), chance(3) ? 0 : below32(99)});
                }
            }
        }
        if (op.kind == OpKind::store)
        {
            op.to.push_back({NodeId(header.tiles + below32(header.memory_ports)), 0});
        }
        if (op.kind != OpKind::program)
        {
            op.bytes = chance(4) ? 0 : wide();
            op.bits = static_cast<std::uint8_t>(below(65));
            if (chance(2))
            {
                op.ofm = box(0xffff'fff0U, 100, 3);
            }
        }
        const bool blocky = op.kind == OpKind::mvm || op.kind == OpKind::program;
        if (blocky && chance(2))
        {
            op.block = BlockId(tile);
            op.layer = header.blocks[tile].layer;
        }
        else if (chance(2))
        {
            op.layer = LayerId(below32(layers));
        }
        op.image = chance(2) ? 0 : below32(0xffff'ffffU);
        op.release = chance(2) ? 0 : wide() >> 1U;
        if (chance(3))
        {
            op.start_hint = chance(3) ? 0 : wide();
        }
        if (op.kind == OpKind::vec)
        {
            op.function = static_cast<std::uint16_t>(below(functions().size()));
            for (const char* name : functions()[op.function].arguments)
            {
                if (chance(2))
                {
                    op.arguments[name] = static_cast<std::int64_t>(random());
                }
            }
        }
        if (op.kind == OpKind::store || is_load)
        {
            if (chance(2))
            {
                op.tensor = TensorId(below32(header.tensors.size()));
                if (chance(2))
                {
                    const Tensor& tensor = header.tensors[op.tensor.index()];
                    op.box = box(tensor.height, tensor.width, tensor.channels);
                }
            }
            if (chance(2))
            {
                op.address = chance(3) ? 0 : wide();
            }
        }
        trace.operations.push_back(op);
        id += 1 + (chance(5) ? below(1000) : 0);
    }
    finalize(trace);
    return trace;
}

} // namespace tessera::trace
