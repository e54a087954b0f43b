// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/output_file.h"
#include "values/integer_network.h"

#include <string>

namespace tessera::values
{

/// The format of a file of whole numbers: what IntegerLayer holds, by layer name, as JSON. The
/// layers themselves are those of the network that the file names: a shipped one, or a file beside
/// it.
inline constexpr const char* kIntegerFormat = "tessera-integers";

/// `network` is what the file will name; `origin` says how the numbers were made.
void save_integers(const IntegerNetwork& integers, const std::string& network, BatchAxis batch_axis,
                   const std::string& origin, const std::string& path,
                   Existing existing = Existing::replace);

struct IntegerFile
{
    std::string network;                         ///< path of the layers' file
    BatchAxis batch_axis = BatchAxis::automatic; ///< of that file, if it is an ONNX file
    std::string origin;
    IntegerNetwork integers;
};
/// Throws InputError naming file, line and key for anything that is missing or does not fit.
[[nodiscard]] IntegerFile load_integers(const std::string& path);
/// Does the file name end as those of whole numbers do: ".integers"?
[[nodiscard]] bool is_integer_file(const std::string& path);
/// The file of whole numbers that belongs to a network's file: same folder, same stem; empty if
/// there is none.
[[nodiscard]] std::string integers_beside(const std::string& network_path);

} // namespace tessera::values
