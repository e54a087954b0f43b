# SPDX-License-Identifier: Apache-2.0
"""What the definitions of ONNX (and com.microsoft) say a graph computes: node by node, in NumPy.

Reals are exact to 53 bits inside every operator. `Evaluator(model)` also keeps them between operators, so that what
lies before a rounding can be held against codes; with `single=True` QuantizeLinear and DequantizeLinear compute in
float32, as they are defined. Integers keep their types. Written from the definitions, sharing nothing with the
simulator.
"""
import itertools
import math

import numpy as np
import onnx
from onnx import numpy_helper

OPERATORS = {}  # (domain, type) -> function(evaluator, node's attributes, inputs) -> output or tuple of them


def operator(*types, domain=""):
    def register(function):
        for kind in types:
            OPERATORS[domain, kind] = function
        return function
    return register


def microsoft(*types):
    return operator(*types, domain="com.microsoft")


class Evaluator:
    """`run` computes all tensors. `unrounded` has, for every tensor that was quantised, the codes before rounding
    and saturation (with the zero point). `force(name, codes)` may give other codes to go on with."""

    def __init__(self, model, single=False):
        self.graph, self.single = model.graph, single
        self.opset = {entry.domain: entry.version for entry in model.opset_import}.get("", 1)
        self.constants = {tensor.name: widened(numpy_helper.to_array(tensor)) for tensor in model.graph.initializer}
        self.tensors, self.unrounded, self.outputs = {}, {}, ()

    def run(self, feeds, force=None):
        self.tensors = dict(self.constants)
        self.tensors.update({name: widened(np.asarray(value)) for name, value in feeds.items()})
        for node in self.graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()}
            domain = "" if node.domain == "ai.onnx" else node.domain
            if (domain, node.op_type) not in OPERATORS:
                raise NotImplementedError(f"{domain or 'ai.onnx'} {node.op_type}")
            self.outputs = tuple(node.output)
            inputs = [self.tensors[name] if name else None for name in node.input]
            results = OPERATORS[domain, node.op_type](self, attributes, inputs)
            for name, value in zip(node.output, results if isinstance(results, tuple) else (results,)):
                forced = force(name, value) if force else None
                self.tensors[name] = value if forced is None else forced
        return self.tensors

    def quantised(self, codes, zero_point, dtype=np.uint8):
        """Codes before rounding, without their zero point -> codes. Half to even, then saturation."""
        zero = np.zeros((), dtype) if zero_point is None else zero_point
        self.unrounded[self.outputs[0]] = codes + zero.astype(np.float64)
        limits = np.iinfo(zero.dtype)
        return np.clip(np.rint(codes) + zero.astype(np.float64), limits.min, limits.max).astype(zero.dtype)


def widened(value):
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def optional(inputs, index):
    return inputs[index] if len(inputs) > index else None


def along(vector, axis, rank):
    """A vector of one value a position of `axis`, to be broadcast."""
    vector = np.asarray(vector)
    if vector.size == 1:
        return vector.reshape(())
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)


def real(codes, scale, zero_point, axis=1):
    """(code - zero point) x scale."""
    zero = np.zeros((), np.int64) if zero_point is None else np.asarray(zero_point).astype(np.int64)
    return (codes.astype(np.int64) - along(zero, axis, codes.ndim)) * along(scale, axis, codes.ndim)


# Quantisers ------------------------------------------------------------------------------------------------------
@operator("QuantizeLinear")
def quantize_linear(ev, at, inputs):
    x, scale, zero = inputs[0], inputs[1], optional(inputs, 2)
    axis = at.get("axis", 1)
    scale = along(scale, axis, x.ndim)
    zero = np.zeros((), np.uint8) if zero is None else along(zero, axis, x.ndim)
    if ev.single:
        return ev.quantised((x.astype(np.float32) / scale.astype(np.float32)).astype(np.float64), zero)
    return ev.quantised(x / scale, zero)


