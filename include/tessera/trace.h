// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/ids.h"
#include "tessera/tick.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::trace
{

enum class OpKind : std::uint8_t
{
    mvm,    ///< `n` input vectors through one macro
    vec,    ///< function `fn` over `n` elements in a vector unit
    move,   ///< in[0] from this tile's buffer to the buffers in `to`
    load,   ///< from external memory to the buffers in `to`
    store,  ///< in[0] from this tile's buffer to the memory port in `to`
    program ///< `n` rows of a macro are written, with what the operands hold
};
/// Number of kinds.
inline constexpr unsigned kOpKinds = 6;
/// "mvm", "vec", ... as in a trace.
[[nodiscard]] const char* name_of(OpKind kind);
/// Kind of that name; nothing for any other text.
[[nodiscard]] std::optional<OpKind> find_kind(std::string_view name);

/// What an issuing unit is. Its name in a trace follows from kind, tile and position:
///   macro              "t5.m3"   macro 3 of tile 5          mvm, program
///   vector_unit        "t5.vec"                             vec
///   network_interface  "t5.ni"                              move, store
///   memory_port        "mem0"                               load
enum class UnitKind : std::uint8_t
{
    macro,             ///< a crossbar with its periphery
    vector_unit,       ///< of a tile
    network_interface, ///< of a tile
    memory_port        ///< of the chip
};
/// Number of kinds.
inline constexpr unsigned kUnitKinds = 4;
/// Which kind of unit issues operations of `kind`.
[[nodiscard]] UnitKind issuer_of(OpKind kind);

/// Limits of the format.
inline constexpr std::uint64_t kMaxNumber = 0x7fff'ffff'ffff'ffff; ///< any integer of a trace
inline constexpr std::size_t kMaxFanIn = 65535;       ///< entries of `in`, `after` and `to`, each
inline constexpr std::uint32_t kMaxTiles = 1U << 20U; ///< of a chip
inline constexpr std::uint32_t kMaxMemoryPorts = 1U << 16U; ///< of a chip
inline constexpr std::uint8_t kMaxBits = 64;                ///< element width

/// One destination of a move, load or store: each arrival is a datum of its own.
struct Destination
{
    NodeId at;              ///< tile ("t3"), or memory port ("mem0") for a store
    std::uint32_t uses = 0; ///< how many operand slots will read this arrival; 0 for a store
    /// Same place, same uses.
    friend bool operator==(const Destination& a, const Destination& b)
    {
        return a.at == b.at && a.uses == b.uses;
    }
};

/// Half-open box of an OFM or tensor: rows, columns, channels.
struct Box
{
    std::array<std::uint32_t, 6>
        bounds{}; ///< row begin, row end, column begin, end, channel begin, end
    /// Same bounds.
    friend bool operator==(const Box& a, const Box& b) { return a.bounds == b.bounds; }
};

/// One line of a trace. Members keep their capacity when the object is filled again, so readers
/// allocate nothing per operation once warm.
struct Operation
{
    OpId id;                              ///< rises in a trace
    OpKind kind = OpKind::mvm;            ///< "op"
    UnitId at;                            ///< index into Header::units
    std::vector<OpId> in;                 ///< data operands in order; each counts one use
    std::vector<OpId> after;              ///< order only
    std::vector<Destination> to;          ///< move, load, store
    std::uint64_t bytes = 0;              ///< of the result (per destination for move and load)
    std::uint32_t uses = 0;               ///< operand slots that will read the result (mvm, vec)
    std::uint32_t n = 0;                  ///< vectors (mvm), elements (vec), rows (program)
    std::int32_t into = -1;               ///< operand whose space the result reuses; -1: none
    Tick release = 0;                     ///< forbids an earlier start
    std::optional<Tick> start_hint;       ///< what the compiler planned ("start")
    BlockId block;                        ///< weights used (mvm, program); none() in foreign traces
    LayerId layer;                        ///< layer worked for; none() when not said
    std::uint32_t image = 0;              ///< "img"
    std::uint8_t bits = 0;                ///< element width; 0: not said
    std::uint16_t function = 0;           ///< index into functions() for vec
    std::optional<Box> ofm;               ///< region of the layer's OFM made or carried
    TensorId tensor;                      ///< load, store; program: of which a part is written
    std::optional<Box> box;               ///< region of that tensor
    std::optional<std::uint64_t> address; ///< external memory; default: from tensor and box
    std::map<std::string, std::int64_t> arguments; ///< "args" of a vec function

    /// Back to a fresh object, keeping capacities.
    void clear();
};

/// The functions a vec may name: one table, also the source of the JSON Schema's list.
struct Function
{
    const char* name;                   ///< as in a trace
    const char* doc;                    ///< one line for people
    std::vector<const char*> arguments; ///< argument names allowed in "args"
};
/// accumulate, bias, relu, relu6, leaky_relu, silu, mish, gelu, sigmoid, tanh, hard_swish, add,
/// mul, max_pool, average_pool, global_average_pool, concat, split, upsample, pad, batch_norm,
/// softmax, layer_norm, matmul, reshape, transpose, requantize, copy, dense, conv2d, ...
[[nodiscard]] const std::vector<Function>& functions();
/// Index of the function of that name; nothing for any other text.
[[nodiscard]] std::optional<std::uint16_t> find_function(std::string_view name);
/// Their names, in the order of the table.
[[nodiscard]] std::vector<std::string> function_names();

/// An array of the network: a layer's output or the input.
struct Tensor
{
    std::string name;           ///< as in the network
    std::uint32_t height = 1;   ///< rows
    std::uint32_t width = 1;    ///< columns
    std::uint32_t channels = 1; ///< values per pixel
    std::uint8_t bits = 8;      ///< per value
    /// Size of the whole.
    [[nodiscard]] std::uint64_t bytes() const
    {
        return (std::uint64_t{height} * width * channels * bits + 7) / 8;
    }
};

/// A layer of the network, as far as a trace tells.
struct TracedLayer
{
    std::string name;            ///< as in the network
    std::string kind;            ///< "conv2d", "dense", ...
    TensorId output;             ///< what it makes
    std::uint64_t vectors = 0;   ///< t_i: input vectors per image of a layer on crossbars; else 0
    std::uint8_t input_bits = 8; ///< per input value
};

/// Weights of one crossbar: rows and columns (half-open) of the layer's im2col weight matrix.
struct Block
{
    LayerId layer;                  ///< whose weights
    std::uint32_t copy = 0;         ///< of weights that the chip holds several times
    std::uint32_t row_begin = 0;    ///< first row
    std::uint32_t row_end = 0;      ///< after the last row
    std::uint32_t column_begin = 0; ///< first column
    std::uint32_t column_end = 0;   ///< after the last column
    UnitId at;                      ///< the macro
    std::uint32_t row_at = 0;       ///< row of the macro that holds the first row
    std::uint32_t column_at = 0;    ///< column of the macro that holds the first column
    /// How often the macro holds them along its diagonal, below and to the right of each other. As
    /// many input vectors pass at a time.
    std::uint32_t replicas = 1;
    /// Columns of the macro, 0 or 1, that lie beside the weights of every replica and hold what is
    /// subtracted from their columns.
    std::uint32_t references = 0;

    /// Rows of the macro that it takes.
    [[nodiscard]] std::uint64_t height() const
    {
        return std::uint64_t{row_end - row_begin} * replicas;
    }
    /// Columns of the macro that it takes.
    [[nodiscard]] std::uint64_t width() const
    {
        return (std::uint64_t{column_end - column_begin} + references) * replicas;
    }
};

/// True when two blocks need the same cells of the same macro: it can hold one of them at a time.
[[nodiscard]] bool overlap(const Block& a, const Block& b);

/// A unit that has operations.
struct TracedUnit
{
    UnitKind kind = UnitKind::macro; ///< what it is
    NodeId node;                     ///< its tile, or its memory port's node
    std::uint32_t position = 0;      ///< macro number inside the tile
    std::uint64_t operations = 0;    ///< how many the trace holds for this unit
    /// "t5.m3" on a chip with so many tiles.
    [[nodiscard]] std::string name(std::uint32_t tiles) const;
};

/// "t5.m3", "t5.vec", "t5.ni" or "mem0" of a chip with so many tiles and memory ports; no leading
/// zeros. `operations` is left 0. Nothing for any other text.
[[nodiscard]] std::optional<TracedUnit> parse_unit(std::string_view name, std::uint32_t tiles,
                                                   std::uint32_t memory_ports);
/// Node of "t3" or "mem0"; nothing for any other text.
[[nodiscard]] std::optional<NodeId> parse_node(std::string_view name, std::uint32_t tiles,
                                               std::uint32_t memory_ports);
/// "t3" or "mem0".
[[nodiscard]] std::string node_name(NodeId node, std::uint32_t tiles);

/// First line of a trace.
struct Header
{
    std::string producer = "unknown";           ///< who wrote it
    std::string network;                        ///< network's name, may be empty
    std::map<std::string, std::string> mapping; ///< mapping-relevant config keys and their values
    std::uint32_t tiles = 0;         ///< NodeId below this is a tile, from it on a memory port
    std::uint32_t memory_ports = 0;  ///< of the chip
    std::vector<TracedUnit> units;   ///< all units that have operations
    std::vector<Tensor> tensors;     ///< referred to by position
    std::vector<TracedLayer> layers; ///< referred to by position
    std::vector<Block> blocks;       ///< weights in macros
    std::uint64_t operations = 0;    ///< in all
    /// Greatest distance in lines between an operation and its predecessor on the same unit; the
    /// header line is the predecessor of every unit's first operation.
    std::uint64_t window = 0;
};

/// Where the simulator takes operations from: one stream per unit, each with its own cursor.
class OperationSource
{
public:
    virtual ~OperationSource() = default;
    /// The first line.
    [[nodiscard]] virtual const Header& header() const = 0;
    /// Next operation of `unit` (index into header().units) in issue order. False: no more.
    /// Throws InputError (malformed), IoError.
    virtual bool next(UnitId unit, Operation& operation) = 0;
    /// Told of images first..last; false: that is enough.
    using TellImages = std::function<bool(std::uint32_t first, std::uint32_t last)>;
    /// For whoever stops before the end: calls `tell(first, last)` for ranges of images all of
    /// which have operations, programs of weights apart, that next() has not handed out, until
    /// every such image was told at least once or `tell` returns false; then it returns false, too.
    /// Contract: the last call. Throws what next() throws.
    virtual bool images_left(const TellImages& tell);
    /// What messages about its operations call it: the path of a file.
    [[nodiscard]] virtual std::string name() const { return "trace"; }
};

/// A whole trace in memory: what the compiler returns and what small tests write.
struct Trace
{
    Header header;                     ///< filled in by finalize() in part
    std::vector<Operation> operations; ///< ids 0.. rising
};

/// Sorts the units (by tile, then macros, vector unit, network interface; memory ports last) and
/// renumbers what refers to them; fills in operations, their number per unit, and the window.
/// To be called once when a trace is complete. Throws InputError for an operation or a block on a
/// unit that is not in the list.
void finalize(Trace& trace);

} // namespace tessera::trace
