// SPDX-License-Identifier: Apache-2.0
#include "record/folder_lock.h"

#include "base/output_file.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>

namespace tessera::record
{

FolderLock::FolderLock(const std::filesystem::path& folder)
    : folder_(open(folder.c_str(), // NOLINT(cppcoreguidelines-pro-type-vararg)
                   O_RDONLY | O_DIRECTORY | O_CLOEXEC))
{
    if (!folder_.valid())
    {
        throw_io_error("open folder", folder, errno);
    }
    taken_ = flock(folder_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

} // namespace tessera::record
