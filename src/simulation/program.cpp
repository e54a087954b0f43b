// SPDX-License-Identifier: Apache-2.0
#include "base/nearest.h"
#include "base/reporter.h"
#include "compiler/compiler.h"
#include "compiler/report.h"
#include "config/chip_keys.h"
#include "config/load.h"
#include "network/network.h"
#include "simulation/compiler_choices.h"
#include "simulation/repeat.h"
#include "tessera/simulation.h"
#include "trace/compact.h"
#include "trace/h5_trace.h"
#include "trace/packed.h"
#include "trace/text_file.h"
#include "trace/tools.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

namespace tessera
{
namespace
{

/// What must be known of a trace before it can be repeated.
class Scan
{
public:
    Scan(const trace::Header& header, std::string name)
        : name_(std::move(name)), first_(header.units.size(), 0), last_(header.units.size(), 0)
    {
    }
    void add(const trace::Operation& operation)
    {
        ++line_;
        written_ += operation.kind == trace::OpKind::program ? 1 : 0;
        if (operation.image != 0)
        {
            throw InputError({name_, line_ + 1, "/img"},
                             "the trace holds several images already, and only one can be repeated",
                             "leave --images out, or compile the network for one image");
        }
        stride_ = operation.id.value() + 1;
        std::uint64_t& last = last_[operation.at.index()];
        window_ = std::max(window_, line_ - last);
        if (last == 0)
        {
            first_[operation.at.index()] = line_;
        }
        last = line_;
    }
    [[nodiscard]] std::uint64_t stride() const { return stride_; }
    /// Those apart that write crossbars.
    [[nodiscard]] std::uint64_t operations() const { return line_ - written_; }
    /// Of the repeated trace: it also lies between a unit's last operation and its next first one.
    [[nodiscard]] std::uint64_t window() const
    {
        std::uint64_t window = window_;
        for (std::size_t unit = 0; unit < first_.size(); ++unit)
        {
            if (last_[unit] != 0)
            {
                window = std::max(window, line_ - last_[unit] + first_[unit]);
            }
        }
        return window;
    }

private:
    std::string name_;
    std::uint64_t line_ = 0; ///< operations so far
    std::uint64_t written_ = 0;
    std::uint64_t stride_ = 0;
    std::uint64_t window_ = 0;
    std::vector<std::uint64_t> first_; ///< by unit: where its operations are
    std::vector<std::uint64_t> last_;
};

/// Operations of each image, those that write crossbars apart; 0: images differ.
template <class Operations> std::uint64_t count_per_image(const Operations& operations)
{
    std::map<std::uint32_t, std::uint64_t> counts;
    auto at = counts.end();
    for (const auto& operation : operations)
    {
        if (operation.kind == trace::OpKind::program)
        {
            continue;
        }
        if (at == counts.end() || at->first != operation.image)
        {
            at = counts.try_emplace(operation.image, 0).first;
        }
        ++at->second;
    }
    const auto differs = [&](const auto& image) { return image.second != counts.begin()->second; };
    return counts.empty() || std::any_of(counts.begin(), counts.end(), differs)
               ? 0
               : counts.begin()->second;
}

} // namespace

class Program::Impl
{
public:
    [[nodiscard]] std::unique_ptr<trace::RewindableSource> held() const
    {
        if (compiled_ != nullptr)
        {
            return std::make_unique<trace::CompactSource>(compiled_);
        }
        if (trace_ != nullptr)
        {
            return std::make_unique<trace::MemorySource>(trace_);
        }
        return std::make_unique<trace::H5Source>(file_, trace::OpenOptions().memory);
    }
    void each_held(const std::function<void(trace::Operation&)>& take) const;
    void each(const std::function<void(trace::Operation&)>& take) const;

