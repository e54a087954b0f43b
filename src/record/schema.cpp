// SPDX-License-Identifier: Apache-2.0
#include "record/schema.h"

#include "record/names.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace tessera::record
{
namespace
{

template <class Enum> h5::Handle enumeration(unsigned count, const char* (*name)(Enum))
{
    h5::Handle type(H5Tenum_create(H5T_NATIVE_UINT8), H5Tclose, "make an enumeration");
    for (unsigned i = 0; i < count; ++i)
    {
        const auto value = static_cast<std::uint8_t>(i);
        h5::check(H5Tenum_insert(type.get(), name(static_cast<Enum>(i)), &value),
                  "make an enumeration");
    }
    return type;
}

h5::Handle copy_of(hid_t type)
{
    return {H5Tcopy(type), H5Tclose, "make a type"};
}

h5::Handle type_of(const Field& field)
{
    switch (field.type)
    {
    case FieldType::u8:
        return copy_of(H5T_NATIVE_UINT8);
    case FieldType::u32:
        return copy_of(H5T_NATIVE_UINT32);
    case FieldType::u64:
        return copy_of(H5T_NATIVE_UINT64);
    case FieldType::f64:
        return copy_of(H5T_NATIVE_DOUBLE);
    case FieldType::text:
    {
        h5::Handle type = copy_of(H5T_C_S1);
        h5::check(H5Tset_size(type.get(), field.size), "make a text type");
        h5::check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "make a text type");
        h5::check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "make a text type");
        return type;
    }
    case FieldType::operation_kind:
        return enumeration<trace::OpKind>(trace::kOpKinds, trace::name_of);
    case FieldType::unit_kind:
        return enumeration<trace::UnitKind>(trace::kUnitKinds, name_of);
    case FieldType::cause:
        return enumeration<Cause>(kCauses, name_of);
    case FieldType::stage:
        return enumeration<Stage>(kStages, name_of);
    }
    throw std::logic_error("a field has no type");
}

/// Gives fields their offsets, one after the other.
Layout packed(std::string path, std::vector<Field> fields)
{
    std::size_t size = 0;
    for (Field& field : fields)
    {
        field.offset = size;
        size += field.bytes();
    }
    return {std::move(path), size, std::move(fields), ActivityLevel::off, 0};
}

Field text_field(const std::string& name, std::size_t length)
{
    return {name, FieldType::text, 0, "", std::max<std::size_t>(length, 1)};
}

constexpr const char* kUnitReference = "index into /units";

} // namespace

std::size_t Field::bytes() const
{
    switch (type)
    {
    case FieldType::u32:
        return 4;
    case FieldType::u64:
    case FieldType::f64:
        return 8;
    case FieldType::text:
        return size;
    default:
        return 1;
    }
}

h5::Handle Layout::type() const
{
    h5::Handle compound(H5Tcreate(H5T_COMPOUND, size), H5Tclose, "make the type of " + path);
    for (const Field& field : fields)
    {
        const h5::Handle member = type_of(field);
        h5::check(H5Tinsert(compound.get(), field.name.c_str(), field.offset, member.get()),
                  "make the type of " + path);
    }
    return compound;
}

std::vector<std::size_t> Layout::gaps() const
{
    std::vector<bool> covered(size, false);
    for (const Field& field : fields)
    {
        std::fill_n(covered.begin() + static_cast<std::ptrdiff_t>(field.offset), field.bytes(),
                    true);
    }
    std::vector<std::size_t> gaps;
    for (std::size_t byte = 0; byte < size; ++byte)
    {
        if (!covered[byte])
        {
            gaps.push_back(byte);
        }
    }
    return gaps;
}

const Field& Layout::field(const std::string& name) const
{
    const auto found = std::find_if(fields.begin(), fields.end(),
                                    [&](const Field& field) { return field.name == name; });
    if (found == fields.end())
    {
        throw std::logic_error(path + " has no member " + name);
    }
    return *found;
}

