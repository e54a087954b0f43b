// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/descriptor.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace tessera::record
{

/// A file's bytes, wherever they are.
class FileBytes
{
public:
    /// Throws IoError.
    explicit FileBytes(const std::filesystem::path& path);

    /// Reads up to `size` bytes; returns how many there were before the file's end. Throws IoError.
    std::size_t read(std::uint64_t address, std::byte* into, std::size_t size) const;
    [[nodiscard]] std::uint64_t size() const { return size_; }

private:
    [[noreturn]] void fail() const;

    std::filesystem::path path_;
    Descriptor file_;
    std::uint64_t size_ = 0; ///< when it was opened
};

} // namespace tessera::record
