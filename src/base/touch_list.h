// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera
{

/// Which of a number of things have changed since somebody last asked, each once. Nobody asks until
/// start(): touching is one comparison then.
class TouchList
{
public:
    void start(std::size_t things) { touched_.assign(things, 0); }
    void touch(std::size_t thing)
    {
        if (thing < touched_.size() && touched_[thing] == 0)
        {
            touched_[thing] = 1;
            list_.push_back(static_cast<std::uint32_t>(thing));
        }
    }
    /// Calls `look` for all of them, in the order of touching, and forgets them. Those for which it
    /// returns true are touched again: they change by themselves.
    template <class Look> void take(const Look& look)
    {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < list_.size(); ++i)
        {
            const std::uint32_t thing = list_[i];
            if (look(thing))
            {
                list_[kept++] = thing;
            }
            else
            {
                touched_[thing] = 0;
            }
        }
        list_.resize(kept);
    }

private:
    std::vector<std::uint8_t> touched_;
    std::vector<std::uint32_t> list_;
};

} // namespace tessera
