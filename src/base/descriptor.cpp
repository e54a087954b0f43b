// SPDX-License-Identifier: Apache-2.0
#include "base/descriptor.h"

#include "base/interrupt.h"

#include <cerrno>
#include <unistd.h>

namespace tessera
{

bool Descriptor::write(std::string_view bytes) const
{
    while (!bytes.empty())
    {
        const ssize_t count = ::write(id_, bytes.data(), bytes.size());
        if (count < 0 && errno != EINTR)
        {
            return false;
        }
        if (count < 0)
        {
            throw_if_interrupted();
            continue;
        }
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
}

bool Descriptor::sync() const
{
    // File systems without fsync, pipes and terminals say EINVAL: there is nothing to wait for.
    return fsync(id_) == 0 || errno == EINVAL;
}

bool Descriptor::close()
{
    const int id = std::exchange(id_, -1);
    return id < 0 || ::close(id) == 0;
}

} // namespace tessera
