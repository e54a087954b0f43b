// SPDX-License-Identifier: Apache-2.0
#include "semantics/order.h"

#include <algorithm>

namespace tessera::semantics
{

std::uint32_t Order::position(OpId id) const
{
    if (id.index() < ids_.size() && ids_[id.index()] == id)
    {
        return static_cast<std::uint32_t>(id.index());
    }
    const auto found = std::lower_bound(ids_.begin(), ids_.end(), id);
    return found != ids_.end() && *found == id ? static_cast<std::uint32_t>(found - ids_.begin())
                                               : kNone;
}

void Order::add(const trace::Operation& operation)
{
    if (references_.size() + operation.in.size() + operation.after.size() + 1 >= kNone)
    {
        throw trace::Malformed{"", "comes after 2^32 references",
                               "check such a long trace in parts, image by image"};
    }
    const auto add = [this](std::uint32_t position)
    {
        if (position != kNone)
        {
            references_.push_back(position);
        }
    };
    for (const OpId id : operation.in)
    {
        add(position(id));
    }
    std::uint32_t& latest = latest_[operation.at.index()];
    add(latest);
    after_.push_back(static_cast<std::uint32_t>(references_.size()));
    for (const OpId id : operation.after)
    {
        add(position(id));
    }
    begin_.push_back(static_cast<std::uint32_t>(references_.size()));
    latest = static_cast<std::uint32_t>(ids_.size());
    ids_.push_back(operation.id);
}

bool Order::waits(const trace::Operation& later, OpId earlier, Effort& effort)
{
    if (std::find(later.after.begin(), later.after.end(), earlier) != later.after.end())
    {
        return true;
    }
    const std::uint32_t wanted = position(earlier);
    if (wanted == kNone)
    {
        return false;
    }
    // Backwards from `later`; what is not behind `earlier` cannot wait for it.
    seen_.resize(ids_.size(), 0);
    ++searches_;
    std::vector<std::uint32_t> open;
    const auto visit = [&](std::uint32_t position)
    {
        if (position != kNone && position > wanted && seen_[position] != searches_)
        {
            seen_[position] = searches_;
            open.push_back(position);
        }
    };
    for (const auto* list : {&later.in, &later.after})
    {
        for (const OpId id : *list)
        {
            visit(position(id));
        }
    }
    visit(latest_[later.at.index()]);
    while (!open.empty())
    {
        const std::uint32_t at = open.back();
        open.pop_back();
        effort.spend(1 + begin_[at + 1] - begin_[at]);
        for (std::uint32_t i = begin_[at]; i < begin_[at + 1]; ++i)
        {
            if (references_[i] == wanted && i >= after_[at])
            {
                return true;
            }
            visit(references_[i]);
        }
    }
    return false;
}

} // namespace tessera::semantics
