// SPDX-License-Identifier: Apache-2.0
#include "record/checked.h"

#include "base/h5_guard.h"

#include <algorithm>
#include <cmath>

namespace tessera::record
{
namespace
{

/// Deflate cannot do better than 1032 : 1, so a file bounds the records it can hold.
constexpr std::uint64_t kMostInflation = 1032;
constexpr std::uint64_t kMostFileBytes = std::uint64_t{1} << 50U;
constexpr std::size_t kMostTextBytes = 65536;

} // namespace

void Checked::fail(const std::string& where, const std::string& problem) const
{
    throw InputError({path_, 0, where}, problem, kDamagedRemedy);
}

h5::Handle Checked::dataset(const std::string& where) const
{
    return guard(where, [&] { return h5::open_checked(file_, path_, where); });
}

bool Checked::present(const std::string& where) const
{
    for (std::size_t end = where.find('/', 1);; end = where.find('/', end + 1))
    {
        if (!h5::exists(file_, where.substr(0, end)))
        {
            return false;
        }
        if (end == std::string::npos)
        {
            return true;
        }
    }
}

std::uint64_t Checked::length(const h5::Handle& dataset, std::size_t record_size,
                              const std::string& where) const
{
    return guard(where, [&] { return checked_length(dataset, record_size, where); });
}

std::string Checked::text(const std::string& where) const
{
    const h5::Handle dataset = this->dataset(where);
    return guard(where,
                 [&]
                 {
                     const h5::Handle type(H5Dget_type(dataset.get()), H5Tclose, "read its type");
                     const std::size_t size = text_size(type, where);
                     if (size > H5Dget_storage_size(dataset.get()))
                     {
                         fail(where, "is cut short");
                     }
                     require_scalar(H5Dget_space(dataset.get()), where);
                     std::string text(size, '\0');
                     h5::check(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT,
                                       text.data()),
                               "read it");
                     text.resize(std::min(text.find('\0'), text.size()));
                     return text;
                 });
}

std::uint64_t Checked::integer(hid_t object, const std::string& where,
                               const std::string& name) const
{
    std::uint64_t value = 0;
    read_attribute(object, where, name, H5T_INTEGER, H5T_NATIVE_UINT64, &value);
    return value;
}

double Checked::real(hid_t object, const std::string& where, const std::string& name) const
{
    double value = 0;
    read_attribute(object, where, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, &value);
    if (!std::isfinite(value))
    {
        fail(where + "@" + name, "is not a number");
    }
    return value;
}

std::string Checked::text_attribute(hid_t object, const std::string& where,
                                    const std::string& name) const
{
    const std::string place = where + "@" + name;
    return guard(place,
                 [&]
                 {
                     const h5::Handle attribute = open_attribute(object, place, name);
                     const h5::Handle type(H5Aget_type(attribute.get()), H5Tclose, "read its type");
                     const std::size_t size = text_size(type, place);
                     if (size > kMostTextBytes)
                     {
                         fail(place, "is too long");
                     }
                     require_scalar(H5Aget_space(attribute.get()), place);
                     std::string text(size, '\0');
                     h5::check(H5Aread(attribute.get(), type.get(), text.data()), "read it");
                     text.resize(std::min(text.find('\0'), text.size()));
                     return text;
                 });
}

Layout Checked::layout(const h5::Handle& type, const Layout& expected) const
{
    return guard(expected.path, [&] { return checked_layout(type, expected); });
}

Rows Checked::rows(const Layout& expected) const
{
    const h5::Handle dataset = this->dataset(expected.path);
    const h5::Handle type(H5Dget_type(dataset.get()), H5Tclose, "read its type");
    Layout layout = this->layout(type, expected);
    const std::uint64_t count = length(dataset, layout.size, expected.path);
    std::vector<std::byte> bytes(count * layout.size);
    guard(expected.path,
          [&] { h5::read_range(dataset.get(), type.get(), 0, count, bytes.data()); });
    return {std::move(layout), std::move(bytes)};
}

h5::Handle Checked::open_attribute(hid_t object, const std::string& place,
                                   const std::string& name) const
{
    if (!h5::has_attribute(object, name))
    {
        fail(place, "is missing");
    }
    return {H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose, "open it"};
}

