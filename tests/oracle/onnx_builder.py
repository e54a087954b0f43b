# SPDX-License-Identifier: Apache-2.0
"""Writes ONNX models in Python, and knows all the while what they compute for one image."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnx_eval

TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.uint8): TensorProto.UINT8,
         np.dtype(np.int8): TensorProto.INT8}


class Builder:
    """A graph that grows node by node. `values` has what each tensor is for the calibration image."""

    def __init__(self, opset=14, constant_nodes=False):
        self.constant_nodes = constant_nodes  # or initializers
        self.nodes, self.constants, self.values = [], {}, {}
        self.inputs, self.outputs, self.opset = [], [], opset
        self.evaluator = onnx_eval.Evaluator(self.model())

    def model(self):
        graph = helper.make_graph(
            self.nodes, "g",
            [helper.make_tensor_value_info(name, TYPES[dtype], shape) for name, shape, dtype in self.inputs],
            [helper.make_tensor_value_info(name, TYPES[dtype], shape) for name, shape, dtype in self.outputs],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset),
                                                        helper.make_opsetid("com.microsoft", 1)])
        model.ir_version = 8
        return model

    def input(self, name, value):
        value = np.asarray(value)
        self.inputs.append((name, list(value.shape), value.dtype))
        self.values[name] = onnx_eval.widened(value)
        return name

    def output(self, name):
        value = self.values[name]
        dtype = np.dtype(np.float32) if value.dtype.kind == "f" else value.dtype
        self.outputs.append((name, list(value.shape), dtype))

    def constant(self, value):
        """A constant; reals are float32."""
        value = np.asarray(value)
        value = value.astype(np.float32) if value.dtype.kind == "f" else value
        name = f"c{len(self.values)}"
        if self.constant_nodes:
            self.nodes.append(helper.make_node("Constant", [], [name], name=f"n{len(self.nodes)}_Constant",
                                               value=numpy_helper.from_array(value, name)))
        else:
            self.constants[name] = value
        self.values[name] = onnx_eval.widened(value)
        return name

    def node(self, kind, inputs, outputs=1, domain="", **attributes):
        """Adds a node and returns its output's name, a list of them if there are several. What is no name
        becomes a constant."""
        inputs = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        number = len(self.nodes)
        names = [f"t{number}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"n{number}_{kind}", domain=domain, **attributes))
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in self.nodes[-1].attribute}
        attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()}
        self.evaluator.outputs = tuple(names)
        results = onnx_eval.OPERATORS[domain, kind](self.evaluator, attributes,
                                                    [self.values[name] if name else None for name in inputs])
        results = results if isinstance(results, tuple) else (results,)
        self.values.update(zip(names, results))
        return names if outputs > 1 else names[0]

    def shape(self, name):
        return self.values[name].shape


def listing(model):
    """A graph in one line."""
    def attribute(a):
        value = onnx.helper.get_attribute_value(a)
        return f"{a.name}={value.decode() if isinstance(value, bytes) else value}"
    lines = []
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    constants.update({n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in model.graph.node
                      if n.op_type == "Constant"})

    def operand(name):
        if name not in constants:
            return name
        value = constants[name]
        return str(value.tolist()) if value.size <= 4 else f"{value.dtype}{list(value.shape)}"
    for node in model.graph.node:
        if node.op_type == "Constant":
            continue
        arguments = [operand(name) for name in node.input] + [attribute(a) for a in node.attribute]
        lines.append(f"{'/'.join(node.output)}={node.op_type}({', '.join(arguments)})")
    first = model.graph.input[0]
    shape = "x".join(str(d.dim_value) for d in first.type.tensor_type.shape.dim)
    return f"x: {TensorProto.DataType.Name(first.type.tensor_type.elem_type)} {shape}; " + "; ".join(lines)


def as_image(value):
    """The array of one image that `--values` reads: rows x columns x channels."""
    value = np.asarray(value)
    if value.ndim == 4:
        return value[0].transpose(1, 2, 0)
    if value.ndim == 3:
        return value[0][:, None, :]
    return value.reshape(1, 1, -1)
