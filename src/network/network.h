// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/batch_axis.h"
#include "tessera/ids.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera::network
{

/// Height x width x channels of one image's feature map. Sequences: height = tokens, width = 1.
struct Shape
{
    std::uint32_t height = 0;
    std::uint32_t width = 0;
    std::uint32_t channels = 0;
    [[nodiscard]] std::uint64_t elements() const
    {
        return std::uint64_t{height} * width * channels;
    }
    friend bool operator==(const Shape& a, const Shape& b)
    {
        return a.height == b.height && a.width == b.width && a.channels == b.channels;
    }
    friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }
};

enum class LayerKind : std::uint8_t
{
    input,
    conv2d,
    dense,
    max_pool,
    average_pool,
    global_average_pool,
    add,
    mul,
    concat,   ///< along channels (axis "channels") or rows (axis "height")
    split,    ///< a range of channels
    upsample, ///< nearest neighbour
    pad,
    activation,
    batch_norm, ///< scale and shift per channel; only those that could not be folded remain
    softmax,
    layer_norm, ///< over the channels of each position
    matmul,     ///< both operands are activations, see Layer::heads
    embedding,  ///< table look-up: tokens to vectors, plus learned tables added to them
    reshape,
    transpose
};
/// The kind as files spell it: "conv2d".
[[nodiscard]] const char* name_of(LayerKind kind);

/// As command lines and files spell it: "auto", "0", "none".
[[nodiscard]] const char* name_of(BatchAxis axis);
/// Nothing for any other name.
[[nodiscard]] std::optional<BatchAxis> find_batch_axis(const std::string& name);
/// Functions of activation layers: relu, relu6, leaky_relu, ...
[[nodiscard]] const std::vector<std::string>& activations();
/// Layer::slope where none is given: Darknet's for leaky_relu, else 1.
[[nodiscard]] double default_slope(const std::string& activation);

/// Zeros around a feature map (for max_pool: positions that never win; average_pool: not counted).
struct Padding
{
    std::uint32_t top = 0, bottom = 0, left = 0, right = 0;
};

/// What the integers are that an input takes: (code - zero_point) x scale.
struct InputCodes
{
    double scale = 1;
    std::int64_t zero_point = 0;
    std::int64_t least = 0, most = 255; ///< of the file's type
};

struct Layer
{
    std::string name;
    LayerKind kind = LayerKind::input;
    std::vector<LayerId> inputs;     ///< earlier layers only
    std::optional<InputCodes> codes; ///< input: elements are integers
    Shape output;                    ///< inferred; never read from the file except for inputs
    // conv2d and pools
    std::uint32_t kernel_height = 1, kernel_width = 1;
    std::uint32_t stride_height = 1, stride_width = 1;
    std::uint32_t dilation_height = 1, dilation_width = 1;
    std::uint32_t groups = 1;
    Padding padding; ///< resolved ("same" is turned into numbers)
    bool ceil_mode =
        false;        ///< pools: the last window may begin in the map and run past its padding
    bool bias = true; ///< conv2d, dense; true also if the bias comes from a folded batch_norm
    std::string activation; ///< of an activation layer: one of activations()
    /// leaky_relu: factor below 0; silu: of the sigmoid's operand; elu: of e^x - 1; sign: the two
    /// results are this number and its negative. See default_slope().
    double slope = 1;
    double epsilon = 1e-5; ///< layer_norm: added to the variance, or the mean of squares
    bool centred = true;   ///< layer_norm: false: the mean stays where it is (RMS norm)
    std::uint32_t channel_begin = 0, channel_end = 0; ///< split
    std::uint32_t scale = 1;                          ///< upsample
    /// matmul: independent products, one per head. An operand keeps its heads side by side in its
    /// channels (width 1, channels = heads x depth) or apart in its width (width = heads).
    /// A B^T gives rows(A) x heads x rows(B) (scores: softmax over channels is per row and head);
    /// A B gives rows(A) x 1 x (heads x columns of B).
    std::uint32_t heads = 1;
    bool transpose_second = false; ///< matmul: A B^T
    /// concat, softmax: "channels" or "height". transpose: the two that change places, as
    /// "height,width", "height,channels" or "width,channels".
    std::string axis;
    std::uint64_t table_rows = 0; ///< embedding: rows of all tables together

    /// Weights and biases; conv2d and dense include the two per channel of a folded batch_norm, so
    /// totals are the published ones (running means and variances never count).
    std::uint64_t parameters = 0;
    std::uint64_t macs = 0; ///< multiply-accumulates per image (conv2d, dense, matmul)
};

/// What a trace calls the layer's function: that of an activation, "rms_norm" for a layer_norm that
/// is not centred, else the kind.
[[nodiscard]] std::string function_name(const Layer& layer);

/// A layer graph in topological order, shapes inferred, ready for the compiler.
struct Network
{
    std::string name;
    std::string source; ///< where the definition comes from
    std::uint32_t activation_bits = 8;
    std::uint32_t weight_bits = 8;
    std::vector<Layer> layers;
    std::vector<LayerId> outputs;
    std::vector<std::string> notes; ///< what was decided where the file leaves a choice, in words
    /// Paths of all files that it comes from, also of those whose values were not needed.
    std::vector<std::string> files;

    [[nodiscard]] const Layer& operator[](LayerId id) const { return layers[id.index()]; }
    [[nodiscard]] std::uint64_t parameters() const;
    [[nodiscard]] std::uint64_t macs() const;
    /// Input shape of operand `k` of a layer.
    [[nodiscard]] const Shape& input_shape(const Layer& layer, std::size_t k = 0) const
    {
        return (*this)[layer.inputs.at(k)].output;
    }
};

/// Reads a network in the format of models/networks/README.md, or an ONNX file (by its extension
/// .onnx). JSON files are at most 64 MiB, 2 million
/// values and 100 000 layers; no extent exceeds 65536 and no feature map 2^31 elements.
/// A batch_norm whose conv2d or dense feeds nothing else is folded into it: the layer is gone, its
/// consumers read the conv2d. At least one layer is not an input; outputs are never empty.
/// Throws InputError naming file, line, JSON pointer and remedy; IoError if the file cannot be
/// read.
[[nodiscard]] Network load(const std::string& path, BatchAxis batch_axis = BatchAxis::automatic);
/// The same from text; `file` is used in messages.
[[nodiscard]] Network parse(const std::string& text, const std::string& file);
/// Names of the networks of models/networks that this build can read, sorted. Throws IoError.
[[nodiscard]] std::vector<std::string> shipped();
/// Path of `name`: a shipped network ("tinyyolov4", in models/networks of data_directory()) or the
/// path of a file. Throws InputError listing the shipped ones.
[[nodiscard]] std::string find(const std::string& name);

} // namespace tessera::network
