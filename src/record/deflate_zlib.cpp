// SPDX-License-Identifier: Apache-2.0
#include "record/deflate.h"

#include <new>
#include <stdexcept>
#include <zlib.h>

namespace tessera::record
{
namespace
{

constexpr int kLevel = 1;

} // namespace

struct Deflate::State
{
    explicit State(std::size_t longest)
    {
        if (deflateInit(&stream, kLevel) != Z_OK)
        {
            throw std::bad_alloc();
        }
        capacity = deflateBound(&stream, static_cast<uLong>(longest));
        packed.reset(new std::byte[capacity]);
    }
    ~State() { deflateEnd(&stream); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    z_stream stream{}; ///< kept: making it anew takes longer than packing a small block
    std::size_t capacity = 0;
    // NOLINTNEXTLINE(modernize-avoid-c-arrays)
    std::unique_ptr<std::byte[]> packed;
};

Deflate::Deflate(std::size_t longest) : state_(new State(longest)) {}

Deflate::~Deflate() = default;

Deflate::Packed Deflate::pack(const std::byte* bytes, std::size_t size)
{
    z_stream& stream = state_->stream;
    // zlib does not write here; its interface is not const.
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes));
    stream.avail_in = static_cast<uInt>(size);
    stream.next_out = reinterpret_cast<Bytef*>(state_->packed.get());
    stream.avail_out = static_cast<uInt>(state_->capacity);
    if (::deflate(&stream, Z_FINISH) != Z_STREAM_END)
    {
        throw std::logic_error("a packed block needs more room than its bound");
    }
    const std::size_t packed = stream.total_out;
    deflateReset(&stream);
    return {state_->packed.get(), packed};
}

std::uint32_t crc32_of(const std::byte* bytes, std::size_t size)
{
    return static_cast<std::uint32_t>(
        crc32_z(0, reinterpret_cast<const unsigned char*>(bytes), size)); // NOLINT(*reinterpret*)
}

} // namespace tessera::record
