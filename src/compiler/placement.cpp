// SPDX-License-Identifier: Apache-2.0
#include "compiler/placement.h"

#include "base/interrupt.h"
#include "base/philox.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>
#include <utility>

namespace tessera::compiler
{
namespace
{

TileOrder row_major(const config::ChipConfig& chip)
{
    TileOrder order;
    for (std::uint32_t tile = 0; tile < chip.tile_count(); ++tile)
    {
        order.emplace_back(tile);
    }
    return order;
}

TileOrder snake(const config::ChipConfig& chip)
{
    TileOrder order = row_major(chip);
    for (std::uint32_t row = 1; row < chip.tiles.rows; row += 2)
    {
        const auto begin = order.begin() + std::ptrdiff_t{row} * chip.tiles.columns;
        std::reverse(begin, begin + chip.tiles.columns);
    }
    return order;
}

class RowMajor final : public Placement
{
public:
    [[nodiscard]] TileOrder order(const config::ChipConfig& chip,
                                  const std::vector<Flow>& /*traffic*/) const override
    {
        return row_major(chip);
    }
};

class Snake final : public Placement
{
public:
    [[nodiscard]] TileOrder order(const config::ChipConfig& chip,
                                  const std::vector<Flow>& /*traffic*/) const override
    {
        return snake(chip);
    }
};

/// A search for the assignment of parts of a program (what one tile holds) to tiles with the fewest
/// bytes x hops: a quadratic assignment problem whose memory ports stay where they are. What is in
/// digital macros goes to tiles that have them, the rest to the others.
class Search
{
public:
    Search(const config::ChipConfig& chip, const std::vector<Flow>& traffic)
        : chip_(chip), tiles_(chip.tile_count()), partners_(tiles_)
    {
        for (std::uint32_t node = 0; node < tiles_ + chip.memory.ports; ++node)
        {
            places_.push_back(grid_place(chip, NodeId(node)));
        }
        for (std::uint32_t tile = 0; tile < tiles_; ++tile)
        {
            digital_.push_back(chip.is_digital(tile) ? 1 : 0);
        }
        for (const Flow& flow : traffic)
        {
            add(flow.from, flow.to, flow.bytes);
            add(flow.to, flow.from, flow.bytes);
        }
        for (std::uint32_t part = 0; part < tiles_; ++part)
        {
            if (!partners_[part].empty())
            {
                busy_.push_back(part);
            }
        }
    }

    [[nodiscard]] TileOrder run()
    {
        best_ = row_major(chip_);
        least_ = cost(best_);
        for (TileOrder start : {row_major(chip_), by_kind(snake(chip_)), constructed()})
        {
            improve(start);
        }
        // What is left of the effort goes into other ways out of the best place so far.
        const Draws draws(kSeed);
        for (std::uint32_t kick = 0; kick < kKicks && work_ < kMostWork && !busy_.empty(); ++kick)
        {
            TileOrder start = best_;
            for (std::uint32_t exchange = 0; exchange < kExchanges; ++exchange)
            {
                const auto random = draws.words({kick, exchange, 0, 0});
                const std::uint32_t part = busy_[random[0] % busy_.size()];
                const auto other = static_cast<std::uint32_t>(random[1] % tiles_);
                if (same_kind(part, other))
                {
                    std::swap(start[part], start[other]);
                }
            }
            improve(start);
        }
        return best_;
    }

private:
    struct Partner
    {
        NodeId node; ///< part, or memory port
        std::uint64_t bytes = 0;
    };
    static constexpr std::uint64_t kMostWork = 60'000'000; ///< partners looked at: about a second
    static constexpr std::uint32_t kKicks = 200;
    static constexpr std::uint32_t kExchanges = 3; ///< of one kick
    static constexpr std::uint64_t kSeed = 1;

    /// Parts are named after the tiles in which they were first.
    [[nodiscard]] bool same_kind(std::uint32_t a, std::uint32_t b) const
    {
        return digital_[a] == digital_[b];
    }
    /// Parts of either kind in the order in which `order` has tiles of that kind.
    [[nodiscard]] TileOrder by_kind(const TileOrder& order) const
    {
        TileOrder result;
        std::array<std::uint32_t, 2> next{};
        for (std::uint32_t part = 0; part < tiles_; ++part)
        {
            std::uint32_t& its = next[digital_[part] != 0 ? 1 : 0];
            while (!same_kind(part, order[its].value()))
            {
                ++its;
            }
            result.push_back(order[its++]);
        }
        return result;
    }

    void add(NodeId node, NodeId partner, std::uint64_t bytes)
    {
        if (node.value() < tiles_)
        {
            partners_[node.index()].push_back({partner, bytes});
        }
    }
    [[nodiscard]] NodeId place(const TileOrder& order, NodeId node) const
    {
        return node.value() < tiles_ ? order[node.index()] : node;
    }
    [[nodiscard]] std::uint32_t hops_between(NodeId a, NodeId b) const
    {
        return hops(places_[a.index()], places_[b.index()]);
    }
    /// Bytes x hops of one part if it were on `tile`; `but`: a part left out.
    [[nodiscard]] std::uint64_t cost_at(const TileOrder& order, std::uint32_t part, NodeId tile,
                                        std::uint32_t but)
    {
        work_ += partners_[part].size();
        std::uint64_t sum = 0;
        for (const Partner& partner : partners_[part])
        {
            if (partner.node.value() != but && place(order, partner.node).valid())
            {
                sum += partner.bytes * hops_between(tile, place(order, partner.node));
            }
        }
        return sum;
    }
    [[nodiscard]] std::uint64_t cost(const TileOrder& order) const
    {
        std::uint64_t sum = 0; // what goes between parts twice
        for (const std::uint32_t part : busy_)
        {
            for (const Partner& partner : partners_[part])
            {
                const std::uint64_t weight = partner.node.value() < tiles_ ? 1 : 2;
                sum +=
                    weight * partner.bytes * hops_between(order[part], place(order, partner.node));
            }
        }
        return sum / 2;
    }

