// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace tessera::values
{

/// A mean and its 95 % interval. Of several programmed chips the interval is one for all chips and
/// images that there could be; of one chip, for all images on this chip.
struct Estimate
{
    double value = 0;
    double low = 0;
    double high = 0;
};

/// Share of ones among outcomes by trial (programmed chip) and image (row-major, one row a trial;
/// each 0 or 1). Wilson's interval of as many independent images as would give the mean the
/// variance that it has (Dean and Pagano, 2015): within 0 and 1, and of some width where every
/// outcome is the same.
///
/// The variance of the mean is that of crossed random effects. Its part from chips has one degree
/// of freedom less than there are chips, its part from images one less than there are images. Where
/// chips are few, the quantile of Student's t with their degrees is used for their part as far as
/// that is most of the variance: of two chips, whose part may have come out small by chance, the
/// interval of normal outcomes then contains the truth in 93.8 to 96.6 % of all cases, whatever the
/// shares are; of ten and more, in 95 %.
[[nodiscard]] Estimate proportion(const std::vector<double>& outcomes, std::size_t trials);

/// Mean of paired differences by trial and image (each -1, 0 or 1), with the interval of Agresti
/// and Min (2005): that of two more images, of which half gain and half lose. Images, variance and
/// quantile are as in proportion().
[[nodiscard]] Estimate difference(const std::vector<double>& outcomes, std::size_t trials);

} // namespace tessera::values
