// SPDX-License-Identifier: Apache-2.0
#include "simulation/windows.h"

#include "base/json.h"
#include "base/quantity.h"
#include "base/time_limit.h"
#include "record/names.h"
#include "tessera/error.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <type_traits>

namespace tessera::simulation
{
namespace
{

using chip::Reading;

/// Bytes of lines that wait for each other to go to the disk, ...
constexpr std::size_t kHeld = std::size_t{1} << 16U;
/// ... and how long they wait.
constexpr std::chrono::milliseconds kLongest{100};

template <class Named> std::vector<std::string> quoted_names(const std::vector<Named>& all)
{
    std::vector<std::string> names;
    for (const Named& one : all)
    {
        if constexpr (std::is_same_v<Named, chip::Buffer>)
        {
            names.push_back(text_of(nlohmann::json(one.name())));
        }
        else
        {
            names.push_back(text_of(nlohmann::json(one.name)));
        }
    }
    return names;
}

template <class Figures, class Same>
bool alike(const Reading::Changes<Figures>& a, const Reading::Changes<Figures>& b, const Same& same)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [&](const auto& one, const auto& other)
                      { return one.first == other.first && same(one.second, other.second); });
}

/// No event in either of two windows, and the same went on in them.
bool both_quiet(const Reading& a, const Reading& b)
{
    const auto same_kind = [](const Reading::Kind& one, const Reading::Kind& other)
    { return one.time == other.time; };
    const auto same_layer = [](const Reading::Layer& one, const Reading::Layer& other)
    { return one.compute_time == other.compute_time && one.macro_time == other.macro_time; };
    const auto same_link =
        [](const noc::Fabric::LinkFigures& one, const noc::Fabric::LinkFigures& other)
    { return one.flits == other.flits && one.busy == other.busy && one.stalled == other.stalled; };
    return a.events == 0 && b.events == 0 && a.end - a.begin == b.end - b.begin &&
           std::equal(a.kinds.begin(), a.kinds.end(), b.kinds.begin(), same_kind) &&
           alike(a.layers, b.layers, same_layer) && alike(a.links, b.links, same_link);
}

} // namespace

Windows::Windows(const std::filesystem::path& folder, chip::Chip& chip, std::uint64_t most)
    : chip_(chip),
      most_(most),
      file_(folder / "windows.jsonl"),
      meter_(chip),
      layers_(quoted_names(chip.sequencer().layers())),
      links_(quoted_names(chip.fabric().links(0))),
      buffers_(quoted_names(chip.buffers()))
{
    file_.begin();
}

void Windows::end(Tick at)
{
    const std::uint64_t events = chip_.wheel().delivered();
    if (count_ != 0 && at == meter_.last() && events == events_)
    {
        return;
    }
    events_ = events;
    const Reading& reading = meter_.read(at);
    // What is held becomes one line, as long as its sums fit.
    const bool fits = (count_ - written_ + 1) <=
                      meter_.longest() / std::max<Tick>(reading.end - reading.begin, 1);
    if (count_ != written_ && (!fits || !both_quiet(quiet_, reading)))
    {
        append_held();
    }
    if (reading.events != 0)
    {
        append(reading, 1);
    }
    else if (count_ == written_)
    {
        quiet_ = reading;
    }
    ++count_;
    if (line_.size() >= kHeld)
    {
        flush();
    }
    show();
}

void Windows::check_count() const
{
    if (lines_ <= most_ && count_ / kWindowsALine <= most_)
    {
        return;
    }
    // Suits a run that goes on as it began, with room to spare.
    const Progress progress = chip_.progress();
    const double times = static_cast<double>(progress.total) /
                         static_cast<double>(std::max<std::uint64_t>(progress.operations, 1));
    const double least = 4 * times * static_cast<double>(last()) / static_cast<double>(most_);
    Tick enough = 1;
    while (static_cast<double>(enough) < least && enough < kLatestTime / 10)
    {
        enough *= 10;
    }
    throw TooManyWindows(fmt::format(
        "--stats-every makes more than {} {} by {}; give a longer time, for example "
        "--stats-every '{}'",
        lines_ > most_ ? most_ : most_ * kWindowsALine,
        lines_ > most_ ? "lines of windows.jsonl" : "windows",
        print_quantity(Dimension::time, last()), print_quantity(Dimension::time, enough)));
}