@operator("DequantizeLinear")
def dequantize_linear(ev, at, inputs):
    value = real(inputs[0], inputs[1], optional(inputs, 2), at.get("axis", 1))
    return value.astype(np.float32).astype(np.float64) if ev.single else value


@operator("Quant", domain="qonnx.custom_op.general")
def quant(ev, at, inputs):
    """QONNX: rounds with the zero point, after saturation, and gives reals."""
    x, scale, zero, bits = inputs
    bits, signed, narrow = int(bits.reshape(())), at.get("signed", 1), at.get("narrow", 0)
    low = -2 ** (bits - 1) + bool(narrow) if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - bool(narrow)
    rounding = {"ROUND": np.rint, "CEIL": np.ceil, "FLOOR": np.floor, "ROUND_TO_ZERO": np.trunc}[
        at.get("rounding_mode", "ROUND")]
    ev.unrounded[ev.outputs[0]] = x / scale + zero
    return (rounding(np.clip(x / scale + zero, low, high)) - zero) * scale


# Windows ---------------------------------------------------------------------------------------------------------
class Windows:
    """Where the windows of a convolution or pool lie, by spatial axis."""

    def __init__(self, at, extents, kernel):
        rank = len(extents)
        self.extents, self.kernel = list(extents), list(kernel)
        self.strides, self.dilations = at.get("strides", [1] * rank), at.get("dilations", [1] * rank)
        pads = at.get("pads", [0] * 2 * rank)
        self.begin, self.end = list(pads[:rank]), list(pads[rank:])
        self.reach = [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations)]
        auto = at.get("auto_pad", "NOTSET")
        if auto == "VALID":
            self.begin, self.end = [0] * rank, [0] * rank
        elif auto in ("SAME_UPPER", "SAME_LOWER"):
            for i, (extent, stride) in enumerate(zip(extents, self.strides)):
                total = max(0, (-(-extent // stride) - 1) * stride + self.reach[i] - extent)
                less, more = total // 2, total - total // 2
                self.begin[i], self.end[i] = (less, more) if auto == "SAME_UPPER" else (more, less)
        ceil = at.get("ceil_mode", 0) and not auto.startswith("SAME")
        self.counts = [self.count(i, ceil) for i in range(rank)]

    def count(self, i, ceil):
        room = self.extents[i] + self.begin[i] + self.end[i] - self.reach[i]
        count = (-(-room // self.strides[i]) if ceil else room // self.strides[i]) + 1
        # A window must begin inside the map or the padding before it.
        if ceil and (count - 1) * self.strides[i] >= self.extents[i] + self.begin[i]:
            count -= 1
        return count

    def padded(self, x, value):
        """The map as far as windows reach; what lies beyond the padding (ceil_mode) has the value too."""
        widths = [(0, 0)] * (x.ndim - len(self.extents))
        for i, extent in enumerate(self.extents):
            needed = (self.counts[i] - 1) * self.strides[i] + self.reach[i]
            widths.append((self.begin[i], max(0, needed - extent - self.begin[i])))
        return np.pad(x, widths, constant_values=value)

    def elements(self, x, value):
        """For each element of the kernel: its index and what the windows have there."""
        x = self.padded(x, value)
        for index in itertools.product(*map(range, self.kernel)):
            places = [slice(i * d, i * d + (n - 1) * s + 1, s)
                      for i, d, n, s in zip(index, self.dilations, self.counts, self.strides)]
            yield index, x[(Ellipsis, *places)]


def convolution(at, x, w, bias=None):
    """x: N x C x spatial, w: M x C/group x kernel; float64 holds sums of products of codes exactly."""
    windows, group = Windows(at, x.shape[2:], w.shape[2:]), at.get("group", 1)
    n, m = len(x), len(w)
    result = np.zeros((n, group, m // group, *windows.counts))
    w = w.reshape(group, m // group, *w.shape[1:]).astype(np.float64)
    for index, part in windows.elements(x.astype(np.float64), 0):
        part = part.reshape(n, group, -1, *part.shape[2:])
        result += np.einsum("gmc,ngc...->ngm...", w[(Ellipsis, *index)], part)
    result = result.reshape(n, m, *windows.counts)
    return result if bias is None else result + along(bias, 1, result.ndim)


@operator("Conv")
def conv(_, at, inputs):
    return convolution(at, inputs[0], inputs[1], optional(inputs, 2))


@operator("ConvTranspose")
def conv_transpose(_, at, inputs):
    x, w = inputs[0], inputs[1]
    group, rank = at.get("group", 1), x.ndim - 2
    strides, dilations = at.get("strides", [1] * rank), at.get("dilations", [1] * rank)
    more, pads = list(at.get("output_padding", [0] * rank)), list(at.get("pads", [0] * 2 * rank))
    full = [(x.shape[2 + i] - 1) * strides[i] + dilations[i] * (w.shape[2 + i] - 1) + 1 for i in range(rank)]
    auto, wanted = at.get("auto_pad", "NOTSET"), at.get("output_shape")
    if auto.startswith("SAME") and wanted is None:
        wanted = [extent * stride for extent, stride in zip(x.shape[2:], strides)]
    if wanted is not None:
        for i in range(rank):
            total = full[i] + more[i] - wanted[i]
            if total < 0:  # what no window reaches, at the end
                more[i], total = more[i] - total, 0
            before = total // 2 if auto == "SAME_UPPER" else total - total // 2
            pads[i], pads[rank + i] = before, total - before
    out = np.zeros((len(x), group, w.shape[1], *[f + o for f, o in zip(full, more)]))
    parts = x.reshape(len(x), group, -1, *x.shape[2:]).astype(np.float64)
    kernels = w.reshape(group, -1, *w.shape[1:]).astype(np.float64)
    for index in itertools.product(*map(range, w.shape[2:])):
        places = [slice(i * d, i * d + (n - 1) * s + 1, s)
                  for i, d, n, s in zip(index, dilations, x.shape[2:], strides)]
        out[(Ellipsis, *places)] += np.einsum("gcm,ngc...->ngm...", kernels[(Ellipsis, *index)], parts)
    out = out.reshape(len(x), -1, *out.shape[3:])
    out = out[(Ellipsis, *[slice(pads[i], out.shape[2 + i] - pads[rank + i]) for i in range(rank)])]
    return out if optional(inputs, 2) is None else out + along(inputs[2], 1, out.ndim)


def lowest(dtype):
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


@operator("MaxPool")
def max_pool(_, at, inputs):
    x = inputs[0]
    parts = Windows(at, x.shape[2:], at["kernel_shape"]).elements(x, lowest(x.dtype))
    return np.max([part for _, part in parts], 0)


def mean_pool(at, x):
    windows = Windows(at, x.shape[2:], at["kernel_shape"])
    inside = np.ones(x.shape)
    if at.get("count_include_pad", 0):
        pads = [(0, 0), (0, 0), *zip(windows.begin, windows.end)]
        plain = dict(at, pads=[0] * 2 * len(windows.begin), auto_pad="NOTSET")
        counted = Windows(plain, [e + b + p for e, b, p in zip(windows.extents, windows.begin, windows.end)],
                          at["kernel_shape"])
        counted.counts = windows.counts
        counts = sum(part for _, part in counted.elements(np.pad(inside, pads, constant_values=1), 0))
    else:
        counts = sum(part for _, part in windows.elements(inside, 0))
    return sum(part for _, part in windows.elements(x, 0)) / counts


@operator("AveragePool")
def average_pool(_, at, inputs):
    return mean_pool(at, inputs[0])


def spatial(x):
    return tuple(range(2, x.ndim))


@operator("GlobalAveragePool")
def global_average_pool(_, __, inputs):
    return inputs[0].mean(spatial(inputs[0]), keepdims=True)


@operator("GlobalMaxPool")
def global_max_pool(_, __, inputs):
    return inputs[0].max(spatial(inputs[0]), keepdims=True)


# Products, sums --------------------------------------------------------------------------------------------------
@operator("MatMul")
def mat_mul(_, __, inputs):
    return inputs[0] @ inputs[1]


@operator("Gemm")
def gemm(_, at, inputs):
    a = inputs[0].T if at.get("transA", 0) else inputs[0]
    b = inputs[1].T if at.get("transB", 0) else inputs[1]
    product = at.get("alpha", 1.0) * (a @ b)
    return product if optional(inputs, 2) is None else product + at.get("beta", 1.0) * inputs[2]


def elementwise(function):
    return lambda _, __, inputs: function(*inputs)


def divided(a, b):
    return a / b if a.dtype.kind == "f" else np.trunc(a / b).astype(a.dtype)


def erf(x):
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


for kind, what in {
        "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": divided, "Sqrt": np.sqrt, "Exp": np.exp,
        "Pow": lambda a, b: np.power(a, b.astype(np.float64)), "Neg": np.negative, "Abs": np.abs,
        "Reciprocal": np.reciprocal, "Relu": lambda x: np.maximum(x, x.dtype.type(0)), "Sigmoid": sigmoid,
        "Tanh": np.tanh, "Erf": erf, "Softplus": lambda x: np.logaddexp(0, x), "Identity": lambda x: x,
        "Mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
        "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
        "Max": lambda *xs: np.maximum.reduce(np.broadcast_arrays(*xs)),
        "Min": lambda *xs: np.minimum.reduce(np.broadcast_arrays(*xs)), "Sum": lambda *xs: sum(xs),
        "Shape": lambda x: np.array(x.shape, np.int64)}.items():
    OPERATORS["", kind] = elementwise(what)


@operator("Dropout")
def dropout(_, __, inputs):
    return inputs[0]


@operator("LeakyRelu")
def leaky_relu(_, at, inputs):
    return np.where(inputs[0] < 0, at.get("alpha", 0.01) * inputs[0], inputs[0])


@operator("PRelu")
def p_relu(ev, _, inputs):
    x, slope = inputs
    slope = along(slope, 1, x.ndim) if ev.opset < 7 and slope.size > 1 else slope
    return np.where(x < 0, slope * x, x)


@operator("HardSigmoid")
def hard_sigmoid(_, at, inputs):
    return np.clip(at.get("alpha", 0.2) * inputs[0] + at.get("beta", 0.5), 0, 1)


@operator("Selu")
def selu(_, at, inputs):
    alpha, gamma = at.get("alpha", 1.67326319217681884765625), at.get("gamma", 1.05070102214813232421875)
    x = inputs[0]
    return gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@operator("Elu")
def elu(_, at, inputs):
    return np.where(inputs[0] > 0, inputs[0], at.get("alpha", 1.0) * np.expm1(np.minimum(inputs[0], 0)))


@operator("Gelu")
@microsoft("Gelu")
def gelu(_, at, inputs):
    x = inputs[0]
    if at.get("approximate", "none") == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


@operator("Clip")
def clip(ev, at, inputs):
    x = inputs[0]
    low, high = (at.get("min"), at.get("max")) if ev.opset < 11 else (optional(inputs, 1), optional(inputs, 2))
    x = x if low is None else np.maximum(x, np.asarray(low).astype(x.dtype))
    return x if high is None else np.minimum(x, np.asarray(high).astype(x.dtype))


@operator("Cast")
def cast(_, at, inputs):
    kind = np.dtype(onnx.mapping.TENSOR_TYPE_TO_NP_TYPE[at["to"]])
    x = inputs[0]
    if kind.kind in "iu" and x.dtype.kind == "f":
        x = np.trunc(x)
    return widened(x.astype(kind))


# Norms -----------------------------------------------------------------------------------------------------------
@operator("Softmax")
def softmax(ev, at, inputs):
    x, axis = inputs[0], at.get("axis", 1 if ev.opset < 13 else -1)
    if ev.opset < 13:  # of all axes from this one on
        flat = x.reshape(int(np.prod(x.shape[:axis])), -1)
        return softmax_of(flat, 1).reshape(x.shape)
    return softmax_of(x, axis)


def softmax_of(x, axis):
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


@operator("BatchNormalization")
def batch_normalization(_, at, inputs):
    x = inputs[0]
    scale, bias, mean, variance = (along(v.reshape(-1), 1, x.ndim) for v in inputs[1:5])
    return (x - mean) / np.sqrt(variance + at.get("epsilon", 1e-5)) * scale + bias


@operator("LayerNormalization")
def layer_normalization(_, at, inputs):
    x = inputs[0]
    axes = tuple(range(at.get("axis", -1) % x.ndim, x.ndim))
    y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + at.get("epsilon", 1e-5))
    y = y * inputs[1]
    return y if optional(inputs, 2) is None else y + inputs[2]


@operator("ReduceMean")
def reduce_mean(_, at, inputs):
    axes = at.get("axes") if optional(inputs, 1) is None else inputs[1].tolist()
    if not axes and at.get("noop_with_empty_axes", 0):
        return inputs[0]
    return inputs[0].mean(tuple(axes) if axes else None, keepdims=bool(at.get("keepdims", 1)))


# What moves elements ---------------------------------------------------------------------------------------------
@operator("Pad")
def pad(ev, at, inputs):
    x, mode = inputs[0], at.get("mode", "constant")
    pads = at["pads"] if ev.opset < 11 else inputs[1].tolist()
    value = at.get("value", 0.0) if ev.opset < 11 else optional(inputs, 2)
    axes = optional(inputs, 3)
    axes = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes.tolist()]
    for i, axis in enumerate(axes):
        begin, end = pads[i], pads[i + len(pads) // 2]
        cut = [slice(None)] * x.ndim
        cut[axis] = slice(max(0, -begin), x.shape[axis] - max(0, -end))
        x = x[tuple(cut)]
        widths = [(0, 0)] * x.ndim
        widths[axis] = (max(0, begin), max(0, end))
        if mode == "constant":
            constant = x.dtype.type(0) if value is None else np.asarray(value).astype(x.dtype).reshape(())
            x = np.pad(x, widths, constant_values=constant)
        else:
            x = np.pad(x, widths, mode={"reflect": "reflect", "edge": "edge"}[mode])
    return x


@operator("Concat")
def concat(_, at, inputs):
    return np.concatenate(inputs, at["axis"])


@operator("Slice")
def slice_(ev, at, inputs):
    x = inputs[0]
    if ev.opset < 10:
        starts, ends, axes, steps = at["starts"], at["ends"], at.get("axes"), None
    else:
        starts, ends = inputs[1].tolist(), inputs[2].tolist()
        axes, steps = (None if optional(inputs, i) is None else inputs[i].tolist() for i in (3, 4))
    places = [slice(None)] * x.ndim
    for i, start in enumerate(starts):
        step = 1 if steps is None else steps[i]
        axis = i if axes is None else axes[i]
        extent, end = x.shape[axis], ends[i]
        start = start + extent if start < 0 else start
        end = end + extent if end < 0 else end
        if step > 0:
            places[axis] = slice(min(max(start, 0), extent), min(max(end, 0), extent), step)
        else:
            start, end = min(max(start, 0), extent - 1), min(max(end, -1), extent - 1)
            places[axis] = slice(start, None if end < 0 else end, step)
    return x[tuple(places)]


@operator("Split")
def split(ev, at, inputs):
    x, axis = inputs[0], at.get("axis", 0)
    sizes = at.get("split") if optional(inputs, 1) is None else inputs[1].tolist()
    if sizes is None:
        chunk = -(-x.shape[axis] // len(ev.outputs))
        sizes = [min(chunk, x.shape[axis] - i * chunk) for i in range(len(ev.outputs))]
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


@operator("Reshape")
def reshape(_, at, inputs):
    x, shape = inputs[0], inputs[1].tolist()
    if not at.get("allowzero", 0):
        shape = [x.shape[i] if extent == 0 else extent for i, extent in enumerate(shape)]
    return x.reshape(shape)


@operator("Flatten")
def flatten(_, at, inputs):
    x, axis = inputs[0], at.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


@operator("Transpose")
def transpose(_, at, inputs):
    return inputs[0].transpose(at.get("perm"))


def axes_of(at, inputs):
    return at.get("axes") if optional(inputs, 1) is None else inputs[1].tolist()


@operator("Squeeze")
def squeeze(_, at, inputs):
    axes = axes_of(at, inputs)
    return inputs[0].squeeze(None if axes is None else tuple(axes))


@operator("Unsqueeze")
def unsqueeze(_, at, inputs):
    return np.expand_dims(inputs[0], tuple(axes_of(at, inputs)))


@operator("Gather")
def gather(_, at, inputs):
    return np.take(inputs[0], inputs[1], at.get("axis", 0))


@operator("Constant")
def constant(_, at, __):
    if "value" in at:
        return widened(numpy_helper.to_array(at["value"]))
    name, value = next(iter(at.items()))
    return np.asarray(value, np.int64 if name.startswith("value_int") else np.float64)


@operator("DepthToSpace")
def depth_to_space(_, at, inputs):
    (n, c, h, w), b = inputs[0].shape, at["blocksize"]
    if at.get("mode", "DCR") == "DCR":
        x = inputs[0].reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        x = inputs[0].reshape(n, c // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(n, c // b**2, h * b, w * b)


@operator("SpaceToDepth")
def space_to_depth(_, at, inputs):
    (n, c, h, w), b = inputs[0].shape, at["blocksize"]
    x = inputs[0].reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * b**2, h // b, w // b)


@operator("Upsample")
@operator("Resize")
def resize(ev, at, inputs):
    if at.get("mode", "nearest") != "nearest":
        raise NotImplementedError("Resize " + at["mode"])
    x = inputs[0]
    scales, sizes = (inputs[1], None) if ev.opset < 11 else (optional(inputs, 2), optional(inputs, 3))
    if sizes is not None and sizes.size:
        sizes = sizes.tolist()
        scales = [size / extent for size, extent in zip(sizes, x.shape)]
    else:
        scales = scales.tolist()
        sizes = [math.floor(extent * scale) for extent, scale in zip(x.shape, scales)]
    for axis, (size, scale) in enumerate(zip(sizes, scales)):
        places = [source(at, ev.opset, i, size, x.shape[axis], scale) for i in range(size)]
        x = np.take(x, places, axis)
    return x


def source(at, opset, i, size, extent, scale):
    """Which element of an axis the nearest one is."""
    mode = at.get("coordinate_transformation_mode", "half_pixel" if opset > 10 else "asymmetric")
    at_x = {"asymmetric": lambda: i / scale, "half_pixel": lambda: (i + 0.5) / scale - 0.5,
            "align_corners": lambda: i * (extent - 1) / (size - 1) if size > 1 else 0.0,
            "pytorch_half_pixel": lambda: (i + 0.5) / scale - 0.5 if size > 1 else 0.0}[mode]()
    rounding = at.get("nearest_mode", "round_prefer_floor" if opset > 10 else "floor")
    nearest = {"floor": math.floor, "ceil": math.ceil, "round_prefer_floor": lambda v: math.ceil(v - 0.5),
               "round_prefer_ceil": lambda v: math.floor(v + 0.5)}[rounding](at_x)
    return min(max(nearest, 0), extent - 1)


# QLinear operators -----------------------------------------------------------------------------------------------
def requantised(ev, value, scale, zero):
    return ev.quantised(value / scale, zero)


@operator("QLinearConv")
def qlinear_conv(ev, at, inputs):
    x, xs, xz, w, ws, wz, ys, yz = inputs[:8]
    sums = convolution(at, x.astype(np.int64) - xz.astype(np.int64),
                       w.astype(np.int64) - along(wz.astype(np.int64), 0, w.ndim), optional(inputs, 8))
    return requantised(ev, sums * along(xs * ws, 1, sums.ndim), ys, yz)


@operator("QLinearMatMul")
def qlinear_mat_mul(ev, _, inputs):
    a, a_scale, az, b, b_scale, bz, ys, yz = inputs
    # One value a row of the first operand, a column of the second.
    rows = lambda v: v.reshape(-1, 1) if v.size > 1 else v.reshape(())  # noqa: E731
    columns = lambda v: v.reshape(-1) if v.size > 1 else v.reshape(())  # noqa: E731
    sums = (a.astype(np.int64) - rows(az.astype(np.int64))) @ (b.astype(np.int64) - columns(bz.astype(np.int64)))
    return requantised(ev, sums * (rows(a_scale) * columns(b_scale)), ys, yz)


@microsoft("QLinearAdd")
def qlinear_add(ev, _, inputs):
    a, a_scale, az, b, b_scale, bz, ys = inputs[:7]
    return requantised(ev, real(a, a_scale, az) + real(b, b_scale, bz), ys, optional(inputs, 7))


@microsoft("QLinearMul")
def qlinear_mul(ev, _, inputs):
    a, a_scale, az, b, b_scale, bz, ys = inputs[:7]
    return requantised(ev, real(a, a_scale, az) * real(b, b_scale, bz), ys, optional(inputs, 7))


@microsoft("QLinearConcat")
def qlinear_concat(ev, at, inputs):
    parts = [real(*inputs[i:i + 3]) for i in range(2, len(inputs), 3)]
    return requantised(ev, np.concatenate(parts, at["axis"]), inputs[0], inputs[1])


def of_one(function):
    """x, its scale and zero point, the result's -> codes."""
    def evaluated(ev, at, inputs):
        return requantised(ev, function(ev, at, real(*inputs[:3])), inputs[3], optional(inputs, 4))
    return evaluated


def channels_first(function):
    def evaluated(_, at, x):
        if not at.get("channels_last", 0):
            return function(at, x)
        return np.moveaxis(function(at, np.moveaxis(x, -1, 1)), 1, -1)
    return evaluated


for kind, what in {
        "QLinearGlobalAveragePool": channels_first(lambda at, x: x.mean(spatial(x), keepdims=True)),
        "QLinearAveragePool": channels_first(mean_pool),
        "QLinearSigmoid": lambda ev, at, x: sigmoid(x),
        "QLinearLeakyRelu": lambda ev, at, x: leaky_relu(ev, at, [x])}.items():
    OPERATORS["com.microsoft", kind] = of_one(what)


@microsoft("QLinearSoftmax")
def qlinear_softmax(ev, at, inputs):
    x, axis = real(*inputs[:3]), at.get("axis", -1)
    if at.get("opset", 13) < 13:
        y = softmax_of(x.reshape(int(np.prod(x.shape[:axis])), -1), 1).reshape(x.shape)
    else:
        y = softmax_of(x, axis)
    return requantised(ev, y, inputs[3], inputs[4])


@microsoft("QGemm")
def qgemm(ev, at, inputs):
    a, a_scale, az, b, b_scale, bz = inputs[:6]
    a, b = a.astype(np.int64) - az.astype(np.int64), b.astype(np.int64)
    if at.get("transB", 0):
        b = b.T
    b = b - along(bz.astype(np.int64), 1, 2)
    sums = (a.T if at.get("transA", 0) else a) @ b
    if optional(inputs, 6) is not None:
        sums = sums + inputs[6]
    value = sums * (at.get("alpha", 1.0) * a_scale * along(b_scale, 1, 2))
    if optional(inputs, 7) is None:
        return value
    return requantised(ev, value, inputs[7], optional(inputs, 8))
