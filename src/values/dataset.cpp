// SPDX-License-Identifier: Apache-2.0
#include "values/dataset.h"

#include "base/h5_guard.h"
#include "base/input_file.h"
#include "tessera/error.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>

namespace tessera::values
{
namespace
{

constexpr std::size_t kMostBytes = std::size_t{1} << 31U; ///< of a file, and of what it unfolds to

[[noreturn]] void fail(const std::string& file, const std::string& problem,
                       const std::string& remedy)
{
    throw InputError({file, 0, ""}, problem, remedy);
}

/// zlib's format (window bits 15 + 16: gzip; -15: bare deflate, as in zip files).
std::string inflated(const std::string& data, int window_bits, const std::string& file)
{
    z_stream stream{};
    if (inflateInit2(&stream, window_bits) != Z_OK)
    {
        throw IoError("cannot unpack " + file + ": zlib has no memory");
    }
    std::string out;
    std::vector<char> chunk(std::size_t{1} << 18U);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    int status = Z_OK;
    while (status == Z_OK)
    {
        stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
        stream.avail_out = static_cast<uInt>(chunk.size());
        status = inflate(&stream, Z_NO_FLUSH);
        out.append(chunk.data(), chunk.size() - stream.avail_out);
        if (out.size() > kMostBytes)
        {
            inflateEnd(&stream);
            fail(file, "unfolds to more than 2 GiB", "divide the data set");
        }
    }
    inflateEnd(&stream);
    if (status != Z_STREAM_END)
    {
        fail(file, "is cut off or damaged", "copy or unpack it again");
    }
    return out;
}

std::string contents(const std::string& path)
{
    std::string data = InputFile(path, InputFile::Pipes::refuse).read_all(kMostBytes);
    const bool gzip = data.size() > 2 && data[0] == '\x1f' && data[1] == '\x8b';
    return gzip ? inflated(data, 15 + 16, path) : data;
}

/// An array of any rank as files hold it.
struct Array
{
    std::string file;
    std::vector<std::size_t> extents;
    bool bytes = false;
    bool floats = false;
    std::vector<double> values;
};

std::size_t elements(const std::vector<std::size_t>& extents, const std::string& file)
{
    std::size_t count = 1;
    for (const std::size_t extent : extents)
    {
        if (extent == 0 || extent > kMostBytes / count)
        {
            fail(file, "has an extent of 0 or is too large", "give at most 2^31 elements");
        }
        count *= extent;
    }
    return count;
}

Array read_idx(const std::string& path)
{
    const std::string data = contents(path);
    const auto byte = [&data](std::size_t at) { return static_cast<unsigned char>(data[at]); };
    if (data.size() < 8 || byte(0) != 0 || byte(1) != 0 || byte(3) == 0 || byte(3) > 4)
    {
        fail(path, "is no IDX file: it does not begin with 0, 0, a type and a rank of 1 to 4",
             "give MNIST's format, *.npy, *.npz or *.h5");
    }
    if (byte(2) != 8)
    {
        fail(path, "holds elements of type " + std::to_string(byte(2)) + ", not unsigned bytes (8)",
             "store pixels and labels as bytes");
    }
    Array array;
    array.file = path;
    array.bytes = true;
    const std::size_t rank = byte(3);
    if (data.size() < 4 + 4 * rank)
    {
        fail(path, "ends in its header", "copy it again");
    }
    for (std::size_t i = 0; i < rank; ++i)
    {
        std::size_t extent = 0;
        for (std::size_t k = 0; k < 4; ++k)
        {
            extent = extent << 8U | byte(4 + 4 * i + k);
        }
        array.extents.push_back(extent);
    }
    const std::size_t count = elements(array.extents, path);
    if (data.size() != 4 + 4 * rank + count)
    {
        fail(path,
             "has " + std::to_string(data.size() - 4 - 4 * rank) +
                 " elements where its header says " + std::to_string(count),
             "copy it again");
    }
    array.values.resize(count);
    std::transform(data.end() - static_cast<std::ptrdiff_t>(count), data.end(),
                   array.values.begin(),
                   [](char c) { return static_cast<double>(static_cast<unsigned char>(c)); });
    return array;
}

template <class T> void take(const char* from, std::vector<double>& values)
{
    for (std::size_t i = 0; i < values.size(); ++i)
    {
        T value;
        std::memcpy(&value, from + i * sizeof(T), sizeof(T));
        values[i] = static_cast<double>(value);
    }
}

/// The text after `'key':` of an npy header.
std::string header_value(const std::string& header, const std::string& key, const std::string& file)
{
    const std::size_t found = header.find("'" + key + "':");
    if (found == std::string::npos)
    {
        fail(file, "has a header without '" + key + "'", "write it with numpy.save");
    }
    const std::size_t begin = header.find_first_not_of(' ', found + key.size() + 3);
    return begin == std::string::npos ? std::string() : header.substr(begin);
}

Array read_npy(const std::string& data, const std::string& file)
{
    const auto byte = [&data](std::size_t at) { return static_cast<unsigned char>(data[at]); };
    if (data.size() < 12 || data.compare(0, 6, "\x93NUMPY") != 0)
    {
        fail(file, "is no npy array", "write it with numpy.save or numpy.savez");
    }
    const bool wide = byte(6) >= 2;
    const std::size_t begin = wide ? 12 : 10;
    std::size_t length = byte(8) | static_cast<std::size_t>(byte(9)) << 8U;
    if (wide)
    {
        length |= static_cast<std::size_t>(byte(10)) << 16U | static_cast<std::size_t>(byte(11))
                                                                  << 24U;
    }
    if (length > data.size() - begin)
    {
        fail(file, "ends in its header", "copy it again");
    }
    const std::string header = data.substr(begin, length);
    if (header_value(header, "fortran_order", file).compare(0, 5, "False") != 0)
    {
        fail(file, "is in Fortran order", "write numpy.ascontiguousarray(...)");
    }
    Array array;
    array.file = file;
    std::string shape = header_value(header, "shape", file);
    shape = shape.substr(0, shape.find(')'));
    for (std::size_t at = shape.find_first_of("0123456789"); at != std::string::npos;
         at = shape.find_first_of("0123456789", at))
    {
        std::size_t extent = 0;
        for (; at < shape.size() && shape[at] >= '0' && shape[at] <= '9'; ++at)
        {
            extent = std::min<std::size_t>(extent * 10 + static_cast<std::size_t>(shape[at] - '0'),
                                           kMostBytes + 1);
        }
        array.extents.push_back(extent);
    }
    array.values.resize(elements(array.extents, file));
    const std::string type = header_value(header, "descr", file).substr(0, 5);
    const std::map<std::string, std::size_t> sizes{{"'|u1'", 1}, {"'|i1'", 1}, {"'<u2'", 2},
                                                   {"'<i2'", 2}, {"'<f4'", 4}, {"'<f8'", 8},
                                                   {"'<i4'", 4}, {"'<i8'", 8}};
    const auto size = sizes.find(type);
    if (size == sizes.end())
    {
        fail(file, "holds elements of type " + type,
             "convert it to uint8, int8, uint16, int16, float32, float64, int32 or int64");
    }
    if (data.size() - begin - length != array.values.size() * size->second)
    {
        fail(file,
             "has " + std::to_string(data.size() - begin - length) +
                 " bytes of elements where its header says " +
                 std::to_string(array.values.size() * size->second),
             "copy it again");
    }
    const char* from = data.data() + begin + length;
    array.bytes = type == "'|u1'";
    array.floats = type == "'<f4'" || type == "'<f8'";
    type == "'|u1'"   ? take<std::uint8_t>(from, array.values)
    : type == "'|i1'" ? take<std::int8_t>(from, array.values)
    : type == "'<u2'" ? take<std::uint16_t>(from, array.values)
    : type == "'<i2'" ? take<std::int16_t>(from, array.values)
    : type == "'<f4'" ? take<float>(from, array.values)
    : type == "'<f8'" ? take<double>(from, array.values)
    : type == "'<i4'" ? take<std::int32_t>(from, array.values)
                      : take<std::int64_t>(from, array.values);
    return array;
}

std::uint32_t little(const std::string& data, std::size_t at, unsigned bytes)
{
    std::uint32_t value = 0;
    for (unsigned i = 0; i < bytes; ++i)
    {
        value |= static_cast<std::uint32_t>(static_cast<unsigned char>(data[at + i])) << (8 * i);
    }
    return value;
}

/// The arrays of an npz file: a zip file's directory, whose members are stored or deflated.
std::map<std::string, Array> read_npz(const std::string& path)
{
    const std::string data = contents(path);
    const auto damaged = [&path]()
    { fail(path, "is no zip file, or cut off", "write it with numpy.savez"); };
    const std::size_t end = data.rfind("PK\x05\x06");
    if (end == std::string::npos || end + 22 > data.size())
    {
        damaged();
    }
    std::map<std::string, Array> arrays;
    std::size_t at = little(data, end + 16, 4);
    for (std::uint32_t left = little(data, end + 10, 2); left > 0; --left)
    {
        if (at + 46 > data.size() || data.compare(at, 4, "PK\x01\x02") != 0)
        {
            damaged();
        }
        const std::uint32_t method = little(data, at + 10, 2);
        const std::size_t packed = little(data, at + 20, 4);
        const std::size_t name_length = little(data, at + 28, 2);
        const std::size_t local = little(data, at + 42, 4);
        const std::string name = data.substr(at + 46, name_length);
        at += 46 + name_length + little(data, at + 30, 2) + little(data, at + 32, 2);
        if (local + 30 > data.size())
        {
            damaged();
        }
        const std::size_t begin =
            local + 30 + little(data, local + 26, 2) + little(data, local + 28, 2);
        if (begin > data.size() || packed > data.size() - begin || (method != 0 && method != 8))
        {
            damaged();
        }
        const std::string member = data.substr(begin, packed);
        const std::string place = path + ":" + name;
        arrays[name.substr(0, name.rfind(".npy"))] =
            read_npy(method == 8 ? inflated(member, -15, place) : member, place);
    }
    return arrays;
}

/// "images" and "labels" of an HDF5 file, as far as they are there; on trial only their beginning.
std::map<std::string, Array> h5_arrays(const std::string& path, bool trial)
{
    constexpr int rank = 4;
    std::map<std::string, Array> arrays;
    const h5::Handle file = h5::open_file(path);
    for (const std::string name : {"images", "labels"})
    {
        if (!h5::exists(file.get(), name))
        {
            continue;
        }
        const h5::Handle dataset = h5::open_checked(file.get(), path, "/" + name, rank);
        const h5::Handle space(H5Dget_space(dataset.get()), H5Sclose, "read the size of " + name);
        const h5::Handle type(H5Dget_type(dataset.get()), H5Tclose, "read the type of " + name);
        Array array;
        array.file = path + ":/" + name;
        std::array<hsize_t, rank> extents{};
        const int axes = H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
        h5::check(axes, "read the size of " + name);
        array.extents.assign(extents.begin(), extents.begin() + axes);
        const H5T_class_t kind = H5Tget_class(type.get());
        if (axes == 0 || (kind != H5T_INTEGER && kind != H5T_FLOAT))
        {
            fail(array.file, "is not an array of numbers",
                 "write h5py.File(...)[\"images\"] = ...");
        }
        array.floats = kind == H5T_FLOAT;
        array.bytes = kind == H5T_INTEGER && H5Tget_size(type.get()) == 1 &&
                      H5Tget_sign(type.get()) == H5T_SGN_NONE;
        std::size_t count = elements(array.extents, array.file);
        std::vector<hsize_t> part(extents.begin(), extents.begin() + axes);
        if (trial)
        {
            count = count / part[0];
            part[0] = 1;
        }
        array.values.resize(count);
        const std::vector<hsize_t> begin(part.size(), 0);
        h5::check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, begin.data(), nullptr,
                                      part.data(), nullptr),
                  "select " + name);
        const h5::Handle memory(H5Screate_simple(axes, part.data(), nullptr), H5Sclose,
                                "describe " + name);
        h5::check(H5Dread(dataset.get(), H5T_NATIVE_DOUBLE, memory.get(), space.get(), H5P_DEFAULT,
                          array.values.data()),
                  "read " + name);
        arrays.emplace(name, std::move(array));
    }
    return arrays;
}

