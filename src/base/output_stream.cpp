// SPDX-License-Identifier: Apache-2.0
#include "base/output_stream.h"

#include "base/output_file.h"

#include <cerrno>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>

namespace tessera
{

OutputStream::Buffer::Buffer(const std::filesystem::path& path)
    : file_(::open(path.c_str(), // NOLINT(cppcoreguidelines-pro-type-vararg)
                   O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666))
{
    if (!file_.valid())
    {
        throw_io_error("create", path, errno);
    }
    setp(bytes_.begin(), bytes_.end());
}

void OutputStream::Buffer::note_failure()
{
    reason_ = reason_ == 0 ? errno : reason_;
}

int OutputStream::Buffer::sync()
{
    const auto size = static_cast<std::size_t>(pptr() - pbase());
    setp(bytes_.begin(), bytes_.end());
    if (!file_.write(std::string_view(bytes_.data(), size)))
    {
        note_failure();
        return -1;
    }
    return 0;
}

OutputStream::Buffer::int_type OutputStream::Buffer::overflow(int_type character)
{
    if (sync() != 0)
    {
        return traits_type::eof();
    }
    if (!traits_type::eq_int_type(character, traits_type::eof()))
    {
        sputc(traits_type::to_char_type(character));
    }
    return traits_type::not_eof(character);
}

void OutputStream::Buffer::close()
{
    if (!file_.close())
    {
        note_failure();
    }
}

OutputStream::OutputStream(std::filesystem::path path)
    : std::ostream(nullptr), path_(std::move(path)), buffer_(path_)
{
    rdbuf(&buffer_);
}

bool OutputStream::Buffer::empty_file()
{
    // What is no regular file (a pipe) says EINVAL: it is empty.
    return ftruncate(file_.get(), 0) == 0 || errno == EINVAL;
}

void OutputStream::begin()
{
    if (!buffer_.empty_file())
    {
        throw_io_error("empty", path_, errno);
    }
}

OutputStream::~OutputStream()
{
    flush();
}

void OutputStream::require_good()
{
    if (buffer_.reason() != 0 || !good())
    {
        throw_io_error("write", path_, buffer_.reason() == 0 ? EIO : buffer_.reason());
    }
}

void OutputStream::close()
{
    flush();
    buffer_.close();
    require_good();
}

} // namespace tessera
