// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tessera
{

/// Folder that holds configs/, models/ and traces/: the environment's TESSERA_DATA, else the first
/// of these that is there: that of the installation which the program was linked from,
/// share/tessera beside the folder of the program (so that a moved installation stays whole), the
/// source tree of the build, and where a package puts it.
[[nodiscard]] std::string data_directory();

} // namespace tessera
