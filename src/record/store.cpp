// SPDX-License-Identifier: Apache-2.0
#include "record/store.h"

#include "base/descriptor.h"
#include "base/output_file.h"
#include "record/superblock.h"
#include "tessera/error.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <hdf5.h>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

// What this file relies on, the interface to file drivers and the order of the library's writes, is
// known of these versions; the ones between them are experimental.
#if !((H5_VERSION_GE(1, 10, 5) && !H5_VERSION_GE(1, 11, 0)) ||                                     \
      (H5_VERSION_GE(1, 12, 0) && !H5_VERSION_GE(1, 13, 0)) ||                                     \
      (H5_VERSION_GE(1, 14, 0) && !H5_VERSION_GE(1, 15, 0)))
#error "HDF5 is not of version 1.10 (from 1.10.5 on), 1.12 or 1.14: install one of these"
#endif
#if H5_VERSION_GE(1, 14, 0)
#include <H5FDdevelop.h>
#endif

namespace tessera::record::store
{
namespace
{

#if H5_VERSION_GE(1, 14, 0)
/// Numbers of drivers that nobody else has in one process: these are for drivers under test, which
/// are not registered with the library's authors. They are not in the file.
constexpr H5FD_class_value_t kCommittedDriver = 404;
constexpr H5FD_class_value_t kLiveDriver = 405;
#endif

/// A kill can take effect between two pages of one write.
constexpr haddr_t kPage = 4096;
/// What is worth a call to the disk.
constexpr haddr_t kWorthwhile = haddr_t{1} << 20U;
constexpr haddr_t kMaxAddress = (haddr_t{1} << 62U) - 1;

/// Half-open ranges of addresses that do not touch.
class Ranges
{
public:
    void add(haddr_t begin, haddr_t end)
    {
        auto next = ranges_.lower_bound(begin);
        if (next != ranges_.begin() && std::prev(next)->second >= begin)
        {
            --next;
        }
        while (next != ranges_.end() && next->first <= end)
        {
            begin = std::min(begin, next->first);
            end = std::max(end, next->second);
            next = ranges_.erase(next);
        }
        ranges_.emplace(begin, end);
    }

    [[nodiscard]] bool touches(haddr_t begin, haddr_t end) const
    {
        const auto next = ranges_.lower_bound(end);
        return next != ranges_.begin() && std::prev(next)->second > begin;
    }

    void take(Ranges& other)
    {
        for (const auto& [begin, end] : other.ranges_)
        {
            add(begin, end);
        }
        other.ranges_.clear();
    }

private:
    std::map<haddr_t, haddr_t> ranges_; ///< begin to end
};

struct Write
{
    haddr_t address = 0;
    std::vector<std::byte> bytes;

    [[nodiscard]] haddr_t end() const { return address + bytes.size(); }
    /// Before which others it must reach the file: the superblock knows the file's new end, without
    /// which nothing beyond the old one can be referred to; a B-tree's upper nodes go before the
    /// lower ones that entries were moved out of; datasets claim their new size last.
    [[nodiscard]] int rank() const
    {
        constexpr std::size_t header = 8;
        constexpr std::size_t level_at = 5;
        constexpr int levels = 256;
        if (address == 0)
        {
            return 0;
        }
        if (bytes.size() >= header && std::memcmp(bytes.data(), "TREE", 4) == 0)
        {
            return levels - std::to_integer<int>(bytes[level_at]);
        }
        return levels + 1;
    }
};

class Failure : public std::system_error
{
public:
    explicit Failure(const char* what) : std::system_error(errno, std::generic_category(), what) {}
};

/// The open file, as the library sees it: its own part first.
class Store : public H5FD_t
{
public:
    Store(const char* path, unsigned access, bool passing) : H5FD_t{}, passing_(passing)
    {
        const bool truncate = (access & H5F_ACC_TRUNC) != 0;
        const int create = (access & H5F_ACC_CREAT) != 0 ? O_CREAT : 0;
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
        file_ =
            Descriptor(::open(path, O_RDWR | O_CLOEXEC | create | (truncate ? O_TRUNC : 0), 0666));
        struct stat info = {};
        if (!file_.valid() || fstat(file_.get(), &info) != 0)
        {
            throw Failure("cannot open");
        }
        size_ = static_cast<haddr_t>(info.st_size);
        if (size_ != 0)
        {
            committed_.add(0, size_);
            superblock_.resize(superblock::kSize);
            read(0, superblock_.size(), superblock_.data());
            if (!superblock::known(superblock_.data()))
            {
                superblock_.clear();
            }
        }
    }
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;
    ~Store() = default;

