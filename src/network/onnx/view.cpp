// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/view.h"

#include <algorithm>

namespace tessera::network::onnx
{

std::int64_t View::extent(std::size_t axis) const
{
    std::int64_t product = 1;
    for (const std::size_t atom : axes[axis])
    {
        product *= atoms[atom];
    }
    return product;
}

Extents View::extents() const
{
    Extents result;
    for (std::size_t axis = 0; axis < axes.size(); ++axis)
    {
        result.push_back(extent(axis));
    }
    return result;
}

std::int64_t View::elements() const
{
    std::int64_t product = 1;
    for (const std::int64_t atom : atoms)
    {
        product *= atom;
    }
    return product;
}

Factors View::order() const
{
    Factors result;
    for (const Factors& axis : axes)
    {
        result.insert(result.end(), axis.begin(), axis.end());
    }
    return result;
}

Factors View::sorted(std::size_t axis) const
{
    Factors result = axes[axis];
    std::sort(result.begin(), result.end());
    return result;
}

bool View::are_channels(const Factors& factors) const
{
    if (factors.size() != atoms.size() - bounds[1])
    {
        return false;
    }
    for (std::size_t i = 0; i < factors.size(); ++i)
    {
        if (factors[i] != bounds[1] + i)
        {
            return false;
        }
    }
    return true;
}

void View::divide(std::size_t atom, std::int64_t major)
{
    const std::int64_t minor = atoms[atom] / major;
    atoms[atom] = major;
    atoms.insert(atoms.begin() + static_cast<std::ptrdiff_t>(atom) + 1, minor);
    for (std::size_t& bound : bounds)
    {
        bound += bound > atom ? 1 : 0;
    }
    for (Factors& axis : axes)
    {
        for (std::size_t i = 0; i < axis.size(); ++i)
        {
            if (axis[i] > atom)
            {
                ++axis[i];
            }
            else if (axis[i] == atom)
            {
                axis.insert(axis.begin() + static_cast<std::ptrdiff_t>(i) + 1, atom + 1);
                ++i;
            }
        }
    }
}

std::optional<View> reshaped(View view, const Extents& extents)
{
    std::vector<Factors> axes;
    // The factors are taken one by one; dividing shifts those that come later, so they are found
    // again by how many were taken.
    std::size_t taken = 0;
    std::vector<std::size_t> counts;
    for (const std::int64_t extent : extents)
    {
        std::int64_t left = extent;
        std::size_t count = 0;
        while (left > 1)
        {
            const Factors order = view.order();
            if (taken == order.size())
            {
                return std::nullopt;
            }
            const std::int64_t atom = view.atoms[order[taken]];
            if (left % atom == 0)
            {
                left /= atom;
            }
            else if (atom % left == 0)
            {
                view.divide(order[taken], left);
                left = 1;
            }
            else
            {
                return std::nullopt;
            }
            ++taken;
            ++count;
        }
        counts.push_back(count);
    }
    const Factors order = view.order();
    if (taken != order.size())
    {
        return std::nullopt;
    }
    auto next = order.begin();
    for (const std::size_t count : counts)
    {
        axes.emplace_back(next, next + static_cast<std::ptrdiff_t>(count));
        next += static_cast<std::ptrdiff_t>(count);
    }
    view.axes = std::move(axes);
    return view;
}

bool refine(View& a, View& b, std::optional<std::size_t> except)
{
    for (std::size_t axis = 0; axis < a.rank(); ++axis)
    {
        if (axis == except)
        {
            continue;
        }
        for (std::size_t i = 0; i < a.axes[axis].size() || i < b.axes[axis].size(); ++i)
        {
            if (i >= a.axes[axis].size() || i >= b.axes[axis].size())
            {
                return false;
            }
            const std::int64_t one = a.atoms[a.axes[axis][i]];
            const std::int64_t other = b.atoms[b.axes[axis][i]];
            if (one > other && one % other == 0)
            {
                a.divide(a.axes[axis][i], other);
            }
            else if (other > one && other % one == 0)
            {
                b.divide(b.axes[axis][i], one);
            }
            else if (one != other)
            {
                return false;
            }
        }
    }
    return true;
}

} // namespace tessera::network::onnx
