// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "record/reader.h"

#include <optional>
#include <string>
#include <vector>

namespace tessera::record
{

/// What is wrong with a record's numbers, if anything.
[[nodiscard]] std::optional<std::string> defect(const ResultHeader& header, const OpRecord& record);
[[nodiscard]] std::optional<std::string> defect(const ResultHeader& header,
                                                const DependencyRecord& record);
[[nodiscard]] std::optional<std::string> defect(const ResultHeader& header,
                                                const IntervalRecord& record);
[[nodiscard]] std::optional<std::string> defect(const ResultHeader& header,
                                                const StallRecord& record);
[[nodiscard]] std::optional<std::string> defect(const ResultHeader& header,
                                                const CycleRecord& record);
[[nodiscard]] std::optional<std::string> defect(const ResultHeader& header,
                                                const ImageRecord& record);

/// Makes the bytes zero in which no member lies: the library leaves there what it converted last.
template <class Record> void clear_gaps(std::vector<Record>& records);

} // namespace tessera::record