    /// Part after part, whichever exchanges the most with what has its place already, to the tile
    /// where that is the least way.
    [[nodiscard]] TileOrder constructed()
    {
        TileOrder order(tiles_); // none(): no place yet
        std::vector<char> taken(tiles_, 0);
        std::vector<std::uint64_t> attraction(tiles_, 0);
        std::vector<std::uint32_t> open = busy_;
        for (const std::uint32_t part : busy_)
        {
            for (const Partner& partner : partners_[part])
            {
                attraction[part] += partner.node.value() < tiles_ ? 0 : partner.bytes;
            }
        }
        while (!open.empty())
        {
            throw_if_interrupted();
            const auto next = std::max_element(open.begin(), open.end(),
                                               [&](std::uint32_t a, std::uint32_t b)
                                               { return attraction[a] < attraction[b]; });
            const std::uint32_t part = *next;
            open.erase(next);
            order[part] = cheapest(order, part, taken);
            taken[order[part].index()] = 1;
            for (const Partner& partner : partners_[part])
            {
                if (partner.node.value() < tiles_)
                {
                    attraction[partner.node.index()] += partner.bytes;
                }
            }
        }
        for (std::uint32_t part = 0; part < tiles_; ++part)
        {
            std::uint32_t tile = 0;
            while (!order[part].valid() && (taken[tile] != 0 || !same_kind(part, tile)))
            {
                ++tile;
            }
            if (!order[part].valid())
            {
                order[part] = NodeId(tile);
                taken[tile] = 1;
            }
        }
        return order;
    }

    [[nodiscard]] NodeId cheapest(const TileOrder& order, std::uint32_t part,
                                  const std::vector<char>& taken)
    {
        NodeId best;
        std::uint64_t least = 0;
        for (std::uint32_t tile = 0; tile < tiles_; ++tile)
        {
            if (taken[tile] != 0 || !same_kind(part, tile))
            {
                continue;
            }
            const std::uint64_t its = cost_at(order, part, NodeId(tile), part);
            if (!best.valid() || its < least)
            {
                best = NodeId(tile);
                least = its;
            }
        }
        return best;
    }

    /// Exchanges pairs until none helps, or too much work has been done; keeps the best of all.
    void improve(TileOrder& order)
    {
        bool better = true;
        while (better && work_ < kMostWork)
        {
            better = false;
            for (const std::uint32_t part : busy_)
            {
                throw_if_interrupted();
                for (std::uint32_t other = 0; other < tiles_ && work_ < kMostWork; ++other)
                {
                    const bool seen = other < part && !partners_[other].empty();
                    if (other != part && !seen && same_kind(part, other) &&
                        exchange_helps(order, part, other))
                    {
                        std::swap(order[part], order[other]);
                        better = true;
                    }
                }
            }
        }
        const std::uint64_t its = cost(order);
        if (its < least_)
        {
            least_ = its;
            best_ = order;
        }
    }

    [[nodiscard]] bool exchange_helps(const TileOrder& order, std::uint32_t a, std::uint32_t b)
    {
        return cost_at(order, a, order[b], b) + cost_at(order, b, order[a], a) <
               cost_at(order, a, order[a], b) + cost_at(order, b, order[b], a);
    }

    const config::ChipConfig& chip_;
    std::uint32_t tiles_;
    std::vector<GridPlace> places_;              ///< by node
    std::vector<char> digital_;                  ///< by tile, and by part
    std::vector<std::vector<Partner>> partners_; ///< by part
    std::vector<std::uint32_t> busy_;            ///< parts that send or receive anything
    TileOrder best_;
    std::uint64_t least_ = 0;
    std::uint64_t work_ = 0;
};

class TrafficAware final : public Placement
{
public:
    [[nodiscard]] TileOrder order(const config::ChipConfig& chip,
                                  const std::vector<Flow>& traffic) const override
    {
        return Search(chip, traffic).run();
    }
    [[nodiscard]] bool asks_for_traffic() const override { return true; }
};

} // namespace

const Placement& placement(const config::ChipConfig& chip)
{
    static const RowMajor row_major;
    static const Snake snake;
    static const TrafficAware traffic;
    const std::array<std::pair<const char*, const Placement*>, 3> known{
        {{"row-major", &row_major}, {"snake", &snake}, {"traffic", &traffic}}};
    std::string names;
    for (const auto& [name, policy] : known)
    {
        if (chip.mapping.placement == name)
        {
            return *policy;
        }
        names += (names.empty() ? "" : ", ") + std::string(name);
    }
    throw InputError({chip.name, 0, "/mapping/placement"},
                     "there is no placement '" + chip.mapping.placement + "'", "use " + names);
}

} // namespace tessera::compiler
