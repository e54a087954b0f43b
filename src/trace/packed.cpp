// SPDX-License-Identifier: Apache-2.0
#include "trace/packed.h"

#include "trace/rules.h"

#include <algorithm>
#include <cstring>

namespace tessera::trace
{
namespace
{

enum Flag : std::uint8_t
{
    kOfm = 1,
    kInto = 2,
    kRelease = 4,
    kStart = 8,
    kTensor = 16,
    kBox = 32,
    kAddress = 64
};

constexpr std::uint64_t kLow = 0xffff'ffffU;

/// Words that the flags stand for: 3 for a box, 1 for anything else.
constexpr std::array<std::uint8_t, 128> kFlagWords = []
{
    std::array<std::uint8_t, 128> words{};
    for (unsigned flags = 0; flags < words.size(); ++flags)
    {
        for (unsigned flag = 1; flag < words.size(); flag *= 2)
        {
            if ((flags & flag) != 0)
            {
                words[flags] = static_cast<std::uint8_t>(words[flags] +
                                                         (flag == kOfm || flag == kBox ? 3 : 1));
            }
        }
    }
    return words;
}();

void put(std::vector<std::uint64_t>& words, const Box& box)
{
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
        words.push_back(box.bounds[2 * axis] | std::uint64_t{box.bounds[2 * axis + 1]} << 32U);
    }
}

Box take_box(const std::uint64_t*& words)
{
    Box box;
    for (std::size_t axis = 0; axis < 3; ++axis, ++words)
    {
        box.bounds[2 * axis] = static_cast<std::uint32_t>(*words & kLow);
        box.bounds[2 * axis + 1] = static_cast<std::uint32_t>(*words >> 32U);
    }
    return box;
}

void take_ids(std::vector<OpId>& ids, const std::uint64_t*& words, std::size_t count)
{
    ids.resize(count);
    for (OpId& id : ids)
    {
        id = OpId(*words++);
    }
}

} // namespace

std::size_t words_of(const Row& row)
{
    return std::size_t{row.in} + row.after + row.to + kFlagWords[row.flags & 127U] +
           std::size_t{2} * row.arguments;
}

Row pack(const Operation& operation, std::vector<std::uint64_t>& words)
{
    if (operation.arguments.size() > 255)
    {
        throw Malformed{"/args", "has more than 255 entries", "leave some out"};
    }
    Row row = {};
    row.id = operation.id.value();
    row.bytes = operation.bytes;
    row.n = operation.n;
    row.uses = operation.uses;
    row.block = operation.block.value();
    row.layer = operation.layer.value();
    row.image = operation.image;
    row.in = static_cast<std::uint16_t>(operation.in.size());
    row.after = static_cast<std::uint16_t>(operation.after.size());
    row.to = static_cast<std::uint16_t>(operation.to.size());
    row.function = operation.function;
    row.kind = static_cast<std::uint8_t>(operation.kind);
    row.bits = operation.bits;
    row.arguments = static_cast<std::uint8_t>(operation.arguments.size());
    for (const OpId id : operation.in)
    {
        words.push_back(id.value());
    }
    for (const OpId id : operation.after)
    {
        words.push_back(id.value());
    }
    for (const Destination& destination : operation.to)
    {
        words.push_back(destination.at.value() | std::uint64_t{destination.uses} << 32U);
    }
    unsigned flags = 0;
    const auto flag = [&](Flag which, bool present)
    {
        flags |= present ? unsigned{which} : 0U;
        return present;
    };
    if (flag(kOfm, operation.ofm.has_value()))
    {
        put(words, *operation.ofm);
    }
    if (flag(kInto, operation.into >= 0))
    {
        words.push_back(static_cast<std::uint64_t>(operation.into));
    }
    if (flag(kRelease, operation.release != 0))
    {
        words.push_back(operation.release);
    }
    if (flag(kStart, operation.start_hint.has_value()))
    {
        words.push_back(*operation.start_hint);
    }
    if (flag(kTensor, operation.tensor.valid()))
    {
        words.push_back(operation.tensor.value());
    }
    if (flag(kBox, operation.box.has_value()))
    {
        put(words, *operation.box);
    }
    if (flag(kAddress, operation.address.has_value()))
    {
        words.push_back(*operation.address);
    }
    row.flags = static_cast<std::uint8_t>(flags);
    const std::vector<const char*>& names = functions()[operation.function].arguments;
    for (const auto& argument : operation.arguments)
    {
        const auto name = std::find_if(names.begin(), names.end(),
                                       [&](const char* known) { return argument.first == known; });
        words.push_back(static_cast<std::uint64_t>(name - names.begin()));
        words.push_back(static_cast<std::uint64_t>(argument.second));
    }
    return row;
}

