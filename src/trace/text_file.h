// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/input_file.h"
#include "base/output_file.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct gzFile_s;

namespace tessera::trace
{

class GzipStream;

/// Lines end here: longer ones are refused rather than buffered.
inline constexpr std::size_t kMaxLine = std::size_t{16} << 20U;

/// Reads a file line by line, through zlib when it begins as gzip files do, and sums it up on the
/// way. Memory: one buffer of the longest line so far, at least 128 KiB.
class LineInput
{
public:
    /// Throws InputError for what is no regular file, IoError when it cannot be opened.
    explicit LineInput(std::string path);
    ~LineInput();
    LineInput(const LineInput&) = delete;
    LineInput& operator=(const LineInput&) = delete;

    /// Goes to the next line. False: there is none. Throws InputError for a line that is too long
    /// for damaged or cut gzip data and for anything behind them, IoError.
    bool next();
    /// The line at hand without its newline; valid until the next call of next(). LineParser's
    /// padding is readable behind it.
    [[nodiscard]] std::string_view line() const { return {buffer_.data() + begin_, size_}; }
    [[nodiscard]] std::size_t capacity() const { return buffer_.size() - begin_; }
    /// False for a last line without a newline.
    [[nodiscard]] bool complete() const { return complete_; }
    [[nodiscard]] std::uint64_t number() const { return number_; } ///< 1-based
    /// CRC-32 of all the lines before the one at hand.
    [[nodiscard]] std::uint32_t crc_before();
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    bool fill(); ///< false at the end of the file
    std::size_t read_some(char* into, std::size_t size);

    std::string path_;
    InputFile file_;
    std::unique_ptr<GzipStream> gzip_; ///< null for plain text
    std::vector<char> buffer_;
    std::size_t begin_ = 0;  ///< of the line at hand
    std::size_t size_ = 0;   ///< of the line at hand
    std::size_t next_ = 0;   ///< behind the line at hand
    std::size_t filled_ = 0; ///< bytes in the buffer
    std::size_t summed_ = 0; ///< bytes of the buffer that are in crc_
    std::uint32_t crc_ = 0;
    std::uint64_t number_ = 0;
    bool complete_ = true;
};

/// Writes a file that bears its name only after commit() (OutputFile). Compresses when the name
/// ends in ".gz".
class TextOutput
{
public:
    /// Throws UsageError, IoError.
    explicit TextOutput(const std::string& path, Existing existing = Existing::replace);
    ~TextOutput();
    TextOutput(const TextOutput&) = delete;
    TextOutput& operator=(const TextOutput&) = delete;

    void write(std::string_view text); ///< throws IoError
    void commit();                     ///< throws IoError

private:
    [[noreturn]] void fail() const;

    OutputFile file_;
    gzFile_s* compressed_ = nullptr; ///< null for plain text
};

[[nodiscard]] bool ends_with(std::string_view text, std::string_view end);
/// First bytes of a regular file, at most `count`. Throws InputError for anything else, IoError.
[[nodiscard]] std::string first_bytes(const std::string& path, std::size_t count);
[[nodiscard]] bool is_gzip(std::string_view bytes);
[[nodiscard]] bool is_hdf5(std::string_view bytes);

} // namespace tessera::trace
