// SPDX-License-Identifier: Apache-2.0
#include "tessera/installation.h"
#include "tessera/version.h"

#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <link.h>
#include <optional>

namespace tessera
{

// Absolute: a public header of the installation that the program was compiled with, or the data
// themselves (programs of the build tree). Null where nobody tells. No path of the source or build
// tree is in the library itself, which others install and link.
extern const char* const kLinkedInstallation __attribute__((weak));

namespace
{

namespace fs = std::filesystem;

bool holds_data(const fs::path& folder)
{
    std::error_code failure;
    return fs::is_directory(folder / "configs", failure);
}

/// Of an installation; else what was told are the data of a tree.
bool is_header(const fs::path& told)
{
    return told.extension() == ".h";
}

std::optional<fs::path> linked_data()
{
    const fs::path told =
        &kLinkedInstallation != nullptr ? fs::path(kLinkedInstallation) : fs::path();
    if (!told.is_absolute()) // a header found by -I../include says nothing to a running program
    {
        return std::nullopt;
    }
    return is_header(told) ? (told.parent_path() / TESSERA_DATA_FROM_HEADER).lexically_normal()
                           : told;
}

/// The program or shared object that this code is part of.
struct Holder
{
    fs::path file; ///< empty: unknown
    bool program = false;
};

Holder holder()
{
    Dl_info info{};
    void* extra = nullptr;
    if (dladdr1(reinterpret_cast<const void*>(&holds_data), &info, &extra, RTLD_DL_LINKMAP) == 0)
    {
        return {};
    }
    const char* const name = static_cast<const link_map*>(extra)->l_name;
    std::error_code failure;
    if (*name == '\0') // of the program itself
    {
        return {fs::read_symlink("/proc/self/exe", failure), true};
    }
    return {fs::canonical(name, failure), false};
}

/// A folder with configs/ and models/ of its own, as the source tree is: what such a tree's
/// programs lie in, wherever it was copied or moved to.
bool is_tree(const fs::path& folder)
{
    std::error_code failure;
    return fs::is_regular_file(folder / "configs" / "schema" / "chip-1.0.schema.json", failure) &&
           fs::is_directory(folder / "models", failure);
}

struct Surrounding
{
    fs::path data;
    bool tree = false; ///< that of sources, which a program of its build tree lies in
};

/// The data of the tree or installation that this code lies in.
std::optional<Surrounding> surrounding_data()
{
    const Holder its = holder();
    const int depth = its.program ? TESSERA_PROGRAM_DEPTH : TESSERA_MODULE_DEPTH;
    std::error_code failure;
    std::optional<Surrounding> linked;
    fs::path folder = its.file.parent_path();
    for (int level = 0; folder.has_relative_path(); ++level, folder = folder.parent_path())
    {
        if (is_tree(folder))
        {
            return Surrounding{fs::canonical(folder, failure), true};
        }
        const fs::path data = folder / TESSERA_DATA_NAME;
        if (linked || level < 1 || level > depth || !holds_data(data))
        {
            continue;
        }
        linked = {fs::canonical(data, failure)};
        if (!fs::is_symlink(data, failure)) // as in a build tree that lies outside the sources
        {
            return linked;
        }
    }
    return linked;
}

} // namespace

std::string data_directory()
{
    const char* const chosen = std::getenv("TESSERA_DATA"); // NOLINT(concurrency-mt-unsafe)
    if (chosen != nullptr && *chosen != '\0')
    {
        return chosen;
    }
    const std::optional<fs::path> linked = linked_data();
    const std::optional<Surrounding> around = surrounding_data();
    // A tree may have been copied or moved since its programs were told where it is.
    const bool own_tree = around && around->tree && linked && !is_header(kLinkedInstallation);
    // libtessera.so knows best where it is; all others may be programs of somebody else.
    if (around && (own_tree || TESSERA_IS_SHARED || !linked || !holds_data(*linked)))
    {
        return around->data.string();
    }
    if (linked) // gone: not the data of another version, which may be in the places below
    {
        return linked->string();
    }
    for (const char* folder :
         {TESSERA_INSTALLED_DATA, "/usr/local/share/tessera", "/usr/share/tessera"})
    {
        if (holds_data(folder))
        {
            return folder;
        }
    }
    return TESSERA_INSTALLED_DATA; // the messages of those who look for a file in it name the place
}

std::string version()
{
    return TESSERA_VERSION;
}

} // namespace tessera
