// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"
#include "network/weights.h"

#include <vector>

namespace tessera::network
{

/// Removes each batch_norm whose conv2d or dense feeds nothing else and is no output: scale and
/// shift go into weights and bias. With weights, those behind another batch_norm are taken together
/// with it. Nothing is folded into a layer whose output is quantised. Its parameters are counted
/// there, its consumers read the conv2d. `weights`, one entry a layer, are folded and moved alike;
/// empty: there are none.
void fold_batch_norms(Network& network, std::vector<Weights>& weights);

} // namespace tessera::network