std::map<std::string, Array> read_h5(const std::string& path)
{
    const h5::Lock lock;
    static_cast<void>(InputFile(path, InputFile::Pipes::refuse)); // nothing but regular files
    h5::survive(path, [&] { static_cast<void>(h5_arrays(path, true)); });
    try
    {
        return h5_arrays(path, false);
    }
    catch (const IoError& error)
    {
        fail(path, error.what(), "write the file again");
    }
}

std::string text_of(const std::vector<std::size_t>& extents)
{
    std::string text;
    for (const std::size_t extent : extents)
    {
        text += (text.empty() ? "" : "x") + std::to_string(extent);
    }
    return text;
}

/// What an element of an image stands for.
double value_of(const Array& array, const network::Layer& input, double element, std::size_t image)
{
    if (!input.codes || array.floats)
    {
        return element / (array.bytes ? 255 : 1);
    }
    const network::InputCodes& codes = *input.codes;
    if (element < static_cast<double>(codes.least) || element > static_cast<double>(codes.most))
    {
        fail(array.file,
             "holds " + std::to_string(static_cast<long long>(element)) + " in image " +
                 std::to_string(image) + ", where the network takes integers from " +
                 std::to_string(codes.least) + " to " + std::to_string(codes.most),
             "give integers of that type, or the real values as floats");
    }
    return (element - static_cast<double>(codes.zero_point)) * codes.scale;
}