void Checked::read_attribute(hid_t object, const std::string& where, const std::string& name,
                             H5T_class_t type_class, hid_t memory, void* into) const
{
    const std::string place = where + "@" + name;
    guard(place,
          [&]
          {
              const h5::Handle attribute = open_attribute(object, place, name);
              const h5::Handle type(H5Aget_type(attribute.get()), H5Tclose, "read its type");
              if (H5Tget_class(type.get()) != type_class)
              {
                  fail(place, "has the wrong type");
              }
              require_scalar(H5Aget_space(attribute.get()), place);
              h5::check(H5Aread(attribute.get(), memory, into), "read it");
          });
}

void Checked::require_scalar(hid_t id, const std::string& place) const
{
    const h5::Handle space(id, H5Sclose, "read its size");
    if (H5Sget_simple_extent_npoints(space.get()) != 1)
    {
        fail(place, "is not a single value");
    }
}

std::size_t Checked::text_size(const h5::Handle& type, const std::string& place) const
{
    if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0)
    {
        fail(place, "is not a text of fixed length");
    }
    return H5Tget_size(type.get());
}

std::uint64_t Checked::checked_length(const h5::Handle& dataset, std::size_t record_size,
                                      const std::string& where) const
{
    const h5::Handle space(H5Dget_space(dataset.get()), H5Sclose, "read its size");
    if (H5Sget_simple_extent_ndims(space.get()) != 1)
    {
        fail(where, "is not one-dimensional");
    }
    const std::uint64_t records = h5::length(dataset.get());
    const std::uint64_t stored = H5Dget_storage_size(dataset.get());
    const h5::Handle creation(H5Dget_create_plist(dataset.get()), H5Pclose, "read its layout");
    std::uint64_t most = 0; ///< records that what is stored can be
    if (H5Pget_layout(creation.get()) == H5D_CHUNKED)
    {
        hsize_t chunk = 0;
        h5::check(H5Pget_chunk(creation.get(), 1, &chunk), "read its chunk size");
        if (chunk == 0 || chunk > kMostChunkBytes / record_size)
        {
            fail(where, "has chunks of " + std::to_string(chunk) + " records");
        }
        hsize_t chunks = 0;
        h5::check(H5Dget_num_chunks(dataset.get(), space.get(), &chunks), "count its chunks");
        most = std::min<std::uint64_t>(chunks * chunk, std::min(stored, kMostFileBytes) *
                                                           kMostInflation / record_size);
    }
    else
    {
        most = stored / record_size;
    }
    if (records > most)
    {
        fail(where, "claims " + std::to_string(records) + " records and holds at most " +
                        std::to_string(most));
    }
    return records;
}

Layout Checked::checked_layout(const h5::Handle& type, const Layout& expected) const
{
    if (H5Tget_class(type.get()) != H5T_COMPOUND)
    {
        fail(expected.path, "does not hold compound records");
    }
    Layout found = expected;
    found.size = H5Tget_size(type.get());
    for (Field& field : found.fields)
    {
        const int index = H5Tget_member_index(type.get(), field.name.c_str());
        if (index < 0)
        {
            fail(expected.path, "has no member " + field.name);
        }
        const auto member = static_cast<unsigned>(index);
        const h5::Handle member_type(H5Tget_member_type(type.get(), member), H5Tclose,
                                     "read member " + field.name);
        field.offset = H5Tget_member_offset(type.get(), member);
        if (!matches(member_type, field, expected.path))
        {
            fail(expected.path, "member " + field.name + " has the wrong type");
        }
    }
    return found;
}

bool Checked::matches(const h5::Handle& type, Field& field, const std::string& where) const
{
    switch (field.type)
    {
    case FieldType::text:
        field.size = text_size(type, where);
        return field.size != 0 && field.size <= kMostTextBytes;
    case FieldType::u32:
        return H5Tequal(type.get(), H5T_NATIVE_UINT32) > 0;
    case FieldType::u64:
        return H5Tequal(type.get(), H5T_NATIVE_UINT64) > 0;
    case FieldType::f64:
        return H5Tequal(type.get(), H5T_NATIVE_DOUBLE) > 0;
    case FieldType::u8:
        return H5Tequal(type.get(), H5T_NATIVE_UINT8) > 0;
    default:
    {
        if (H5Tget_class(type.get()) != H5T_ENUM)
        {
            return false;
        }
        const h5::Handle base(H5Tget_super(type.get()), H5Tclose, "read an enumeration");
        return H5Tequal(base.get(), H5T_NATIVE_UINT8) > 0;
    }
    }
}

} // namespace tessera::record
