#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The evaluator of ONNX's definitions, held against closed small cases and against the tensors that come with ONNX."""
import glob
import os
import sys
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnx_eval

DATA = "/usr/share/libonnx-testdata/data"
TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8}


def evaluate(kind, inputs, domain="", opset=14, single=False, **attributes):
    """One node's (first) output, and the evaluator."""
    names = ["" if value is None else f"i{number}" for number, value in enumerate(inputs)]
    node = helper.make_node(kind, names, ["y"], domain=domain, **attributes)
    constants = [numpy_helper.from_array(np.asarray(v), n) for n, v in zip(names, inputs) if v is not None]
    graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], constants)
    versions = {"": opset, "com.microsoft": 1, "qonnx.custom_op.general": 1}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*version) for version in versions.items()])
    evaluator = onnx_eval.Evaluator(model, single)
    return evaluator.run({})["y"], evaluator


f, u8, i8, i32, i64 = np.float32, np.uint8, np.int8, np.int32, np.int64


class Closed(unittest.TestCase):
    def check(self, wanted, kind, inputs, **more):
        got, _ = evaluate(kind, inputs, **more)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-7)
        self.assertEqual(got.shape, np.shape(wanted))

    def test_quantisers_round_half_to_even_and_saturate(self):
        x = f([-10, -1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 100, 0.5])
        self.check([108, 126, 126, 128, 128, 130, 130, 255, 129], "QuantizeLinear", [x, f(0.5), u8(128)])
        self.check([-20, -2, -2, 0, 0, 2, 2, 127, 1], "QuantizeLinear", [x, f(0.5), i8(0)])
        self.check([0, 0, 0, 0, 0, 2, 2, 200, 1], "QuantizeLinear", [x, f(0.5)])

    def test_a_zero_point_comes_after_rounding(self):
        # 0.5 + 1 = 1.5 would become 2, but 0.5 becomes 0 first.
        got, evaluator = evaluate("QuantizeLinear", [f([0.5, 1.5]), f(1), u8(1)])
        self.assertEqual(got.tolist(), [1, 3])
        self.assertEqual(evaluator.unrounded["y"].tolist(), [1.5, 2.5])

    def test_quantisers_per_axis(self):
        x, scale, zero = f([[1, 2], [3, 4]]), f([1, 0.5]), i8([10, -10])
        self.check([[11, 12], [-4, -2]], "QuantizeLinear", [x, scale, zero], axis=0)
        self.check([[11, -6], [13, -2]], "QuantizeLinear", [x, scale, zero], axis=1)
        self.check([[-9, 6], [-7, 7]], "DequantizeLinear", [i8([[1, 2], [3, 4]]), scale, zero], axis=-1)

    def test_quantisers_in_float32(self):
        codes = evaluate("DequantizeLinear", [i8([127]), f(0.1), i8(0)], single=True)[0]
        self.assertEqual(codes[0], np.float64(f(127) * f(0.1)))

    def test_qlinear_conv_per_channel(self):
        x, w = u8([[[[5, 6]]]]), i8([[[[2]]], [[[3]]]])
        got, _ = evaluate("QLinearConv", [x, f(1), u8(4), w, f([1, 2]), i8([1, 0]), f(0.5), u8(100), i32([10, -1])])
        # (x - 4) x (1, 3) + bias, x (1, 2) / 0.5 + 100
        self.assertEqual(got.tolist(), [[[[122, 124]], [[108, 120]]]])

    def test_qlinear_mat_mul_zero_points(self):
        got, _ = evaluate("QLinearMatMul", [u8([[3, 4]]), f(1), u8(1), i8([[1, 2], [3, 4]]), f([1, 0.5]), i8([0, 1]),
                                            f(1), i8(-3)])
        self.assertEqual(got.tolist(), [[8, 3]])  # 2*1 + 3*3 - 3; (2*1 + 3*3) / 2 = 5.5, to even 6, - 3

    def test_qlinear_of_microsoft(self):
        quantised = [u8([[12, 20]]), f(0.5), u8(10)]  # 1, 5
        other = [u8([[0, 7]]), f(2), u8(3)]           # -6, 8
        ms = {"domain": "com.microsoft"}
        self.check([[95, 113]], "QLinearAdd", [*quantised, *other, f(1), u8(100)], **ms)
        self.check([[97, 120]], "QLinearMul", [*quantised, *other, f(2), u8(100)], **ms)
        self.check([[11, 15, 4, 18]], "QLinearConcat", [f(1), u8(10), *quantised, *other], axis=1, **ms)
        self.check([[187, 254]], "QLinearSigmoid", [*quantised, f(1 / 256), u8(0)], **ms)
        self.check([[7, 18]], "QLinearLeakyRelu", [*other, f(1), u8(10)], alpha=0.5, **ms)
        self.check([[5, 251]], "QLinearSoftmax", [*quantised, f(1 / 256), u8(0)], axis=1, opset=13, **ms)

    def test_quant_of_qonnx(self):
        x, more = f([-9, -0.75, 0.25, 0.75, 9]), {"domain": "qonnx.custom_op.general"}
        # Codes -18, -1.5, 0.5, 1.5, 18 plus the zero point 1: even ones of what lies between.
        self.check([-4.5, -0.5, 0.5, 0.5, 3], "Quant", [x, f(0.5), f(1), f(4)], **more)
        self.check([-4, -0.5, 0.5, 0.5, 3], "Quant", [x, f(0.5), f(1), f(4)], narrow=1, **more)
        self.check([-0.5, -0.5, 0.5, 0.5, 7], "Quant", [x, f(0.5), f(1), f(4)], signed=0, **more)
        self.check([-4, -1, 0, 0.5, 3.5], "Quant", [x, f(0.5), f(0), f(4)], rounding_mode="FLOOR", **more)

    def test_qgemm(self):
        # The bias has alpha x both scales: 0.5 (2 x 3 + 4) = 5
        got, _ = evaluate("QGemm", [u8([[3]]), f(1), u8(1), i8([[3]]), f(1), i8(0), i32([4]), f(1), u8(7)],
                          "com.microsoft", alpha=0.5, transB=1)
        self.assertEqual(got.tolist(), [[12]])
        self.check([[5]], "QGemm", [u8([[3]]), f(1), u8(1), i8([[3]]), f(1), i8(0), i32([4])],
                   domain="com.microsoft", alpha=0.5)

    def test_qlinear_pools(self):
        x = [u8([[[[11, 12], [13, 16]]]]), f(2), u8(10)]  # 2, 4, 6, 12: mean 6
        ms = {"domain": "com.microsoft"}
        self.check([[[[4]]]], "QLinearGlobalAveragePool", [*x, f(3), u8(2)], **ms)
        self.check([[[[3, 5]]]], "QLinearAveragePool", [*x, f(3), u8(2)], kernel_shape=[2, 1], **ms)
        last = [u8([[[[11], [12]], [[13], [16]]]]), f(2), u8(10)]
        self.check([[[[4]]]], "QLinearGlobalAveragePool", [*last, f(3), u8(2)], channels_last=1, **ms)

    def test_on_codes(self):
        x = i8([[-100, -1, 5, 127]])
        self.check([[0, 0, 5, 127]], "Relu", [x])
        self.check([[-10, -1, 5, 20]], "Clip", [x, i8(-10), i8(20)])
        self.check([[7, -100, -1, 5, 127]], "Pad", [x, i64([0, 1, 0, 0]), i8(7)])
        self.check([[[-100, 127]]], "MaxPool", [i8([[[-100, -128, 127]]])], kernel_shape=[2], strides=[1])

    def test_windows_begin_inside_the_map_or_before_it(self):
        x = f(np.arange(1, 6).reshape(1, 1, 5))
        self.check([[[1.5, 3.5, 5]]], "AveragePool", [x], kernel_shape=[2], strides=[2], ceil_mode=1, opset=19)
        x = f([[[3, 6]]])
        common = {"kernel_shape": [2], "strides": [2], "pads": [1, 1], "opset": 19}
        self.check([[[1.5, 3]]], "AveragePool", [x], count_include_pad=1, ceil_mode=1, **common)
        self.check([[[3, 6]]], "AveragePool", [x], ceil_mode=1, **common)
        # A third window would begin in the padding behind the map.
        x = f([[[1, 2, 3, 4, 5]]])
        common = {"kernel_shape": [3], "strides": [3], "pads": [1, 1], "ceil_mode": 1, "opset": 19}
        self.check([[[1, 4]]], "AveragePool", [x], **dict(common, ceil_mode=0, count_include_pad=1))
        self.check([[[1.5, 4]]], "AveragePool", [x], **common)

    def test_padding_counts_as_far_as_it_goes(self):
        # Extent 4, padding 1 and 1: windows of 3 at 0, 3; the second is [3, 4, pad]; with stride 4 and ceil_mode
        # the second begins at 4 and has the element 4, the padding, and one beyond it that does not count.
        x = f([[[1, 2, 3, 4]]])
        common = {"kernel_shape": [3], "strides": [4], "pads": [1, 1], "opset": 19}
        self.check([[[1]]], "AveragePool", [x], count_include_pad=1, **common)
        self.check([[[1, 2]]], "AveragePool", [x], count_include_pad=1, ceil_mode=1, **common)
        self.check([[[1.5, 4]]], "AveragePool", [x], ceil_mode=1, **common)
        self.check([[[2, 4]]], "MaxPool", [x], ceil_mode=1, **common)

    def test_attributes_of_old_opsets(self):
        self.check([[-1, 2]], "Clip", [f([[-5, 9]])], opset=6, min=-1.0, max=2.0)
        x = f(np.log([[[1, 2], [3, 4]]]))
        self.check([[[0.1, 0.2], [0.3, 0.4]]], "Softmax", [x], opset=11)
        self.check([[[1 / 3, 2 / 3], [3 / 7, 4 / 7]]], "Softmax", [x], opset=13)
        self.check([[9, 1, 9]], "Pad", [f([[1]])], opset=2, pads=[0, 1, 0, 1], value=9.0)

    def test_groups_dilations_and_pads_of_conv(self):
        x, w = f([[[1, 2, 3, 4], [5, 6, 7, 8]]]), f([[[1, 10]], [[2, 3]]])
        self.check([[[31, 42], [31, 36]]], "Conv", [x, w], group=2, dilations=[2])
        self.check([[[10, 32, 4], [15, 33, 16]]], "Conv", [x, w], group=2, strides=[2], pads=[1, 1])