void Windows::show()
{
    if (!line_.empty() && WallClock::now() - flushed_ >= kLongest)
    {
        flush();
    }
}

void Windows::flush()
{
    file_ << line_ << std::flush;
    file_.require_good();
    line_.clear();
    flushed_ = WallClock::now();
}

void Windows::close()
{
    append_held();
    flush();
    file_.close();
}

void Windows::append_held()
{
    if (count_ != written_)
    {
        append(quiet_, count_ - written_);
    }
}

/// `key`: with what stands before it and the colon.
template <class Value> void Windows::member(const char* key, Value value)
{
    line_ += key;
    if constexpr (std::is_integral_v<Value>)
    {
        const fmt::format_int text(value);
        line_.append(text.data(), text.size());
    }
    else
    {
        fmt::format_to(std::back_inserter(line_), "{}", value);
    }
}

void Windows::append(const Reading& reading, std::uint64_t windows)
{
    const Tick length = windows * (reading.end - reading.begin);
    const Tick computing = windows * reading.computing;
    member("{\"window\":", written_);
    member(",\"windows\":", windows);
    member(",\"begin\":", reading.begin);
    member(",\"end\":", reading.begin + length);
    member(",\"operations\":", reading.operations);
    member(",\"mvm_vectors\":", reading.vectors);
    member(",\"events\":", reading.events);
    member(",\"utilization\":", utilization_of(computing, chip_.crossbars(), length));
    append_units(reading, windows);
    append_layers(reading, windows);
    append_links(reading, windows);
    append_buffers(reading);
    line_ += "}\n";
    written_ += windows;
    ++lines_;
}

void Windows::append_units(const Reading& reading, std::uint64_t windows)
{
    line_ += ",\"units\":{";
    for (unsigned k = 0; k < trace::kUnitKinds; ++k)
    {
        const Reading::Kind& kind = reading.kinds.at(k);
        line_ += k == 0 ? "\"" : ",\"";
        line_ += record::name_of(static_cast<trace::UnitKind>(k));
        member("\":{\"operations\":", kind.operations);
        line_ += ",\"time\":{";
        const char* before = "\"";
        for (unsigned i = 0; i < kStages; ++i)
        {
            if (kind.time[i] != 0)
            {
                line_ += before;
                line_ += record::name_of(static_cast<Stage>(i));
                member("\":", static_cast<std::int64_t>(windows) * kind.time[i]);
                before = ",\"";
            }
        }
        line_ += "}}";
    }
    line_ += '}';
}

void Windows::append_layers(const Reading& reading, std::uint64_t windows)
{
    line_ += ",\"layers\":[";
    for (const auto& [layer, figures] : reading.layers)
    {
        line_ += line_.back() == '[' ? "" : ",";
        member("{\"layer\":", layer);
        line_ += ",\"name\":";
        line_ += layers_[layer];
        member(",\"operations\":", figures.operations);
        member(",\"vectors\":", figures.vectors);
        member(",\"compute_time\":", windows * figures.compute_time);
        member(",\"macro_time\":", windows * figures.macro_time);
        member(",\"moved_bytes\":", figures.moved_bytes);
        member(",\"memory_bytes\":", figures.memory_bytes);
        line_ += '}';
    }
    line_ += ']';
}

void Windows::append_links(const Reading& reading, std::uint64_t windows)
{
    line_ += ",\"links\":[";
    for (const auto& [link, figures] : reading.links)
    {
        line_ += line_.back() == '[' ? "{\"name\":" : ",{\"name\":";
        line_ += links_[link];
        member(",\"flits\":", windows * figures.flits);
        member(",\"busy\":", windows * figures.busy);
        member(",\"stalled\":", windows * figures.stalled);
        line_ += '}';
    }
    line_ += ']';
}

void Windows::append_buffers(const Reading& reading)
{
    const auto length = static_cast<double>(reading.end - reading.begin);
    line_ += ",\"buffers\":[";
    for (const auto& [buffer, figures] : reading.buffers)
    {
        line_ += line_.back() == '[' ? "{\"name\":" : ",{\"name\":";
        line_ += buffers_[buffer];
        member(",\"bytes\":", figures.bytes);
        member(",\"mean\":", length == 0 ? 0.0 : figures.byte_ticks / length);
        member(",\"waits\":", figures.waits);
        line_ += '}';
    }
    line_ += ']';
}

} // namespace tessera::simulation