    /// Some file systems report a full disk only here. Throws Failure.
    void close()
    {
        if (!file_.close())
        {
            throw Failure("file close failed");
        }
    }

    void read(haddr_t address, std::size_t size, std::byte* into) const
    {
        const haddr_t end = address + size;
        std::size_t got = 0;
        while (got < size)
        {
            const ssize_t count =
                pread(file_.get(), into + got, size - got, static_cast<off_t>(address + got));
            if (count < 0 && errno != EINTR)
            {
                throw Failure("file read failed");
            }
            if (count == 0)
            {
                std::fill(into + got, into + size, std::byte{0}); // allocated, not yet written
                break;
            }
            got += count < 0 ? 0 : static_cast<std::size_t>(count);
        }
        for (const Write& write : held_)
        {
            const haddr_t from = std::max(address, write.address);
            const haddr_t to = std::min(end, write.end());
            if (from < to)
            {
                std::memcpy(into + (from - address), write.bytes.data() + (from - write.address),
                            to - from);
            }
        }
    }

    void write(haddr_t address, const std::byte* bytes, std::size_t size, bool metadata)
    {
        if (abandoned_)
        {
            return;
        }
        check_sound();
        if (address == 0 && size >= superblock::kSize && superblock::known(bytes))
        {
            superblock_.assign(bytes, bytes + size);
            superblock::clear_flags(superblock_.data());
            if (passing_)
            {
                put_end();
                return;
            }
            place(address, superblock_.data(), size);
            return;
        }
        if (passing_ && metadata && !superblock_.empty() &&
            superblock::end_of_file(superblock_.data()) < eoa_)
        {
            // The library tells the superblock last where the file ends, and readers refuse to
            // follow a reference beyond that.
            put_end();
        }
        if (label_ && address == labelled_)
        {
            const haddr_t before = address - ChunkLabel::kBytes;
            const ChunkLabel::Bytes label = label_->encoded(before);
            place(before, label.data(), label.size());
            label_.reset();
        }
        place(address, bytes, size);
    }

    /// The next room for raw data of its size gets this label before it, when it is written.
    void announce(const ChunkLabel& label)
    {
        label_ = label;
        labelled_ = HADDR_UNDEF;
    }
    /// Takes an announced label back; false if it has been written.
    bool withdraw()
    {
        const bool unused = label_.has_value();
        label_.reset();
        return unused;
    }

    /// What was held back goes out. `closing`: nothing more will come.
    void commit(bool closing)
    {
        if (abandoned_)
        {
            return;
        }
        check_sound();
        if (!superblock_.empty() && superblock::end_of_file(superblock_.data()) != eoa_ &&
            (closing || superblock::end_of_file(superblock_.data()) < eoa_))
        {
            superblock::set_end_of_file(superblock_.data(), eoa_);
            hold(0, superblock_.data(), superblock_.size());
        }
        std::stable_sort(held_.begin(), held_.end(),
                         [](const Write& a, const Write& b) { return a.rank() < b.rank(); });
        for (const Write& write : held_)
        {
            put(write.address, write.bytes.data(), write.bytes.size());
        }
        held_.clear();
        committed_.take(fresh_);
        if (size_ > eoa_ && (closing || !passing_))
        {
            resize(eoa_);
        }
        if (put_ >= kWorthwhile)
        {
            // The disk may begin with it: what is synced in the end is then little. No promise is
            // made of it, so it may fail.
            static_cast<void>(sync_file_range(file_.get(), 0, 0, SYNC_FILE_RANGE_WRITE));
            put_ = 0;
        }
    }

