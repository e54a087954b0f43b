// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"
#include "semantics/effort.h"
#include "semantics/field.h"
#include "semantics/naming.h"
#include "semantics/order.h"
#include "tessera/trace.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

/// Proves that a trace computes its network: what every operation makes follows from what it reads.
namespace tessera::semantics
{

/// What was proved.
struct Report
{
    std::string network;
    std::uint64_t images = 0;
    std::uint64_t layers = 0;   ///< that operations compute
    std::uint64_t regions = 0;  ///< parts of feature maps that operations need; all were in `in`
    std::uint64_t loads = 0;    ///< from memory of what the chip had stored; all wait for the store
    std::uint64_t left_out = 0; ///< elements of these layers that are not made; nothing needs them

    [[nodiscard]] nlohmann::ordered_json json() const;
    [[nodiscard]] std::string text() const;
};

/// Follows the contents of all data through a trace and rederives, element by element, what every
/// operation must read:
/// - an mvm, the input elements under the rows of its block; the result is a partial sum; if its
///   layer is a matmul, the part of the second operand that is its block was written before, for
///   the same image, and nothing else since;
/// - a program of a block of a matmul, what it says to write (`tensor`, `box`);
/// - a vec whose operands are partial sums, every row of the layer's weight matrix exactly once,
///   unless its result is wider than the layer's tensor and so a partial sum too;
/// - another vec, what its layer takes to make `ofm` (pooling windows, both branches of a residual
///   sum, all rows of the second factor of a matmul, ...), through concat, split, pad and reshape;
/// - a move, store or load, what it says to carry; what is loaded must be an input of the network
///   or have been stored by operations that are sure to have ended;
/// and that all outputs of the network have been stored.
/// Only what is in `in` counts: it alone keeps a datum in the buffer. Order edges (`after`) are a
/// schedule's own decision, except where they make a load wait for a store.
/// Memory: O(data alive + stores), and 4 bytes a reference.
class Checker
{
public:
    /// Keeps references. Throws Malformed (a pointer into the header) when tensors or layers are
    /// not those of the network.
    Checker(const trace::Header& header, const network::Network& network);

    /// Throws Malformed if `operation`, as the next one, is wrong. Changes nothing.
    void check(const trace::Operation& operation);
    /// Checks the next operation and goes on.
    void add(const trace::Operation& operation);
    /// After the last one. Throws Malformed.
    [[nodiscard]] Report finish();

private:
    /// What a datum holds.
    struct Content
    {
        LayerId tensor; ///< layer whose output it is; none(): nothing of the network
        LayerId sum_of; ///< layer that it is a partial sum of; none(): finished
        Stretches rows; ///< of a partial sum: of the weight matrix
        trace::Box box; ///< which elements
        std::uint32_t image = 0;
    };
    struct Datum
    {
        Content content;
        std::uint64_t uses = 0; ///< left
    };
    struct Stored
    {
        OpId by;
        trace::Box box;
    };
    using Stores = std::vector<Stored>;
    /// What a block of a matmul holds of the second operand.
    struct Written
    {
        std::uint32_t image = 0;
        std::vector<trace::Box> boxes;
    };
    using ImageOfTensor = std::pair<std::uint32_t, LayerId>;

    [[nodiscard]] std::string text_of(const trace::Operation& operation) const;
    [[nodiscard]] const Content& operand(const trace::Operation& operation, std::size_t i) const;
    [[nodiscard]] Content result_of(const trace::Operation& operation);
    [[nodiscard]] Content product(const trace::Operation& operation);
    [[nodiscard]] Content product_of_maps(const trace::Operation& operation, LayerId layer);
    void check_program(const trace::Operation& operation);
    void write(const trace::Operation& operation);
    [[nodiscard]] Stretch rows_summed(LayerId layer, const trace::Box& made) const;
    [[nodiscard]] Content sum(const trace::Operation& operation, LayerId layer);
    [[nodiscard]] Content function(const trace::Operation& operation, LayerId layer);
    [[nodiscard]] Content carried(const trace::Operation& operation) const;
    [[nodiscard]] Content loaded(const trace::Operation& operation);
    void check_store(const trace::Operation& operation) const;
    void check_size(const trace::Operation& operation, const Content& content) const;
    void check_function(const trace::Operation& operation, LayerId layer) const;
    [[nodiscard]] trace::Box made_by(const trace::Operation& operation, LayerId layer) const;
    void check_rows(const trace::Operation& operation, LayerId layer, const Stretches& rows,
                    const trace::Box& box) const;
    void find_needs(const trace::Operation& operation, LayerId layer, std::vector<Need>& needs);
    [[nodiscard]] std::uint8_t bits_of(LayerId layer) const;

    const trace::Header& header_;
    const network::Network& network_;
    Effort effort_;
    Naming naming_;
    Order order_;
    std::unordered_map<OpId, Datum> data_;
    std::map<ImageOfTensor, Stores> stores_;
    std::unordered_map<BlockId, Written> written_;             ///< blocks of matmuls
    std::unordered_map<UnitId, std::vector<BlockId>> dynamic_; ///< such blocks of a macro
    std::map<ImageOfTensor, std::uint64_t> made_;              ///< elements
    std::set<std::uint32_t> images_;
    Report report_;
    // Results of check() for add().
    Content result_;
    std::uint64_t regions_ = 0;
    std::uint64_t loads_ = 0;
};

/// Proves a trace in a file; `trace::check()` must have passed. Throws InputError naming file and
/// line, IoError.
[[nodiscard]] Report check(const std::string& path, const network::Network& network);

} // namespace tessera::semantics
