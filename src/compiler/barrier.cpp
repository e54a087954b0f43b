// SPDX-License-Identifier: Apache-2.0
#include "compiler/barrier.h"

#include "base/interrupt.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace tessera::compiler
{
namespace
{

using trace::Operation;
using trace::OpKind;

/// Transfers of each unit that no operation of their image in the stage waits for.
using Loose = std::map<UnitId, std::vector<OpId>>;

/// What is without a successor, of one image or of all.
struct Ends
{
    std::map<UnitId, OpId> latest;       ///< of units that end operations in order
    std::map<UnitId, std::size_t> loose; ///< how many transfers, up to the last

    void add(const Operation& operation, const Loose& transfers)
    {
        if (operation.kind == OpKind::vec || operation.kind == OpKind::program)
        {
            latest[operation.at] = operation.id;
        }
        else
        {
            loose[operation.at] = transfers.at(operation.at).size();
        }
    }
    /// Few operations that stand for them.
    [[nodiscard]] std::vector<OpId> last(const Loose& transfers) const
    {
        std::vector<OpId> result;
        for (const auto& [unit, id] : latest)
        {
            result.push_back(id);
        }
        for (const auto& [unit, end] : loose)
        {
            const std::vector<OpId>& its = transfers.at(unit);
            for (std::size_t k = end - std::min(end, Barrier::kInFlight); k < end; ++k)
            {
                result.push_back(its[k]);
            }
        }
        return result;
    }
};

} // namespace

void Barrier::close(std::vector<Operation>& operations, std::size_t first, std::uint32_t in_flight)
{
    if (first == operations.size())
    {
        return; // what comes next follows the stage before
    }
    // An operation with a successor of its image in the stage has ended when that one has.
    std::vector<char> has_successor(operations.size() - first, 0);
    std::vector<OpId> starting; // a unit's work in the stage
    std::vector<OpId> entering; // a unit's work on an image
    std::vector<char> seen;
    std::set<std::pair<std::uint32_t, UnitId>> seen_image;
    for (std::size_t i = first; i < operations.size(); ++i)
    {
        throw_if_interrupted();
        const Operation& operation = operations[i];
        bool follows = false;
        for (const auto* list : {&operation.in, &operation.after})
        {
            for (const OpId id : *list)
            {
                if (id.index() < first || operations[id.index()].image != operation.image)
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
        if (operation.image >= in_flight &&
            seen_image.emplace(operation.image, operation.at).second && !follows)
        {
            entering.push_back(operation.id);
        }
    }
    Loose transfers;
    Ends all;
    std::map<std::uint32_t, Ends> of_image;
    for (std::size_t i = first; i < operations.size(); ++i)
    {
        throw_if_interrupted();
        const Operation& operation = operations[i];
        if (has_successor[i - first] != 0)
        {
            continue;
        }
        if (operation.kind != OpKind::vec && operation.kind != OpKind::program)
        {
            transfers[operation.at].push_back(operation.id);
        }
        all.add(operation, transfers);
        if (in_flight != kAll)
        {
            of_image[operation.image].add(operation, transfers);
        }
    }
    const auto wait = [&operations](OpId id, const std::vector<OpId>& for_these)
    {
        std::vector<OpId>& after = operations[id.index()].after;
        after.insert(after.end(), for_these.begin(), for_these.end());
    };
    for (const OpId id : starting)
    {
        wait(id, last_);
    }
    for (const OpId id : entering)
    {
        wait(id, of_image[operations[id.index()].image - in_flight].last(transfers));
    }
    for (const auto& [unit, its] : transfers)
    {
        for (std::size_t k = kInFlight; k < its.size(); ++k)
        {
            operations[its[k].index()].after.push_back(its[k - kInFlight]);
        }
    }
    last_ = all.last(transfers);
}

} // namespace tessera::compiler
