// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/summary.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera
{

/// What a compiled program takes of its chip.
struct MappingReport
{
    /// A layer whose weights lie in crossbars.
    struct Layer
    {
        std::string name;          ///< as in the network
        std::uint32_t copies = 1;  ///< of its weights
        std::uint64_t blocks = 0;  ///< parts of its weights, each in one crossbar
        std::uint64_t weights = 0; ///< in all its blocks; zeros that fill a block up do not count
        double occupancy = 0;      ///< weights, over what as many whole crossbars could hold
    };
    /// Products of two feature maps, of which neither is known before the program runs.
    struct Attention
    {
        std::string way;             ///< "vector", "crossbar", "digital": where they run
        std::uint64_t products = 0;  ///< layers
        std::uint64_t macs = 0;      ///< per image
        std::uint64_t macros = 0;    ///< that the second operands are written into
        std::uint64_t weights = 0;   ///< written per image
        std::uint64_t cells = 0;     ///< written per image; of digital macros: weights
        std::uint64_t writes = 0;    ///< of a cell per image
        std::uint64_t energy = 0;    ///< of writing, attojoules per image
        std::uint64_t endurance = 0; ///< writes that a cell survives; 0: unlimited
        /// Images until cells have been written as often as they survive; 0: no limit.
        [[nodiscard]] std::uint64_t lifetime() const
        {
            return writes == 0 ? 0 : endurance / writes;
        }
    };
    /// Images that follow each other without a pause, as planned: only MVMs take time.
    struct Pipeline
    {
        std::uint32_t in_flight = 1; ///< an image enters when the one so many before has left
        ImageSummary planned;        ///< of all images
        Tick least_interval = 0; ///< busy time of the busiest macro per image: no interval is less
        /// The unit that works longest on an image, a macro or what moves data, and how long, as
        /// planned with all that takes time.
        std::string busiest;
        Tick work = 0;            ///< of that unit on one image, ps
        std::uint32_t wanted = 1; ///< in flight, to keep that unit at work: buffers may hold fewer
    };
    /// How a layer's sets are made, if not whole.
    struct Divided
    {
        std::string layer;              ///< its name
        std::uint32_t rows = 1;         ///< of a set
        std::uint32_t columns = 1;      ///< of a set
        std::uint32_t part_rows = 1;    ///< made at once
        std::uint32_t part_columns = 1; ///< made at once
        bool chosen = false;            ///< for a shorter plan; else buffers have no room for more
    };
    /// What finite buffers cost a schedule across layers.
    struct Buffers
    {
        /// Data that wait elsewhere, because buffers are full where they are read.
        struct Refuge
        {
            std::string from;        ///< layer that makes them
            std::string to;          ///< layer that reads them
            std::string at;          ///< "t5", from which they are sent again, or "memory"
            std::uint64_t bytes = 0; ///< per image
        };
        std::vector<Refuge> refuges; ///< by producing and reading layer
        bool held_back = false;      ///< producers wait until their data are needed
        Tick unbounded = 0;          ///< planned makespan if only MVMs take time
        Tick bounded = 0;            ///< the same with these buffers
    };
    Attention attention;              ///< no products: the network has none
    std::vector<Layer> layers;        ///< in the order of the network
    std::optional<Buffers> buffers;   ///< if they are finite and one stage holds all layers
    std::optional<Pipeline> pipeline; ///< of several images across layers
    std::vector<Divided> divided;     ///< layers whose sets are not made whole
    std::uint32_t computed = 0;       ///< layers that have sets
    std::uint32_t plans = 0;          ///< compared to choose the sizes of sets; 0: they were given
    std::uint64_t crossbars = 0;      ///< that hold anything; digital macros apart
    std::uint64_t weights = 0;        ///< sum over the layers
    double occupancy =
        0; ///< weights, over what the crossbars could hold, each time they are filled
    std::uint32_t segments = 1;        ///< that take turns on the chip
    std::uint32_t images = 1;          ///< compiled together: what follows is for all of them
    std::uint64_t cells_written = 0;   ///< of crossbars, while it runs
    std::uint64_t weights_written = 0; ///< cells of these that weights are written into in turns
    std::uint64_t writes = 0;          ///< of the cells written most often
    std::uint64_t endurance = 0;       ///< writes that a cell survives; 0: unlimited
    std::uint64_t write_energy = 0;    ///< attojoules
    std::uint64_t bytes_sent = 0;      ///< over the interconnect, once per destination
    std::uint64_t byte_hops = 0;       ///< the same times the links between routers on the way
};

} // namespace tessera