void take_images(const Array& array, const network::Layer& input, std::size_t first,
                 std::size_t limit, Dataset& data)
{
    const network::Shape& wanted = input.output;
    std::vector<std::size_t> extents = array.extents;
    if (extents.size() == 3)
    {
        extents.push_back(1);
    }
    const bool plain = extents.size() == 4 && extents[1] == wanted.height &&
                       extents[2] == wanted.width && extents[3] == wanted.channels;
    const bool planes = extents.size() == 4 && extents[1] == wanted.channels &&
                        extents[2] == wanted.height && extents[3] == wanted.width;
    if (!plain && !planes)
    {
        fail(array.file,
             "holds " + text_of(array.extents) + " where the network wants images of " +
                 std::to_string(wanted.height) + "x" + std::to_string(wanted.width) + "x" +
                 std::to_string(wanted.channels),
             "give images x height x width x channels");
    }
    if (first >= extents[0])
    {
        fail(array.file,
             "has " + std::to_string(extents[0]) + " images, none from " + std::to_string(first) +
                 " on",
             "begin earlier");
    }
    const std::size_t size = wanted.elements();
    const std::size_t count = std::min(limit, extents[0] - first);
    data.shape = wanted;
    data.bytes = array.bytes && !input.codes;
    data.pixels.resize(count * size);
    for (std::size_t i = 0; i < count * size; ++i)
    {
        std::size_t from = i;
        if (!plain)
        {
            const std::size_t inside = i % size;
            const std::size_t pixel = inside / wanted.channels;
            from = i - inside + inside % wanted.channels * wanted.height * wanted.width + pixel;
        }
        const double value =
            value_of(array, input, array.values[first * size + from], first + i / size);
        if (!std::isfinite(value) || std::abs(value) > 1e30)
        {
            fail(array.file,
                 "holds " + std::to_string(value) + " in image " + std::to_string(first + i / size),
                 "remove what is not finite");
        }
        data.pixels[i] = static_cast<float>(value);
    }
}

