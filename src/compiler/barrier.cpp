// SPDX-License-Identifier: Apache-2.0
#include "compiler/barrier.h"

#include "base/interrupt.h"

#include <algorithm>
#include <map>

namespace tessera::compiler
{

using trace::Operation;
using trace::OpKind;

void Barrier::close(std::vector<Operation>& operations, std::size_t first)
{
    if (first == operations.size())
    {
        return; // what comes next follows the stage before
    }
    // An operation with a successor in the stage has ended when that one has.
    std::vector<char> has_successor(operations.size() - first, 0);
    std::vector<OpId> starting;
    std::map<UnitId, OpId> latest; // of units that end operations in order
    std::map<UnitId, std::vector<OpId>> loose;
    std::vector<char> seen;
    for (std::size_t i = first; i < operations.size(); ++i)
    {
        throw_if_interrupted();
        const Operation& operation = operations[i];
        bool follows = false;
        for (const auto* list : {&operation.in, &operation.after})
        {
            for (const OpId id : *list)
            {
                if (id.index() < first)
                {
                    continue;
                }
                follows = true;
                // The reader of one arrival of a multicast says nothing of the other arrivals,
                // which may be for later stages. (Each arrival of a load is read in its stage.)
                const Operation& before = operations[id.index()];
                const bool some_arrive =
                    list == &operation.in && before.kind == OpKind::move && before.to.size() > 1;
                if (!some_arrive)
                {
                    has_successor[id.index() - first] = 1;
                }
            }
        }
        // Units issue in order: what is behind another operation of its unit starts after it.
        const std::size_t unit = operation.at.index();
        seen.resize(std::max(seen.size(), unit + 1), 0);
        if (!follows && seen[unit] == 0)
        {
            starting.push_back(operation.id);
        }
        seen[unit] = 1;
    }
    for (std::size_t i = first; i < operations.size(); ++i)
    {
        throw_if_interrupted();
        const Operation& operation = operations[i];
        if (has_successor[i - first] != 0)
        {
            continue;
        }
        if (operation.kind == OpKind::vec || operation.kind == OpKind::program)
        {
            latest[operation.at] = operation.id;
        }
        else
        {
            loose[operation.at].push_back(operation.id);
        }
    }
    for (const OpId id : starting)
    {
        std::vector<OpId>& after = operations[id.index()].after;
        after.insert(after.end(), last_.begin(), last_.end());
    }
    last_.clear();
    for (const auto& [unit, id] : latest)
    {
        last_.push_back(id);
    }
    for (const auto& [unit, transfers] : loose)
    {
        for (std::size_t k = kInFlight; k < transfers.size(); ++k)
        {
            operations[transfers[k].index()].after.push_back(transfers[k - kInFlight]);
        }
        last_.insert(last_.end(),
                     transfers.size() > kInFlight ? transfers.end() - kInFlight : transfers.begin(),
                     transfers.end());
    }
}

} // namespace tessera::compiler
