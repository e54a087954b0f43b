// SPDX-License-Identifier: Apache-2.0
#include "platform/program_image.h"

#include "tessera/error.h"

#include <cerrno>
#include <sys/mman.h>
#include <system_error>
#include <unistd.h>

namespace tessera::platform
{

ProgramImage::ProgramImage(const unsigned char* bytes, std::size_t count)
    : descriptor_(memfd_create("program", MFD_CLOEXEC)),
      path_("/proc/self/fd/" + std::to_string(descriptor_))
{
    bool good = descriptor_ >= 0;
    for (std::size_t written = 0; good && written < count;)
    {
        const ssize_t step = write(descriptor_, bytes + written, count - written);
        good = step > 0 || (step < 0 && errno == EINTR);
        written += step > 0 ? static_cast<std::size_t>(step) : 0;
    }
    if (!good)
    {
        const int problem = errno;
        if (descriptor_ >= 0)
        {
            close(descriptor_);
        }
        throw IoError("cannot keep a copy of the program: " +
                      std::generic_category().message(problem));
    }
}

ProgramImage::~ProgramImage()
{
    close(descriptor_);
}

std::string ProgramImage::explain(std::string message) const
{
    for (std::size_t at = message.find(path_); at != std::string::npos; at = message.find(path_))
    {
        message.replace(at, path_.size(), "program window");
    }
    return message;
}

} // namespace tessera::platform
