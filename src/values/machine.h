// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chip/follower.h"
#include "semantics/field.h"
#include "semantics/naming.h"
#include "tessera/trace.h"
#include "values/crossbars.h"
#include "values/integer_network.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tessera::values
{

/// An element that an operation read before it was there.
struct Poison
{
    OpId operation;
    Tick at = 0;      ///< of the read
    NodeId node;      ///< whose buffer was read, a memory port's of a load
    LayerId layer;    ///< worked for
    Element making;   ///< of that layer's output: what first needed it
    LayerId tensor;   ///< whose output was missing
    Element missing;  ///< element of that output, of partial sums the one they add up to
    bool sum = false; ///< partial sums of `tensor` were missing
};

/// Where layers lie in a trace, as macros of the chip hold them; each once.
[[nodiscard]] std::vector<Piece> pieces_of(const trace::Header& header,
                                           const semantics::Naming& naming,
                                           const config::ChipConfig& chip);

/// Every block is read as if its array held nothing else, which is right unless it shares wires
/// with another: throws InputError, which names `file`, where blocks that do not take turns in the
/// same cells lie in the same rows or columns of a macro and wires have a resistance.
void check_apart(const trace::Header& header, const config::ChipConfig& chip,
                 const Analogue& analogue, const std::string& file);

/// Executes the operations of a trace with real numbers as the chip starts them: what an operation
/// reads is what lies in its tile's buffer then. Its operands are looked at first, then everything
/// else that has arrived there and is still read by somebody. What is not there is poison; so is
/// what is made of it.
class Machine final : public chip::Follower
{
public:
    /// Codes that no number equals.
    static constexpr std::int64_t kPoison = INT64_MIN;

    /// `images`: codes of the input, by image of the trace. Keeps references to header, network and
    /// crossbars, which are made of pieces_of() the header and chip. Throws InputError when the
    /// trace is not of this network.
    Machine(const trace::Header& header, const IntegerNetwork& network,
            const config::ChipConfig& chip, const Crossbars& crossbars,
            std::vector<Map<std::int32_t>> images);

    void started(const trace::Operation& operation, NodeId node, Tick now) override;
    void arrived(OpId operation, NodeId node) override;
    void ended(const trace::Operation& operation, NodeId node) override;

    /// Reads of what was not there, in the order in which they happened: the first of each
    /// operation and missing tensor.
    [[nodiscard]] const std::vector<Poison>& poison() const { return poison_; }
    [[nodiscard]] std::string text_of(const Poison& poison) const;

    /// What operations have made of a layer's output for an image: codes, kPoison where nothing is.
    /// Null: nothing at all.
    [[nodiscard]] const std::vector<std::int64_t>* made(std::uint32_t image, LayerId layer) const;
    [[nodiscard]] std::size_t images() const { return images_.size(); }

private:
    /// What a datum holds.
    struct Content
    {
        LayerId tensor;            ///< layer whose output; none(): nothing of the network
        LayerId sum_of;            ///< layer whose products these are partial sums of, if they are
        semantics::Stretches rows; ///< of its weight matrix: those that are in the sums
        trace::Box box;
        std::uint32_t image = 0;
        std::vector<std::int64_t> values; ///< row by row, column by column, channel by channel

        [[nodiscard]] bool holds(const Element& at) const;
        [[nodiscard]] std::int64_t at(const Element& element) const;
    };
    struct Datum
    {
        std::shared_ptr<const Content> content;
        std::uint32_t uses = 0;
        bool here = false;
    };
    struct Key
    {
        OpId operation;
        NodeId node;
        friend bool operator==(const Key& a, const Key& b)
        {
            return a.operation == b.operation && a.node == b.node;
        }
    };
    struct Hash
    {
        std::size_t operator()(const Key& key) const
        {
            return std::hash<std::uint64_t>()(key.operation.value() * 0x9E3779B97F4A7C15ULL ^
                                              key.node.value());
        }
    };
    using ImageOfLayer = std::pair<std::uint32_t, LayerId>;

    class Reader;

    /// Visits the contents of what has arrived in a buffer.
    template <class Visit> void each_here(NodeId node, Visit visit) const;

    /// What a block of a matmul holds.
    struct Written
    {
        std::uint32_t image = 0;
        numerics::Matrix<std::int32_t> codes; ///< 0 where there are none
        enum class Cell : char
        {
            empty,
            poison,
            code
        };
        numerics::Matrix<Cell> cells;
        std::shared_ptr<const Programmed> programmed; ///< null: to be made of the codes
    };

    [[nodiscard]] Content product(const trace::Operation& operation, Reader& reader, Tick now);
    [[nodiscard]] Content product_of_weights(const trace::Operation& operation, LayerId layer,
                                             Reader& reader, Tick now);
    [[nodiscard]] Content product_of_maps(const trace::Operation& operation, LayerId layer,
                                          Reader& reader, Tick now);
    [[nodiscard]] numerics::Matrix<std::int64_t>
    sums(const Programmed& cells, const numerics::Matrix<std::int32_t>& inputs,
         const std::vector<numerics::VectorIdentity>& vectors, Tick now);
    /// What is made of sums at the pixels: row by row of `sums`, whose columns are the block's;
    /// `poisoned` says which are not there.
    template <class Poisoned>
    [[nodiscard]] Content
    result_of(const trace::Operation& operation, LayerId layer, const trace::Box& box,
              const numerics::Matrix<std::int64_t>& sums, Poisoned poisoned) const;
    void write(const trace::Operation& operation, Reader& reader);
    [[nodiscard]] semantics::Stretch summed(LayerId layer, const Element& at) const;
    [[nodiscard]] Content sum(const trace::Operation& operation, LayerId layer,
                              Reader& reader) const;
    [[nodiscard]] Content function(const trace::Operation& operation, LayerId layer,
                                   Reader& reader) const;
    [[nodiscard]] Content computed(const trace::Operation& operation, Reader& reader, Tick now);
    [[nodiscard]] Content loaded(const trace::Operation& operation, Reader& reader) const;
    [[nodiscard]] std::shared_ptr<const Content> carried(const trace::Operation& operation,
                                                         NodeId node) const;
    [[nodiscard]] std::int64_t through(LayerId from, LayerId to, const Element& at,
                                       std::int64_t code) const;
    [[nodiscard]] trace::Box made_by(const trace::Operation& operation, LayerId layer) const;
    [[nodiscard]] bool finishes(const trace::Operation& operation, LayerId layer) const;
    void keep(std::map<ImageOfLayer, std::vector<std::int64_t>>& maps, const Content& content,
              const trace::Box& box) const;
    [[noreturn]] void refuse(const trace::Operation& operation, const std::string& problem) const;

    const trace::Header& header_;
    const IntegerNetwork& integers_;
    const Crossbars& crossbars_;
    semantics::Effort effort_;
    semantics::Naming naming_;
    std::vector<Piece> pieces_; ///< by block
    std::unordered_map<BlockId, Written> written_;
    std::unordered_map<std::uint32_t, Fluctuations> fluctuations_; ///< by Programmed::cells()
    std::vector<Map<std::int32_t>> images_;
    std::unordered_map<Key, Datum, Hash> data_;
    std::unordered_map<OpId, std::shared_ptr<const Content>> stores_; ///< on their way
    std::map<ImageOfLayer, std::vector<std::int64_t>> memory_;
    std::map<ImageOfLayer, std::vector<std::int64_t>> made_;
    std::vector<Poison> poison_;
};

} // namespace tessera::values