class TestsOfOnnx(unittest.TestCase):
    """Every model of one operator that comes with ONNX, if all its operators are known here."""

    def test_all_that_are_known(self):
        folders = sorted(map(os.path.dirname, glob.glob(DATA + "/*/test_*/model.onnx")))
        if not folders:
            self.skipTest("libonnx-testdata is not installed")
        checked, kinds = 0, set()
        for folder in folders:
            model = onnx.load(os.path.join(folder, "model.onnx"))
            if not all(("" if n.domain == "ai.onnx" else n.domain, n.op_type) in onnx_eval.OPERATORS
                       for n in model.graph.node) or skipped(folder, model):
                continue
            with self.subTest(os.path.basename(folder)):
                with np.errstate(invalid="ignore"):  # roots of negative numbers
                    self.compare(folder, model)
            checked += 1
            kinds |= {node.op_type for node in model.graph.node}
        print(f"{checked} models of ONNX with {len(kinds)} operators", file=sys.stderr)
        self.assertGreater(checked, 250)

    def compare(self, folder, model):
        initial = {tensor.name for tensor in model.graph.initializer}
        names = [value.name for value in model.graph.input if value.name not in initial]
        feeds = dict(zip(names, read(folder, "input")))
        got = onnx_eval.Evaluator(model, single=True).run({k: v for k, v in feeds.items() if v is not None})
        for output, wanted in zip(model.graph.output, read(folder, "output")):
            if output.name not in got:
                continue
            self.assertEqual(got[output.name].shape, wanted.shape)
            kind = wanted.dtype.kind
            np.testing.assert_allclose(got[output.name], wanted, rtol=1e-3 if wanted.dtype == np.float16 else 1e-4,
                                       atol=0 if kind in "iu" else 2e-5)


