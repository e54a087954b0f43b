// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/philox.h"
#include "tessera/trace.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tessera::simulation
{

/// When the images of a run arrive.
class Arrivals
{
public:
    /// `text`: "10ms", one image every 10 ms, or "poisson:10ms", that on average; the first one
    /// arrives at tick 0. Throws UsageError.
    Arrivals(const std::string& text, std::uint64_t seed);

    /// Tick at which `image` arrives: the same for every order of asking, on every machine.
    [[nodiscard]] Tick at(std::uint32_t image);

private:
    [[nodiscard]] double exponential(std::uint32_t image) const;

    Draws draws_;
    Tick gap_ = 0;
    bool poisson_ = false;
    std::vector<Tick> known_ = {0}; ///< by image, Poisson only
};

/// Forbids the operations that read no data to start before their image has arrived.
class ArrivingSource final : public trace::OperationSource
{
public:
    ArrivingSource(std::unique_ptr<trace::OperationSource> source, Arrivals arrivals)
        : source_(std::move(source)), arrivals_(std::move(arrivals))
    {
    }
    [[nodiscard]] const trace::Header& header() const override { return source_->header(); }
    bool next(UnitId unit, trace::Operation& operation) override;
    [[nodiscard]] std::string name() const override { return source_->name(); }

private:
    std::unique_ptr<trace::OperationSource> source_;
    Arrivals arrivals_;
};

} // namespace tessera::simulation
