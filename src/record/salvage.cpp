// SPDX-License-Identifier: Apache-2.0
// What a damaged file still holds of its streams: ResultReader::salvage().
#include "base/interrupt.h"
#include "record/checked.h"
#include "record/defects.h"
#include "record/deflate.h"
#include "record/file_bytes.h"
#include "record/reader.h"
#include "record/schema.h"
#include "tessera/error.h"

#include <algorithm>
#include <set>

namespace tessera::record
{
namespace
{

/// Chunks that a damaged dataset may miss before its rest is given up.
constexpr std::uint64_t kMostHoles = 100000;
constexpr const char* kMissing = "chunks are missing";

/// Where the chunks that a dataset's index leads to begin, and how many records one holds.
struct Chunks
{
    std::set<std::uint64_t> begins;
    std::uint64_t records = 0;
    bool filtered = false;
};

Chunks chunks_of(const Checked& checked, const h5::Handle& dataset, std::size_t record_size,
                 const std::string& where)
{
    return checked.guard(
        where,
        [&]
        {
            const h5::Lock lock;
            const h5::Handle creation(H5Dget_create_plist(dataset.get()), H5Pclose,
                                      "read its layout");
            const h5::Handle space(H5Dget_space(dataset.get()), H5Sclose, "read its size");
            Chunks chunks;
            if (H5Sget_simple_extent_ndims(space.get()) != 1 ||
                H5Pget_layout(creation.get()) != H5D_CHUNKED)
            {
                checked.fail(where, "is not a sequence of chunks");
            }
            hsize_t size = 0;
            h5::check(H5Pget_chunk(creation.get(), 1, &size), "read its chunk size");
            if (size == 0 || size > kMostChunkBytes / record_size)
            {
                checked.fail(where, "has chunks of " + std::to_string(size) + " records");
            }
            chunks.records = size;
            chunks.filtered = H5Pget_nfilters(creation.get()) > 0;
            hsize_t stored = 0;
            if (H5Dget_num_chunks(dataset.get(), space.get(), &stored) < 0)
            {
                stored = kMostHoles; // its index is damaged: whatever is found counts
            }
            // A hostile size must not keep us looking for ever.
            const std::uint64_t last =
                std::min(h5::length(dataset.get()) / size, stored + kMostHoles);
            for (std::uint64_t i = 0; i <= last && chunks.begins.size() < stored; ++i)
            {
                const hsize_t begin = i * size;
                hsize_t bytes = 0;
                if (H5Dget_chunk_storage_size(dataset.get(), &begin, &bytes) >= 0 && bytes != 0)
                {
                    chunks.begins.insert(begin);
                }
            }
            return chunks;
        });
}

/// Decodes chunks of a dataset, wherever their bytes come from: in a file in memory that has no
/// more than one chunk, which the library reads as it would read the dataset's own.
class Decoder
{
public:
    /// `name`: of a file that cannot be there. Throws IoError. Contract: the library is locked.
    Decoder(const h5::Handle& like, std::uint64_t records, const std::string& name)
    {
        constexpr std::size_t step = std::size_t{1} << 20U;
        const std::string what = "decode chunks";
        const h5::Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, what);
        h5::check(H5Pset_fapl_core(access.get(), step, static_cast<hbool_t>(false)), what);
        file_ = h5::Handle(H5Fcreate(name.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()),
                           H5Fclose, what);
        const h5::Handle type(H5Dget_type(like.get()), H5Tclose, what);
        const h5::Handle creation(H5Dget_create_plist(like.get()), H5Pclose, what);
        const h5::Handle uncached(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose, what);
        h5::check(H5Pset_chunk_cache(uncached.get(), 0, 0, 1), what);
        const hsize_t size = records;
        const hsize_t unlimited = H5S_UNLIMITED;
        const h5::Handle space(H5Screate_simple(1, &size, &unlimited), H5Sclose, what);
        dataset_ = h5::Handle(H5Dcreate2(file_.get(), "chunk", type.get(), space.get(), H5P_DEFAULT,
                                         creation.get(), uncached.get()),
                              H5Dclose, what);
    }

    /// The first `count` records of a chunk. Throws IoError. Contract: the library is locked.
    template <class Record>
    [[nodiscard]] std::vector<Record> decode(const std::vector<std::byte>& chunk,
                                             std::uint64_t count, hid_t memory_type) const
    {
        const hsize_t first = 0;
        h5::check(
            H5Dwrite_chunk(dataset_.get(), H5P_DEFAULT, 0, &first, chunk.size(), chunk.data()),
            "decode it");
        std::vector<Record> records(count);
        h5::read_range(dataset_.get(), memory_type, 0, count, records.data());
        clear_gaps(records);
        return records;
    }

private:
    h5::Handle file_;
    h5::Handle dataset_;
};

/// Gets the bytes of labelled chunks, and knows whether they are the right ones.
class ChunkSource
{
public:
    ChunkSource(const FileBytes& file, const h5::Handle& dataset, Way way)
        : file_(file), dataset_(dataset), way_(way)
    {
    }

