// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/error.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <unistd.h>

/// What the fuzz targets share. Every target is one function of bytes: libFuzzer feeds it new ones
/// (preset `fuzz`), the ordinary tests feed it the corpus and what was found earlier.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace tessera::fuzz
{

inline std::string_view text_of(const std::uint8_t* data, std::size_t size)
{
    return {reinterpret_cast<const char*>(data), size};
}

/// Runs a parser. Refusing the input is what it may do; any other exception ends the process.
template <class Action> void refuses_or_accepts(Action action)
{
    try
    {
        action();
    }
    catch (const Error& error)
    {
        // A refusal that says nothing is no refusal.
        if (std::string_view(error.what()).empty())
        {
            std::abort();
        }
    }
}

/// What holds for everything that a parser accepts.
inline void require(bool holds, const char* what)
{
    if (!holds)
    {
        std::fprintf(stderr, "violated: %s\n", what);
        std::abort();
    }
}

/// A file in memory that has a path. (HDF5 wants to know the real path: memfd_create() has none.)
class MemoryFile
{
public:
    explicit MemoryFile(std::string_view bytes)
    {
        const int file = mkostemp(path_.data(), O_CLOEXEC);
        require(file >= 0, "files can be made in memory");
        for (std::size_t done = 0; done < bytes.size();)
        {
            const ssize_t count = ::write(file, bytes.data() + done, bytes.size() - done);
            require(count > 0, "files in memory can be written");
            done += static_cast<std::size_t>(count);
        }
        ::close(file);
    }
    ~MemoryFile() { ::unlink(path_.c_str()); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_ = "/dev/shm/tessera-fuzz-XXXXXX";
};

} // namespace tessera::fuzz
