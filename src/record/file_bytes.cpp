// SPDX-License-Identifier: Apache-2.0
#include "record/file_bytes.h"

#include "tessera/error.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace tessera::record
{

FileBytes::FileBytes(const std::filesystem::path& path)
    : path_(path),
      file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) // NOLINT(cppcoreguidelines-pro-type-vararg)
{
    struct stat info = {};
    if (!file_.valid() || fstat(file_.get(), &info) != 0)
    {
        fail();
    }
    size_ = static_cast<std::uint64_t>(info.st_size);
}

std::size_t FileBytes::read(std::uint64_t address, std::byte* into, std::size_t size) const
{
    std::size_t got = 0;
    while (got < size)
    {
        const ssize_t count =
            pread(file_.get(), into + got, size - got, static_cast<off_t>(address + got));
        if (count < 0 && errno != EINTR)
        {
            fail();
        }
        if (count == 0)
        {
            break;
        }
        got += count < 0 ? 0 : static_cast<std::size_t>(count);
    }
    return got;
}

void FileBytes::fail() const
{
    throw IoError("cannot read " + path_.string() + ": " + std::generic_category().message(errno));
}

} // namespace tessera::record
