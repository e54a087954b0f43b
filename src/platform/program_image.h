// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace tessera::platform
{

/// Bytes as a file that has no name in any folder: for readers that take a path.
class ProgramImage
{
public:
    /// Copies the bytes. Throws IoError.
    ProgramImage(const unsigned char* bytes, std::size_t count);
    ProgramImage(const ProgramImage&) = delete;
    ProgramImage& operator=(const ProgramImage&) = delete;
    ~ProgramImage();

    [[nodiscard]] const std::string& path() const { return path_; }
    /// A message about the file, in words of who wrote the bytes.
    [[nodiscard]] std::string explain(std::string message) const;

private:
    int descriptor_;
    std::string path_;
};

} // namespace tessera::platform
