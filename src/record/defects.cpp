// SPDX-License-Identifier: Apache-2.0
#include "record/defects.h"

#include "record/names.h"
#include "record/schema.h"

namespace tessera::record
{
namespace
{

/// Intervals and stalls.
template <class Record>
std::optional<std::string> defect_of_stage(const ResultHeader& header, const Record& record)
{
    if (record.stage >= kStages)
    {
        return "stage " + std::to_string(record.stage) + " is unknown";
    }
    if (record.unit >= header.summary.units.size())
    {
        return "there is no unit " + std::to_string(record.unit);
    }
    if (record.end < record.begin)
    {
        return "it ends before it begins";
    }
    return std::nullopt;
}

} // namespace

std::optional<std::string> defect(const ResultHeader& header, const OpRecord& record)
{
    if (record.kind >= trace::kOpKinds)
    {
        return "kind " + std::to_string(record.kind) + " is unknown";
    }
    if (record.cause >= kCauses)
    {
        return "cause " + std::to_string(record.cause) + " is unknown";
    }
    if (record.unit >= header.summary.units.size())
    {
        return "there is no unit " + std::to_string(record.unit);
    }
    if (LayerId(record.layer).valid() && record.layer >= header.summary.layers.size())
    {
        return "there is no layer " + std::to_string(record.layer);
    }
    if (record.end < record.start || record.wait > record.end - record.start)
    {
        return "its times contradict each other";
    }
    if (record.unfinished > 1)
    {
        return "unfinished is " + std::to_string(record.unfinished);
    }
    const Summary& summary = header.summary;
    if (record.unfinished == 1 &&
        (summary.complete || (summary.span != 0 && record.end != summary.span)))
    {
        return "it is unfinished and does not end where a run was cut";
    }
    return std::nullopt;
}

std::optional<std::string> defect(const ResultHeader& /*header*/,
                                  const DependencyRecord& /*record*/)
{
    return std::nullopt;
}

std::optional<std::string> defect(const ResultHeader& header, const IntervalRecord& record)
{
    return defect_of_stage(header, record);
}

std::optional<std::string> defect(const ResultHeader& header, const StallRecord& record)
{
    return defect_of_stage(header, record);
}

std::optional<std::string> defect(const ResultHeader& /*header*/, const CycleRecord& /*record*/)
{
    return std::nullopt;
}

std::optional<std::string> defect(const ResultHeader& /*header*/, const ImageRecord& record)
{
    const bool started = record.start != kNever;
    const bool ended = record.end != kNever;
    const bool early = started && record.arrival != kNever && record.start < record.arrival;
    if (early || (ended && (!started || record.end < record.start)))
    {
        return "its times contradict each other";
    }
    return std::nullopt;
}

template <class Record> void clear_gaps(std::vector<Record>& records)
{
    const std::vector<std::size_t> gaps = layout_of<Record>().gaps();
    for (Record& record : records)
    {
        for (const std::size_t gap : gaps)
        {
            reinterpret_cast<std::byte*>(&record)[gap] = std::byte{0};
        }
    }
}

template void clear_gaps(std::vector<OpRecord>& records);
template void clear_gaps(std::vector<DependencyRecord>& records);
template void clear_gaps(std::vector<IntervalRecord>& records);
template void clear_gaps(std::vector<StallRecord>& records);
template void clear_gaps(std::vector<CycleRecord>& records);
template void clear_gaps(std::vector<ImageRecord>& records);

} // namespace tessera::record
