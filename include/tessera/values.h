// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/simulation.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// Simulating with real numbers: tensors go in, every operation computes at its simulated time with
/// what then lies in its tile's buffer, and what the layers make comes out, compared with what it
/// should be.
namespace tessera
{

namespace values
{
struct IntegerNetwork;
}

/// Feature maps of some images, one after the other; of each row by row, column by column, channel
/// by channel.
struct Tensor
{
    std::size_t images = 0;     ///< how many
    std::size_t rows = 0;       ///< of one image
    std::size_t columns = 0;    ///< of one image
    std::size_t channels = 0;   ///< of one image
    std::vector<float> numbers; ///< images x rows x columns x channels

    /// Numbers of one image.
    [[nodiscard]] std::size_t image_size() const { return rows * columns * channels; }
    /// One number, to read or to write.
    [[nodiscard]] float& at(std::size_t image, std::size_t row, std::size_t column,
                            std::size_t channel)
    {
        return numbers[index(image, row, column, channel)];
    }
    /// One number.
    [[nodiscard]] float at(std::size_t image, std::size_t row, std::size_t column,
                           std::size_t channel) const
    {
        return numbers[index(image, row, column, channel)];
    }

private:
    [[nodiscard]] std::size_t index(std::size_t image, std::size_t row, std::size_t column,
                                    std::size_t channel) const
    {
        return ((image * rows + row) * columns + column) * channels + channel;
    }
};

/// A network in whole numbers, as `tessera quantize` makes it. Cheap to copy, immutable.
class QuantizedNetwork
{
public:
    /// `name`: a network, shipped ("lenet5-fashion") or a file, with a file of whole numbers beside
    /// it. Throws InputError, IoError.
    explicit QuantizedNetwork(const std::string& name);
    /// A file of whole numbers. Throws InputError, IoError.
    [[nodiscard]] static QuantizedNetwork open(const std::string& file);

    /// Zeros in the shape of its input.
    [[nodiscard]] Tensor input(std::size_t images) const;
    /// Images of a data set, from number `first` on: an IDX, npy, npz or HDF5 file, or a folder
    /// with MNIST's files, of which `part` chooses "t10k" or "train". Throws InputError naming file
    /// and remedy, also where there are fewer.
    [[nodiscard]] Tensor images(const std::string& data, std::size_t first, std::size_t count,
                                const std::string& part = "t10k") const;

    /// The file that it was opened from; empty where a network names it.
    [[nodiscard]] const std::string& file() const { return file_; }
    [[nodiscard]] const values::IntegerNetwork& integers() const
    {
        return *integers_;
    } ///< internal

private:
    explicit QuantizedNetwork(std::shared_ptr<const values::IntegerNetwork> integers)
        : integers_(std::move(integers))
    {
    }
    std::shared_ptr<const values::IntegerNetwork> integers_;
    std::string file_;
};

/// Which errors of cells and converters happen.
enum class ValueErrors : std::uint8_t
{
    all,       ///< those that the chip's config gives
    noiseless, ///< only converters are finite: equal, bit for bit, to a slow separate reference
    lossless   ///< converters are wide enough: equal, bit for bit, to the network of whole numbers
};

/// How numbers are computed.
struct ValueOptions
{
    ValueErrors errors = ValueErrors::all; ///< of cells and converters
    /// Images that ranges of converters are chosen by; none: as the chip's config says.
    Tensor calibration{};
    unsigned threads = 0; ///< that program the crossbars; 0: as many as there are cores
};

/// An element that is not what it should be, in codes.
struct Difference
{
    std::size_t image = 0;   ///< of the run
    std::size_t row = 0;     ///< of the layer's output
    std::size_t column = 0;  ///< of the layer's output
    std::size_t channel = 0; ///< of the layer's output
    std::int64_t made = 0;   ///< by the chip
    std::int64_t wanted = 0; ///< by what it is compared with
};

/// One layer's output beside what it should be.
struct Comparison
{
    std::uint64_t different = 0;   ///< elements that were made and are not equal
    std::vector<Difference> first; ///< the first of them, at most 8

    [[nodiscard]] bool equal() const { return different == 0; } ///< nothing differs
};

/// What a run made of one layer.
struct LayerValues
{
    std::string name;                    ///< as in the network
    std::string kind;                    ///< "conv2d", "dense", ...
    double scale = 1;                    ///< value of a code of 1
    Tensor output;                       ///< values; NaN where nothing was made
    std::uint64_t elements = 0;          ///< that there are, in all images
    std::uint64_t missing = 0;           ///< that were not made, or of data that had not arrived
    Comparison integers;                 ///< with the network of whole numbers, without any error
    std::optional<Comparison> reference; ///< noiseless: with the slow reference
    /// 10 log10 of its squared codes over squared deviations from whole numbers; infinity where
    /// there are none.
    double snr_db = 0;
};

/// What a run with values returns.
struct ValueResult
{
    RunResult run;                                ///< figures, as without values
    ValueErrors errors = ValueErrors::all;        ///< that happened
    std::vector<LayerValues> layers;              ///< of which something was made, in network order
    std::uint64_t missing_reads = 0;              ///< by operations, of data that had not arrived
    std::vector<std::string> first_missing_reads; ///< the first of them, at most 8, in words

    /// Throws SimulationError when data were read before they had arrived, or where what must be
    /// equal (see ValueErrors) is not.
    void require_equal() const;
};

/// Runs a program on a chip with an image of `inputs` for each image of the program. The folder of
/// `options` also gets values.h5. Throws what simulate() without values throws, and InputError for
/// inputs, whole numbers and chips that do not fit each other; differences are part of the result.
ValueResult simulate(const ChipModel& chip, const Program& program, const QuantizedNetwork& network,
                     const Tensor& inputs, const ValueOptions& values = {},
                     const RunOptions& options = {});

} // namespace tessera