def skipped(folder, model):
    """Second outputs, training and types that no network has are not evaluated."""
    types = {value.type.tensor_type.elem_type for value in [*model.graph.input, *model.graph.output]}
    name = os.path.basename(folder)
    nearest = all(not any(a.name == "mode" and a.s in (b"linear", b"cubic") for a in n.attribute)
                  and not any(a.name == "coordinate_transformation_mode" and b"tf_" in a.s for a in n.attribute)
                  for n in model.graph.node if n.op_type in ("Resize", "Upsample"))
    return (TensorProto.STRING in types or TensorProto.BFLOAT16 in types or 0 in types or "training" in name
            or "argmax" in name or not nearest or name.startswith("test_shape_") and name != "test_shape_example"
            or any(len(node.output) > 1 and node.op_type in ("MaxPool", "Dropout", "BatchNormalization")
                   for node in model.graph.node))


def read(folder, kind):
    tensors = []
    for number in range(len(glob.glob(f"{folder}/test_data_set_0/{kind}_*.pb"))):
        tensor = onnx.TensorProto()
        with open(f"{folder}/test_data_set_0/{kind}_{number}.pb", "rb") as file:
            tensor.ParseFromString(file.read())
        tensors.append(numpy_helper.to_array(tensor))
    return tensors


if __name__ == "__main__":
    unittest.main()