    /// Throws IoError. Contract: the library is locked.
    [[nodiscard]] std::vector<std::byte> get(const LabelledChunk& chunk, hsize_t begin) const
    {
        if (chunk.size > 2 * kMostChunkBytes)
        {
            throw IoError("has a chunk of " + std::to_string(chunk.size) + " bytes");
        }
        std::vector<std::byte> bytes(chunk.size);
        std::uint32_t skipped_filters = 0;
        if (way_ == Way::labels)
        {
            if (file_.read(chunk.address, bytes.data(), bytes.size()) != bytes.size())
            {
                throw IoError("ends within this chunk");
            }
        }
        else
        {
            hsize_t size = 0;
            if (H5Dget_chunk_storage_size(dataset_.get(), &begin, &size) < 0 || size != chunk.size)
            {
                throw IoError("its index does not lead to this chunk");
            }
            h5::check(
                H5Dread_chunk(dataset_.get(), H5P_DEFAULT, &begin, &skipped_filters, bytes.data()),
                "read this chunk");
        }
        if (skipped_filters != 0 || crc32_of(bytes.data(), bytes.size()) != chunk.checksum)
        {
            throw IoError("the checksum of this chunk is wrong");
        }
        return bytes;
    }

private:
    const FileBytes& file_;
    const h5::Handle& dataset_;
    Way way_;
};

/// Writes down what a stream has lost. Neighbours with one problem are one entry, and so is all
/// that follows a great many: a file may have a billion malformed records.
class StreamLosses
{
public:
    StreamLosses(std::string stream, std::vector<Loss>& losses)
        : stream_(std::move(stream)), losses_(losses)
    {
    }
    void add(std::uint64_t begin, const std::string& problem, std::uint64_t records)
    {
        const bool goes_on = entries_ != 0 && begin == end_ && losses_.back().problem == problem;
        if (!goes_on && entries_ < kMost)
        {
            ++entries_;
            losses_.push_back({stream_ + "[" + std::to_string(begin) + "]",
                               entries_ < kMost ? problem : problem + ", and others after it", 0});
        }
        losses_.back().records += records;
        end_ = begin + records;
    }

private:
    static constexpr unsigned kMost = 1000;

    std::string stream_;
    std::vector<Loss>& losses_;
    unsigned entries_ = 0;
    std::uint64_t end_ = 0; ///< of the last loss
};

} // namespace

template <class Record>
void ResultReader::salvage(const LabelledChunks& labelled, Way way,
                           const std::function<void(const Record&)>& action,
                           std::vector<Loss>& losses) const
{
    const Layout& layout = layout_of<Record>();
    const Stream& stream = streams_[layout.stream];
    const std::string& where = layout.path;
    if (!stream.dataset.valid() || stream.records == 0)
    {
        return;
    }
    const Checked checked(path_, file_.get());
    StreamLosses lost(where, losses);
    Chunks chunks;
    std::optional<Decoder> decoder;
    try
    {
        chunks = chunks_of(checked, stream.dataset, sizeof(Record), where);
        if (!labelled.empty())
        {
            const h5::Lock lock;
            checked.guard(
                where,
                [&] { decoder.emplace(stream.dataset, chunks.records, source_ + "/decoded"); });
        }
    }
    catch (const InputError& error)
    {
        losses.push_back({where, error.problem(), stream.records});
        return;
    }
    for (const auto& [number, chunk] : labelled)
    {
        chunks.begins.insert(number * chunks.records);
    }
    const FileBytes file(source_);
    const ChunkSource source(file, stream.dataset, way);
    const auto records_of = [&](std::uint64_t begin, std::uint64_t count)
    {
        const auto chunk = labelled.find(begin / chunks.records);
        if (chunk != labelled.end())
        {
            return checked.guard(where,
                                 [&]
                                 {
                                     const h5::Lock lock;
                                     return decoder->decode<Record>(
                                         source.get(chunk->second, begin), count,
                                         stream.type.get());
                                 });
        }
        if (!labelled.empty() && !chunks.filtered)
        {
            // Deflated chunks have a checksum of their own.
            checked.fail(where, kMissing);
        }
        return read_block<Record>(begin, count);
    };
    std::uint64_t next = 0;
    const auto skip_to = [&](std::uint64_t begin)
    {
        if (begin > next)
        {
            lost.add(next, kMissing, begin - next);
        }
    };
    for (const std::uint64_t begin : chunks.begins)
    {
        throw_if_interrupted();
        if (begin >= stream.records)
        {
            break; // beyond what the dataset claims: written, but not flushed
        }
        skip_to(begin);
        next = std::min(begin + chunks.records, stream.records);
        try
        {
            std::uint64_t record = begin;
            for (const Record& found : records_of(begin, next - begin))
            {
                if (const auto problem = defect(header_, found))
                {
                    lost.add(record, *problem, 1);
                }
                else
                {
                    action(found);
                }
                ++record;
            }
        }
        catch (const InputError& error)
        {
            // What has no label and cannot be read lies beyond the end of a file that was cut.
            const bool missing = way == Way::labels && !labelled.empty() &&
                                 labelled.count(begin / chunks.records) == 0;
            lost.add(begin, missing ? kMissing : error.problem(), next - begin);
        }
    }
    skip_to(stream.records);
}

template void ResultReader::salvage(const LabelledChunks&, Way,
                                    const std::function<void(const OpRecord&)>&,
                                    std::vector<Loss>&) const;
template void ResultReader::salvage(const LabelledChunks&, Way,
                                    const std::function<void(const DependencyRecord&)>&,
                                    std::vector<Loss>&) const;
template void ResultReader::salvage(const LabelledChunks&, Way,
                                    const std::function<void(const IntervalRecord&)>&,
                                    std::vector<Loss>&) const;
template void ResultReader::salvage(const LabelledChunks&, Way,
                                    const std::function<void(const StallRecord&)>&,
                                    std::vector<Loss>&) const;
template void ResultReader::salvage(const LabelledChunks&, Way,
                                    const std::function<void(const CycleRecord&)>&,
                                    std::vector<Loss>&) const;
template void ResultReader::salvage(const LabelledChunks&, Way,
                                    const std::function<void(const ImageRecord&)>&,
                                    std::vector<Loss>&) const;

} // namespace tessera::record
