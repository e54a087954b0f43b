// SPDX-License-Identifier: Apache-2.0
#include "tessera/results.h"

#include "record/reader.h"

namespace tessera
{

class Results::Impl : public record::ResultReader
{
public:
    using ResultReader::ResultReader;
};

Results::Results(const std::filesystem::path& path) : impl_(std::make_unique<Impl>(path)) {}

Results::Results(Results&&) noexcept = default;
Results& Results::operator=(Results&&) noexcept = default;
Results::~Results() = default;

bool Results::closed() const
{
    return impl_->header().closed;
}

ActivityLevel Results::level() const
{
    return impl_->header().level;
}

const Summary& Results::summary() const
{
    return impl_->header().summary;
}

std::string Results::config() const
{
    return impl_->header().config;
}

std::string Results::trace_header() const
{
    return impl_->header().trace_header;
}

template <class Record> std::uint64_t Results::count() const
{
    return impl_->count<Record>();
}

template <class Record>
std::vector<Record> Results::read(std::uint64_t first, std::uint64_t count) const
{
    return impl_->read<Record>(first, count);
}

template <class Record>
void Results::for_each(const std::function<void(const Record&)>& action) const
{
    impl_->for_each<Record>(action);
}

template std::uint64_t Results::count<OpRecord>() const;
template std::uint64_t Results::count<DependencyRecord>() const;
template std::uint64_t Results::count<IntervalRecord>() const;
template std::uint64_t Results::count<StallRecord>() const;
template std::uint64_t Results::count<CycleRecord>() const;
template std::uint64_t Results::count<ImageRecord>() const;

template std::vector<OpRecord> Results::read(std::uint64_t first, std::uint64_t count) const;
template std::vector<DependencyRecord> Results::read(std::uint64_t first,
                                                     std::uint64_t count) const;
template std::vector<IntervalRecord> Results::read(std::uint64_t first, std::uint64_t count) const;
template std::vector<StallRecord> Results::read(std::uint64_t first, std::uint64_t count) const;
template std::vector<CycleRecord> Results::read(std::uint64_t first, std::uint64_t count) const;
template std::vector<ImageRecord> Results::read(std::uint64_t first, std::uint64_t count) const;

template void Results::for_each(const std::function<void(const OpRecord&)>& action) const;
template void Results::for_each(const std::function<void(const DependencyRecord&)>& action) const;
template void Results::for_each(const std::function<void(const IntervalRecord&)>& action) const;
template void Results::for_each(const std::function<void(const StallRecord&)>& action) const;
template void Results::for_each(const std::function<void(const CycleRecord&)>& action) const;
template void Results::for_each(const std::function<void(const ImageRecord&)>& action) const;

} // namespace tessera
