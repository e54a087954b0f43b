// SPDX-License-Identifier: Apache-2.0
#include "record/recovered_images.h"

#include "base/arrivals.h"
#include "tessera/error.h"

#include <algorithm>
#include <optional>

namespace tessera::record
{
namespace
{

std::optional<Arrivals> arrivals_of(const ResultReader& reader)
{
    const ImageMeta& images = reader.header().images;
    if (images.arrivals.empty())
    {
        return std::nullopt;
    }
    try
    {
        return Arrivals(images.arrivals, images.seed);
    }
    catch (const UsageError& error)
    {
        reader.fail("/meta@arrivals", error.what());
    }
}

} // namespace

void RecoveredImages::add(const OpRecord& record)
{
    if (static_cast<trace::OpKind>(record.kind) == trace::OpKind::program)
    {
        return; // of all images
    }
    Times& its = times_[record.image];
    Tick& start = record.padding != 0 ? its.padding_start : its.start;
    start = std::min(start, record.start);
    its.end = std::max(its.end, record.end);
    its.operations += record.unfinished == 0 ? 1 : 0;
}

void RecoveredImages::for_each(const ResultReader& reader, bool whole,
                               const std::function<void(const ImageRecord&)>& action) const
{
    std::optional<Arrivals> arrivals = arrivals_of(reader);
    const std::uint64_t operations = reader.header().images.operations;
    std::map<std::uint32_t, ImageRecord> all = kept_;
    for (const auto& [image, its] : times_)
    {
        const bool ended = whole || (operations != 0 && its.operations == operations);
        all.try_emplace(image, ImageRecord{arrivals ? arrivals->at(image) : kNever,
                                           its.start == kNever ? its.padding_start : its.start,
                                           ended ? its.end : kNever,
                                           image,
                                           {}});
    }
    for (const auto& [image, record] : all)
    {
        action(record);
    }
}

} // namespace tessera::record
