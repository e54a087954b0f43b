// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/activity.h"

#include <cstddef>

namespace tessera
{

/// Appends records of one kind to chunks that somebody else provides and empties. Off: no chunk,
/// and append() is one comparison.
template <class Record> class RecordStream
{
public:
    /// Contract: `full` receives the filled part of the chunk and returns the next one to fill.
    struct Chunk
    {
        Record* begin = nullptr;
        Record* end = nullptr;
    };
    class Consumer
    {
    public:
        virtual ~Consumer() = default;
        virtual Chunk full(const Record* begin, const Record* end) = 0;
    };

    void connect(Consumer& consumer, Chunk first)
    {
        consumer_ = &consumer;
        begin_ = cursor_ = first.begin;
        end_ = first.end;
    }
    [[nodiscard]] bool enabled() const { return consumer_ != nullptr; }
    void append(const Record& record)
    {
        if (cursor_ == end_)
        {
            if (consumer_ == nullptr)
            {
                return;
            }
            hand_over();
        }
        *cursor_++ = record;
    }
    /// Hands over what is there, full or not; used once, at the end.
    void finish()
    {
        if (consumer_ != nullptr)
        {
            hand_over();
        }
    }

private:
    void hand_over()
    {
        const Chunk next = consumer_->full(begin_, cursor_);
        begin_ = cursor_ = next.begin;
        end_ = next.end;
    }

    Record* begin_ = nullptr;
    Record* cursor_ = nullptr;
    Record* end_ = nullptr;
    Consumer* consumer_ = nullptr;
};

/// Where chip, noc and energy leave their activity. Knows nothing of files.
struct ActivitySink
{
    ActivityLevel level = ActivityLevel::off;
    RecordStream<OpRecord> operations;
    RecordStream<DependencyRecord> dependencies;
    RecordStream<IntervalRecord> intervals;
    RecordStream<StallRecord> stalls;
    RecordStream<CycleRecord> cycles;
    RecordStream<ImageRecord> images;

    [[nodiscard]] bool at(ActivityLevel wanted) const { return level >= wanted; }
};

} // namespace tessera
