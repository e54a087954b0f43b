// SPDX-License-Identifier: Apache-2.0
#include "trace/text_file.h"

#include "tessera/error.h"
#include "trace/line_format.h"
#include "trace/line_parser.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <zlib.h>

namespace tessera::trace
{
namespace
{

constexpr std::size_t kChunk = std::size_t{1} << 20U;

std::string system_message()
{
    return std::strerror(errno); // NOLINT(concurrency-mt-unsafe)
}

std::FILE* open_plain(const std::string& path, const char* mode)
{
    struct stat info = {};
    if (*mode == 'r' && stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode))
    {
        throw IoError("cannot open " + path + ": it is a folder");
    }
    std::FILE* const file = std::fopen(path.c_str(), mode);
    if (file == nullptr)
    {
        throw IoError("cannot open " + path + ": " + system_message());
    }
    return file;
}

} // namespace

bool ends_with(std::string_view text, std::string_view end)
{
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

std::string first_bytes(const std::string& path, std::size_t count)
{
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(open_plain(path, "rb"), std::fclose);
    struct stat info = {};
    if (fstat(fileno(file.get()), &info) == 0 && S_ISFIFO(info.st_mode))
    {
        throw InputError({path, 0, ""}, "is a pipe, and a trace is read more than once",
                         "write it to a file first");
    }
    std::string bytes(count, '\0');
    bytes.resize(std::fread(bytes.data(), 1, count, file.get()));
    if (std::ferror(file.get()) != 0)
    {
        throw IoError("cannot read " + path + ": " + system_message());
    }
    return bytes;
}

bool is_gzip(std::string_view bytes)
{
    return bytes.substr(0, 2) == "\x1f\x8b";
}

bool is_hdf5(std::string_view bytes)
{
    return bytes.substr(0, 8) == "\x89HDF\r\n\x1a\n";
}

void publish(const std::string& part, const std::string& path)
{
    const int file = ::open(part.c_str(), O_RDONLY | O_CLOEXEC);
    const bool synced = file >= 0 && fsync(file) == 0;
    const std::string message = system_message();
    if (file >= 0)
    {
        ::close(file);
    }
    if (!synced)
    {
        throw IoError("cannot write " + part + ": " + message);
    }
    if (std::rename(part.c_str(), path.c_str()) != 0)
    {
        throw IoError("cannot rename " + part + " to " + path + ": " + system_message());
    }
}

LineInput::LineInput(std::string path) : path_(std::move(path)), buffer_(kChunk + kLinePadding)
{
    if (is_gzip(first_bytes(path_, 2)))
    {
        compressed_ = gzopen(path_.c_str(), "rb");
        if (compressed_ == nullptr)
        {
            throw IoError("cannot open " + path_ + ": " + system_message());
        }
        gzbuffer(compressed_, 1U << 18U);
    }
    else
    {
        plain_ = open_plain(path_, "rb");
        std::setvbuf(plain_, nullptr, _IONBF, 0); // whole chunks are asked for
    }
}

LineInput::~LineInput()
{
    if (plain_ != nullptr)
    {
        std::fclose(plain_);
    }
    if (compressed_ != nullptr)
    {
        gzclose(compressed_);
    }
}

std::size_t LineInput::read_some(char* into, std::size_t size)
{
    if (plain_ != nullptr)
    {
        const std::size_t count = std::fread(into, 1, size, plain_);
        if (count == 0 && std::ferror(plain_) != 0)
        {
            throw IoError("cannot read " + path_ + ": " + system_message());
        }
        return count;
    }
    const int count = gzread(compressed_, into, static_cast<unsigned>(size));
    int error = Z_OK;
    const char* const message = gzerror(compressed_, &error);
    if (error == Z_ERRNO)
    {
        throw IoError("cannot read " + path_ + ": " + system_message());
    }
    if (count < 0 || (count == 0 && error != Z_OK))
    {
        throw InputError({path_, number_ + 1, ""},
                         std::string("the compressed data are damaged or cut short: ") + message,
                         "copy or write the file again");
    }
    return static_cast<std::size_t>(count);
}

bool LineInput::fill()
{
    crc_ = crc32_of(crc_, buffer_.data() + summed_, begin_ - summed_);
    std::memmove(buffer_.data(), buffer_.data() + begin_, filled_ - begin_);
    filled_ -= begin_;
    begin_ = 0;
    summed_ = 0;
    if (filled_ > kMaxLine)
    {
        throw InputError({path_, number_, ""}, "the line is longer than 16 MiB",
                         "a trace has one operation a line, of at most 16 MiB");
    }
    if (buffer_.size() - filled_ < kChunk / 2 + kLinePadding)
    {
        buffer_.resize(2 * buffer_.size());
    }
    const std::size_t count =
        read_some(buffer_.data() + filled_, buffer_.size() - kLinePadding - filled_);
    filled_ += count;
    return count != 0;
}

bool LineInput::next()
{
    begin_ = next_;
    ++number_;
    std::size_t searched = 0;
    for (;;)
    {
        const char* const from = buffer_.data() + begin_ + searched;
        const std::size_t rest = filled_ - begin_ - searched;
        if (const void* const newline = std::memchr(from, '\n', rest))
        {
            size_ = searched + static_cast<std::size_t>(static_cast<const char*>(newline) - from);
            next_ = begin_ + size_ + 1;
            complete_ = true;
            break;
        }
        searched = filled_ - begin_;
        if (!fill())
        {
            size_ = filled_;
            next_ = filled_;
            complete_ = false;
            break;
        }
    }
    if (size_ > kMaxLine)
    {
        throw InputError({path_, number_, ""}, "the line is longer than 16 MiB",
                         "a trace has one operation a line, of at most 16 MiB");
    }
    return complete_ || size_ != 0;
}

std::uint32_t LineInput::crc_before()
{
    crc_ = crc32_of(crc_, buffer_.data() + summed_, begin_ - summed_);
    summed_ = begin_;
    return crc_;
}

TextOutput::TextOutput(std::string path) : path_(std::move(path)), part_(path_ + ".part")
{
    if (ends_with(path_, ".gz"))
    {
        compressed_ = gzopen(part_.c_str(), "wb");
        if (compressed_ == nullptr)
        {
            throw IoError("cannot create " + part_ + ": " + system_message());
        }
        gzbuffer(compressed_, 1U << 18U);
    }
    else
    {
        plain_ = open_plain(part_, "wb");
        std::setvbuf(plain_, nullptr, _IOFBF, kChunk);
    }
}

TextOutput::~TextOutput()
{
    close();
    if (!committed_)
    {
        std::remove(part_.c_str());
    }
}

void TextOutput::close()
{
    if (plain_ != nullptr)
    {
        std::fclose(std::exchange(plain_, nullptr));
    }
    if (compressed_ != nullptr)
    {
        gzclose(std::exchange(compressed_, nullptr));
    }
}

void TextOutput::fail(const std::string& what)
{
    throw IoError("cannot " + what + " " + part_ + ": " + system_message());
}

void TextOutput::write(std::string_view text)
{
    if (text.empty())
    {
        return;
    }
    const bool written = plain_ != nullptr
                             ? std::fwrite(text.data(), 1, text.size(), plain_) == text.size()
                             : gzfwrite(text.data(), 1, text.size(), compressed_) == text.size();
    if (!written)
    {
        fail("write");
    }
}

void TextOutput::commit()
{
    const bool closed = plain_ != nullptr ? std::fclose(std::exchange(plain_, nullptr)) == 0
                                          : gzclose(std::exchange(compressed_, nullptr)) == Z_OK;
    if (!closed)
    {
        fail("write");
    }
    publish(part_, path_);
    committed_ = true;
}

} // namespace tessera::trace
