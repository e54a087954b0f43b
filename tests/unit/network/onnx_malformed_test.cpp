// SPDX-License-Identifier: Apache-2.0
// Hostile, damaged and unsupported ONNX files: one message with place and remedy, nothing else.
#include "network/onnx/import.h"

#include "onnx_file.h"
#include "tessera/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>

namespace tessera::network
{
namespace
{

namespace pb = ::onnx;
namespace fs = std::filesystem;
using testing::HasSubstr;

/// A model to spoil: relu of an image, then a 3x3 convolution to 4 channels without weights'
/// values.
class Model
{
public:
    Model()
    {
        model_.set_ir_version(8);
        model_.add_opset_import()->set_version(13);
        graph().set_name("model");
        port(graph().add_input(), "image", {1, 3, 8, 8});
        port(graph().add_output(), "out", {1, 4, 6, 6});
        constant("kernel", {4, 3, 3, 3});
        node("Relu", {"image"}, {"mid"});
        node("Conv", {"mid", "kernel"}, {"out"});
    }

    pb::GraphProto& graph() { return *model_.mutable_graph(); }
    pb::ModelProto& proto() { return model_; }

    static void port(pb::ValueInfoProto* info, const std::string& name,
                     const std::vector<std::int64_t>& extents)
    {
        info->set_name(name);
        auto* type = info->mutable_type()->mutable_tensor_type();
        type->set_elem_type(pb::TensorProto::FLOAT);
        for (const std::int64_t extent : extents)
        {
            type->mutable_shape()->add_dim()->set_dim_value(extent);
        }
    }
    pb::TensorProto& constant(const std::string& name, const std::vector<std::int64_t>& extents,
                              int type = pb::TensorProto::FLOAT)
    {
        pb::TensorProto* tensor = graph().add_initializer();
        tensor->set_name(name);
        tensor->set_data_type(type);
        for (const std::int64_t extent : extents)
        {
            tensor->add_dims(extent);
        }
        return *tensor;
    }
    pb::NodeProto& node(const std::string& operation, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs)
    {
        pb::NodeProto* node = graph().add_node();
        node->set_op_type(operation);
        node->set_name("the_" + operation + std::to_string(graph().node_size()));
        for (const std::string& input : inputs)
        {
            node->add_input(input);
        }
        for (const std::string& output : outputs)
        {
            node->add_output(output);
        }
        return *node;
    }
    static void list(pb::NodeProto& node, const std::string& name,
                     const std::vector<std::int64_t>& values)
    {
        pb::AttributeProto* attribute = node.add_attribute();
        attribute->set_name(name);
        attribute->set_type(pb::AttributeProto::INTS);
        for (const std::int64_t value : values)
        {
            attribute->add_ints(value);
        }
    }
    /// Replaces the second node.
    pb::NodeProto& instead(const std::string& operation, const std::vector<std::string>& inputs)
    {
        graph().mutable_node()->RemoveLast();
        return node(operation, inputs, {"out"});
    }
    [[nodiscard]] std::string bytes() const { return model_.SerializeAsString(); }

private:
    pb::ModelProto model_;
};

std::string message_of(const std::string& bytes, const std::string& file = "model.onnx")
{
    try
    {
        (void)onnx::import(onnx::decode_graph(bytes, file, onnx::Values::all));
    }
    catch (const InputError& error)
    {
        EXPECT_EQ(error.code(), ExitCode::bad_input);
        if (error.place().file != file)
        {
            throw; // about another file
        }
        EXPECT_FALSE(error.remedy().empty());
        return error.what();
    }
    return "";
}

std::string message_of(const std::function<void(Model&)>& spoil)
{
    Model model;
    spoil(model);
    return message_of(model.bytes());
}

TEST(OnnxModel, IsFineUnspoiled)
{
    EXPECT_EQ(message_of(Model().bytes()), "");
}

TEST(OnnxFile, TruncatedOrNotOnnx)
{
    const std::string whole = bytes_of(TESSERA_SOURCE_DIR "/tests/unit/network/onnx/lenet5.onnx");
    for (std::size_t size = 0; size < whole.size(); size += 13)
    {
        EXPECT_NE(message_of(whole.substr(0, size)), "") << size;
    }
    EXPECT_THAT(message_of(std::string("{\"layers\": []}")), HasSubstr("not an ONNX model"));
    EXPECT_THAT(message_of(std::string()), HasSubstr("has no nodes"));
}

TEST(OnnxFile, AnyByteMayBeWrong)
{
    const std::string whole = bytes_of(TESSERA_SOURCE_DIR "/tests/unit/network/onnx/lenet5.onnx");
    for (std::size_t at = 0; at < whole.size(); at += 2)
    {
        for (const int flip : {0x01, 0xff})
        {
            std::string spoiled = whole;
            spoiled[at] = static_cast<char>(spoiled[at] ^ flip);
            (void)message_of(spoiled); // accepted or refused, never anything else
        }
    }
}

TEST(OnnxFile, MoreThan2GiBAreRefusedUnread)
{
    const std::string path = testing::TempDir() + "huge.onnx";
    std::ofstream(path) << "x";
    fs::resize_file(path, std::uintmax_t{3} << 30U); // sparse
    try
    {
        (void)onnx::read_graph(path, onnx::Values::small);
        ADD_FAILURE();
    }
    catch (const InputError& error)
    {
        EXPECT_THAT(error.what(), HasSubstr("2 GiB"));
        EXPECT_THAT(error.what(), HasSubstr("external data"));
    }
    fs::remove(path);
}

// A node of two bytes takes a hundred in memory.
TEST(OnnxFile, UnfoldingToAMultipleOfItselfIsRefused)
{
    constexpr std::size_t kNodes = 10'000'000;
    std::string nodes;
    for (std::size_t i = 0; i < kNodes; ++i)
    {
        nodes.append("\x0a\x00", 2);
    }
    std::string bytes = "\x3a"; // the graph and its size
    for (std::size_t size = nodes.size(); size != 0; size >>= 7U)
    {
        bytes += static_cast<char>((size & 127U) | (size >> 7U != 0 ? 128U : 0U));
    }
    EXPECT_THAT(message_of(bytes + nodes), HasSubstr("unfolds to more than 16 times"));
}

TEST(OnnxGraph, Cycles)
{
    EXPECT_THAT(message_of([](Model& m) { m.graph().mutable_node(0)->set_input(0, "out"); }),
                HasSubstr("cycle"));
    EXPECT_THAT(message_of([](Model& m) { m.graph().mutable_node(0)->set_input(0, "mid"); }),
                HasSubstr("cycle"));
}

TEST(OnnxGraph, NodesInAnyOrder)
{
    Model model;
    model.graph().mutable_node()->SwapElements(0, 1);
    EXPECT_EQ(message_of(model.bytes()), "");
}

TEST(OnnxGraph, MissingAndDoubleNames)
{
    EXPECT_THAT(message_of([](Model& m) { m.graph().mutable_node(1)->set_input(0, "nowhere"); }),
                HasSubstr("'nowhere', which nothing defines"));
    EXPECT_THAT(message_of([](Model& m) { m.graph().mutable_node(1)->set_output(0, "mid"); }),
                HasSubstr("'mid' is defined twice"));
    EXPECT_THAT(message_of([](Model& m) { m.constant("kernel", {1}); }),
                HasSubstr("'kernel' is defined twice"));
    EXPECT_THAT(message_of([](Model& m) { m.graph().mutable_output(0)->set_name("else"); }),
                HasSubstr("'else' is made by no node"));
    EXPECT_THAT(message_of([](Model& m) { m.graph().clear_output(); }), HasSubstr("no outputs"));
    EXPECT_THAT(message_of([](Model& m) { m.graph().clear_node(); }), HasSubstr("no nodes"));
}

TEST(OnnxShapes, ZeroNegativeHugeAndOpenExtents)
{
    const auto with_extent = [](std::int64_t extent)
    {
        return message_of(
            [&](Model& m)
            {
                m.graph()
                    .mutable_input(0)
                    ->mutable_type()
                    ->mutable_tensor_type()
                    ->mutable_shape()
                    ->mutable_dim(2)
                    ->set_dim_value(extent);
            });
    };
    EXPECT_THAT(with_extent(0), HasSubstr("extent of 0"));
    EXPECT_THAT(with_extent(-5), HasSubstr("extent -5"));
    EXPECT_THAT(with_extent(std::int64_t{1} << 40), HasSubstr("from 1 to 65536"));
    EXPECT_THAT(with_extent(2), HasSubstr("covers 3x3"));
    EXPECT_THAT(message_of(
                    [](Model& m)
                    {
                        m.graph()
                            .mutable_input(0)
                            ->mutable_type()
                            ->mutable_tensor_type()
                            ->mutable_shape()
                            ->mutable_dim(3)
                            ->set_dim_param("width");
                    }),
                HasSubstr("'width', has no fixed extent"));
    EXPECT_THAT(message_of([](Model& m) { m.graph().mutable_input(0)->clear_type(); }),
                HasSubstr("no shape"));
    // All within the limits, their product is not.
    EXPECT_THAT(message_of(
                    [](Model& m)
                    {
                        for (const int axis : {1, 2, 3})
                        {
                            m.graph()
                                .mutable_input(0)
                                ->mutable_type()
                                ->mutable_tensor_type()
                                ->mutable_shape()
                                ->mutable_dim(axis)
                                ->set_dim_value(65536);
                        }
                    }),
                HasSubstr("too large"));
}

TEST(OnnxShapes, AnOpenBatchIsOneImage)
{
    Model model;
    model.graph()
        .mutable_input(0)
        ->mutable_type()
        ->mutable_tensor_type()
        ->mutable_shape()
        ->mutable_dim(0)
        ->set_dim_param("N");
    const onnx::Imported imported =
        onnx::import(onnx::decode_graph(model.bytes(), "m", onnx::Values::all));
    EXPECT_EQ(imported.network.layers.at(0).output, (Shape{8, 8, 3}));
    EXPECT_EQ(imported.network.layers.back().output, (Shape{6, 6, 4}));
}

TEST(OnnxConstants, ExtentsAndValues)
{
    const auto kernel = [](const std::function<void(pb::TensorProto&)>& spoil)
    { return message_of([&](Model& m) { spoil(*m.graph().mutable_initializer(0)); }); };
    EXPECT_THAT(kernel([](pb::TensorProto& t) { t.set_dims(0, -4); }), HasSubstr("extent -4"));
    EXPECT_THAT(kernel(
                    [](pb::TensorProto& t)
                    {
                        t.set_dims(0, std::int64_t{1} << 40);
                        t.set_dims(1, std::int64_t{1} << 40);
                    }),
                HasSubstr("more than 2^40 elements"));
    EXPECT_THAT(kernel([](pb::TensorProto& t) { t.set_dims(0, 0); }), HasSubstr("from 1 to 65536"));
    EXPECT_THAT(kernel([](pb::TensorProto& t) { t.set_dims(1, 5); }), HasSubstr("an input of 3"));
    EXPECT_THAT(kernel([](pb::TensorProto& t) { t.set_raw_data("12345678"); }),
                HasSubstr("8 B of values where 108 elements"));
    EXPECT_THAT(kernel([](pb::TensorProto& t) { t.add_float_data(1); }),
                HasSubstr("1 values for 108 elements"));
}

TEST(OnnxAttributes, OutOfRange)
{
    const auto with = [](const char* key, const std::vector<std::int64_t>& values)
    { return message_of([&](Model& m) { Model::list(*m.graph().mutable_node(1), key, values); }); };
    EXPECT_THAT(with("strides", {0, 1}), HasSubstr("strides"));
    EXPECT_THAT(with("strides", {1}), HasSubstr("strides"));
    EXPECT_THAT(with("dilations", {1, -1}), HasSubstr("dilations"));
    EXPECT_THAT(with("pads", {-1, 0, 0, 0}), HasSubstr("pads"));
    EXPECT_THAT(with("pads", {0, 0, std::int64_t{1} << 62, 0}), HasSubstr("pads"));
    EXPECT_THAT(message_of(
                    [](Model& m)
                    {
                        pb::AttributeProto* group = m.graph().mutable_node(1)->add_attribute();
                        group->set_name("group");
                        group->set_i(-3);
                    }),
                HasSubstr("groups"));
}

TEST(OnnxOperators, AllUnsupportedOnesAreNamedAtOnce)
{
    const std::string message = message_of(
        [](Model& m)
        {
            m.graph().mutable_node(0)->set_op_type("Einsum");
            m.node("Softsign", {"out"}, {"a"});
            m.node("Softsign", {"image"}, {"b"});
            m.node("Own", {"image"}, {"c"}).set_domain("com.example");
            Model::list(m.node("Transpose", {"image"}, {"d"}), "perm", {0, 0, 1, 2});
            for (const char* name : {"a", "b", "c", "d"})
            {
                Model::port(m.graph().add_output(), name, {1});
            }
        });
    EXPECT_THAT(message, HasSubstr("has 5 nodes"));
    EXPECT_THAT(message, HasSubstr("Einsum at 'the_Relu1'"));
    EXPECT_THAT(message, HasSubstr("Softsign at 'the_Softsign3', 'the_Softsign4'"));
    EXPECT_THAT(message, HasSubstr("Own at 'the_Own5'"));
    EXPECT_THAT(message, HasSubstr("Transpose (has a perm that is no order of 4 axes) at"));
}

TEST(OnnxOperators, DeadOnesDoNotMatter)
{
    EXPECT_EQ(message_of([](Model& m) { m.node("Einsum", {"image"}, {"nobody"}); }), "");
}

TEST(OnnxOperators, HostileShapeComputations)
{
    const auto reshaped = [](const std::vector<std::int64_t>& to)
    {
        return message_of(
            [&](Model& m)
            {
                pb::TensorProto& shape = m.constant("shape", {static_cast<std::int64_t>(to.size())},
                                                    pb::TensorProto::INT64);
                for (const std::int64_t value : to)
                {
                    shape.add_int64_data(value);
                }
                m.instead("Reshape", {"mid", "shape"});
            });
    };
    EXPECT_EQ(reshaped({1, -1}), "");
    EXPECT_THAT(reshaped({1, 7}), HasSubstr("makes 7 elements of 192"));
    EXPECT_THAT(reshaped({-1, -1}), HasSubstr("Reshape"));
    EXPECT_THAT(reshaped({std::int64_t{1} << 40, std::int64_t{1} << 40}), HasSubstr("Reshape"));
    EXPECT_THAT(reshaped({-7, 1}), HasSubstr("extent -7"));
    EXPECT_THAT(reshaped(std::vector<std::int64_t>(100, 1)), HasSubstr("64 axes"));
    // 2^40 zeros are never made.
    EXPECT_THAT(message_of(
                    [](Model& m)
                    {
                        pb::TensorProto& shape = m.constant("shape", {2}, pb::TensorProto::INT64);
                        shape.add_int64_data(std::int64_t{1} << 20);
                        shape.add_int64_data(std::int64_t{1} << 20);
                        m.instead("Add", {"mid", "zeros"});
                        m.node("ConstantOfShape", {"shape"}, {"zeros"});
                    }),
                HasSubstr("do not go together"));
}

TEST(OnnxOperators, LongChainsNeedNoStack)
{
    Model model;
    model.graph().clear_node();
    std::string last = "image";
    for (int i = 0; i < 20'000; ++i)
    {
        std::string next = "x" + std::to_string(i);
        model.node(i % 2 == 0 ? "Neg" : "Relu", {last}, {next});
        last = std::move(next);
    }
    model.node("Conv", {last, "kernel"}, {"out"});
    EXPECT_EQ(message_of(model.bytes()), "");
}

TEST(OnnxOperators, DeepNestingIsRefused)
{
    Model model;
    pb::GraphProto* graph = &model.graph();
    for (int depth = 0; depth < 200; ++depth)
    {
        pb::NodeProto* node = graph->add_node();
        node->set_op_type("If");
        node->add_output("branch" + std::to_string(depth));
        pb::AttributeProto* attribute = node->add_attribute();
        attribute->set_name("then_branch");
        graph = attribute->mutable_g();
    }
    EXPECT_THAT(message_of(model.bytes()), HasSubstr("not an ONNX model, or is truncated"));
}

class ExternalData : public testing::Test
{
protected:
    void SetUp() override
    {
        fs::create_directories(folder_ / "weights");
        std::ofstream(folder_ / "weights" / "kernel.bin") << std::string(4 * 108 + 8, '\0');
        std::ofstream(folder_.parent_path() / "outside.bin") << std::string(4 * 108, '\0');
    }
    void TearDown() override
    {
        fs::remove_all(folder_);
        fs::remove(folder_.parent_path() / "outside.bin");
    }
    [[nodiscard]] std::string message(const std::string& location, const std::string& offset = "",
                                      const std::string& length = "") const
    {
        Model model;
        pb::TensorProto* kernel = model.graph().mutable_initializer(0);
        kernel->set_data_location(pb::TensorProto::EXTERNAL);
        const auto add = [&](const char* key, const std::string& value)
        {
            if (!value.empty())
            {
                pb::StringStringEntryProto* entry = kernel->add_external_data();
                entry->set_key(key);
                entry->set_value(value);
            }
        };
        add("location", location);
        add("offset", offset);
        add("length", length);
        return message_of(model.bytes(), (folder_ / "model.onnx").string());
    }
    fs::path folder_ = fs::path(testing::TempDir()) / "onnx_external" / "model";
};

TEST_F(ExternalData, IsReadBelowTheFolderOfTheModel)
{
    EXPECT_EQ(message("weights/kernel.bin", "8", "432"), "");
    EXPECT_EQ(message("weights/kernel.bin"), "");
    EXPECT_EQ(message("weights/stripped.bin"), "");
}

TEST_F(ExternalData, NeverLeavesIt)
{
    fs::create_symlink(folder_.parent_path() / "outside.bin", folder_ / "link.bin");
    for (const char* path :
         {"../outside.bin", "weights/../../outside.bin", "/etc/passwd", "link.bin"})
    {
        EXPECT_THAT(message(path), HasSubstr("not below the folder")) << path;
    }
    EXPECT_THAT(message(""), HasSubstr("not below the folder"));
}

TEST_F(ExternalData, MustBeAllThere)
{
    EXPECT_THAT(message("weights/kernel.bin", "9", "432"), HasSubstr("wants 432 B at 9"));
    EXPECT_THAT(message("weights/kernel.bin", "0", "4"), HasSubstr("wants 432 B"));
    EXPECT_THAT(message("weights/kernel.bin", "-1"), HasSubstr("no place in a file"));
    EXPECT_THAT(message("weights/kernel.bin", "99999999999999999999"),
                HasSubstr("no place in a file"));
    EXPECT_THROW((void)message("weights"), InputError); // a folder
}

} // namespace
} // namespace tessera::network
