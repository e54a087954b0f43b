// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tessera
{

/// Folder that holds models/ and configs/: the environment's TESSERA_DATA, else where it was built.
[[nodiscard]] std::string data_directory();

} // namespace tessera
