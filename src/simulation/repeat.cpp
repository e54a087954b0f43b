// SPDX-License-Identifier: Apache-2.0
#include "simulation/repeat.h"

#include "chip/data_table.h"
#include "tessera/error.h"

namespace tessera::simulation
{

trace::Header repeated(trace::Header header, const Repetition& repetition, std::uint64_t window)
{
    const std::uint64_t copies = repetition.images - repetition.held;
    if (repetition.stride != 0 &&
        copies + repetition.held >= chip::DataTable::kMaxOperation / repetition.stride)
    {
        throw UsageError(std::to_string(repetition.images) + " images of " +
                         std::to_string(repetition.stride) +
                         " operations are too many; give fewer images");
    }
    const auto scale = [&](std::uint64_t& count)
    { count = count / repetition.held * repetition.images; };
    scale(header.operations);
    for (trace::TracedUnit& unit : header.units)
    {
        scale(unit.operations);
    }
    header.window = window;
    return header;
}

void shift(trace::Operation& operation, const Repetition& repetition, std::uint32_t images)
{
    const std::uint64_t distance = images * repetition.stride;
    const auto later = [distance](OpId& id) { id = OpId(id.value() + distance); };
    later(operation.id);
    for (OpId& id : operation.in)
    {
        later(id);
    }
    for (OpId& id : operation.after)
    {
        later(id);
    }
    operation.image += images;
}

RepeatingSource::RepeatingSource(std::unique_ptr<trace::RewindableSource> source,
                                 const Repetition& repetition, std::uint64_t window)
    : source_(std::move(source)),
      repetition_(repetition),
      header_(repeated(source_->header(), repetition, window)),
      copy_(header_.units.size(), 0)
{
}

bool RepeatingSource::next(UnitId unit, trace::Operation& operation)
{
    std::uint32_t& copy = copy_[unit.index()];
    for (;;)
    {
        while (source_->next(unit, operation))
        {
            if (copy == 0 || operation.image + 1 == repetition_.held)
            {
                shift(operation, repetition_, copy);
                return true;
            }
            operation.clear(); // of an image before the last one: it was there once
        }
        if (copy == repetition_.images - repetition_.held)
        {
            return false;
        }
        ++copy;
        source_->rewind(unit);
        operation.clear();
    }
}

/// What is left of one copy of the last image is left of all after it.
bool RepeatingSource::images_left(const TellImages& tell)
{
    trace::Operation operation;
    for (std::uint32_t unit = 0; unit < header_.units.size(); ++unit)
    {
        for (operation.clear(); next(UnitId(unit), operation); operation.clear())
        {
            if (operation.kind == trace::OpKind::program)
            {
                continue;
            }
            const bool repeats = operation.image + 1 >= repetition_.held;
            const std::uint32_t last = repeats ? repetition_.images - 1 : operation.image;
            if (!tell(operation.image, last))
            {
                return false;
            }
            if (repeats)
            {
                break;
            }
        }
    }
    return true;
}

} // namespace tessera::simulation