    /// The file must not be shorter than its superblock is going to say; nor than it will say when
    /// a reader that has asked for the length comes to read it.
    void extend()
    {
        constexpr haddr_t ahead = haddr_t{4} << 20U;
        if (abandoned_ || size_ >= eoa_)
        {
            return;
        }
        if (passing_ && ftruncate(file_.get(), static_cast<off_t>(eoa_ + ahead)) == 0)
        {
            size_ = eoa_ + ahead;
            return;
        }
        resize(eoa_);
    }

    /// Room for `size` bytes at the end. Metadata, which change in place, lie within one page, so
    /// that a kill cannot tear them; and the gap behind them keeps the library from making them
    /// longer where they are.
    haddr_t allocate(haddr_t size, bool metadata)
    {
        constexpr haddr_t gap = 8;
        haddr_t address = eoa_;
        if (label_ && !metadata && size == label_->size)
        {
            address += ChunkLabel::kBytes;
            labelled_ = address;
        }
        if (metadata && size <= kPage && address % kPage + size > kPage)
        {
            address += kPage - address % kPage;
        }
        eoa_ = address + size + (metadata ? gap : 0);
        return address;
    }

    void abandon() { abandoned_ = true; }
    [[nodiscard]] bool abandoned() const { return abandoned_; }
    [[nodiscard]] haddr_t eoa() const { return eoa_; }
    void set_eoa(haddr_t address) { eoa_ = address; }
    [[nodiscard]] haddr_t size() const { return size_; }

private:
    void place(haddr_t address, const std::byte* bytes, std::size_t size)
    {
        if (passing_)
        {
            put(address, bytes, size);
            return;
        }
        if (!committed_.touches(address, address + size))
        {
            put(address, bytes, size);
            fresh_.add(address, address + size);
            return;
        }
        hold(address, bytes, size);
    }

    void hold(haddr_t address, const std::byte* bytes, std::size_t size)
    {
        const auto same =
            std::find_if(held_.begin(), held_.end(),
                         [&](const Write& write)
                         { return write.address == address && write.bytes.size() == size; });
        if (same != held_.end())
        {
            std::copy(bytes, bytes + size, same->bytes.begin());
            return;
        }
        held_.push_back({address, {bytes, bytes + size}});
    }

    /// Writes the superblock, with the file's end as it is now.
    void put_end()
    {
        extend();
        superblock::set_end_of_file(superblock_.data(), eoa_);
        put(0, superblock_.data(), superblock_.size());
    }

    void put(haddr_t address, const std::byte* bytes, std::size_t size)
    {
        std::size_t done = 0;
        while (done < size)
        {
            const ssize_t count =
                pwrite(file_.get(), bytes + done, size - done, static_cast<off_t>(address + done));
            if (count < 0 && errno != EINTR)
            {
                fail("file write failed");
            }
            done += count < 0 ? 0 : static_cast<std::size_t>(count);
        }
        size_ = std::max(size_, address + size);
        put_ += size;
    }

    void resize(haddr_t size)
    {
        if (ftruncate(file_.get(), static_cast<off_t>(size)) != 0)
        {
            fail("changing the file's size failed");
        }
        size_ = size;
    }

    [[noreturn]] void fail(const char* what)
    {
        failure_ = errno;
        throw Failure(what);
    }

    /// The library goes on after a write that failed, and what it writes then may refer to what is
    /// not there.
    void check_sound() const
    {
        if (failure_ != 0)
        {
            errno = failure_;
            throw Failure("file write failed");
        }
    }

