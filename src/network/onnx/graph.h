// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

// An ONNX file as plain values: what is left when the encoding is gone.
namespace tessera::network::onnx
{

/// Extents of a tensor; never negative, at most kMaxElements together.
using Extents = std::vector<std::int64_t>;

inline constexpr std::int64_t kMaxElements = std::int64_t{1} << 40;

/// Of whole numbers.
struct IntegerType
{
    unsigned bits = 64; ///< 0: no whole numbers, or of a type that nothing is computed with
    bool has_sign = true;

    friend bool operator==(const IntegerType& a, const IntegerType& b)
    {
        return a.bits == b.bits && a.has_sign == b.has_sign;
    }
};

/// A constant. Its values may be missing: stripped from the file, or not asked for.
struct Tensor
{
    Extents extents;
    bool real = true;  ///< values are in `reals`, else in `integers` (booleans are 0 and 1)
    bool known = true; ///< the values are there
    std::vector<float> reals;
    std::vector<std::int64_t> integers;
    IntegerType type; ///< of `integers`
    /// Of reals that a DequantizeLinear made: what their codes, which are in `integers` then and
    /// count from the zero point, are multiplied by; one, or one for each position along `axis`.
    std::vector<float> steps;
    std::size_t axis = 0;
    std::string lost_codes; ///< what took the codes of such reals away: "node 'x' (Sub)"

    [[nodiscard]] std::int64_t elements() const;
    [[nodiscard]] double value(std::size_t index) const
    {
        return real ? static_cast<double>(reals[index]) : static_cast<double>(integers[index]);
    }
};

struct Attribute
{
    std::int64_t integer = 0;
    float real = 0;
    std::string text;
    std::vector<std::int64_t> integers;
    std::vector<float> reals;
    Tensor tensor;
    bool has_tensor = false;
    bool has_graph = false;
};

/// Least and greatest code.
struct CodeRange
{
    std::int64_t least, most;

    friend bool operator==(const CodeRange& a, const CodeRange& b)
    {
        return a.least == b.least && a.most == b.most;
    }
};

struct Node
{
    std::string name; ///< unique and never empty; made up where the file has none
    std::string operation;
    std::string domain;                       ///< "" is ONNX itself
    std::vector<std::string> inputs, outputs; ///< "" is an operand left out
    std::map<std::string, Attribute> attributes;
    /// Of a QuantizeLinear or DequantizeLinear that stands for an operator whose codes do not use
    /// the whole type.
    std::optional<CodeRange> code_range;

    [[nodiscard]] std::int64_t integer(const std::string& key, std::int64_t fallback) const;
    [[nodiscard]] double real(const std::string& key, double fallback) const;
    [[nodiscard]] std::string text(const std::string& key, const std::string& fallback) const;
    /// Empty if the attribute is not there.
    [[nodiscard]] const std::vector<std::int64_t>& integers(const std::string& key) const;
};

/// An input or output of the graph.
struct Port
{
    std::string name;
    bool known = false;                ///< `extents` says how many axes there are
    std::vector<std::int64_t> extents; ///< -1: given by a symbol, or not at all
    std::vector<std::string> symbols;  ///< as long as extents; "" where there is none
    IntegerType type{0, false};        ///< of its elements; bits 0: they are real
};

struct Graph
{
    std::string file; ///< for messages
    /// Paths of the file and of those that hold its tensors, read or not.
    std::vector<std::string> files;
    std::string name;
    std::string producer;
    std::int64_t opset = 0;
    std::vector<Node> nodes; ///< each after those whose results it reads
    std::map<std::string, Tensor> constants;
    std::vector<Port> inputs; ///< constants not among them
    std::vector<Port> outputs;
};

/// Which values of constants to read.
enum class Values : bool
{
    small, ///< what shapes are computed from: integers of 32 bits and more, others up to 64
           ///< elements
    all
};

/// Decodes a file, or bytes that came from `file`. Sorts the nodes, drops those that no output
/// needs, and checks that all names are defined once. Throws InputError; IoError if the file cannot
/// be read.
[[nodiscard]] Graph read_graph(const std::string& file, Values values);
[[nodiscard]] Graph decode_graph(const std::string& bytes, const std::string& file, Values values);

/// Can this build decode ONNX files at all?
[[nodiscard]] bool can_decode();

/// Puts the nodes in an order in which each comes after those whose results it reads, without those
/// that no output needs. Throws InputError for cycles, and for names that are missing or defined
/// twice.
void sort_nodes(Graph& graph);

/// Is the extension that of an ONNX file?
[[nodiscard]] bool is_onnx(const std::string& path);

} // namespace tessera::network::onnx