void unpack(const Row& row, const std::uint64_t* words, Operation& operation)
{
    if (row.kind >= kOpKinds)
    {
        throw Malformed{"/op", "is an unknown kind of operation", "write the file again"};
    }
    operation.id = OpId(row.id);
    operation.kind = static_cast<OpKind>(row.kind);
    operation.bytes = row.bytes;
    operation.n = row.n;
    operation.uses = row.uses;
    operation.block = BlockId(row.block);
    operation.layer = LayerId(row.layer);
    operation.image = row.image;
    operation.bits = row.bits;
    operation.function = row.function;
    take_ids(operation.in, words, row.in);
    take_ids(operation.after, words, row.after);
    operation.to.resize(row.to);
    for (Destination& destination : operation.to)
    {
        destination.at = NodeId(static_cast<std::uint32_t>(*words & kLow));
        destination.uses = static_cast<std::uint32_t>(*words++ >> 32U);
    }
    const unsigned flags = row.flags;
    operation.ofm.reset();
    if ((flags & kOfm) != 0)
    {
        operation.ofm = take_box(words);
    }
    operation.into = -1;
    operation.release = 0;
    operation.start_hint.reset();
    operation.tensor = TensorId();
    operation.box.reset();
    operation.address.reset();
    if (!operation.arguments.empty())
    {
        operation.arguments.clear();
    }
    if ((flags & ~unsigned{kOfm}) == 0 && row.arguments == 0)
    {
        return;
    }
    if ((flags & kInto) != 0)
    {
        operation.into = static_cast<std::int32_t>(std::min<std::uint64_t>(*words++, kMaxFanIn));
    }
    if ((flags & kRelease) != 0)
    {
        operation.release = *words++;
    }
    if ((flags & kStart) != 0)
    {
        operation.start_hint = *words++;
    }
    if ((flags & kTensor) != 0)
    {
        operation.tensor = TensorId(static_cast<std::uint32_t>(std::min(*words++, kLow)));
    }
    if ((flags & kBox) != 0)
    {
        operation.box = take_box(words);
    }
    if ((flags & kAddress) != 0)
    {
        operation.address = *words++;
    }
    for (unsigned i = 0; i < row.arguments; ++i)
    {
        const std::uint64_t name = *words++;
        const auto value = static_cast<std::int64_t>(*words++);
        if (row.function >= functions().size() ||
            name >= functions()[row.function].arguments.size())
        {
            throw Malformed{"/args", "names an argument that does not exist",
                            "write the file again"};
        }
        operation.arguments[functions()[row.function].arguments[name]] = value;
    }
}

std::size_t WordQueues::take_block()
{
    if (free_.empty())
    {
        pool_.push_back(std::make_unique<Block>());
        return pool_.size() - 1;
    }
    const std::size_t block = free_.back();
    free_.pop_back();
    return block;
}

void WordQueues::push(std::size_t queue, const std::uint64_t* words, std::size_t count)
{
    Queue& q = queues_[queue];
    while (count != 0)
    {
        if (q.size == 0)
        {
            q.first = q.last = take_block();
            q.begin = q.end = 0;
        }
        else if (q.end == kBlockWords)
        {
            const std::size_t fresh = take_block();
            pool_[q.last]->next = fresh;
            q.last = fresh;
            q.end = 0;
        }
        const std::size_t part = std::min(count, kBlockWords - q.end);
        std::memcpy(pool_[q.last]->words.data() + q.end, words, part * sizeof(*words));
        q.end += part;
        q.size += part;
        words += part;
        count -= part;
    }
}

void WordQueues::pop(std::size_t queue, std::uint64_t* words, std::size_t count)
{
    Queue& q = queues_[queue];
    while (count != 0)
    {
        const std::size_t there = q.first == q.last ? q.end : kBlockWords;
        const std::size_t part = std::min(count, there - q.begin);
        std::memcpy(words, pool_[q.first]->words.data() + q.begin, part * sizeof(*words));
        q.begin += part;
        q.size -= part;
        words += part;
        count -= part;
        if (q.begin == there)
        {
            free_.push_back(q.first);
            if (q.first != q.last)
            {
                q.first = pool_[q.first]->next;
                q.begin = 0;
            }
        }
    }
}

} // namespace tessera::trace
