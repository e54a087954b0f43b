// SPDX-License-Identifier: Apache-2.0
#include "base/install.h"

#include "tessera/version.h"

#include <cstdlib>
#include <filesystem>
#include <initializer_list>

namespace tessera
{

// Defined by programs that find_package(tessera) links: only their build knows where the
// installation was then, and they lie outside it. Null in all others.
extern const char* const kLinkedData __attribute__((weak));

namespace
{

namespace fs = std::filesystem;

fs::path beside_program()
{
    std::error_code failure;
    const fs::path program = fs::read_symlink("/proc/self/exe", failure);
    return failure ? fs::path() : program.parent_path().parent_path() / "share" / "tessera";
}

bool holds_data(const fs::path& folder)
{
    std::error_code failure;
    return !folder.empty() && fs::is_directory(folder / "configs", failure);
}

} // namespace

std::string data_directory()
{
    const char* const chosen = std::getenv("TESSERA_DATA"); // NOLINT(concurrency-mt-unsafe)
    if (chosen != nullptr && *chosen != '\0')
    {
        return chosen;
    }
    const fs::path linked = &kLinkedData != nullptr ? fs::path(kLinkedData) : fs::path();
    for (const fs::path& folder :
         {linked, beside_program(), fs::path(TESSERA_SOURCE_DATA), fs::path(TESSERA_INSTALLED_DATA),
          fs::path("/usr/local/share/tessera"), fs::path("/usr/share/tessera")})
    {
        if (holds_data(folder))
        {
            return folder.string();
        }
    }
    return TESSERA_INSTALLED_DATA; // the messages of those who look for a file in it name the place
}

std::string version()
{
    return TESSERA_VERSION;
}

} // namespace tessera
