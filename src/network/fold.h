// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"

namespace tessera::network
{

/// Removes each batch_norm whose conv2d or dense feeds nothing else and is no output: scale and
/// shift go into weights and bias. Its parameters are counted there, its consumers read the conv2d.
void fold_batch_norms(Network& network);

} // namespace tessera::network
