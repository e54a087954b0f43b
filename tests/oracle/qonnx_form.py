# SPDX-License-Identifier: Apache-2.0
"""QDQ models as QONNX writes them: `Quant` in place of QuantizeLinear and DequantizeLinear."""
import collections

import numpy as np
import onnx
from onnx import helper, numpy_helper

import onnx_eval

DOMAIN = "qonnx.custom_op.general"


def rewritten(model):
    """The same model with Quant, or None where something reads codes that are not dequantised at once."""
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    readers = collections.defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    kinds = {node.op_type for node in graph.node}
    if any(node.domain for node in graph.node) or kinds & {"QLinearConv", "QLinearMatMul", "Constant"}:
        return None
    if any(value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT for value in [*graph.input, *graph.output]):
        return None
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and any(r.op_type != "DequantizeLinear" for r in readers[node.output[0]]):
            return None
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") and any(
                maker.get(name) is not None and maker[name].op_type == "QuantizeLinear" for name in node.input):
            return None
    made = {}
    nodes, initializers, renamed = [], dict(constants), {}

    def constant(value, name):
        initializers[name] = np.asarray(value, np.float32)
        return name

    def shaped(value, node, rank):
        """Scales and zero points of an axis, to be broadcast."""
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        return onnx_eval.along(value, axis, rank)

    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            continue
        if node.op_type != "DequantizeLinear":
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = [renamed.get(name, name) for name in node.input]
            nodes.append(copy)
            continue
        scale = constants[node.input[1]]
        source = maker.get(node.input[0])
        zero = constants[node.input[2]] if len(node.input) > 2 else np.zeros((), np.uint8)
        if node.input[0] in constants:
            codes = constants[node.input[0]]
            bits, signed, rank, name = codes.dtype.itemsize * 8, codes.dtype.kind == "i", codes.ndim, node.name
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            if bits == 32 and np.abs(codes).max() > 2**20:
                return None  # float32 does not hold them
            operand = constant(onnx_eval.real(codes, np.float64(scale), zero, axis), node.output[0] + "_real")
            zero = zero if len(node.input) > 2 else np.zeros((), codes.dtype)
        elif source is not None and source.op_type == "QuantizeLinear":
            if node.input[0] in made:
                renamed[node.output[0]] = made[node.input[0]]
                continue
            made[node.input[0]] = node.output[0]
            operand, bits, signed = renamed.get(source.input[0], source.input[0]), 8, zero.dtype.kind == "i"
            name = source.name
            rank = constants[operand].ndim if operand in constants else 4
        else:
            return None
        parameters = [constant(shaped(value, node, rank), node.output[0] + suffix)
                      for value, suffix in ((scale, "_scale"), (zero, "_zero"))]
        nodes.append(helper.make_node("Quant", [operand, *parameters, constant(bits, node.output[0] + "_bits")],
                                      [node.output[0]], name=name, domain=DOMAIN, signed=int(signed), narrow=0,
                                      rounding_mode="ROUND"))
    used = {name for node in nodes for name in node.input}
    outputs = [helper.make_tensor_value_info(renamed.get(v.name, v.name), onnx.TensorProto.FLOAT,
                                             [d.dim_value for d in v.type.tensor_type.shape.dim]) for v in graph.output]
    initializers = [numpy_helper.from_array(value, name) for name, value in initializers.items() if name in used]
    result = helper.make_model(
        helper.make_graph(nodes, "g", list(graph.input), outputs, initializers),
        opset_imports=[*model.opset_import, helper.make_opsetid(DOMAIN, 1)])
    result.ir_version = 8
    return result
