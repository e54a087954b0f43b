// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/emit.h"

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace tessera::compiler
{

/// When the data of a stage are gone. What reads a list of operands reads each of them, so this
/// follows the lists and what is in them, however many operations read them.
class Releases
{
public:
    /// Of the operations from `first` on, a stage, to which nothing is added meanwhile.
    Releases(const Emitter& emitter, std::size_t first);

    /// Appends the operations to wait for until the datum is gone, rising. Uses that operations of
    /// one vector unit end are over with the last of them, because it works on one at a time. A
    /// macro may overlap operations, so an mvm is replaced by the accumulation that waits for it.
    void append(OpId id, std::size_t arrival, std::vector<OpId>& out);

    /// Number of an arrival of a transfer of the stage.
    [[nodiscard]] std::size_t arrival_of(trace::CompactTrace::Arrival arrival) const
    {
        return arrival - arrival_base_;
    }
    /// Number of what an operation of the stage leaves in its own tile.
    [[nodiscard]] std::size_t local(OpId id) const
    {
        return operations_.arrivals() - arrival_base_ + id.index() - first_;
    }

private:
    struct Release
    {
        UnitId vector; ///< none(): not by a vector unit
        std::uint32_t by = 0;
    };
    /// Lists of numbers, by a number.
    struct Table
    {
        std::vector<std::size_t> begin;
        std::vector<std::uint32_t> entries;
        /// `each` calls what it is given with pairs of numbers, twice the same.
        template <typename Each> void fill(std::size_t size, Each each)
        {
            begin.assign(size + 1, 0);
            each([this](std::size_t at, std::uint32_t /*entry*/) { ++begin[at + 1]; });
            std::partial_sum(begin.begin(), begin.end(), begin.begin());
            entries.resize(begin.back());
            std::vector<std::size_t> next(begin.begin(), begin.end() - 1);
            each([&](std::size_t at, std::uint32_t entry) { entries[next[at]++] = entry; });
        }
    };

    void find_bases();
    void list_readers();
    void release_lists();
    void list_arrivals();
    [[nodiscard]] std::size_t arrival_at(const trace::CompactOperation& operation,
                                         NodeId tile) const;
    [[nodiscard]] Release release(OpId reader) const;
    static void keep_last(std::vector<Release>& releases, std::size_t before);

    const Emitter& emitter_;
    const trace::CompactTrace& operations_;
    std::size_t first_;
    std::size_t list_base_ = 0;              ///< first list of the stage
    std::size_t arrival_base_ = 0;           ///< first arrival of the stage
    Table readers_;                          ///< by list
    std::vector<Release> releases_;          ///< list by list
    std::vector<std::size_t> release_begin_; ///< by list
    Table lists_of_;                         ///< by arrival
    std::vector<Release> merged_;            // scratch
};

} // namespace tessera::compiler
