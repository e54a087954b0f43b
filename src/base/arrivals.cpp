// SPDX-License-Identifier: Apache-2.0
#include "base/arrivals.h"

#include "base/quantity.h"
#include "base/time_limit.h"
#include "tessera/error.h"

#include <algorithm>

namespace tessera
{
namespace
{

constexpr const char* kPoisson = "poisson:";
constexpr std::uint32_t kPurpose = 0x6172'7276; ///< of the draws: sets them apart from all others
constexpr Tick kTooLate = kLatestTime + 1;      ///< stands for all that is later

} // namespace

Arrivals::Arrivals(const std::string& text, std::uint64_t seed) : draws_(seed)
{
    const std::string prefix = kPoisson;
    poisson_ = text.compare(0, prefix.size(), prefix) == 0;
    try
    {
        gap_ = parse_quantity(Dimension::time, poisson_ ? text.substr(prefix.size()) : text, {},
                              {1, kLatestTime});
    }
    catch (const InputError& error)
    {
        throw UsageError("arrivals '" + text + "': " + error.what() +
                         "; \"10ms\" is one image every 10 ms, \"poisson:10ms\" that on average");
    }
    if (gap_ == 0)
    {
        throw UsageError("arrivals '" + text + "': the time between two images must not be 0");
    }
    if (gap_ > kLatestTime)
    {
        throw UsageError("arrivals '" + text +
                         "': the second image arrives after the end of "
                         "simulated time, " +
                         latest_time_text());
    }
}

Tick Arrivals::at(std::uint32_t image)
{
    if (!poisson_)
    {
        return image > kTooLate / gap_ ? kTooLate : image * gap_;
    }
    const auto mark = std::min(image / kStride, static_cast<std::uint32_t>(marks_.size() - 1));
    if (image < last_image_ || last_image_ < mark * kStride)
    {
        last_image_ = mark * kStride;
        last_ = marks_[mark];
    }
    while (last_image_ < image)
    {
        const double gap = exponential(++last_image_) * static_cast<double>(gap_);
        last_ = gap >= static_cast<double>(kTooLate - last_) ? kTooLate
                                                             : last_ + static_cast<Tick>(gap);
        if (last_image_ == marks_.size() * kStride)
        {
            marks_.push_back(last_);
        }
    }
    return last_;
}

/// With mean 1, by von Neumann's comparisons: no logarithm, whose last digits differ between
/// libraries.
double Arrivals::exponential(std::uint32_t image) const
{
    std::uint32_t draw = 0;
    const auto uniform = [&] { return draws_.uniform({kPurpose, image, draw++, 0}); };
    for (double whole = 0;; ++whole)
    {
        const double first = uniform();
        double last = first;
        bool odd = true; // length of the falling run that begins with `first`
        for (double next = uniform(); next < last; next = uniform())
        {
            last = next;
            odd = !odd;
        }
        if (odd)
        {
            return whole + first;
        }
    }
}

} // namespace tessera