    std::string name_;
    trace::Header header_;
    std::shared_ptr<const trace::CompactTrace> compiled_;
    std::shared_ptr<const trace::Trace> trace_; ///< this and compiled_ null: `file_` is read
    std::string file_;
    std::vector<std::string> files_;
    std::optional<simulation::Repetition> repetition_;
    std::uint64_t repeated_operations_ = 0; ///< of `file_`: see operations_per_image()
    std::optional<MappingReport> mapping_;
};

/// What is held or in the file, in the order of ids.
void Program::Impl::each_held(const std::function<void(trace::Operation&)>& take) const
{
    trace::Operation operation;
    if (compiled_ != nullptr)
    {
        for (std::size_t i = 0; i < compiled_->size(); ++i)
        {
            compiled_->expand(OpId(i), operation);
            take(operation);
        }
    }
    else if (trace_ != nullptr)
    {
        for (const trace::Operation& original : trace_->operations)
        {
            operation = original;
            take(operation);
        }
    }
    else
    {
        const std::unique_ptr<trace::Reader> reader = trace::open_in_order(file_);
        while (reader->next(operation))
        {
            take(operation);
        }
    }
}

/// All the images.
void Program::Impl::each(const std::function<void(trace::Operation&)>& take) const
{
    each_held(take);
    const std::uint32_t copies = repetition_ ? repetition_->images - repetition_->held : 0;
    for (std::uint32_t copy = 1; copy <= copies; ++copy)
    {
        each_held(
            [&](trace::Operation& operation)
            {
                if (operation.image + 1 == repetition_->held)
                {
                    simulation::shift(operation, *repetition_, copy);
                    take(operation);
                }
            });
    }
}

Program Program::compile(const std::string& network, const ChipModel& chip,
                         const CompileOptions& options, const PhaseMonitor& monitor)
{
    auto [choices, config] = simulation::compiler_choices(chip.config(), options);
    choices.monitor = monitor;
    const network::Network layers = network::load(network::find(network), options.batch_axis);
    compiler::Compiled compiled = compiler::compile_and_plan(layers, config, choices);
    auto trace = std::make_shared<const trace::CompactTrace>(std::move(compiled.trace));
    auto impl = std::make_shared<Impl>();
    impl->name_ = network;
    impl->files_ = layers.files;
    impl->mapping_ = compiler::report(*trace, layers, config);
    impl->mapping_->pipeline = compiled.pipeline;
    impl->mapping_->buffers = std::move(compiled.buffers);
    impl->mapping_->divided = std::move(compiled.divided);
    impl->mapping_->computed = compiled.computed;
    impl->mapping_->plans = compiled.plans;
    impl->header_ = trace->header;
    if (options.images > choices.images)
    {
        impl->repetition_ = {choices.images, options.images, trace->size() / choices.images};
        impl->header_ =
            simulation::repeated(trace->header, *impl->repetition_, trace->header.window);
    }
    impl->compiled_ = std::move(trace);
    return Program(impl);
}

Program Program::open(const std::filesystem::path& trace)
{
    auto impl = std::make_shared<Impl>();
    impl->name_ = impl->file_ = trace.string();
    impl->files_ = {impl->file_};
    impl->header_ = trace::open(impl->file_)->header();
    return Program(impl);
}

Program Program::of(trace::Trace trace)
{
    auto impl = std::make_shared<Impl>();
    impl->name_ = trace.header.network.empty() ? "trace" : trace.header.network;
    impl->trace_ = std::make_shared<const trace::Trace>(std::move(trace));
    impl->header_ = trace::MemorySource(impl->trace_).header(); // checks everything
    return Program(impl);
}

Program Program::repeat(std::uint32_t images) const
{
    if (images == 0)
    {
        throw UsageError("there is nothing to do for 0 images; give at least 1");
    }
    if (images == 1)
    {
        return *this;
    }
    auto impl = std::make_shared<Impl>(*impl_);
    Scan scan(header(), name());
    if (impl->repetition_)
    {
        trace::Operation several;
        several.image = 1;
        several.at = UnitId(0);
        scan.add(several);
    }
    if (impl->compiled_ == nullptr && impl->trace_ == nullptr &&
        !trace::is_hdf5(trace::first_bytes(impl->file_, 8)))
    {
        // Lines can only be read in their order, and the units are in different images.
        impl->trace_ = std::make_shared<const trace::Trace>(trace::load(impl->file_));
    }
    impl->each_held([&](trace::Operation& operation) { scan.add(operation); });
    impl->repetition_ = {1, images, scan.stride()};
    impl->repeated_operations_ = scan.operations();
    impl->header_ = simulation::repeated(impl->header_, *impl->repetition_, scan.window());
    return Program(impl);
}

const std::string& Program::name() const
{
    return impl_->name_;
}

const trace::Header& Program::header() const
{
    return impl_->header_;
}

const std::optional<MappingReport>& Program::mapping() const
{
    return impl_->mapping_;
}

const std::vector<std::string>& Program::files() const
{
    return impl_->files_;
}

std::uint64_t Program::operations_per_image() const
{
    return impl_->compiled_ != nullptr ? count_per_image(*impl_->compiled_)
           : impl_->trace_ != nullptr  ? count_per_image(impl_->trace_->operations)
                                       : impl_->repeated_operations_;
}

void Program::save(const std::filesystem::path& file, bool replace,
                   const PhaseMonitor& monitor) const
{
    const Existing existing = replace ? Existing::replace : Existing::keep;
    if (impl_->compiled_ == nullptr && !impl_->repetition_)
    {
        if (impl_->trace_ == nullptr)
        {
            trace::convert(impl_->file_, file.string(), true, existing);
        }
        else
        {
            trace::write(*impl_->trace_, file.string(), existing);
        }
        return;
    }
    // Some encodings are measured before they are written.
    const auto each = [&](const std::function<void(trace::Operation&)>& take)
    {
        Reporter reporter(monitor);
        reporter.begin("writing the trace", impl_->header_.operations);
        impl_->each(
            [&](trace::Operation& operation)
            {
                take(operation);
                reporter.add();
            });
    };
    trace::write(impl_->header_, each, file.string(), existing);
}

std::unique_ptr<trace::OperationSource> Program::source() const
{
    if (impl_->repetition_)
    {
        return std::make_unique<simulation::RepeatingSource>(impl_->held(), *impl_->repetition_,
                                                             impl_->header_.window);
    }
    return impl_->compiled_ != nullptr || impl_->trace_ != nullptr ? impl_->held()
                                                                   : trace::open(impl_->file_);
}

} // namespace tessera
