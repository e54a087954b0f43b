// SPDX-License-Identifier: Apache-2.0
#include "base/install.h"

#include "tessera/version.h"

#include <cstdlib>

namespace tessera
{

std::string data_directory()
{
    const char* const chosen = std::getenv("TESSERA_DATA"); // NOLINT(concurrency-mt-unsafe)
    return chosen != nullptr && *chosen != '\0' ? chosen : TESSERA_DATA_DIR;
}

std::string version()
{
    return TESSERA_VERSION;
}

} // namespace tessera
