// SPDX-License-Identifier: Apache-2.0
#include "base/throughput.h"

#include <algorithm>

namespace tessera
{
namespace
{

bool has_ended(const ImageRecord& image)
{
    return image.end != kNever;
}

Tick latency(const ImageRecord& image)
{
    return image.end - (image.arrival == kNever ? image.start : image.arrival);
}

Tick waiting(const ImageRecord& image)
{
    return image.arrival == kNever ? 0 : image.start - image.arrival;
}

Tick service(const ImageRecord& image)
{
    return image.end - image.start;
}

Tick end(const ImageRecord& image)
{
    return image.end;
}

/// `count` in `time` ps.
double per_second(double count, double time)
{
    return time > 0 ? count * 1e12 / time : 0;
}

/// One time of every image that has ended, one kind after the other.
class Times
{
public:
    Times(const Images& images, std::size_t most) : images_(images) { times_.reserve(most); }

    template <class Time> void collect(Time time)
    {
        times_.clear();
        sum_ = 0;
        images_(
            [&](const ImageRecord& image)
            {
                if (has_ended(image))
                {
                    times_.push_back(time(image));
                    sum_ += static_cast<double>(times_.back());
                }
            });
        rest_ = times_.begin();
    }
    [[nodiscard]] std::size_t count() const { return times_.size(); }
    [[nodiscard]] double mean() const { return sum_ / static_cast<double>(count()); }
    [[nodiscard]] Tick first() const { return times_.front(); } ///< of all, before rank()
    [[nodiscard]] Tick least() const { return *std::min_element(times_.begin(), times_.end()); }
    [[nodiscard]] Tick most() const { return *std::max_element(times_.begin(), times_.end()); }
    /// The one at `position` in rising order. Contract: positions do not fall from call to call.
    [[nodiscard]] Tick rank(std::size_t position)
    {
        const auto place = times_.begin() + static_cast<std::ptrdiff_t>(position);
        std::nth_element(rest_, place, times_.end());
        rest_ = place;
        return *place;
    }
    [[nodiscard]] Percentiles percentiles()
    {
        const auto nearest = [&](std::size_t percent)
        { return rank((percent * count() + 99) / 100 - 1); };
        Percentiles result;
        result.p50 = nearest(50);
        result.p95 = nearest(95);
        result.p99 = nearest(99);
        return result;
    }
    [[nodiscard]] TimeSummary summary() { return {mean(), most(), percentiles()}; }

private:
    const Images& images_;
    std::vector<Tick> times_;
    std::vector<Tick>::iterator rest_; ///< what lies before it is not greater than what follows
    double sum_ = 0;
};

/// What is known of images that have not ended, too.
ImageSummary arrived(const Images& images)
{
    ImageSummary result;
    Tick first = kNever;
    Tick last = 0;
    images(
        [&](const ImageRecord& image)
        {
            ++result.arrived;
            if (image.arrival != kNever)
            {
                result.timed = true;
                first = std::min(first, image.arrival);
                last = std::max(last, image.arrival);
            }
        });
    result.offered =
        result.timed ? per_second(result.arrived - 1.0, static_cast<double>(last - first)) : 0;
    return result;
}

Tick first_start(const Images& images)
{
    Tick first = kNever;
    images(
        [&](const ImageRecord& image)
        {
            if (has_ended(image))
            {
                first = std::min(first, image.start);
            }
        });
    return first;
}

} // namespace

ImageSummary image_summary(const Images& images, bool in_turns)
{
    ImageSummary result = arrived(images);
    result.in_turns = in_turns;
    Times times(images, result.arrived);
    times.collect(latency);
    result.count = static_cast<std::uint32_t>(times.count());
    if (result.count == 0)
    {
        return result;
    }
    result.first_latency = times.first();
    result.most_latency = times.most();
    result.mean_latency = times.mean();
    result.latency = times.percentiles();
    times.collect(waiting);
    result.waiting = times.summary();
    times.collect(service);
    result.service = times.summary();
    times.collect(end);
    const std::size_t last = times.count() - 1;
    const Tick first_end = times.least();
    const Tick last_end = times.most();
    if (last > 0 && in_turns)
    {
        result.interval = static_cast<double>(last_end - first_start(images)) / result.count;
        result.served = per_second(1, result.interval);
    }
    else if (last > 0)
    {
        const std::size_t middle = last / 2;
        result.interval =
            static_cast<double>(last_end - times.rank(middle)) / static_cast<double>(last - middle);
        result.served =
            per_second(static_cast<double>(last), static_cast<double>(last_end - first_end));
    }
    return result;
}

ImageSummary summary_of(const std::vector<Passage>& images, bool in_turns)
{
    const Images show = [&](const ImageVisitor& visit)
    {
        for (const Passage& image : images)
        {
            if (image.begin <= image.end)
            {
                visit({kNever, image.begin, image.end, 0, {}});
            }
        }
    };
    return image_summary(show, in_turns);
}

} // namespace tessera
