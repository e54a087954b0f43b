// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/error.h"
#include "tessera/tick.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tessera::config
{

/// Counts and sizes that a config may set to "unlimited".
inline constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

/// The whole of a chip config after validation. Member path = key in the JSON file
/// (`macro.adc.count` is `chip.macro.adc.count`). Every key is declared in src/config/chip_keys.cpp
/// with its type, unit, default, range and documentation.
struct ChipConfig
{
    std::string name = "chip";
    std::string description;
    /// Of its files: what was read in another sense than it says. Not part of the chip.
    std::vector<std::string> remarks;
    /// Paths of all files that were read for it. Not part of the chip.
    std::vector<std::string> files;
    /// Where each key that is not at its default was given. Not part of the chip.
    std::map<std::string, Place> places;
    /// Where `key` ("macro.cell.device") was given; of a default, its pointer and the chip's name.
    [[nodiscard]] Place place(const std::string& key) const
    {
        const auto given = places.find(key);
        if (given != places.end())
        {
            return given->second;
        }
        std::string pointer = '/' + key;
        std::replace(pointer.begin(), pointer.end(), '.', '/');
        return {name, 0, pointer};
    }

    Clock clock = Clock(); ///< reference clock; clock of every unit that has none of its own

    struct Tiles
    {
        std::uint32_t rows = 2;
        std::uint32_t columns = 2;
        std::uint32_t macros = 2; ///< per tile
    } tiles;

    struct Macro
    {
        std::string kind = "adc";
        Clock clock = Clock();    ///< default: `clock`
        std::uint32_t rows = 256; ///< in weights, as the mapper sees it
        std::uint32_t columns = 256;
        std::uint32_t weight_bits = 8;
        /// Of times: conversions of one column of weights. How many cells hold a weight says
        /// config/cells.h.
        std::uint32_t cells_per_weight = 1;
        std::uint32_t input_bits = 8;
        bool timed_as_whole = false; ///< `t_mvm` was given: latency and interval of one MVM
        Duration t_mvm;
        struct Dac
        {
            std::uint32_t count = 256;
            std::uint32_t bits = 1; ///< input bits per slice
            Duration time = Duration::of_cycles(1);
        } dac;
        struct Crossbar
        {
            Duration time = Duration::of_cycles(30);
        } crossbar;
        struct SampleHold
        {
            bool present = true; ///< false: the array is held until conversion ends
            Duration time = Duration::of_cycles(1);
        } sample_hold;
        struct Adc
        {
            std::uint32_t count = 2;
            Duration time = Duration::of_cycles(10); ///< one conversion
            // What conversions do to values.
            static constexpr std::uint32_t kBits =
                8;                             ///< where a range needs them, and none are given
            std::optional<std::uint32_t> bits; ///< of a code; nothing while `lossless`
            std::string range = "lossless";    ///< lossless | full | granular | calibrated
            std::string circuit = "uniform";   ///< uniform | sar | flash
            double mismatch = 0;
            double comparator_offset = 0; ///< codes
            double offset = 0;            ///< codes
            double gain = 1;
            double inl = 0; ///< codes
        } adc;
        struct Cell ///< what cells do to values; of times only `signs` changes any; how many cells
                    ///< are written follows from `bits` and `signs`
        {
            std::uint32_t bits = 2;
            /// differential | differential-separate | offset | sign-magnitude
            std::string signs = "differential";
            std::string signed_inputs = "two-pass";   ///< two-pass | twos-complement
            std::string device;                       ///< name or file; empty: without errors
            double age = 1;                           ///< seconds since programming
            std::vector<std::string> steps = {"all"}; ///< of the device, which happen
            std::string faults;               ///< file of known stuck cells; empty: none are known
            std::string read = "row-voltage"; ///< row-voltage | row-voltage-floating | gated-1t1r
            double row_ohm = 0; ///< of wire from cell to cell; both 0: wires without resistance
            double column_ohm = 0;
            double driver_ohm = 0;
            double sense_ohm = 0;
            double read_volts = 0.2; ///< at a row driven fully; of cells that are not linear
        } cell;
        struct ShiftAdd
        {
            Duration time = Duration::of_cycles(1);
        } shift_add;
        struct Output
        {
            Duration time = Duration::of_cycles(1);
        } output;
        struct Pipeline
        {
            /// Stages that advance together, e.g.
            /// {{"drive","crossbar","hold"},{"convert","shift_add","output"}}
            std::vector<std::vector<std::string>> groups;
        } pipeline;
        struct Aidac
        {
            std::string model = "aidac-28nm"; ///< of models/macros, or a path
            std::string signs = "offset";     ///< offset | paired
        } aidac;
        /// Kind `digital`: input bits go through SRAM cells and adder trees, step after step.
        struct Digital
        {
            std::uint32_t step_bits = 1;                     ///< input bits per step
            Duration step_time = Duration::of_ticks(2'250);  ///< one step
            Duration drain_time = Duration::of_ticks(2'250); ///< from the last step to the result
        } digital;
        struct Program
        {
            Duration row_time = Duration::of_ticks(1'000'000); ///< one row of cells
            std::uint64_t cell_energy = 10'000'000;            ///< attojoules; one cell, once
            std::uint64_t endurance = 1'000'000; ///< writes that a cell survives, or kUnlimited
        } program;

        /// Columns that hold no weights beside those of weights that are read together: a
        /// reference column of cells, which is converted too. The array has room for one beyond
        /// `columns`; further ones take a column of weights each.
        [[nodiscard]] std::uint32_t reference_columns() const
        {
            return kind == "adc" && cell.signs == "offset" ? 1 : 0;
        }
    } macro;

    /// Columns of tiles whose macros are of kind `digital`, for operands that change with every
    /// image. They have as many macros as other tiles.
    struct DigitalTiles
    {
        std::uint32_t tile_columns = 0; ///< spread evenly over the grid
        Macro macro = sram();

    private:
        static Macro sram()
        {
            Macro macro;
            macro.kind = "digital";
            macro.program.row_time = Duration::of_ticks(2'000);
            macro.program.cell_energy = 3'200'000;
            macro.program.endurance = kUnlimited;
            return macro;
        }
    } digital;

    struct Vector
    {
        Clock clock = Clock();
        std::uint64_t lanes = 32; ///< kUnlimited: every function takes no time
        Duration startup = Duration::of_cycles(4);
        std::map<std::string, std::uint32_t>
            cost; ///< cycles per element and lane, by function; default 1
    } vector;

    struct Buffer
    {
        Clock clock = Clock();
        std::uint64_t capacity = 262'144; ///< bytes, or kUnlimited
        std::uint64_t ports = 4; ///< shared by macros and vector unit; kUnlimited: no port time
        std::uint64_t bytes_per_cycle = 64; ///< of one port; kUnlimited: no port time
    } buffer;

    struct Noc
    {
        std::string kind = "mesh"; ///< ideal | bus | mesh
        Clock clock = Clock();
        Duration reserve;                   ///< confirming the space at the destinations of a move
        Duration latency;                   ///< ideal only: every move takes this long
        std::uint64_t bytes_per_cycle = 32; ///< bus only
        std::string routing = "xy";         ///< xy | yx
        std::uint32_t vcs = 4;
        std::uint32_t vc_depth = 8; ///< flits
        std::uint32_t flit_bits = 256;
        std::uint32_t packet_flits = 16; ///< longest packet, head included
        std::uint32_t header_flits = 1;  ///< flits of a packet that carry no data
        std::uint32_t routing_delay = 1; ///< 1: a route-computation stage; 0: look-ahead
    } noc;

    struct Memory
    {
        std::uint32_t ports = 1;    ///< spread evenly over the west edge of the grid
        std::uint64_t channels = 2; ///< per port; kUnlimited: memory takes no time
        std::uint64_t bytes_per_second = 12'800'000'000; ///< per channel ("bandwidth")
        Duration latency = Duration::of_ticks(30'000);
        std::uint64_t row_bytes = 2048;
        Duration row_miss = Duration::of_ticks(30'000); ///< precharge and activate
        std::uint64_t interleave = 256; ///< bytes in a row of one channel before the next channel
        std::uint64_t capacity = std::uint64_t{4} << 30U;
    } memory;

    struct Mapping
    {
        std::vector<std::string> on_crossbar = {"conv2d",
                                                "dense"}; ///< layer kinds mapped to crossbars
        std::string placement = "row-major";
        std::string depthwise = "vector"; ///< or "crossbar": where convolutions with groups run
        /// Where products of two feature maps run: or "crossbar", "digital".
        std::string attention = "vector";
    } mapping;

    [[nodiscard]] std::uint32_t tile_count() const { return tiles.rows * tiles.columns; }
    /// A tile whose macros are digital: its column is floor((k + 1/2) x columns / tile_columns) for
    /// some k below digital.tile_columns.
    [[nodiscard]] bool is_digital(std::uint32_t tile) const
    {
        const std::uint64_t chosen = digital.tile_columns;
        const std::uint64_t column = tile % tiles.columns;
        for (std::uint64_t k = column * chosen / tiles.columns; k < chosen; ++k)
        {
            const std::uint64_t its = (2 * k + 1) * tiles.columns / (2 * chosen);
            if (its >= column)
            {
                return its == column;
            }
        }
        return false;
    }
    [[nodiscard]] std::uint32_t digital_tile_count() const
    {
        return tiles.rows * digital.tile_columns;
    }
    /// What the macros of a tile are.
    [[nodiscard]] const Macro& macro_of(std::uint32_t tile) const
    {
        return is_digital(tile) ? digital.macro : macro;
    }
    /// Row of the grid on whose west edge a memory port is: floor((port + 1/2) x rows / ports).
    [[nodiscard]] std::uint32_t row_of_port(std::uint32_t port) const
    {
        return static_cast<std::uint32_t>((2 * std::uint64_t{port} + 1) * tiles.rows /
                                          (2 * std::uint64_t{memory.ports}));
    }
};

} // namespace tessera::config
