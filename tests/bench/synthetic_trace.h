// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/trace.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace tessera::bench
{

/// A big valid trace out of a random number generator, operation by operation: the same for the
/// same parameters, on every machine. Random mvm, vec and move over all units; up to 64 operands,
/// about three on average; data live for up to a million operations; data reach other tiles by
/// moves only.
class SyntheticTrace
{
public:
    struct Shape
    {
        std::uint64_t operations = 10'000'000;
        std::uint32_t tiles = 512;
        std::uint32_t macros = 6; ///< per tile; besides a vector unit and a network interface
        std::uint64_t seed = 1;
    };

    /// Generates the trace once to fill in the header's counts.
    explicit SyntheticTrace(Shape shape) : shape_(shape)
    {
        make_header();
        restart();
        std::vector<std::uint64_t> latest(header_.units.size(), 0);
        trace::Operation operation;
        while (next(operation))
        {
            ++header_.units[operation.at.index()].operations;
            std::uint64_t& line = latest[operation.at.index()];
            header_.window = std::max(header_.window, made_ - line);
            line = made_;
        }
        header_.operations = made_;
        restart();
    }

    [[nodiscard]] const trace::Header& header() const { return header_; }

    void restart()
    {
        random_.seed(shape_.seed);
        pools_.assign(shape_.tiles, {});
        made_ = 0;
        drain_ = 0;
        draining_tile_ = 0;
    }

    bool next(trace::Operation& operation)
    {
        if (made_ == shape_.operations)
        {
            return false;
        }
        operation.clear();
        operation.id = OpId(made_);
        if (made_ + drain_ + 2 >= shape_.operations)
        {
            drain(operation);
        }
        else
        {
            const auto tile = static_cast<std::uint32_t>(below(shape_.tiles));
            const std::uint64_t choice = below(8);
            if (choice < 5)
            {
                make_mvm(operation, tile);
            }
            else if (choice < 7 || pools_[tile].empty() || shape_.tiles == 1)
            {
                make_vec(operation, tile);
            }
            else
            {
                make_move(operation, tile);
            }
        }
        ++made_;
        return true;
    }

private:
    static constexpr std::size_t kMostOperands = 64;
    static constexpr std::size_t kFullPool = 1500; ///< operand slots still to be filled, per tile

    void make_header()
    {
        header_.producer = "synthetic";
        header_.network = "random";
        header_.tiles = shape_.tiles;
        header_.tensors.push_back({"activations", 64, 64, 256, 8});
        for (std::uint32_t layer = 0; layer < 16; ++layer)
        {
            header_.layers.push_back(
                {"layer" + std::to_string(layer), "conv2d", TensorId(0), 4096, 8});
        }
        for (std::uint32_t tile = 0; tile < shape_.tiles; ++tile)
        {
            for (std::uint32_t macro = 0; macro < shape_.macros; ++macro)
            {
                const UnitId at(static_cast<std::uint32_t>(header_.units.size()));
                header_.blocks.push_back(
                    {LayerId(tile % 16), tile / 16, 256 * macro, 256 * (macro + 1), 0, 256, at});
                header_.units.push_back({trace::UnitKind::macro, NodeId(tile), macro, 0});
            }
            header_.units.push_back({trace::UnitKind::vector_unit, NodeId(tile), 0, 0});
            header_.units.push_back({trace::UnitKind::network_interface, NodeId(tile), 0, 0});
        }
    }

    std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

    [[nodiscard]] UnitId unit(std::uint32_t tile, std::uint32_t position) const
    {
        return UnitId(tile * (shape_.macros + 2) + position);
    }

    [[nodiscard]] std::uint64_t lines_to_drain(std::uint32_t tile) const
    {
        return (pools_[tile].size() + kMostOperands - 1) / kMostOperands;
    }

    /// Moves up to `count` random operands from the tile's pool to the operation.
    void take(trace::Operation& operation, std::uint32_t tile, std::uint64_t count)
    {
        std::vector<std::uint64_t>& pool = pools_[tile];
        drain_ -= lines_to_drain(tile);
        for (; count != 0 && !pool.empty(); --count)
        {
            std::uint64_t& chosen = pool[below(pool.size())];
            operation.in.emplace_back(chosen);
            chosen = pool.back();
            pool.pop_back();
        }
        drain_ += lines_to_drain(tile);
    }

    std::uint32_t promise(std::uint64_t id, std::uint32_t tile)
    {
        std::vector<std::uint64_t>& pool = pools_[tile];
        const std::uint64_t uses = pool.size() < kFullPool ? 1 + below(8) : below(3);
        drain_ -= lines_to_drain(tile);
        pool.insert(pool.end(), uses, id);
        drain_ += lines_to_drain(tile);
        return static_cast<std::uint32_t>(uses);
    }

    std::uint64_t fan_in()
    {
        if (below(100) == 0)
        {
            return 1 + below(kMostOperands);
        }
        return 1 + below(4);
    }

    trace::Box region()
    {
        const auto row = static_cast<std::uint32_t>(below(63));
        const auto channel = static_cast<std::uint32_t>(below(8) * 32);
        return {{row, row + 1, 0, 64, channel, channel + 32}};
    }

    void make_mvm(trace::Operation& operation, std::uint32_t tile)
    {
        const auto macro = static_cast<std::uint32_t>(below(shape_.macros));
        operation.kind = trace::OpKind::mvm;
        operation.at = unit(tile, macro);
        operation.block = BlockId(tile * shape_.macros + macro);
        operation.ofm = region();
        operation.n = 64;
        operation.bits = 24;
        operation.bytes = 6144;
        take(operation, tile, fan_in());
        operation.uses = promise(made_, tile);
    }

    void make_vec(trace::Operation& operation, std::uint32_t tile)
    {
        operation.kind = trace::OpKind::vec;
        operation.at = unit(tile, shape_.macros);
        operation.n = 2048;
        operation.bits = 8;
        operation.bytes = 2048;
        operation.layer = LayerId(tile % 16);
        take(operation, tile, fan_in());
        operation.uses = promise(made_, tile);
    }

    void make_move(trace::Operation& operation, std::uint32_t tile)
    {
        operation.kind = trace::OpKind::move;
        operation.at = unit(tile, shape_.macros + 1);
        operation.bits = 8;
        operation.bytes = 2048;
        take(operation, tile, 1);
        const auto destinations = static_cast<std::uint32_t>(1 + below(2));
        for (std::uint32_t i = 0; i < std::min(destinations, shape_.tiles - 1); ++i)
        {
            const std::uint32_t there = (tile + 1 + 7 * i) % shape_.tiles;
            if (there != tile && (i == 0 || operation.to[0].at != NodeId(there)))
            {
                operation.to.push_back({NodeId(there), promise(made_, there)});
            }
        }
    }

    /// One of the last operations: uses up what is left, tile by tile.
    void drain(trace::Operation& operation)
    {
        while (draining_tile_ + 1 < shape_.tiles && pools_[draining_tile_].empty())
        {
            ++draining_tile_;
        }
        operation.kind = trace::OpKind::vec;
        operation.at = unit(draining_tile_, shape_.macros);
        operation.n = 1;
        take(operation, draining_tile_, kMostOperands);
    }

    Shape shape_;
    trace::Header header_;
    std::mt19937_64 random_;
    std::vector<std::vector<std::uint64_t>> pools_; ///< by tile: operand slots still to be filled
    std::uint64_t made_ = 0;
    std::uint64_t drain_ = 0; ///< operations needed to use up what is in the pools
    std::uint32_t draining_tile_ = 0;
};

} // namespace tessera::bench
