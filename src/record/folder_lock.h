// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/descriptor.h"

#include <filesystem>

namespace tessera::record
{

/// A folder that nobody else locks: other processes, and other objects in this one. Ends with the
/// process, however that ends.
class FolderLock
{
public:
    /// Contract: the folder is there. Throws IoError.
    explicit FolderLock(const std::filesystem::path& folder);

    /// Somebody else has it. File systems that know no locks never say so.
    [[nodiscard]] bool taken() const { return taken_; }

private:
    Descriptor folder_;
    bool taken_ = false;
};

} // namespace tessera::record
