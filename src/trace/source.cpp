// SPDX-License-Identifier: Apache-2.0
#include "base/interrupt.h"
#include "tessera/error.h"
#include "trace/h5_trace.h"
#include "trace/header.h"
#include "trace/reader.h"
#include "trace/rules.h"
#include "trace/text.h"
#include "trace/text_file.h"

namespace tessera::trace
{

std::unique_ptr<OperationSource> open(const std::string& path, const OpenOptions& options)
{
    if (is_hdf5(first_bytes(path, 8)))
    {
        return std::make_unique<H5Source>(path, options.memory);
    }
    return std::make_unique<TextSource>(path, options.buffered_operations);
}

std::unique_ptr<Reader> open_in_order(const std::string& path)
{
    if (is_hdf5(first_bytes(path, 8)))
    {
        return std::make_unique<H5Reader>(path, OpenOptions().memory);
    }
    return std::make_unique<TextReader>(path);
}

MemorySource::MemorySource(const Trace& trace)
    : trace_(std::shared_ptr<const Trace>(), &trace), header_(trace.header)
{
    index();
}

MemorySource::MemorySource(std::shared_ptr<const Trace> trace)
    : trace_(std::move(trace)), header_(trace_->header)
{
    index();
}

void MemorySource::index()
{
    const std::vector<Operation>& operations = trace_->operations;
    for (TracedUnit& unit : header_.units)
    {
        unit.operations = 0;
    }
    WindowMeter window(header_.units.size());
    header_.operations = operations.size();
    for (std::size_t i = 0; i < operations.size(); ++i)
    {
        const UnitId at = operations[i].at;
        if (at.index() >= header_.units.size())
        {
            throw InputError({"", i + 2, "/at"}, "is not in the trace's list of units",
                             "add the unit to the header");
        }
        ++header_.units[at.index()].operations;
        window.add(at);
    }
    header_.window = window.window();

    std::size_t begin = 0;
    for (const TracedUnit& unit : header_.units)
    {
        next_.push_back(begin);
        begin += unit.operations;
        end_.push_back(begin);
    }
    order_.resize(operations.size());
    std::vector<std::size_t> fill = next_;
    Operation scratch;
    std::uint64_t line = 1;
    try
    {
        check_header(header_);
        Rules rules(header_);
        Tally tally(header_);
        for (std::size_t i = 0; i < operations.size(); ++i)
        {
            ++line;
            throw_if_interrupted();
            scratch = operations[i];
            rules.check(scratch);
            tally.add(scratch);
            order_[fill[scratch.at.index()]++] = static_cast<std::uint32_t>(i);
        }
    }
    catch (const Malformed& problem)
    {
        throw InputError({"", line, problem.pointer}, problem.problem, problem.remedy);
    }
}

bool MemorySource::next(UnitId unit, Operation& operation)
{
    std::size_t& next = next_[unit.index()];
    if (next == end_[unit.index()])
    {
        return false;
    }
    operation = trace_->operations[order_[next++]];
    if (operation.block.valid())
    {
        operation.layer = header_.blocks[operation.block.index()].layer;
    }
    return true;
}

} // namespace tessera::trace
