// SPDX-License-Identifier: Apache-2.0
#include "base/h5_guard.h"

#include "tessera/error.h"

#include <array>

namespace tessera::h5
{
namespace
{

constexpr std::uint64_t kMostChunkBytes = std::uint64_t{64} << 20U;
/// Deflate cannot do better than 1032 : 1, so a file bounds what its chunks can hold.
constexpr std::uint64_t kMostInflation = 1032;
constexpr std::size_t kMostRecord = 4096;
constexpr std::size_t kMostAttribute = 65536;
constexpr const char* kRemedy = "write or copy the file again";

/// Numbers as processors have them, enumerations of bytes, texts of fixed length. The library's
/// conversions trust everything else that a type claims.
bool plain_member(const Handle& type)
{
    const std::size_t size = H5Tget_size(type.get());
    switch (H5Tget_class(type.get()))
    {
    case H5T_INTEGER:
        return (size == 1 || size == 2 || size == 4 || size == 8) &&
               H5Tget_precision(type.get()) == 8 * size && H5Tget_offset(type.get()) == 0;
    case H5T_FLOAT:
        return H5Tequal(type.get(), H5T_IEEE_F64LE) > 0 || H5Tequal(type.get(), H5T_IEEE_F32LE) > 0;
    case H5T_ENUM:
    {
        const Handle base(H5Tget_super(type.get()), H5Tclose, "read an enumeration");
        return size == 1 && H5Tequal(base.get(), H5T_NATIVE_UINT8) > 0 &&
               H5Tget_nmembers(type.get()) <= 256;
    }
    case H5T_STRING:
        return H5Tis_variable_str(type.get()) == 0 && size != 0;
    default:
        return false;
    }
}

bool plain_type(const Handle& type)
{
    constexpr int kMostMembers = 256;
    if (H5Tget_class(type.get()) != H5T_COMPOUND)
    {
        return plain_member(type);
    }
    const int members = H5Tget_nmembers(type.get());
    std::size_t end = 0;
    for (int i = 0; i < members && members <= kMostMembers; ++i)
    {
        const auto member = static_cast<unsigned>(i);
        const Handle inner(H5Tget_member_type(type.get(), member), H5Tclose, "read a member");
        const std::size_t offset = H5Tget_member_offset(type.get(), member);
        if (!plain_member(inner) || offset < end)
        {
            return false;
        }
        end = offset + H5Tget_size(inner.get());
    }
    return members > 0 && members <= kMostMembers && end <= H5Tget_size(type.get());
}

/// Size of the file that an object lies in.
std::uint64_t file_size(hid_t object)
{
    const Handle file(H5Iget_file_id(object), H5Fclose, "find its file");
    hsize_t size = 0;
    check(H5Fget_filesize(file.get(), &size), "read the size of its file");
    return size;
}

} // namespace

Handle open_checked(hid_t file, const std::string& path, const std::string& name, int rank)
{
    const auto fail = [&](const std::string& problem) {
        throw InputError({path, 0, name}, problem, kRemedy);
    };
    for (std::size_t end = name.find('/', 1);; end = name.find('/', end + 1))
    {
        const std::string part = name.substr(0, end);
        H5L_info_t link = {};
        if (H5Lexists(file, part.c_str(), H5P_DEFAULT) <= 0 ||
            H5Lget_info(file, part.c_str(), &link, H5P_DEFAULT) < 0)
        {
            fail("is missing");
        }
        if (link.type != H5L_TYPE_HARD)
        {
            fail("is a link to somewhere else");
        }
        if (end == std::string::npos)
        {
            break;
        }
    }
    const Handle object(H5Oopen(file, name.c_str(), H5P_DEFAULT), H5Oclose, "open " + name);
    if (H5Iget_type(object.get()) != H5I_DATASET)
    {
        fail("is not a dataset");
    }
    Handle dataset = open_dataset(file, name);
    const Handle creation(H5Dget_create_plist(dataset.get()), H5Pclose, "read its layout");
    const H5D_layout_t layout = H5Pget_layout(creation.get());
    if (H5Pget_external_count(creation.get()) != 0 || layout == H5D_VIRTUAL)
    {
        fail("keeps its data in other files");
    }
    const int filters = H5Pget_nfilters(creation.get());
    for (int i = 0; i < filters; ++i)
    {
        unsigned flags = 0;
        std::size_t values = 0;
        const H5Z_filter_t filter = H5Pget_filter2(creation.get(), static_cast<unsigned>(i), &flags,
                                                   &values, nullptr, 0, nullptr, nullptr);
        if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE &&
            filter != H5Z_FILTER_FLETCHER32)
        {
            fail("is compressed by filter " + std::to_string(filter) +
                 ", and only shuffle, deflate and fletcher32 are read");
        }
    }
    const Handle space(H5Dget_space(dataset.get()), H5Sclose, "read its size");
    const Handle type(H5Dget_type(dataset.get()), H5Tclose, "read its type");
    const std::uint64_t size = H5Tget_size(type.get());
    const bool text = H5Tget_class(type.get()) == H5T_STRING;
    if (H5Sget_simple_extent_ndims(space.get()) > rank || size == 0 ||
        (!text && size > kMostRecord))
    {
        fail(rank == 1 ? "is not a text or a list of records"
                       : "has more than " + std::to_string(rank) + " dimensions");
    }
    if (!plain_type(type))
    {
        fail("does not hold plain numbers and texts, or compound records of these, in order");
    }
    const std::uint64_t records = length(dataset.get());
    const std::uint64_t bytes = file_size(dataset.get());
    std::uint64_t most = bytes;
    if (layout == H5D_CHUNKED)
    {
        std::array<hsize_t, H5S_MAX_RANK> chunk{};
        const int axes = H5Pget_chunk(creation.get(), H5S_MAX_RANK, chunk.data());
        check(axes, "read its chunk size");
        hsize_t together = 1;
        for (int axis = 0; axis < axes; ++axis)
        {
            const hsize_t extent = chunk[static_cast<std::size_t>(axis)];
            if (extent == 0 || extent > kMostChunkBytes / size / together)
            {
                const std::string before = axis == 0 ? "" : std::to_string(together) + " x ";
                fail("has chunks of " + before + std::to_string(extent) + " records or more");
            }
            together *= extent;
        }
        most = filters > 0 && bytes < ~std::uint64_t{0} / kMostInflation ? bytes * kMostInflation
                                                                         : bytes;
    }
    if (records > most / size)
    {
        fail("claims " + std::to_string(records) + " records and holds at most " +
             std::to_string(most / size));
    }
    return dataset;
}

void check_attribute(hid_t object, const std::string& path, const std::string& place,
                     const std::string& name, bool integer)
{
    const auto fail = [&](const std::string& problem) {
        throw InputError({path, 0, place + "@" + name}, problem, kRemedy);
    };
    if (!has_attribute(object, name))
    {
        fail("is missing");
    }
    const Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose, "open " + name);
    const Handle type(H5Aget_type(attribute.get()), H5Tclose, "read the type of " + name);
    const Handle space(H5Aget_space(attribute.get()), H5Sclose, "read the size of " + name);
    const H5T_class_t kind = H5Tget_class(type.get());
    if (H5Sget_simple_extent_npoints(space.get()) != 1)
    {
        fail("is not a single value");
    }
    if (integer ? kind != H5T_INTEGER : kind != H5T_STRING || H5Tis_variable_str(type.get()) != 0)
    {
        fail(integer ? "is not a whole number" : "is not a text of fixed length");
    }
    if (!plain_member(type))
    {
        fail("is not a plain number or text");
    }
    if (H5Tget_size(type.get()) > kMostAttribute)
    {
        fail("is too long");
    }
}

} // namespace tessera::h5
