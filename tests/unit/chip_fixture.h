// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chip/chip.h"
#include "trace/reader.h"
#include "trace/tools.h"

#include <memory>
#include <utility>
#include <vector>

namespace tessera::chip::testing
{

/// A small chip in which nothing is unlimited: 2 x 2 tiles of two 128 x 128 macros, everything at 1
/// GHz.
inline config::ChipConfig small_chip()
{
    config::ChipConfig chip;
    chip.clock = chip.macro.clock = chip.vector.clock = chip.buffer.clock = chip.noc.clock =
        Clock(1000);
    chip.macro.rows = chip.macro.columns = 128;
    chip.macro.dac.count = 128;
    chip.buffer.capacity = 65536;
    chip.noc.reserve = Duration::of_cycles(3);
    chip.noc.packet_flits = 64;
    chip.memory.channels = 1;
    chip.memory.bytes_per_second = 1'000'000'000;
    return chip;
}

/// Builds traces operation by operation; ids count from 0.
class TraceBuilder
{
public:
    explicit TraceBuilder(const config::ChipConfig& chip)
    {
        trace_.header.tiles = chip.tile_count();
        trace_.header.memory_ports = chip.memory.ports;
    }
    trace::Operation& add(trace::OpKind kind, trace::UnitKind unit, std::uint32_t node,
                          std::uint32_t position = 0)
    {
        trace::Operation op;
        op.id = OpId(trace_.operations.size());
        op.kind = kind;
        op.at = find(unit, node, position);
        trace_.operations.push_back(op);
        return trace_.operations.back();
    }
    trace::Operation& mvm(std::uint32_t tile, std::uint32_t macro, std::uint32_t n)
    {
        trace::Operation& op = add(trace::OpKind::mvm, trace::UnitKind::macro, tile, macro);
        op.n = n;
        return op;
    }
    trace::Operation& vec(std::uint32_t tile, std::uint32_t n)
    {
        trace::Operation& op = add(trace::OpKind::vec, trace::UnitKind::vector_unit, tile);
        op.n = n;
        return op;
    }
    trace::Operation& move(std::uint32_t tile, std::vector<trace::Destination> to)
    {
        trace::Operation& op = add(trace::OpKind::move, trace::UnitKind::network_interface, tile);
        op.to = std::move(to);
        return op;
    }
    trace::Operation& load(std::uint32_t port, std::vector<trace::Destination> to)
    {
        trace::Operation& op =
            add(trace::OpKind::load, trace::UnitKind::memory_port, trace_.header.tiles + port);
        op.to = std::move(to);
        return op;
    }
    trace::Operation& store(std::uint32_t tile, std::uint32_t port)
    {
        trace::Operation& op = add(trace::OpKind::store, trace::UnitKind::network_interface, tile);
        op.to = {{NodeId(trace_.header.tiles + port), 0}};
        return op;
    }
    [[nodiscard]] std::shared_ptr<const trace::Trace> build()
    {
        trace::finalize(trace_);
        return std::make_shared<const trace::Trace>(trace_);
    }

private:
    UnitId find(trace::UnitKind kind, std::uint32_t node, std::uint32_t position)
    {
        auto& units = trace_.header.units;
        for (std::size_t i = 0; i < units.size(); ++i)
        {
            if (units[i].kind == kind && units[i].node == NodeId(node) &&
                units[i].position == position)
            {
                return UnitId(static_cast<std::uint32_t>(i));
            }
        }
        units.push_back({kind, NodeId(node), position, 0});
        return UnitId(static_cast<std::uint32_t>(units.size() - 1));
    }
    trace::Trace trace_;
};

/// Keeps all records of one kind.
template <class Record> class Keeper : public RecordStream<Record>::Consumer
{
public:
    explicit Keeper(RecordStream<Record>& stream) : chunk_(256)
    {
        stream.connect(*this, {chunk_.data(), chunk_.data() + chunk_.size()});
    }
    typename RecordStream<Record>::Chunk full(const Record* begin, const Record* end) override
    {
        records.insert(records.end(), begin, end);
        return {chunk_.data(), chunk_.data() + chunk_.size()};
    }
    std::vector<Record> records;

private:
    std::vector<Record> chunk_;
};

/// Keeps all operation records.
class RecordKeeper : public Keeper<OpRecord>
{
public:
    explicit RecordKeeper(ActivitySink& sink) : Keeper(sink.operations)
    {
        sink.level = ActivityLevel::unit;
    }
};

struct Outcome
{
    Summary summary;
    std::vector<OpRecord> records;
    [[nodiscard]] const OpRecord& operator[](std::uint64_t id) const
    {
        for (const OpRecord& record : records)
        {
            if (record.id == id)
            {
                return record;
            }
        }
        throw std::out_of_range("no record of operation " + std::to_string(id));
    }
};

inline Outcome simulate(const config::ChipConfig& config, std::shared_ptr<const trace::Trace> trace,
                        std::uint64_t shuffle = 0)
{
    ActivitySink sink;
    RecordKeeper keeper(sink);
    trace::MemorySource source(std::move(trace));
    Chip chip(config, source, sink, shuffle);
    run_native(chip, nullptr);
    chip.close();
    return {chip.summary(), keeper.records};
}

} // namespace tessera::chip::testing
