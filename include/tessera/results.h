// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/activity.h"
#include "tessera/error.h"
#include "tessera/summary.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tessera
{

/// What a run left behind: reads activity.h5 or activity.h5.part of a folder. Everything is checked
/// before it is believed.
class Results
{
public:
    /// A result folder, or the file itself. Throws InputError, IoError.
    explicit Results(const std::filesystem::path& path);
    Results(Results&&) noexcept;            ///< moves the open file
    Results& operator=(Results&&) noexcept; ///< moves the open file
    ~Results();

    /// The file is: no for a run that was interrupted or killed, or that still goes on. Whether all
    /// operations have ended (no for a run that was cut by its limit) is Summary::complete.
    [[nodiscard]] bool closed() const;
    [[nodiscard]] ActivityLevel level() const;      ///< what was recorded
    [[nodiscard]] const Summary& summary() const;   ///< zero where a killed run did not get to it
    [[nodiscard]] std::string config() const;       ///< effective config, JSON text
    [[nodiscard]] std::string trace_header() const; ///< first line of the trace, JSON text

    /// Number of records. Record: OpRecord, DependencyRecord, IntervalRecord, StallRecord,
    /// CycleRecord, ImageRecord.
    template <class Record> [[nodiscard]] std::uint64_t count() const;
    /// At most `count` records from `first` on, in the order of the file. Throws InputError.
    template <class Record>
    [[nodiscard]] std::vector<Record> read(std::uint64_t first = 0,
                                           std::uint64_t count = ~std::uint64_t{0}) const;
    /// Calls `action` for every record, block by block: for files larger than memory.
    template <class Record> void for_each(const std::function<void(const Record&)>& action) const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace tessera
