// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/json.h"
#include "numerics/block.h"
#include "numerics/matrix.h"
#include "numerics/processes.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace tessera::numerics
{

/// What happens to a cell's conductance between its target and a read, in this order. (The levels
/// themselves come from the weights.)
enum class Step : std::uint8_t
{
    programming, ///< the spread of one programming pulse, or a measured fit of what a cell ends at
    verify,      ///< write and verify: pulses until the conductance is accepted
    relaxation,  ///< what moves in the first seconds and grows with the logarithm of time
    retention,   ///< power-law drift
    read_noise,  ///< white, new in every conversion
    flicker,     ///< 1/f noise, evolves with time
    telegraph    ///< random telegraph noise, evolves with time
};
/// "programming", ...
[[nodiscard]] const char* name_of(Step step);
/// Throws std::logic_error for what is no step's name.
[[nodiscard]] Step step_of(const std::string& name);

/// A polynomial, never below zero.
struct Curve
{
    enum class Over : std::uint8_t
    {
        conductance, ///< in uS
        fraction,    ///< of the on-conductance
        log10_siemens
    };
    Over over = Over::conductance;
    std::vector<double> coefficients; ///< the constant first
    bool relative = false;            ///< the value is a fraction of the conductance

    /// In uS (of currents: in its own unit), at a conductance.
    [[nodiscard]] double at(double conductance_us, double on_us) const;
    /// The same without the limit at zero.
    [[nodiscard]] double signed_at(double conductance_us, double on_us) const;
};

/// An RRAM cell as one JSON file of models/devices describes it. Conductances in uS, times in s.
struct Device
{
    std::string name;
    double off = 0;
    double on = 0;
    unsigned bits = 1; ///< most bits that a cell may hold

    struct Verify
    {
        double window = 0;   ///< accepted deviation, uS
        unsigned pulses = 1; ///< after which a cell is left as it is
    };
    struct Relaxation
    {
        double mean = 0; ///< at 1 s
        double mean_per_ln = 0;
        double sigma = 0;
        double sigma_per_ln = 0;
    };
    struct Retention
    {
        double exponent = 0; ///< G = G0 (t / from)^-exponent
        double sigma = 0;    ///< of the exponent, from cell to cell
        double from = 1;
    };
    struct Faults
    {
        double stuck_on = 0; ///< probabilities
        double stuck_off = 0;
    };
    struct Endurance
    {
        double cycles = 0; ///< Weibull scale of the number of writes that a cell survives
        double shape = 1;
    };
    struct NonLinear ///< I = G V + second V^2 + third V^3, in A and V
    {
        Curve second;
        Curve third;
    };

    std::optional<Curve> programming;
    std::optional<Verify> verify;
    std::optional<Relaxation> relaxation;
    std::optional<Retention> retention;
    std::optional<Curve> read_noise;
    std::optional<Faults> faults;
    std::optional<Endurance> endurance;
    SlowNoise slow;
    std::optional<NonLinear> non_linear;
    std::set<Step> contained; ///< steps that the programming fit was measured with

    /// Steps that the file describes.
    [[nodiscard]] std::set<Step> steps() const;
    /// The conductance meant by a level of a cell of `cell_bits`.
    [[nodiscard]] double target(unsigned level, unsigned cell_bits) const;
};

/// Reads one device. Throws InputError naming file, line and key.
[[nodiscard]] Device parse_device(const JsonDocument& document);
/// `name`: of a file of models/devices, or a path.
/// `asked`: where the name stands, for messages.
[[nodiscard]] Device load_device(const std::string& name, const Place& asked = {});

enum class Fault : std::uint8_t
{
    stuck_on,
    stuck_off
};

/// One cell of a fault map.
struct FaultyCell
{
    std::size_t row = 0;
    std::size_t column = 0;
    Fault fault = Fault::stuck_off;
};

/// How cells are written.
struct Writing
{
    unsigned cell_bits = 2;
    std::set<Step> steps; ///< which happen
    double time = 1;      ///< of the read, in seconds after programming
    std::uint64_t seed = 0;
    std::uint32_t array = 0;        ///< which physical array
    std::uint32_t write_count = 1;  ///< writes of these cells, this one included
    std::vector<FaultyCell> faults; ///< known ones, beside those drawn
};

struct Written
{
    Analog analog;                    ///< for Block
    std::vector<unsigned> row_pulses; ///< of each row's slowest cell: a row takes that long
    std::size_t given_up = 0;         ///< cells outside the window after all pulses
    std::size_t stuck = 0;
};

/// Writes cells of the levels (Cells::levels). A cell's draws depend on the seed, the array, its
/// row, column and write count alone. Throws InputError where a step is not described, or contained
/// in the programming fit already.
[[nodiscard]] Written write_cells(const Device& device, const Matrix<std::uint8_t>& levels,
                                  const Writing& writing);

} // namespace tessera::numerics
