// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/weights.h"
#include "values/integer_network.h"

#include <cstddef>
#include <string>
#include <vector>

// The integers of single layers: weights, biases, multipliers, shifts and tables, derived from
// reals or taken from codes. Nothing is cut off by what holds it: it is kept elsewhere, or refused.
namespace tessera::values
{

constexpr unsigned kMultiplierBits = 31;
constexpr double kWordBits = 62;         ///< of what is added up in 64 bits
constexpr double kFinestShare = 0x1p-20; ///< the finest scale of a softmax's result

/// Scales of the columns of a weight matrix.
[[nodiscard]] std::vector<double> weight_scales(const network::Weights& weights, unsigned bits,
                                                bool per_channel);

/// Weights of `scales`, one a column; biases rounded to the unit of the sums.
void quantize_product(const network::Weights& weights, const std::vector<double>& scales,
                      const IntegerLayer& operand, IntegerLayer& its);

/// How many biases accumulators do not hold, so that a part of them is added behind the multiplier.
[[nodiscard]] std::size_t biases_beyond(const IntegerLayer& its);

/// Whole numbers as the file has them; what a real bias, or one with a unit of its own, has between
/// the units of the sums is kept as a rest.
void take_product(const network::Weights& weights, const IntegerLayer& operand, IntegerLayer& its);

/// Of a batch_norm: the ratios are its gains, the rests its biases.
void quantize_affine(const network::Weights& weights, double unit, IntegerLayer& its);

/// Of an embedding: what it adds lies between codes, so that it is kept as rests.
void quantize_table(const network::Weights& weights, double unit, IntegerLayer& its);

/// Of a layer_norm, one step of weights for all channels.
void quantize_gains(const network::Weights& weights, IntegerLayer& its);

/// The greatest magnitude of the layer's codes.
[[nodiscard]] double greatest_code(const IntegerLayer& its);

/// Bits that hold whole numbers up to `value`.
[[nodiscard]] double bits_of(double value);

/// Throws InputError unless the ratio leaves multipliers and shifts in their bounds.
void check_ratio(double ratio, const network::Layer& layer, const std::string& file);

/// Multipliers of an addition have one shift: the finest that 64 bits hold.
void quantize_sum(const IntegerNetwork& integers, const network::Layer& layer,
                  const std::string& file, IntegerLayer& its);

/// Of a softmax, whose operand has these codes. Throws InputError for a scale below kFinestShare.
void quantize_shares(const network::Network& network, const IntegerLayer& operand,
                     const network::Layer& layer, const std::string& file, IntegerLayer& its);

} // namespace tessera::values
