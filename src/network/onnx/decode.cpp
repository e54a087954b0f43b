// SPDX-License-Identifier: Apache-2.0
// The only place that knows protobuf.
#include "network/onnx/graph.h"

#include "base/input_file.h"
#include "base/nearest.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <google/protobuf/arena.h>
#include <limits>
#include <new>
#include <onnx/onnx_pb.h>
#include <optional>
#include <unordered_set>

namespace tessera::network::onnx
{
namespace
{

namespace pb = ::onnx;

constexpr std::size_t kMaxBytes = std::numeric_limits<std::int32_t>::max(); // of any protobuf
constexpr int kMaxNodes = 100'000;
constexpr std::int64_t kSmall = 64; ///< reals and codes that Values::small reads

double from_half(std::uint16_t bits)
{
    const int exponent = (bits >> 10) & 31;
    const int fraction = bits & 1023;
    const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
    if (exponent == 31)
    {
        return fraction == 0 ? sign * std::numeric_limits<double>::infinity()
                             : std::numeric_limits<double>::quiet_NaN();
    }
    return sign *
           (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

float from_bfloat(std::uint16_t bits)
{
    const std::uint32_t wide = std::uint32_t{bits} << 16U;
    float value = 0;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

/// How the values of a type lie in raw data.
struct Encoding
{
    std::size_t bytes;
    bool real;
    IntegerType type{0, false};
};

Encoding encoding_of(int type)
{
    switch (type)
    {
    case pb::TensorProto::FLOAT:
        return {4, true};
    case pb::TensorProto::DOUBLE:
        return {8, true};
    case pb::TensorProto::FLOAT16:
    case pb::TensorProto::BFLOAT16:
        return {2, true};
    case pb::TensorProto::BOOL:
        return {1, false, {1, false}};
    case pb::TensorProto::INT8:
        return {1, false, {8, true}};
    case pb::TensorProto::UINT8:
        return {1, false, {8, false}};
    case pb::TensorProto::INT16:
        return {2, false, {16, true}};
    case pb::TensorProto::UINT16:
        return {2, false, {16, false}};
    case pb::TensorProto::INT32:
        return {4, false, {32, true}};
    case pb::TensorProto::UINT32:
        return {4, false, {32, false}};
    case pb::TensorProto::INT64:
        return {8, false, {64, true}};
    case pb::TensorProto::UINT64:
        return {8, false, {64, false}};
    default:
        return {0, false}; // strings, complex numbers: never looked at
    }
}

template <class T> T raw_at(const std::string& raw, std::size_t index)
{
    T value;
    std::memcpy(&value, raw.data() + index * sizeof(T), sizeof(T));
    return value;
}

/// Appends element `index` of little-endian raw data.
void append_raw(Tensor& tensor, int type, const std::string& raw, std::size_t index)
{
    const auto real = [&](double value) { tensor.reals.push_back(static_cast<float>(value)); };
    const auto whole = [&](auto value)
    { tensor.integers.push_back(static_cast<std::int64_t>(value)); };
    switch (type)
    {
    case pb::TensorProto::FLOAT:
        tensor.reals.push_back(raw_at<float>(raw, index));
        break;
    case pb::TensorProto::DOUBLE:
        real(raw_at<double>(raw, index));
        break;
    case pb::TensorProto::FLOAT16:
        real(from_half(raw_at<std::uint16_t>(raw, index)));
        break;
    case pb::TensorProto::BFLOAT16:
        tensor.reals.push_back(from_bfloat(raw_at<std::uint16_t>(raw, index)));
        break;
    case pb::TensorProto::BOOL:
    case pb::TensorProto::UINT8:
        whole(raw_at<std::uint8_t>(raw, index));
        break;
    case pb::TensorProto::INT8:
        whole(raw_at<std::int8_t>(raw, index));
        break;
    case pb::TensorProto::INT16:
        whole(raw_at<std::int16_t>(raw, index));
        break;
    case pb::TensorProto::UINT16:
        whole(raw_at<std::uint16_t>(raw, index));
        break;
    case pb::TensorProto::INT32:
        whole(raw_at<std::int32_t>(raw, index));
        break;
    case pb::TensorProto::UINT32:
        whole(raw_at<std::uint32_t>(raw, index));
        break;
    default:
        whole(raw_at<std::int64_t>(raw, index));
        break;
    }
}

void check_size(std::uintmax_t size, const std::string& file)
{
    if (size > kMaxBytes)
    {
        throw InputError({file, 0, ""}, "is larger than 2 GiB, which no ONNX file can be",
                         "save the weights as external data");
    }
}

/// An arena for a message, which a small file can unfold to a multiple of itself: too large a one
/// is an error instead of the end of all memory.
class BoundedArena
{
public:
    explicit BoundedArena(std::size_t file_bytes)
    {
        constexpr std::size_t kFactor =
            16; // numbers of one byte take 8, and vectors grow by copying
        constexpr std::size_t kBase = std::size_t{64} << 20U;
        left_ = kBase + kFactor * file_bytes;
        google::protobuf::ArenaOptions options;
        options.block_alloc = [](std::size_t size) -> void*
        {
            if (size > left_)
            {
                throw std::bad_alloc();
            }
            left_ -= size;
            return ::operator new(size);
        };
        options.block_dealloc = [](void* block, std::size_t /*size*/) { ::operator delete(block); };
        arena_.emplace(options);
    }
    google::protobuf::Arena* get() { return &*arena_; }

private:
    // protobuf hands its functions nothing to know the arena by; one thread decodes one file at a
    // time.
    static thread_local std::size_t left_;
    std::optional<google::protobuf::Arena> arena_;
};
thread_local std::size_t BoundedArena::left_ = 0;

class Decoder
{
public:
    Decoder(std::string file, Values values) : file_(std::move(file)), values_(values) {}

    Graph run(const std::string& bytes)
    {
        check_size(bytes.size(), file_);
        BoundedArena arena(bytes.size());
        const pb::ModelProto& model = parse(bytes, arena);
        if (!model.has_graph() || model.graph().node_size() == 0)
        {
            fail("/graph", "has no nodes", "export a model that computes something");
        }
        graph_.file = file_;
        graph_.files = {file_};
        graph_.name = model.graph().name();
        graph_.producer = model.producer_name();
        for (const pb::OperatorSetIdProto& set : model.opset_import())
        {
            if (set.domain().empty() || set.domain() == "ai.onnx")
            {
                graph_.opset = set.version();
            }
        }
        read(model.graph());
        sort_nodes(graph_);
        return std::move(graph_);
    }

private:
    [[noreturn]] void fail(const std::string& pointer, const std::string& problem,
                           const std::string& remedy) const
    {
        throw InputError({file_, 0, pointer}, problem, remedy);
    }

    const pb::ModelProto& parse(const std::string& bytes, BoundedArena& arena) const
    {
        try
        {
            auto* model = google::protobuf::Arena::CreateMessage<pb::ModelProto>(arena.get());
            if (model->ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
            {
                return *model;
            }
        }
        catch (const std::bad_alloc&)
        {
            fail("", "unfolds to more than 16 times its size", "export the model again");
        }
        fail("", "is not an ONNX model, or is truncated or damaged", "export the model again");
    }

    void read(const pb::GraphProto& graph)
    {
        if (graph.node_size() > kMaxNodes)
        {
            fail("/graph", "has more than " + std::to_string(kMaxNodes) + " nodes",
                 "divide the network");
        }
        if (graph.sparse_initializer_size() != 0)
        {
            fail("/graph", "has sparse constants", "export the weights as dense tensors");
        }
        for (const pb::TensorProto& tensor : graph.initializer())
        {
            const std::string place = "/graph/initializer/" + tensor.name();
            if (!graph_.constants.emplace(tensor.name(), read(tensor, place)).second)
            {
                fail("/graph", "the name " + in_quotes(tensor.name()) + " is defined twice",
                     "give every tensor one definition");
            }
        }
        // Before IR version 4 constants were listed among the inputs.
        for (const pb::ValueInfoProto& info : graph.input())
        {
            if (graph_.constants.find(info.name()) == graph_.constants.end())
            {
                graph_.inputs.push_back(read(info));
            }
        }
        for (const pb::ValueInfoProto& info : graph.output())
        {
            graph_.outputs.push_back(read(info));
        }
        if (graph_.outputs.empty())
        {
            fail("/graph", "has no outputs", "export the model again");
        }
        std::unordered_set<std::string> names;
        for (int i = 0; i < graph.node_size(); ++i)
        {
            graph_.nodes.push_back(read(graph.node(i)));
            Node& node = graph_.nodes.back();
            if (node.name.empty() && !node.outputs.empty())
            {
                node.name = node.outputs.front();
            }
            if (node.name.empty() || !names.insert(node.name).second)
            {
                node.name +=
                    (node.name.empty() ? "" : "_") + node.operation + '_' + std::to_string(i);
                names.insert(node.name);
            }
        }
    }

    Port read(const pb::ValueInfoProto& info) const
    {
        Port port;
        port.name = info.name();
        const pb::TypeProto_Tensor& type = info.type().tensor_type();
        port.type = encoding_of(type.elem_type()).type;
        port.known = info.type().has_tensor_type() && type.has_shape();
        for (const pb::TensorShapeProto_Dimension& dimension : type.shape().dim())
        {
            const bool fixed = dimension.has_dim_value();
            if (fixed && dimension.dim_value() < 0)
            {
                fail("/graph/" + info.name(),
                     "has the extent " + std::to_string(dimension.dim_value()),
                     "export the model with positive extents");
            }
            port.extents.push_back(fixed ? dimension.dim_value() : -1);
            port.symbols.push_back(fixed ? "" : dimension.dim_param());
        }
        return port;
    }

    Node read(const pb::NodeProto& proto)
    {
        Node node;
        node.name = proto.name();
        node.operation = proto.op_type();
        node.domain = proto.domain() == "ai.onnx" ? "" : proto.domain();
        node.inputs.assign(proto.input().begin(), proto.input().end());
        node.outputs.assign(proto.output().begin(), proto.output().end());
        for (const pb::AttributeProto& from : proto.attribute())
        {
            Attribute attribute;
            attribute.integer = from.i();
            attribute.real = from.f();
            attribute.text = from.s();
            attribute.integers.assign(from.ints().begin(), from.ints().end());
            attribute.reals.assign(from.floats().begin(), from.floats().end());
            attribute.has_graph = from.has_g() || from.graphs_size() != 0;
            attribute.has_tensor = from.has_t();
            if (from.has_t())
            {
                attribute.tensor = read(from.t(), "/graph/" + proto.name() + '/' + from.name());
            }
            node.attributes.emplace(from.name(), std::move(attribute));
        }
        return node;
    }

    Tensor read(const pb::TensorProto& proto, const std::string& place)
    {
        Tensor tensor;
        std::int64_t elements = 1;
        for (const std::int64_t extent : proto.dims())
        {
            if (extent < 0)
            {
                fail(place, "has the extent " + std::to_string(extent), "export the model again");
            }
            if (extent != 0 && elements > kMaxElements / extent)
            {
                fail(place, "has more than 2^40 elements", "divide the tensor");
            }
            elements *= extent;
            tensor.extents.push_back(extent);
        }
        remember_file(proto);
        const Encoding encoding = encoding_of(proto.data_type());
        tensor.real = encoding.real;
        tensor.type = encoding.type;
        tensor.known = false;
        if (encoding.bytes == 0)
        {
            return tensor; // a type of its own: only its shape counts
        }
        if ((encoding.real || encoding.bytes <= 2) && values_ == Values::small && elements > kSmall)
        {
            return tensor;
        }
        if (proto.data_location() == pb::TensorProto::EXTERNAL)
        {
            read_external(proto, place, elements, tensor);
        }
        else if (!proto.raw_data().empty() || elements == 0)
        {
            take_raw(proto.data_type(), proto.raw_data(), place, elements, tensor);
        }
        else
        {
            take_fields(proto, place, elements, tensor);
        }
        return tensor;
    }

    void take_raw(int type, const std::string& raw, const std::string& place, std::int64_t elements,
                  Tensor& tensor) const
    {
        const std::size_t width = encoding_of(type).bytes;
        if (raw.size() % width != 0 || raw.size() / width != static_cast<std::size_t>(elements))
        {
            fail(place,
                 "has " + std::to_string(raw.size()) + " B of values where " +
                     std::to_string(elements) + " elements of " + std::to_string(width) +
                     " B were announced",
                 "export the model again, or strip all its values");
        }
        (tensor.real ? tensor.reals.reserve(raw.size() / width)
                     : tensor.integers.reserve(raw.size() / width));
        for (std::size_t i = 0; i < raw.size() / width; ++i)
        {
            append_raw(tensor, type, raw, i);
        }
        tensor.known = true;
    }

    void take_fields(const pb::TensorProto& proto, const std::string& place, std::int64_t elements,
                     Tensor& tensor) const
    {
        const int type = proto.data_type();
        if (proto.int32_data_size() != 0)
        {
            for (const std::int32_t value : proto.int32_data())
            {
                if (!tensor.real)
                {
                    tensor.integers.push_back(value);
                }
                else if (type == pb::TensorProto::FLOAT16)
                {
                    tensor.reals.push_back(
                        static_cast<float>(from_half(static_cast<std::uint16_t>(value))));
                }
                else
                {
                    tensor.reals.push_back(from_bfloat(static_cast<std::uint16_t>(value)));
                }
            }
        }
        else if (tensor.real)
        {
            tensor.reals.assign(proto.float_data().begin(), proto.float_data().end());
            for (const double value : proto.double_data())
            {
                tensor.reals.push_back(static_cast<float>(value));
            }
        }
        else
        {
            tensor.integers.assign(proto.int64_data().begin(), proto.int64_data().end());
            for (const std::uint64_t value : proto.uint64_data())
            {
                tensor.integers.push_back(static_cast<std::int64_t>(value));
            }
        }
        const std::size_t count = tensor.reals.size() + tensor.integers.size();
        if (count == 0)
        {
            return; // stripped
        }
        if (count != static_cast<std::size_t>(elements))
        {
            fail(place,
                 "has " + std::to_string(count) + " values for " + std::to_string(elements) +
                     " elements",
                 "export the model again, or strip all its values");
        }
        tensor.known = true;
    }

    /// The file that holds the tensor, if it is another one: no output may replace it.
    void remember_file(const pb::TensorProto& proto)
    {
        if (proto.data_location() != pb::TensorProto::EXTERNAL)
        {
            return;
        }
        for (const pb::StringStringEntryProto& entry : proto.external_data())
        {
            const std::string path =
                (std::filesystem::path(file_).parent_path() / entry.value()).string();
            // Mostly all tensors are in one.
            if (entry.key() == "location" && graph_.files.back() != path)
            {
                graph_.files.push_back(path);
            }
        }
    }

    /// The bytes lie in another file, below the folder of the model. A file that is not there is
    /// one that was stripped.
    void read_external(const pb::TensorProto& proto, const std::string& place,
                       std::int64_t elements, Tensor& tensor) const
    {
        namespace fs = std::filesystem;
        std::string location;
        std::uint64_t offset = 0;
        std::uint64_t length =
            static_cast<std::uint64_t>(elements) * encoding_of(proto.data_type()).bytes;
        const std::uint64_t wanted = length;
        for (const pb::StringStringEntryProto& entry : proto.external_data())
        {
            if (entry.key() == "location")
            {
                location = entry.value();
            }
            else if (entry.key() == "offset")
            {
                offset = number(entry.value(), place);
            }
            else if (entry.key() == "length")
            {
                length = number(entry.value(), place);
            }
        }
        const fs::path relative(location);
        const bool climbs = std::any_of(relative.begin(), relative.end(),
                                        [](const fs::path& p) { return p == ".."; });
        std::error_code failed;
        const fs::path folder =
            fs::weakly_canonical(fs::absolute(file_, failed).parent_path(), failed);
        const fs::path path = fs::weakly_canonical(folder / relative, failed);
        const auto [end, unused] =
            std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
        if (location.empty() || relative.is_absolute() || climbs || failed || end != folder.end())
        {
            fail(place,
                 "has its values in " + in_quotes(location) +
                     ", which is not below the folder of the model",
                 "keep external data beside the model");
        }
        if (!fs::exists(path, failed))
        {
            return;
        }
        InputFile input(path.string(), InputFile::Pipes::refuse);
        const std::uint64_t size = fs::file_size(path, failed);
        if (length != wanted || failed || offset > size || size - offset < length)
        {
            fail(place,
                 "wants " + std::to_string(wanted) + " B at " + std::to_string(offset) + " of " +
                     in_quotes(location) + ", which has " + std::to_string(size) + " B",
                 "copy the whole file, or remove it to go without weights");
        }
        input.skip(offset);
        std::string raw(static_cast<std::size_t>(length), '\0');
        raw.resize(input.read(raw.data(), raw.size()));
        take_raw(proto.data_type(), raw, place, elements, tensor);
    }

    [[nodiscard]] std::uint64_t number(const std::string& text, const std::string& place) const
    {
        if (text.empty() || text.size() > 18 ||
            text.find_first_not_of("0123456789") != std::string::npos)
        {
            fail(place, in_quotes(text) + " is no place in a file", "export the model again");
        }
        return std::stoull(text);
    }

    std::string file_;
    Values values_;
    Graph graph_;
};

} // namespace

bool can_decode()
{
    return true;
}

Graph decode_graph(const std::string& bytes, const std::string& file, Values values)
{
    return Decoder(file, values).run(bytes);
}

Graph read_graph(const std::string& file, Values values)
{
    InputFile input(file, InputFile::Pipes::refuse);
    std::error_code failed;
    const std::uintmax_t size = std::filesystem::file_size(file, failed);
    check_size(failed ? 0 : size, file);
    return decode_graph(input.read_all(kMaxBytes + 1), file, values);
}

} // namespace tessera::network::onnx