template <> const Layout& layout_of<OpRecord>()
{
    static const Layout layout = {
        "/ops",
        sizeof(OpRecord),
        {{"id", FieldType::u64, offsetof(OpRecord, id), ""},
         {"ready", FieldType::u64, offsetof(OpRecord, ready), "ps"},
         {"start", FieldType::u64, offsetof(OpRecord, start), "ps"},
         {"end", FieldType::u64, offsetof(OpRecord, end), "ps"},
         {"because", FieldType::u64, offsetof(OpRecord, because), "operation id; 2^64-1: none"},
         {"wait", FieldType::u64, offsetof(OpRecord, wait), "ps"},
         {"unit", FieldType::u32, offsetof(OpRecord, unit), kUnitReference},
         {"layer", FieldType::u32, offsetof(OpRecord, layer), "index into /layers; 2^32-1: none"},
         {"image", FieldType::u32, offsetof(OpRecord, image), ""},
         {"kind", FieldType::operation_kind, offsetof(OpRecord, kind), ""},
         {"cause", FieldType::cause, offsetof(OpRecord, cause), ""},
         {"unfinished", FieldType::u8, offsetof(OpRecord, unfinished),
          "1: in flight where the run was cut, which is its end"},
         {"padding", FieldType::u8, offsetof(OpRecord, padding),
          "1: all that it reads is padding"}},
        ActivityLevel::unit,
        0};
    return layout;
}

template <> const Layout& layout_of<DependencyRecord>()
{
    static const Layout layout = {
        "/deps",
        sizeof(DependencyRecord),
        {{"operation", FieldType::u64, offsetof(DependencyRecord, operation), "operation id"},
         {"on", FieldType::u64, offsetof(DependencyRecord, on), "operation id"},
         {"order_only", FieldType::u8, offsetof(DependencyRecord, order_only), "1: no data"}},
        ActivityLevel::unit,
        1};
    return layout;
}

template <> const Layout& layout_of<IntervalRecord>()
{
    static const Layout layout = {
        "/intervals",
        sizeof(IntervalRecord),
        {{"operation", FieldType::u64, offsetof(IntervalRecord, operation), "operation id"},
         {"begin", FieldType::u64, offsetof(IntervalRecord, begin), "ps"},
         {"end", FieldType::u64, offsetof(IntervalRecord, end), "ps"},
         {"period", FieldType::u64, offsetof(IntervalRecord, period), "ps"},
         {"count", FieldType::u32, offsetof(IntervalRecord, count), "repetitions, one per period"},
         {"unit", FieldType::u32, offsetof(IntervalRecord, unit), kUnitReference},
         {"stage", FieldType::stage, offsetof(IntervalRecord, stage), ""}},
        ActivityLevel::stage,
        2};
    return layout;
}

template <> const Layout& layout_of<StallRecord>()
{
    static const Layout layout = {
        "/stalls",
        sizeof(StallRecord),
        {{"operation", FieldType::u64, offsetof(StallRecord, operation), "operation id"},
         {"begin", FieldType::u64, offsetof(StallRecord, begin), "ps"},
         {"end", FieldType::u64, offsetof(StallRecord, end), "ps"},
         {"unit", FieldType::u32, offsetof(StallRecord, unit), kUnitReference},
         {"stage", FieldType::stage, offsetof(StallRecord, stage), ""}},
        ActivityLevel::stage,
        3};
    return layout;
}

template <> const Layout& layout_of<CycleRecord>()
{
    static const Layout layout = {
        "/cycles",
        sizeof(CycleRecord),
        {{"tick", FieldType::u64, offsetof(CycleRecord, tick), "ps"},
         {"cycle", FieldType::u64, offsetof(CycleRecord, cycle), "edges of the reference clock"},
         {"macros", FieldType::u32, offsetof(CycleRecord, macros), "busy units"},
         {"vector_units", FieldType::u32, offsetof(CycleRecord, vector_units), "busy units"},
         {"network_interfaces", FieldType::u32, offsetof(CycleRecord, network_interfaces),
          "busy units"},
         {"memory_ports", FieldType::u32, offsetof(CycleRecord, memory_ports), "busy units"}},
        ActivityLevel::unit,
        4};
    return layout;
}