void take_labels(const Array& array, std::size_t images, std::size_t first, Dataset& data)
{
    if (array.extents.size() != 1 || array.floats || array.values.size() != images)
    {
        fail(array.file,
             "holds " + text_of(array.extents) + (array.floats ? " floats" : " numbers") +
                 " where " + std::to_string(images) + " labels belong",
             "give one whole number an image");
    }
    data.labels.resize(data.count());
    for (std::size_t i = 0; i < data.labels.size(); ++i)
    {
        const double label = array.values[first + i];
        if (label < 0 || label > 1e6)
        {
            fail(array.file,
                 "says " + std::to_string(static_cast<long long>(label)) + " of image " +
                     std::to_string(first + i),
                 "count classes from 0");
        }
        data.labels[i] = static_cast<std::uint32_t>(label);
    }
}

/// The labels that belong to MNIST's images: beside them, under the corresponding name.
std::optional<std::string> labels_of(const std::string& images)
{
    const std::filesystem::path path(images);
    std::string name = path.filename().string();
    const std::size_t found = name.find("images-idx3");
    if (found == std::string::npos)
    {
        return std::nullopt;
    }
    name.replace(found, 11, "labels-idx1");
    const std::filesystem::path labels = path.parent_path() / name;
    return std::filesystem::exists(labels) ? std::optional<std::string>(labels.string())
                                           : std::nullopt;
}

