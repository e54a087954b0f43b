// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "trace/reader.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace tessera::simulation
{

/// How a trace of a few images becomes one of many: the last image it has is followed by copies of
/// itself, whose ids and image numbers are shifted. What an operation of that image refers to in
/// the image before is shifted with it.
struct Repetition
{
    std::uint32_t held = 1;   ///< images in the trace, 0 .. held - 1
    std::uint32_t images = 1; ///< images to run, at least `held`
    std::uint64_t stride = 0; ///< from an id to the same operation's id in the next image
};

/// The header of the repeated trace, whose window is given. Throws UsageError when the ids would
/// become too large.
[[nodiscard]] trace::Header repeated(trace::Header header, const Repetition& repetition,
                                     std::uint64_t window);
/// Makes an operation of the last image held the one that is `images` later.
void shift(trace::Operation& operation, const Repetition& repetition, std::uint32_t images);

/// Reads a trace again and again, each unit at its own pace: the memory is that of the source.
class RepeatingSource final : public trace::OperationSource
{
public:
    RepeatingSource(std::unique_ptr<trace::RewindableSource> source, const Repetition& repetition,
                    std::uint64_t window);

    [[nodiscard]] const trace::Header& header() const override { return header_; }
    bool next(UnitId unit, trace::Operation& operation) override;
    bool images_left(const TellImages& tell) override;
    [[nodiscard]] std::string name() const override { return source_->name(); }

private:
    std::unique_ptr<trace::RewindableSource> source_;
    Repetition repetition_;
    trace::Header header_;
    std::vector<std::uint32_t> copy_; ///< by unit: how many images later it is
};

} // namespace tessera::simulation
