// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/cell_arrays.h"
#include "numerics/cells.h"
#include "numerics/device.h"
#include "numerics/lattice.h"
#include "numerics/sums.h"
#include "numerics/wires.h"

#include <optional>

namespace tessera::numerics
{

/// Cells' currents by row and column: I = first V + second V^2 + third V^3, in S, A/V^2 and A/V^3.
struct CellTerms
{
    Matrix<double> first;
    Matrix<double> second;
    Matrix<double> third;
};

/// What a device says of cells of such conductances at small signals, in uS. A cell outside
/// off..on bends as one at the nearer end does, in proportion to its conductance: the curves were
/// fitted in between (assumed).
[[nodiscard]] CellTerms terms_of(const Device& device, const Matrix<double>& conductances);

/// Voltages that a cell may see.
struct VoltRange
{
    double least = 0;
    double most = 0;
};
/// `volts` at a driven row; idle rows, through wires, are at less than their columns.
[[nodiscard]] VoltRange volt_range(const std::optional<Wires>& wires, double volts);

/// Throws InputError, which names `file`, unless the current of every cell from off to on rises
/// with the voltage.
void check_rises(const Device& device, const VoltRange& range, const std::string& file);

/// A crossbar of cells that are not linear, read through wires. Immutable; an input's currents have
/// the same bits whichever inputs are beside it.
///
/// Rows that carry voltages: each row's wire and each column's is solved in turn with the cells'
/// chords, over-relaxed by what the linear array converges best with, until the sums of what the
/// nodes violate Kirchhoff's law by are within the bound of every column's current. No more than
/// these sums together can the columns' currents be off. As no slope of a cell exceeds its chord,
/// every step is downhill: rounds converge for any wires, if slowly for resistive ones. Where the
/// bound allows it they are made in single precision, and in double where that does not do.
class NonLinearCrossbar
{
public:
    /// Space that solving takes, for whatever crossbar.
    struct Work
    {
        LatticeState<double> exact;
        LatticeState<float> quick;
    };

    /// `volts`: at a row (gated-1t1r: a column's driver) of drive `full`. `weights` of cell
    /// currents in a column's sum; empty: 1. Throws InputError for a cell whose current does not
    /// rise.
    NonLinearCrossbar(const CellTerms& cells, const Wires& wires, double volts, double full = 1,
                      const Patience& patience = {}, const Matrix<double>& weights = {});

    /// A row of `amperes` for each input, from column `first` on. Throws SimulationError when
    /// rounds do not end.
    Settled currents(const Drives& drives, Matrix<double>& amperes, std::size_t first,
                     Work& work) const;

private:
    template <class Real>
    void solve(const Lattice<Real>& lattice, const std::vector<std::size_t>& inputs,
               const Drives& drives, Matrix<double>& amperes, std::size_t first,
               LatticeState<Real>& state, Settled& worst, std::vector<std::size_t>* stubborn) const;

    std::size_t rows_;
    std::size_t columns_;
    Wires wires_;
    double volts_;
    double full_;
    Patience patience_;
    unsigned first_check_ = 1; ///< round
    /// Of gated-1t1r the cells alone; else empty where `quick_` is not.
    Lattice<double> exact_;
    Lattice<float> quick_; ///< for bounds that single precision keeps
};

/// How cells that are not linear are read.
struct NonLinearRead
{
    std::optional<Wires> wires;
    double volts = 0.2; ///< at a row driven fully
};

/// `analog`, of cells of the device, as its converters see it: levels of the currents at the read
/// voltage, per volt, or a reading where these do not say all. Read noise stays that of the
/// conductances. Throws InputError where scheme and reading do not go together.
[[nodiscard]] Analog non_linear(const Scheme& scheme, const Cells& cells, const Analog& analog,
                                const Device& device, const NonLinearRead& how);

} // namespace tessera::numerics
