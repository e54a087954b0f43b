// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/descriptor.h"

#include <array>
#include <cstddef>
#include <filesystem>
#include <ostream>
#include <streambuf>

namespace tessera
{

/// A file that is followed while it grows: it bears its name from the beginning. For all others
/// there is OutputFile.
class OutputStream : public std::ostream
{
public:
    /// Opens the file, or makes it; begin() before the first write. Throws IoError.
    explicit OutputStream(std::filesystem::path path);
    OutputStream(const OutputStream&) = delete;
    OutputStream& operator=(const OutputStream&) = delete;
    /// Writes what is held back, if it can: close() tells.
    ~OutputStream() override;

    /// Empties the file. Throws IoError.
    void begin();
    /// Throws IoError with the reason when anything could not be written so far.
    void require_good();
    /// Writes what is held back, and closes. Throws IoError.
    void close();

private:
    class Buffer : public std::streambuf
    {
    public:
        explicit Buffer(const std::filesystem::path& path);
        [[nodiscard]] int reason() const { return reason_; } ///< errno of the first failure
        void close();
        [[nodiscard]] bool empty_file(); ///< false: errno tells why

    protected:
        int_type overflow(int_type character) override;
        int sync() override;

    private:
        static constexpr std::size_t kSize = std::size_t{1} << 14U;
        void note_failure();

        Descriptor file_;
        int reason_ = 0;
        std::array<char, kSize> bytes_{};
    };

    std::filesystem::path path_;
    Buffer buffer_;
};

} // namespace tessera
