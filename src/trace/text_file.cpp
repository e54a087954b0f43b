// SPDX-License-Identifier: Apache-2.0
#include "trace/text_file.h"

#include "base/interrupt.h"
#include "tessera/error.h"
#include "trace/line_format.h"
#include "trace/line_parser.h"

#include <cerrno>
#include <cstring>
#include <new>
#include <unistd.h>
#include <utility>
#include <zlib.h>

namespace tessera::trace
{
namespace
{

constexpr std::size_t kChunk = std::size_t{1} << 17U;

} // namespace

bool ends_with(std::string_view text, std::string_view end)
{
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

std::string first_bytes(const std::string& path, std::size_t count)
{
    return InputFile(path, InputFile::Pipes::refuse).read_all(count);
}

bool is_gzip(std::string_view bytes)
{
    return bytes.substr(0, 2) == "\x1f\x8b";
}

bool is_hdf5(std::string_view bytes)
{
    return bytes.substr(0, 8) == "\x89HDF\r\n\x1a\n";
}

/// Inflates one gzip member after the other (zlib's own reader takes what follows the last one for
/// padding, whatever it is).
class GzipStream
{
public:
    explicit GzipStream(const std::string& path) : path_(path), raw_(std::size_t{1} << 16U)
    {
        constexpr int kGzipOnly = 16 + MAX_WBITS;
        if (inflateInit2(&stream_, kGzipOnly) != Z_OK)
        {
            throw std::bad_alloc();
        }
    }
    ~GzipStream() { inflateEnd(&stream_); }
    GzipStream(const GzipStream&) = delete;
    GzipStream& operator=(const GzipStream&) = delete;

    /// Up to `size` bytes of text; 0 at the end. `line`: for messages.
    std::size_t read(InputFile& file, char* into, std::size_t size, std::uint64_t line)
    {
        stream_.next_out = reinterpret_cast<Bytef*>(into);
        stream_.avail_out = static_cast<uInt>(size);
        while (stream_.avail_out == size)
        {
            const bool more = refill(file);
            if (between_members_)
            {
                if (!more)
                {
                    break;
                }
                begin_member(line);
            }
            else if (!more)
            {
                fail(line, "the compressed data are cut short");
            }
            const int status = inflate(&stream_, Z_NO_FLUSH);
            between_members_ = status == Z_STREAM_END;
            if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
            {
                fail(line, std::string("the compressed data are damaged: ") +
                               (stream_.msg != nullptr ? stream_.msg : "unknown method"));
            }
        }
        return size - stream_.avail_out;
    }

private:
    [[noreturn]] void fail(std::uint64_t line, const std::string& problem) const
    {
        throw InputError({path_, line, ""}, problem, "copy or write the file again");
    }

    /// False at the end of the file.
    bool refill(InputFile& file)
    {
        if (stream_.avail_in == 0)
        {
            stream_.next_in = raw_.data();
            stream_.avail_in =
                static_cast<uInt>(file.read(reinterpret_cast<char*>(raw_.data()), raw_.size()));
        }
        return stream_.avail_in != 0;
    }

    void begin_member(std::uint64_t line)
    {
        constexpr Bytef kFirstByte = 0x1f; // the rest of the signature is inflate()'s to check
        if (*stream_.next_in != kFirstByte)
        {
            fail(line, "something follows the compressed data");
        }
        inflateReset(&stream_);
        between_members_ = false;
    }

    std::string path_;
    std::vector<Bytef> raw_;
    z_stream stream_ = {};
    bool between_members_ = false;
};

LineInput::LineInput(std::string path)
    : path_(std::move(path)), file_(path_, InputFile::Pipes::refuse), buffer_(kChunk + kLinePadding)
{
    if (is_gzip(first_bytes(path_, 2)))
    {
        gzip_ = std::make_unique<GzipStream>(path_);
    }
}

LineInput::~LineInput() = default;

std::size_t LineInput::read_some(char* into, std::size_t size)
{
    return gzip_ ? gzip_->read(file_, into, size, number_) : file_.read(into, size);
}

bool LineInput::fill()
{
    throw_if_interrupted();
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

TextOutput::TextOutput(const std::string& path, Existing existing) : file_(path, existing)
{
    if (ends_with(path, ".gz"))
    {
        const int bytes = file_.duplicate();
        compressed_ = gzdopen(bytes, "wb");
        if (compressed_ == nullptr)
        {
            ::close(bytes);
            throw std::bad_alloc();
        }
        gzbuffer(compressed_, 1U << 18U);
    }
}

TextOutput::~TextOutput()
{
    if (compressed_ != nullptr)
    {
        gzclose(compressed_);
    }
}

void TextOutput::fail() const
{
    int status = Z_ERRNO;
    if (compressed_ != nullptr)
    {
        gzerror(compressed_, &status);
    }
    if (status == Z_MEM_ERROR)
    {
        throw std::bad_alloc();
    }
    throw_io_error("write", file_.path(), errno);
}

void TextOutput::write(std::string_view text)
{
    throw_if_interrupted();
    if (compressed_ == nullptr)
    {
        file_.write(text);
    }
    else if (!text.empty() && gzfwrite(text.data(), 1, text.size(), compressed_) != text.size())
    {
        fail();
    }
}

void TextOutput::commit()
{
    if (compressed_ != nullptr)
    {
        const int status = gzclose(std::exchange(compressed_, nullptr));
        if (status == Z_MEM_ERROR)
        {
            throw std::bad_alloc();
        }
        if (status != Z_OK)
        {
            throw_io_error("write", file_.path(), errno);
        }
    }
    file_.publish();
}

} // namespace tessera::trace
