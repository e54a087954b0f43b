// SPDX-License-Identifier: Apache-2.0
#include "compiler/releases.h"

#include <algorithm>

namespace tessera::compiler
{
namespace
{

using trace::CompactOperation;
using trace::CompactTrace;
using trace::OpKind;

std::ptrdiff_t offset(std::size_t position)
{
    return static_cast<std::ptrdiff_t>(position);
}

} // namespace

Releases::Releases(const Emitter& emitter, std::size_t first)
    : emitter_(emitter), operations_(emitter.operations()), first_(first)
{
    find_bases();
    list_readers();
    release_lists();
    list_arrivals();
    readers_ = {};
}

void Releases::append(OpId id, std::size_t arrival, std::vector<OpId>& out)
{
    const std::size_t begin = lists_of_.begin[arrival];
    const std::size_t end = lists_of_.begin[arrival + 1];
    if (begin == end)
    {
        out.push_back(id);
        return;
    }
    merged_.clear();
    for (std::size_t i = begin; i < end; ++i)
    {
        const std::size_t list = lists_of_.entries[i];
        merged_.insert(merged_.end(), releases_.begin() + offset(release_begin_[list]),
                       releases_.begin() + offset(release_begin_[list + 1]));
    }
    if (end - begin > 1)
    {
        keep_last(merged_, 0);
    }
    const std::size_t before = out.size();
    for (const Release& release : merged_)
    {
        out.emplace_back(release.by);
    }
    std::sort(out.begin() + offset(before), out.end());
}

/// Of a transfer in a tile, or of what an operation leaves in its own.
std::size_t Releases::arrival_at(const CompactOperation& operation, NodeId tile) const
{
    return operations_.arrives(operation) ? operations_.arrival(operation, tile) - arrival_base_
                                          : local(operation.id);
}

/// Where lists and arrivals of the stage begin.
void Releases::find_bases()
{
    list_base_ = operations_.lists();
    arrival_base_ = operations_.arrivals();
    for (std::size_t i = first_; i < operations_.size(); ++i)
    {
        const CompactOperation& operation = operations_[OpId(i)];
        operations_.for_each_list(operation, [this](CompactTrace::List list)
                                  { list_base_ = std::min(list_base_, list.index()); });
        operations_.for_each_arrival(
            operation, [this](CompactTrace::Arrival arrival)
            { arrival_base_ = std::min<std::size_t>(arrival_base_, arrival); });
    }
}

void Releases::list_readers()
{
    readers_.fill(operations_.lists() - list_base_,
                  [this](auto add)
                  {
                      for (std::size_t i = first_; i < operations_.size(); ++i)
                      {
                          operations_.for_each_list(
                              operations_[OpId(i)], [&](CompactTrace::List list)
                              { add(list.index() - list_base_, static_cast<std::uint32_t>(i)); });
                      }
                  });
}

void Releases::release_lists()
{
    release_begin_.push_back(0);
    for (std::size_t list = 0; list + 1 < readers_.begin.size(); ++list)
    {
        const std::size_t before = releases_.size();
        for (std::size_t r = readers_.begin[list]; r < readers_.begin[list + 1]; ++r)
        {
            releases_.push_back(release(OpId(readers_.entries[r])));
        }
        keep_last(releases_, before);
        release_begin_.push_back(releases_.size());
    }
}

Releases::Release Releases::release(OpId reader) const
{
    const CompactOperation* by = &operations_[reader];
    if (by->kind == OpKind::mvm)
    {
        by = &operations_[emitter_.note(reader).release];
    }
    return {by->kind == OpKind::vec ? by->at : UnitId::none(),
            static_cast<std::uint32_t>(by->id.value())};
}

/// Of each vector unit the last operation from position `before` on.
void Releases::keep_last(std::vector<Release>& releases, std::size_t before)
{
    const auto first = releases.begin() + offset(before);
    if (releases.end() - first < 2)
    {
        return;
    }
    std::sort(first, releases.end(),
              [](const Release& a, const Release& b)
              { return a.vector != b.vector ? a.vector < b.vector : a.by < b.by; });
    auto kept = first;
    for (auto its = first; its != releases.end(); ++its)
    {
        if (!its->vector.valid() || its + 1 == releases.end() || (its + 1)->vector != its->vector)
        {
            *kept++ = *its;
        }
    }
    releases.erase(kept, releases.end());
}

void Releases::list_arrivals()
{
    lists_of_.fill(operations_.arrivals() - arrival_base_ + operations_.size() - first_,
                   [this](auto add)
                   {
                       for (std::size_t list = 0; list + 1 < readers_.begin.size(); ++list)
                       {
                           if (readers_.begin[list] == readers_.begin[list + 1])
                           {
                               continue;
                           }
                           const OpId reader(readers_.entries[readers_.begin[list]]);
                           const NodeId tile = emitter_.node_of(operations_[reader].at);
                           const auto [begin, end] = operations_.ids(
                               CompactTrace::List(static_cast<std::uint32_t>(list + list_base_)));
                           for (const std::uint32_t* id = begin; id != end; ++id)
                           {
                               if (*id >= first_)
                               {
                                   add(arrival_at(operations_[OpId(*id)], tile),
                                       static_cast<std::uint32_t>(list));
                               }
                           }
                       }
                   });
}

} // namespace tessera::compiler
