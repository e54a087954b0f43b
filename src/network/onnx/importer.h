// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/onnx/constants.h"
#include "network/onnx/contributed.h"
#include "network/onnx/import.h"
#include "network/onnx/patterns.h"
#include "network/onnx/qonnx.h"
#include "network/onnx/quantized.h"
#include "network/onnx/unsupported.h"

#include <nlohmann/json.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tessera::network::onnx
{

using Bounds = std::array<std::size_t, 2>;

/// 0, 1, ..., count - 1
[[nodiscard]] Factors up_to(std::size_t count);
[[nodiscard]] std::int64_t product_of(const View& view, const Factors& factors);
/// Operators whose first operand has a batch first, whatever its shape.
[[nodiscard]] bool has_batch(const std::string& operation);
/// Is this number of an ONNX type one of reals?
[[nodiscard]] bool is_real_type(std::int64_t type);
/// "3x3"
[[nodiscard]] std::string text_of(const Extents& extents);

/// Makes layers of a graph, node by node; import.cpp is its frame, the other files beside it are
/// named after the operators that they turn into layers.
class Importer
{
public:
    Importer(Graph graph, BatchAxis batch_axis)
        : graph_(std::move(graph)), batch_axis_(batch_axis), evaluator_(graph_.opset)
    {
    }
    Imported run();

private:
    using Handler = void (Importer::*)(const Node&);

    // import.cpp: before layers are made
    void evaluate_constants();
    /// Executes a node of constants; false if not all operands are.
    bool evaluate(const Node& node);
    void keep(const Node& node, std::vector<Tensor> values);
    void find_readers();

    // import.cpp: node by node
    void lower(std::size_t index);
    /// Does this come from a node that cannot be imported?
    [[nodiscard]] bool waits(const std::string& name) const;
    /// Shape and Size need to know the extents only.
    bool evaluate_shape(const Node& node);
    void refuse_unsupported() const;
    void finish();
    /// Layers that no output needs: made for operands that turned out to be folded.
    void drop_unread();

    // operands.cpp
    [[nodiscard]] static bool has(const Node& node, std::size_t slot);
    [[nodiscard]] const Tensor* constant(const Node& node, std::size_t slot) const;
    [[nodiscard]] const Tensor& needed_constant(const Node& node, std::size_t slot) const;
    /// Trained constants: those of the file, or an input that stands for stripped ones.
    [[nodiscard]] Tensor parameter(const Node& node, std::size_t slot) const;
    /// Operand constants by slot: what Evaluator's helpers want.
    [[nodiscard]] Operands constants(const Node& node, const Tensor* first) const;
    View view(const Node& node, std::size_t slot);
    View view(const std::string& name);
    View make_input(const Port& port);
    [[nodiscard]] bool channels_last(const std::string& name) const;
    [[nodiscard]] bool read_as_map(const std::string& name) const;
    [[nodiscard]] static View make_view(const Extents& extents,
                                        const std::vector<std::size_t>& rows,
                                        const std::vector<std::size_t>& columns,
                                        const std::vector<std::size_t>& channels);

    // codes.cpp: tensors that are codes, and layers whose output is
    /// Is it read by a QuantizeLinear or DequantizeLinear?
    [[nodiscard]] bool is_coded(const std::string& name) const;
    /// The nodes that read the tensor, or its codes.
    [[nodiscard]] std::vector<const Node*> readers_of(const std::string& name) const;
    /// How a tensor of the graph is coded; null: it is no codes.
    [[nodiscard]] const Coding* coding(const std::string& name) const;
    /// Are the elements of this input of the graph codes?
    [[nodiscard]] bool takes_codes(const Port& port) const;
    /// All tensors that are codes, by what makes them.
    [[nodiscard]] std::unordered_set<std::string> code_tensors() const;
    /// Notes what the elements of an input of codes stand for.
    void code_input(const Port& port, const View& view);
    /// Scale and zero point of a QuantizeLinear or DequantizeLinear.
    [[nodiscard]] Operands coding_operands(const Node& node) const;
    /// The codes of a layer's output, its own or those that it moves; none if it has reals.
    [[nodiscard]] std::optional<OutputCodes> codes_of(LayerId id) const;
    void set_codes(LayerId id, const OutputCodes& codes);
    /// Those that a new layer has from its operands.
    [[nodiscard]] std::optional<OutputCodes> moved_codes(const Layer& layer) const;
    /// Is the tensor read by nothing but quantisers like `by`? Then nobody sees it unrounded.
    [[nodiscard]] bool only_quantised(const std::string& name, const Node& by) const;
    /// A quantiser if nothing else reads the node's result, and all of them are alike; else null.
    [[nodiscard]] const Node* only_quantised(const Node& node) const;
    /// The tensor rounded to these codes: noted at its layer if nobody reads that unrounded, else
    /// by a layer of its own. `by` is the quantiser.
    View rounded(View view, const OutputCodes& codes, const Node& by);
    /// factor x + shift, with codes of its own.
    View coded_affine(View view, double factor, double shift, const OutputCodes& codes,
                      const char* suffix);
    /// factor x; of codes the same codes, or their negatives.
    View times(View view, double factor, const char* suffix);
    /// The same integers with another meaning.
    View meaning(View view, const Coding& from, const Coding& to);
    /// Throws Unsupported if less than two codes are left.
    [[nodiscard]] static OutputCodes limited(OutputCodes codes, double least, double most);
    void quantize(const Node& node);
    void dequantize(const Node& node);
    /// Is an operand of another operator codes?
    [[nodiscard]] bool reads_codes(const Node& node) const;
    /// Does to integers what ONNX says of integers.
    void on_codes(const Node& node);
    void limit_codes(const Node& node, const Coding& coding, std::int64_t least, std::int64_t most);
    void join_codes(const Node& node);
    void cast_codes(const Node& node, const Coding& coding);
    /// Scales and bias of weights that are whole numbers; their output channels are that axis.
    void take_steps(const Tensor& matrix, std::size_t outputs_axis, const Tensor* bias,
                    Weights& w) const;
    /// Are there layers that read codes of more than 8 bits?
    void widen_activations();

    // layout.cpp: layers, and how tensors lie in them
    [[nodiscard]] static std::string stem(const std::string& file);
    [[nodiscard]] static std::string sanitized(const std::string& name);
    /// Adds a layer of a kind with these keys, named after the node.
    LayerId add(const char* kind, const std::string& suffix, const std::vector<LayerId>& inputs,
                nlohmann::json keys);
    Layer& layer(const View& view) { return result_.network.layers[view.layer.index()]; }
    Weights& weights(LayerId layer) { return result_.weights[layer.index()]; }
    void set(const Node& node, View view, std::size_t slot = 0);
    [[nodiscard]] static std::int64_t part(const View& view, std::size_t begin, std::size_t end);
    /// A reshape of the layer's output to height, width, channels; none if it has them.
    LayerId shape_as(LayerId layer, std::int64_t height, std::int64_t width, std::int64_t channels);
    /// The same tensor with its elements in another order: the atoms in that of `order`, cut into
    /// height, width and channels at `bounds`. Made of as few transposes as move one block at a
    /// time.
    View arranged(View view, const Factors& order, const Bounds& bounds);
    /// The tensor with its elements in ONNX order, and axes of these extents, each an atom. With
    /// `always` there is a layer even if none is needed.
    View laid_out_anew(View view, const Extents& extents, bool always = false);
    /// [1, channels, height, width] or [1, channels, height], the elements as layers have them.
    View feature_map(View view);
    /// The tensor with the elements of `axes` as channels: in the order of the axes, or in whatever
    /// order spares a transpose.
    View with_channels(View view, const std::vector<std::size_t>& axes, bool in_order);
    /// For each channel of the layer its position along `axes` taken together.
    [[nodiscard]] static std::vector<std::size_t>
    channel_positions(const View& view, const std::vector<std::size_t>& axes);
    /// `view` with another layer's output of the same shape but for its channels, which are `axis`.
    [[nodiscard]] static View with_new_channels(View view, LayerId layer, std::size_t axis,
                                                std::int64_t extent);
    /// Extents of the layer's output on the axes of a feature map.
    [[nodiscard]] View map_of(LayerId layer, std::size_t rank) const;
    [[nodiscard]] static View with_new_rows(View view, std::size_t axis, std::int64_t extent);

    // functions.cpp: scales and shifts
    /// scale x + shift, one of each a channel (or one for all). `parameters` of them are trained.
    View affine(View view, std::vector<double> scale, std::vector<double> shift, bool known,
                std::uint64_t parameters, const char* suffix);
    View scaled(View view, double scale, double shift, const char* suffix);
    /// x + shift; of codes, and by a whole number of them, codes again.
    View shifted(View view, double shift, const char* suffix);
    View activated(View view, const std::string& function);
    View activated(View view, const std::string& function, double slope);
    /// min(max(x, least), most) out of relu and relu6.
    View clipped(View view, double least, double most);

    // Which function lowers which operator
    static const std::unordered_map<std::string, Handler>& handlers();

    // functions.cpp: functions of single elements, norms
    void lower(const Node& node, const Pattern& pattern);
    View normalised(View view, std::vector<std::size_t> axes, const Tensor* scale,
                    const Tensor* bias, double epsilon, bool centred = true);
    void same(const Node& node);
    void cast(const Node& node);
    void dropout(const Node& node);
    void clip(const Node& node);
    void hard_sigmoid(const Node& node);
    void negate(const Node& node);
    void relu(const Node& node);
    void unknown_function(const Node& /*node*/);
    void batch_norm(const Node& node);
    void layer_normalization(const Node& node);
    void softmax(const Node& node);
    void power(const Node& node);

    // activations.cpp: functions with numbers of their own
    void gelu(const Node& node);
    void swish(const Node& node);
    void elu(const Node& node);
    void celu(const Node& node);
    void selu(const Node& node);
    void prelu(const Node& node);
    void bipolar(const Node& node);
    void extremum(const Node& node);
    /// The greater or the smaller one of an element and a constant.
    View limited_by(View view, const Tensor& bound, bool greater);
    void rms_normalization(const Node& node);

    // spatial.cpp: channels to positions and back
    void depth_to_space(const Node& node);
    void space_to_depth(const Node& node);
    void conv_transpose(const Node& node);

    // windows.cpp: convolutions, pools, reductions, padding, resizing
    /// Kernel, strides, dilations and padding of Conv and pools, for two axes.
    nlohmann::json window(const Node& node, const View& map,
                          const std::vector<std::int64_t>& kernel, bool dilates);
    void conv(const Node& node);
    /// A conv2d with the weights of a Conv, [output channels, channels of a group, ky, kx], where
    /// the file has them. `keys` are those of window().
    LayerId convolved(const View& map, const Tensor& kernel, const Tensor* bias,
                      std::int64_t groups, nlohmann::json keys);
    void pool(const Node& node);
    void global_pool(const Node& node);
    void reduce_mean(const Node& node);
    /// Mean or maximum over some axes: the rest are channels, and a window covers the map.
    void reduce(const Node& node, View from, std::vector<std::size_t> axes, bool keep, bool is_max);
    void pad(const Node& node);
    /// The node's operand with `value` around it.
    View padded(const Node& node, double value);
    /// The operand of a padding whose result is only quantised, quantised before, and `value` too.
    View rounded_before(const Node& node, double& value);
    void resize(const Node& node);

    // products.cpp: matrix products
    /// x W + bias over the last axis. W is [inner, outer], or [outer, inner] if `transposed`.
    View dense(View from, const Tensor& matrix, bool transposed, const Tensor* bias, double alpha,
               double beta);
    void gemm(const Node& node);
    void matmul(const Node& node);
    /// The factor of a Mul or Div by a scalar that is all that reads the product; that node then
    /// passes its operand on.
    std::optional<double> scale_of_product(const Node& node);

    // elementwise.cpp: sums and products of tensors
    void binary(const Node& node);
    /// A product with a factor per channel.
    View per_channel(View a, View b, bool product);
    /// Two tensors of the same extents, the second in the order of the first.
    View elementwise(const char* kind, View a, View b);
    /// Brings the elements of `b` into the order of `a`; the extents of all axes but `except` are
    /// the same.
    void align(View& a, View& b, std::optional<std::size_t> except);
    void sum(const Node& node);
    /// Add, Sub, Mul, Div with a constant: a scale or shift for all, or one a channel, or a table
    /// of one row a position.
    View with_constant(const Node& node, View view, const Tensor& tensor, bool first);
    /// Adds a row of constants to every position of a sequence: position embeddings.
    View with_table(View view, const Tensor& tensor);

    // shaping.cpp: what cuts, joins and reorders
    void concat(const Node& node);
    /// The table of an embedding that adds it from row `first` on, if the file has it.
    void take_table(LayerId layer, const Tensor& tensor, std::size_t first);
    /// Constant rows before a sequence (a class token): rows of zeros with an embedding added.
    View with_leading_rows(const Node& node, View at, std::size_t axis);
    /// Elements [begin, begin + count) of an axis.
    View cut(View from, std::size_t axis, std::int64_t begin, std::int64_t count);
    void slice(const Node& node);
    void split(const Node& node);
    void gather(const Node& node);
    void set_reshaped(const Node& node, const View& from, const Extents& extents);
    void reshape(const Node& node);
    void flatten(const Node& node);
    void squeeze(const Node& node);
    void unsqueeze(const Node& node);
    void expand(const Node& node);
    void tile(const Node& node);
    void transpose(const Node& node);

    static constexpr std::size_t kMaxLayers = 100'000;

    struct Reader
    {
        std::size_t node, slot;
    };

    struct Problem
    {
        std::string operation, node, reason;
    };

    Graph graph_;
    BatchAxis batch_axis_;
    Evaluator evaluator_;
    Patterns patterns_;
    std::unordered_map<std::string, std::vector<Reader>> readers_;
    std::unordered_map<std::string, std::size_t> outside_; ///< names that are outputs
    std::unordered_map<std::string, std::size_t> inputs_;  ///< positions in graph_.inputs
    std::unordered_map<std::string, View> views_;
    std::unordered_map<std::string, Coding> codings_; ///< of tensors that are codes
    /// Bounds of a Clip whose result is only quantised: the quantiser's codes are limited instead.
    std::unordered_map<std::string, std::pair<double, double>> clips_;
    std::unordered_map<std::size_t, std::string> roots_; ///< the first tensor of a layer
    std::unordered_set<std::string> done_;               ///< evaluated
    std::unordered_set<std::size_t> passes_;             ///< nodes whose scale was taken over
    std::unordered_set<std::string> names_;              ///< of layers
    std::vector<std::optional<OutputCodes>> codes_;      ///< by layer
    std::vector<Problem> unsupported_;
    std::string node_name_;
    Imported result_;
};

} // namespace tessera::network::onnx
