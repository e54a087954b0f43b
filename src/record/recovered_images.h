// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "record/reader.h"
#include "tessera/activity.h"

#include <cstdint>
#include <functional>
#include <map>

namespace tessera::record
{

/// Makes /images of a damaged file out of what it still holds of it, and of its operations.
class RecoveredImages
{
public:
    void add(const OpRecord& record);
    /// A sound record of /images: better than what operations say.
    void add(const ImageRecord& record) { kept_[record.image] = record; }

    /// Calls `action` for every image, by number. `whole`: no operation of the run is missing.
    /// Throws InputError for arrivals that no run has.
    void for_each(const ResultReader& reader, bool whole,
                  const std::function<void(const ImageRecord&)>& action) const;

private:
    struct Times
    {
        Tick start = kNever;         ///< of what reads more than padding
        Tick padding_start = kNever; ///< of the rest
        Tick end = 0;
        std::uint64_t operations = 0;
    };
    std::map<std::uint32_t, Times> times_;
    std::map<std::uint32_t, ImageRecord> kept_;
};

} // namespace tessera::record
