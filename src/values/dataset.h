// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tessera::values
{

/// Images and what they show.
struct Dataset
{
    std::string source;   ///< file or folder
    network::Shape shape; ///< of one image
    bool bytes = false;   ///< whole numbers of 0..255 that mean 0..1
    /// Image by image; of bytes the whole numbers divided by 255.
    std::vector<float> pixels;
    std::vector<std::uint32_t> labels; ///< one an image, or empty

    [[nodiscard]] std::size_t count() const
    {
        return shape.elements() == 0 ? 0 : pixels.size() / shape.elements();
    }
    [[nodiscard]] const float* image(std::size_t index) const
    {
        return pixels.data() + index * shape.elements();
    }
};

/// Reads a data set:
///   a folder with IDX files as MNIST's ("t10k-images-idx3-ubyte.gz" and its labels; `part` chooses
///   "t10k" or "train"), or the image file itself, with the labels beside it if there are any;
///   *.npy: images x height x width [x channels], bytes or floats, no labels;
///   *.npz, *.h5: arrays "images" and, for accuracy, "labels".
/// `input` is the layer that they are for. Where height x width [x channels] is not its shape but
/// channels x height x width is, images are turned round. Bytes mean 0..1; for an input of integers
/// all whole numbers are its codes, floats the reals that those stand for. At most `limit` images
/// are read, from `first` on. Throws InputError naming file and remedy for anything mislabelled,
/// truncated, not finite or of another shape.
[[nodiscard]] Dataset load_dataset(const std::string& path, const std::string& part,
                                   const network::Layer& input, std::size_t first,
                                   std::size_t limit);

/// The files that load_dataset() reads: of images and, where they are apart, of labels. Throws
/// InputError for a folder without such files.
[[nodiscard]] std::vector<std::string> dataset_files(const std::string& path,
                                                     const std::string& part);

} // namespace tessera::values