template <> const Layout& layout_of<ImageRecord>()
{
    static const Layout layout = {
        "/images",
        sizeof(ImageRecord),
        {{"arrival", FieldType::u64, offsetof(ImageRecord, arrival), "ps; 2^64-1: no arrivals"},
         {"start", FieldType::u64, offsetof(ImageRecord, start), "ps; 2^64-1: had not started"},
         {"end", FieldType::u64, offsetof(ImageRecord, end), "ps; 2^64-1: had not ended"},
         {"image", FieldType::u32, offsetof(ImageRecord, image), ""}},
        ActivityLevel::unit,
        5};
    return layout;
}

Layout units_layout(std::size_t name_length)
{
    std::vector<Field> fields = {text_field("name", name_length),
                                 {"kind", FieldType::unit_kind, 0, ""},
                                 {"node", FieldType::u32, 0, "tiles first, then memory ports"},
                                 {"operations", FieldType::u64, 0, ""},
                                 {"vectors", FieldType::u64, 0, ""}};
    for (unsigned stage = 0; stage < kStages; ++stage)
    {
        fields.push_back(
            {std::string("time_") + name_of(static_cast<Stage>(stage)), FieldType::u64, 0, "ps"});
    }
    return packed("/units", std::move(fields));
}

Layout layers_layout(std::size_t name_length, std::size_t kind_length)
{
    return packed("/layers", {text_field("name", name_length),
                              text_field("kind", kind_length),
                              {"operations", FieldType::u64, 0, ""},
                              {"vectors", FieldType::u64, 0, ""},
                              {"crossbars", FieldType::u32, 0, ""},
                              {"start", FieldType::u64, 0, "ps; 2^64-1: never"},
                              {"end", FieldType::u64, 0, "ps"},
                              {"macro_time", FieldType::u64, 0, "ps"},
                              {"compute_time", FieldType::u64, 0, "ps"},
                              {"moved_bytes", FieldType::u64, 0, "B"},
                              {"memory_bytes", FieldType::u64, 0, "B"}});
}

Layout buffers_layout(std::size_t name_length)
{
    return packed("/buffers", {text_field("name", name_length),
                               {"capacity", FieldType::u64, 0, "B; 2^64-1: unlimited"},
                               {"peak", FieldType::u64, 0, "B"},
                               {"mean", FieldType::f64, 0, "B"},
                               {"waits", FieldType::u64, 0, ""}});
}

Layout links_layout(std::size_t name_length)
{
    return packed("/noc/links", {text_field("name", name_length),
                                 {"flits", FieldType::u64, 0, "flits; B where there are none"},
                                 {"busy", FieldType::u64, 0, "ps"},
                                 {"stalled", FieldType::u64, 0, "ps"}});
}

Rows::Rows(Layout layout, std::size_t count)
    : layout_(std::move(layout)), bytes_(count * layout_.size, std::byte{0})
{
}

Rows::Rows(Layout layout, std::vector<std::byte> bytes)
    : layout_(std::move(layout)), bytes_(std::move(bytes))
{
}

void Rows::put(std::size_t offset, std::size_t bytes, std::uint64_t value)
{
    // Low bytes first: what is kept is the file's, and every machine this runs on is little-endian.
    std::memcpy(bytes_.data() + offset, &value, bytes);
}

void Rows::put(std::size_t offset, std::size_t /*bytes*/, double value)
{
    std::memcpy(bytes_.data() + offset, &value, sizeof value);
}

void Rows::put(std::size_t offset, std::size_t bytes, const std::string& value)
{
    std::memcpy(bytes_.data() + offset, value.data(), std::min(value.size(), bytes));
}

std::uint64_t Rows::integer(std::size_t row, const std::string& field) const
{
    const Field& member = layout_.field(field);
    std::uint64_t value = 0;
    std::memcpy(&value, bytes_.data() + at(row, member), member.bytes());
    return value;
}

double Rows::real(std::size_t row, const std::string& field) const
{
    double value = 0;
    std::memcpy(&value, bytes_.data() + at(row, layout_.field(field)), sizeof value);
    return value;
}

std::string Rows::text(std::size_t row, const std::string& field) const
{
    const Field& member = layout_.field(field);
    std::string value(member.bytes(), '\0');
    std::memcpy(value.data(), bytes_.data() + at(row, member), member.bytes());
    value.resize(std::min(value.find('\0'), value.size()));
    return value;
}

} // namespace tessera::record