    Descriptor file_;
    int failure_ = 0; ///< errno of the first write that failed
    bool passing_;    ///< the library orders the writes
    bool abandoned_ = false;
    haddr_t eoa_ = 0;  ///< end of what the library has allocated
    haddr_t size_ = 0; ///< of the file
    haddr_t put_ = 0;  ///< bytes written since the disk was last told to begin
    Ranges committed_; ///< what the file's last commit may refer to
    Ranges fresh_;     ///< written since
    std::vector<Write> held_;
    std::vector<std::byte> superblock_; ///< as it was last written
    std::optional<ChunkLabel> label_;   ///< announced, and not yet written
    haddr_t labelled_ = HADDR_UNDEF;    ///< of the chunk that it belongs to
};

Store& store_of(H5FD_t* file)
{
    return *static_cast<Store*>(file); // NOLINT(*-static-cast-downcast): the driver's own, always
}

const Store& store_of(const H5FD_t* file)
{
    return *static_cast<const Store*>(file); // NOLINT(*-static-cast-downcast)
}

/// Runs `action`; what it throws becomes an entry of the library's error stack.
template <class Action> herr_t guarded(Action action)
{
    std::string problem = "out of memory";
    try
    {
        action();
        return 0;
    }
    catch (const std::system_error& error)
    {
        const std::string remedy = remedy_of(error.code().value());
        problem = error.what() + (remedy.empty() ? "" : "; " + remedy);
    }
    catch (const std::bad_alloc&) // NOLINT(bugprone-empty-catch): the text above says it
    {
    }
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_IO, H5E_WRITEERROR, "%s",
             problem.c_str());
    return -1;
}

template <bool passing>
H5FD_t* open_store(const char* path, unsigned access, hid_t /*fapl*/, haddr_t /*most*/)
{
    H5FD_t* file = nullptr;
    guarded([&] { file = std::make_unique<Store>(path, access, passing).release(); });
    return file;
}

herr_t close_store(H5FD_t* file)
{
    const std::unique_ptr<Store> store(&store_of(file));
    return guarded(
        [&]
        {
            store->commit(true);
            store->close();
        });
}

int compare_stores(const H5FD_t* a, const H5FD_t* b)
{
    return a < b ? -1 : (a == b ? 0 : 1);
}

herr_t query_store(const H5FD_t* /*file*/, unsigned long* features)
{
    if (features != nullptr)
    {
        *features =
            H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_SUPPORTS_SWMR_IO | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    }
    return 0;
}

haddr_t allocate_in_store(H5FD_t* file, H5FD_mem_t type, hid_t /*dxpl*/, hsize_t size)
{
    return store_of(file).allocate(size, type != H5FD_MEM_DRAW);
}

haddr_t eoa_of_store(const H5FD_t* file, H5FD_mem_t /*type*/)
{
    return store_of(file).eoa();
}

herr_t set_eoa_of_store(H5FD_t* file, H5FD_mem_t /*type*/, haddr_t address)
{
    store_of(file).set_eoa(address);
    return 0;
}

haddr_t eof_of_store(const H5FD_t* file, H5FD_mem_t /*type*/)
{
    return store_of(file).size();
}

herr_t handle_of_store(H5FD_t* file, hid_t /*fapl*/, void** handle)
{
    *handle = file;
    return 0;
}

herr_t read_store(H5FD_t* file, H5FD_mem_t /*type*/, hid_t /*dxpl*/, haddr_t address,
                  std::size_t size, void* into)
{
    return guarded([&] { store_of(file).read(address, size, static_cast<std::byte*>(into)); });
}

herr_t write_store(H5FD_t* file, H5FD_mem_t type, hid_t /*dxpl*/, haddr_t address, std::size_t size,
                   const void* bytes)
{
    return guarded(
        [&]
        {
            store_of(file).write(address, static_cast<const std::byte*>(bytes), size,
                                 type != H5FD_MEM_DRAW);
        });
}

herr_t flush_store(H5FD_t* file, hid_t /*dxpl*/, hbool_t closing)
{
    return guarded([&] { store_of(file).commit(closing); });
}

herr_t truncate_store(H5FD_t* file, hid_t /*dxpl*/, hbool_t /*closing*/)
{
    return guarded([&] { store_of(file).extend(); });
}

template <bool passing> const H5FD_class_t& class_of_store()
{
    static const H5FD_class_t driver = []
    {
        H5FD_class_t made = {};
#if H5_VERSION_GE(1, 14, 0)
        made.version = H5FD_CLASS_VERSION;
        made.value = passing ? kLiveDriver : kCommittedDriver;
#endif
        made.name = passing ? "tessera_live" : "tessera_committed";
        made.maxaddr = kMaxAddress;
        made.fc_degree = H5F_CLOSE_WEAK;
        made.open = open_store<passing>;
        made.close = close_store;
        made.cmp = compare_stores;
        made.query = query_store;
        made.alloc = allocate_in_store;
        made.get_eoa = eoa_of_store;
        made.set_eoa = set_eoa_of_store;
        made.get_eof = eof_of_store;
        made.get_handle = handle_of_store;
        made.read = read_store;
        made.write = write_store;
        made.flush = flush_store;
        made.truncate = truncate_store;
        const H5FD_mem_t kinds[] = H5FD_FLMAP_DICHOTOMY; // NOLINT(modernize-avoid-c-arrays)
        std::copy(std::begin(kinds), std::end(kinds), std::begin(made.fl_map));
        return made;
    }();
    return driver;
}

/// Registered once for all: to close its last file, the library (1.10) would first forget the
/// driver and then call it.
template <bool passing> hid_t driver_of_store()
{
    static const hid_t driver = H5FDregister(&class_of_store<passing>());
    return driver;
}

/// Access properties with the driver. Contract: the library is locked.
h5::Handle access_list(const std::string& path, bool passing, bool swmr)
{
    h5::Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "set up " + path);
    const hid_t driver = passing ? driver_of_store<true>() : driver_of_store<false>();
    h5::check(H5Pset_driver(access.get(), driver, nullptr), "set up " + path);
    // Not "latest": what later libraries make of that, 1.10 cannot read.
    const H5F_libver_t version = swmr ? H5F_LIBVER_V110 : H5F_LIBVER_V18;
    h5::check(H5Pset_libver_bounds(access.get(), version, version), "set up " + path);
    return access;
}

} // namespace

