// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tessera
{

/// What the first axis of an ONNX graph's inputs is, where its extent is fixed and above 1.
enum class BatchAxis : std::uint8_t
{
    automatic, ///< as the graph tells; files that do not tell are refused
    first,     ///< a batch: the network is that of one image
    none       ///< rows of one image, such as the tokens of a sequence
};

} // namespace tessera
