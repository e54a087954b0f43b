// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "record/activity_writer.h"
#include "unit/temporary_folder.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <unistd.h>

namespace tessera::record::test
{

using tessera::test::content_of;
using tessera::test::put_content;
using tessera::test::TemporaryFolder;

inline ActivityMeta meta_of_two_units(ActivityLevel level)
{
    ActivityMeta meta;
    meta.level = level;
    meta.config = R"({"name":"test"})";
    meta.trace_header = R"({"format":"tessera-trace"})";
    meta.reference_clock = Clock(3125, 4);
    meta.units = {{"t0.m0", trace::UnitKind::macro, NodeId(0)},
                  {"t0.vec", trace::UnitKind::vector_unit, NodeId(0)}};
    meta.layers = {{"conv1", "conv2d"}, {"fc", "dense"}};
    return meta;
}

inline Summary summary_of_two_units(Tick makespan = 0)
{
    Summary summary;
    summary.span = makespan;
    summary.complete = true;
    summary.operations = 7;
    summary.events = 99;
    summary.crossbars = 2;
    summary.utilization = 0.625;
    summary.units.resize(2);
    summary.units[0].name = "t0.m0";
    summary.units[0].node = NodeId(0);
    summary.units[0].operations = 4;
    summary.units[0].vectors = 40;
    summary.units[0].time[static_cast<std::size_t>(Stage::convert)] = makespan / 2;
    summary.units[0].time[static_cast<std::size_t>(Stage::no_work)] = makespan - makespan / 2;
    summary.units[1].name = "t0.vec";
    summary.units[1].kind = trace::UnitKind::vector_unit;
    summary.units[1].node = NodeId(0);
    summary.units[1].time[static_cast<std::size_t>(Stage::wait_input)] = makespan;
    summary.buffers = {{"t0", 4096, 1024, 12.5, 3}, {"t1", ~std::uint64_t{0}, 0, 0.0, 0}};
    summary.links = {{"t0->t1", 10, 1000, 5}, {"t1->t0", 20, 2000, 0}};
    summary.layers.resize(2);
    summary.layers[0] = {"conv1",  "conv2d",     4,  40, 2,           100,
                         makespan, makespan / 2, 64, 32, makespan / 2};
    summary.layers[1].name = "fc";
    summary.layers[1].kind = "dense";
    return summary;
}

/// An operation of the macro for layer 0, with the reserved bytes as dirty as a simulator may leave
/// them.
inline OpRecord operation(std::uint64_t id, Tick start, Tick end, Cause cause = Cause::none,
                          std::uint64_t because = ~std::uint64_t{0}, Tick wait = 0,
                          trace::OpKind kind = trace::OpKind::mvm, std::uint32_t layer = 0)
{
    OpRecord record{};
    record.id = id;
    record.ready = start;
    record.start = start;
    record.end = end;
    record.because = because;
    record.wait = wait;
    record.unit = kind == trace::OpKind::vec ? 1 : 0;
    record.layer = layer;
    record.kind = static_cast<std::uint8_t>(kind);
    record.cause = static_cast<std::uint8_t>(cause);
    return record;
}

} // namespace tessera::record::test