h5::Handle create(const std::string& path, Format format)
{
    const h5::Lock lock;
    const bool live = format == Format::live;
    const h5::Handle access = access_list(path, live, live);
    const h5::Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose, "set up " + path);
    h5::check(H5Pset_obj_track_times(creation.get(), false), "set up " + path);
    // All links of the root group stay in its header, with room for those made at the end: one
    // block that a commit replaces as a whole.
    constexpr unsigned links = 24;
    constexpr unsigned room = 80; // for attributes too
    constexpr unsigned name_length = 12;
    h5::check(H5Pset_attr_phase_change(creation.get(), links, 0), "set up " + path);
    h5::check(H5Pset_link_phase_change(creation.get(), links, 0), "set up " + path);
    h5::check(H5Pset_est_link_info(creation.get(), room, name_length), "set up " + path);
    h5::require_room();
    return {H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose,
            "create " + path};
}

h5::Handle reopen(const std::string& path)
{
    const h5::Lock lock;
    const h5::Handle access = access_list(path, false, true);
    h5::require_room();
    return {H5Fopen(path.c_str(), H5F_ACC_RDWR, access.get()), H5Fclose, "open " + path};
}

void write_chunk(hid_t file, hid_t dataset, hsize_t first, const std::byte* bytes,
                 const ChunkLabel& label, const std::string& what)
{
    const h5::Lock lock;
    void* handle = nullptr;
    h5::check(H5Fget_vfd_handle(file, H5P_DEFAULT, &handle), what);
    Store& store = store_of(static_cast<H5FD_t*>(handle));
    store.announce(label);
    const herr_t status = H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &first, label.size, bytes);
    const bool unused = store.withdraw();
    h5::check(status, what);
    if (unused && !store.abandoned())
    {
        throw IoError("cannot " + what + ": this HDF5 library does not place chunks as expected");
    }
}

void abandon(hid_t file)
{
    const h5::Lock lock;
    void* store = nullptr;
    if (H5Fget_vfd_handle(file, H5P_DEFAULT, &store) >= 0)
    {
        store_of(static_cast<H5FD_t*>(store)).abandon();
    }
}

} // namespace tessera::record::store