std::string image_file(const std::string& folder, const std::string& part)
{
    for (const char* ending : {"-images-idx3-ubyte.gz", "-images-idx3-ubyte"})
    {
        const std::filesystem::path path = std::filesystem::path(folder) / (part + ending);
        if (std::filesystem::exists(path))
        {
            return path.string();
        }
    }
    fail(folder, "has no " + part + "-images-idx3-ubyte.gz",
         "give a folder with MNIST's files (Debian: dataset-fashion-mnist), *.npy, *.npz or *.h5");
}

bool ends_with(const std::string& text, const std::string& ending)
{
    return text.size() >= ending.size() &&
           text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

} // namespace

std::vector<std::string> dataset_files(const std::string& path, const std::string& part)
{
    std::vector<std::string> files = {std::filesystem::is_directory(path) ? image_file(path, part)
                                                                          : path};
    if (const auto labels = labels_of(files.front()))
    {
        files.push_back(*labels);
    }
    return files;
}

Dataset load_dataset(const std::string& path, const std::string& part, const network::Layer& input,
                     std::size_t first, std::size_t limit)
{
    Dataset data;
    data.source = path;
    const bool h5 = ends_with(path, ".h5") || ends_with(path, ".hdf5");
    if (h5 || ends_with(path, ".npz"))
    {
        const std::map<std::string, Array> arrays = h5 ? read_h5(path) : read_npz(path);
        const auto images = arrays.find("images");
        if (images == arrays.end())
        {
            fail(path, "has no array \"images\"",
                 "give images, and for accuracy labels, one array each");
        }
        take_images(images->second, input, first, limit, data);
        if (const auto labels = arrays.find("labels"); labels != arrays.end())
        {
            take_labels(labels->second, images->second.extents[0], first, data);
        }
        return data;
    }
    if (ends_with(path, ".npy"))
    {
        take_images(read_npy(contents(path), path), input, first, limit, data);
        return data;
    }
    const std::string file = std::filesystem::is_directory(path) ? image_file(path, part) : path;
    const Array images = read_idx(file);
    take_images(images, input, first, limit, data);
    if (const auto labels = labels_of(file))
    {
        take_labels(read_idx(*labels), images.extents[0], first, data);
    }
    return data;
}

} // namespace tessera::values
