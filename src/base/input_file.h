// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace tessera
{

/// Throws InputError for what is there and is no regular file: to open a named pipe, a terminal or
/// a device could hold the program for ever. Nothing to say about what is not there.
void require_regular(const std::string& path);

/// A file that a user named, open for reading. Opening never blocks: a named pipe that nobody
/// writes to, a terminal or a device without an end would hold the program for ever.
class InputFile
{
public:
    enum class Pipes : bool
    {
        refuse, ///< the format is read more than once
        read    ///< open pipes only: `<(...)`, /dev/stdin; never named ones
    };

    /// Throws InputError for anything but a regular file (and a pipe where allowed), IoError when
    /// the file is not there or may not be read.
    InputFile(const std::string& path, Pipes pipes);
    ~InputFile();
    InputFile(const InputFile&) = delete;
    InputFile& operator=(const InputFile&) = delete;

    /// Reads up to `size` bytes; fewer only at the end of the file. Throws IoError.
    std::size_t read(char* into, std::size_t size);
    /// Goes `bytes` on; not in pipes. Throws IoError.
    void skip(std::size_t bytes);
    /// What is left of the file, at most `most` bytes of it. Throws IoError.
    [[nodiscard]] std::string read_all(std::size_t most);

private:
    std::string path_;
    int file_ = -1;
};

} // namespace tessera
