// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/matrix.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace tessera::numerics
{

/// 1/f noise of a cell's conductance: a sum of relaxations with time constants evenly spaced in
/// their logarithm.
struct Flicker
{
    double sigma = 0;       ///< of the sum of all processes, as a fraction of the conductance
    double shortest = 1e-6; ///< time constant, s
    double longest = 1;
    unsigned processes = 7; ///< relaxations with time constants from shortest to longest
};

/// Random telegraph noise: a trap that fills and empties.
struct Telegraph
{
    double amplitude = 0;    ///< fraction of the conductance lost while a trap is full
    double mean_full = 1e-3; ///< s
    double mean_empty = 1e-3;
};

/// What of cells fluctuates slowly enough that reads after each other see it.
struct SlowNoise
{
    std::optional<Flicker> flicker;
    std::optional<Telegraph> telegraph;

    [[nodiscard]] bool any() const { return flicker || telegraph; }
};

/// Whose fluctuation it is: its draws depend on nothing else but cell and time.
struct FluctuationIdentity
{
    std::uint64_t seed = 0;
    std::uint32_t array = 0;
    std::uint32_t start = 0; ///< tells beginnings of time apart, say of images
};

/// The state of cells that fluctuate, in the stationary distribution when a row is first read.
/// Transitions are exact for any interval, so rows that nobody drives cost nothing. A process stays
/// where it is for a part kHeld of its time constant, so its covariance between two reads is that
/// of times which are off by less than that.
class Fluctuation
{
public:
    static constexpr double kHeld = 1.0 / 64;

    Fluctuation(const SlowNoise& noise, std::size_t rows, std::size_t columns,
                const FluctuationIdentity& identity);

    /// What the conductances of a row's cells have changed by at `time` (s, not negative), as
    /// fractions of them; -1 at least. Reads of one row that overlap see the state of the latest.
    [[nodiscard]] const float* changes(std::size_t row, double time);

private:
    /// One process of every cell.
    struct Process
    {
        double constant = 0;             ///< s
        double sigma = 0;                ///< telegraph: 0
        std::vector<std::uint64_t> read; ///< by row: holds of it that had passed, and 1
        Matrix<float> state;             ///< telegraph: 1 while the trap is full
    };
    struct Step
    {
        double kept = 1; ///< what is left of a deviation
        std::uint64_t moment = 0;
    };
    /// Throws InputError for times that are so many time constants that they cannot be counted.
    static std::optional<Step> step_to(Process& process, std::size_t row, double time);
    void relax(Process& process, std::uint32_t number, std::size_t row, const Step& step);
    void fill_and_empty(Process& process, std::size_t row, const Step& step) const;

    SlowNoise noise_;
    std::array<std::uint32_t, 2> key_;
    std::vector<Process> relaxations_;
    std::optional<Process> traps_;
    Matrix<float> changes_;
    std::vector<float> normals_; ///< work space of a row
};

/// When the vectors of a product are read, and the cells' state then.
struct Moments
{
    Fluctuation* cells = nullptr; ///< null: they stand still
    double start = 0;             ///< s
    double interval = 0;          ///< s from vector to vector, which its slices share evenly
};

} // namespace tessera::numerics
