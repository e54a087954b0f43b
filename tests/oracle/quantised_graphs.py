# SPDX-License-Identifier: Apache-2.0
"""Small random quantised graphs, in both of ONNX's forms, with scales as a quantiser finds them on data."""
import numpy as np

from onnx_builder import Builder
from onnx_eval import along, convolution, mean_pool, softmax_of
from onnx_eval import real as real_of

SIGNED, UNSIGNED = np.int8, np.uint8


class Codes:
    """A tensor of codes, and how they are read."""

    def __init__(self, name, scale, zero):
        self.name, self.scale, self.zero = name, np.float32(scale), zero


class Generator:
    """`graph` is the model's builder. Blocks take codes and give codes; which ones come is drawn."""

    def __init__(self, seed):
        self.rng = np.random.default_rng([2024, seed])
        self.graph = Builder(opset=int(self.pick([13, 14, 17])))
        self.signed = self.chance(0.5)       # activations: int8 or uint8
        self.mixed = self.chance(0.1)        # or both
        self.operators = self.chance(0.35)   # QOperator form
        self.per_channel = self.chance(0.6)
        self.odd = self.chance(0.2)          # scales that no calibration would choose
        # A real constant that is added to sums is rounded to their unit: it must be 1/50 of a code at most.
        self.unit, self.real_constant = 0.0, False

    # Drawing -----------------------------------------------------------------------------------------------------
    def chance(self, p):
        return self.rng.random() < p

    def pick(self, choices):
        return choices[self.rng.integers(len(choices))]

    def whole(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def type(self):
        return SIGNED if self.signed != (self.mixed and self.chance(0.5)) else UNSIGNED

    def range_of(self, value, dtype=None, symmetric=None):
        """Scale and zero point for a real tensor."""
        dtype = dtype or self.type()
        limits = np.iinfo(dtype)
        low, high = min(0.0, float(value.min())), max(0.0, float(value.max()))
        if symmetric is None:
            symmetric = dtype == SIGNED and self.chance(0.4)
        if symmetric:
            scale, zero = max(-low, high) / 127, 0 if dtype == SIGNED else 128
        else:
            scale = (high - low) / 255
            zero = round(limits.min - low / scale) if scale > 0 else 0
        scale, draw = max(scale, 1e-4), 3
        if self.odd:
            draw = self.whole(0, 5)
            scale = [scale * 0.4, scale * 3, 2.0 ** np.ceil(np.log2(scale)), scale, scale, scale][draw]
        if self.real_constant:
            scale = max(scale, 50 * self.unit)
        self.unit, self.real_constant = 0.0, False
        if self.odd:
            zero = zero if draw < 4 else self.whole(int(limits.min), int(limits.max))
        return np.float32(scale), dtype(np.clip(zero, limits.min, limits.max))

    # Quantisers --------------------------------------------------------------------------------------------------
    def quantise(self, value, like=None, dtype=None, **how):
        scale, zero = (like.scale, like.zero) if like else self.range_of(self.graph.values[value], dtype, **how)
        return Codes(self.graph.node("QuantizeLinear", [value, *self.given(scale, zero)]), scale, zero)

    def given(self, scale, zero):
        """A zero point of uint8 0 need not be."""
        return [scale] if zero.dtype == UNSIGNED and zero == 0 and self.chance(0.3) else [scale, zero]

    def real(self, codes):
        if codes.name not in self.reals or self.chance(0.5):
            inputs = [codes.name, *self.given(codes.scale, codes.zero)]
            self.reals[codes.name] = self.graph.node("DequantizeLinear", inputs)
        return self.reals[codes.name]

    def middle(self, real, p=0.15):
        """Perhaps a quantiser more, in the middle."""
        return self.real(self.quantise(real)) if self.chance(p) else real

    def like(self, codes, name):
        return Codes(name, codes.scale, codes.zero)

    def weights(self, shape, axis):
        """Codes, scale and zero point of constants; `axis` counts output channels."""
        w = self.rng.normal(size=shape) * self.rng.uniform(0.2, 1) / np.sqrt(np.prod(shape) / shape[axis])
        others = tuple(i for i in range(len(shape)) if i != axis)
        greatest = np.abs(w).max(others, keepdims=True)
        if not self.per_channel:
            greatest = greatest.max(keepdims=True)
        scale = np.maximum(greatest, 1e-3) / 127
        dtype = UNSIGNED if self.chance(0.15) else SIGNED
        zero = np.full(scale.shape, 128 if dtype == UNSIGNED else 0)
        if self.chance(0.15):
            zero += self.rng.integers(-9, 10, zero.shape)
        limits = np.iinfo(dtype)
        codes = np.clip(np.rint(w / scale), -127 if self.chance(0.8) else -128, 127).astype(int)
        codes.reshape(-1)[0] = 127
        codes = np.clip(codes + zero, limits.min, limits.max).astype(dtype)
        if self.per_channel:
            return codes, scale.astype(np.float32).reshape(-1), zero.astype(dtype).reshape(-1)
        return codes, np.float32(scale.reshape(())), dtype(zero.reshape(()))

    # Convolutions and products, both forms -----------------------------------------------------------------------
    def windows(self, extents, most=3):
        """Random attributes that leave something of the map."""
        while True:
            kernel = [self.whole(1, most) for _ in range(2)]
            strides, dilations = ([self.whole(1, 2)] * 2 for _ in range(2))
            pads = [self.whole(0, (k - 1) * dilations[0]) if self.chance(0.6) else 0 for k in kernel * 2]
            if self.chance(0.5):
                dilations = [1, 1]
                pads = [min(p, k - 1) for p, k in zip(pads, kernel * 2)]
            room = [e + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) for i, e in enumerate(extents)]
            if min(room) >= 1:
                at = {"kernel_shape": kernel, "strides": strides, "pads": pads, "dilations": dilations}
                if self.chance(0.1):
                    at["auto_pad"] = self.pick(["SAME_UPPER", "SAME_LOWER"])
                    del at["pads"]
                    at["dilations"] = [1, 1]
                return at

    def conv(self, x, channels=None):
        shape = self.graph.shape(x.name)
        at = self.windows(shape[2:])
        channels, group = channels or self.whole(1, 6), 1
        if self.chance(0.3):
            group = self.pick([g for g in range(1, shape[1] + 1) if shape[1] % g == 0])
            channels = group * self.whole(1, 2)
        if group > 1:
            at["group"] = group
        w, scale, zero = self.weights((channels, shape[1] // group, *at["kernel_shape"]), 0)
        bias_scale = np.float32(x.scale) * np.float32(scale)
        bias = self.rng.normal(size=channels) * 0.3
        if self.operators:
            b = [np.rint(bias / np.float64(bias_scale)).astype(np.int32)] if self.chance(0.6) else []
            return self.qlinear(lambda y: ("QLinearConv", [x.name, x.scale, x.zero, w, scale, zero, *y, *b], "", at),
                                x, w, scale, zero, at, b)
        inputs = [self.real(x), self.dequantised(w, scale, zero, 0)]
        self.unit = float(np.max(bias_scale))
        self.bias(inputs, bias, bias_scale)
        return self.after(self.graph.node("Conv", inputs, **at))

    def bias(self, inputs, bias, bias_scale):
        draw = self.rng.random()
        if draw < 0.4:
            codes = np.rint(bias / np.float64(bias_scale)).astype(np.int32)
            more = [np.zeros(np.shape(bias_scale), np.int32)] if self.chance(0.7) else []
            inputs.append(self.graph.node("DequantizeLinear", [codes, bias_scale, *more],
                                          **({"axis": 0} if self.per_channel else {})))
        elif draw < 0.7:
            inputs.append(bias.astype(np.float32))
            self.real_constant = True

    def dequantised(self, w, scale, zero, axis):
        at = {"axis": axis} if np.ndim(scale) else {}
        if self.chance(0.15):  # from reals, as trainers with quantisers in them write it
            value = real_of(w, np.float64(scale), zero, axis).astype(np.float32)
            w = self.graph.node("QuantizeLinear", [value, scale, zero], **at)
        return self.graph.node("DequantizeLinear", [w, scale, zero], **at)

    def qlinear(self, make, x, w, scale, zero, at, b):
        """Runs the node once with a scale of 1 to see the range of its result."""
        value = convolution(at, self.value_of(x), real_of(w, np.float64(scale), zero, 0))
        if b:
            value = value + along(b[0] * np.float64(x.scale) * np.float64(scale), 1, 4)
        return self.operator(make, value)

    def operator(self, make, value, dtype=None):
        """A QLinear operator whose result is known to be `value`."""
        y_scale, y_zero = self.range_of(value, dtype)
        kind, inputs, domain, at = make([y_scale, y_zero])
        return Codes(self.graph.node(kind, inputs, domain=domain, **at), y_scale, y_zero)

    def after(self, real):
        """What may follow a product before it is quantised: activations, norms, with quantisers between or not."""
        draw = self.rng.random()
        if draw < 0.3:
            return self.quantise(real)
        if draw < 0.6:
            real = self.graph.node("Relu", [self.middle(real)])
        elif draw < 0.7:
            value = self.graph.values[real]
            real = self.graph.node("Clip", [self.middle(real), np.float32(0), np.float32(max(0.1, value.max() * 0.7))])
        elif draw < 0.8 and len(self.graph.shape(real)) == 4:
            real = self.norm(self.middle(real, 0.5))
            real = self.graph.node("Relu", [real]) if self.chance(0.5) else real
        elif draw < 0.87:
            real = self.activation(self.real(self.quantise(real)))
        elif draw < 0.94:
            shape = [1] * (len(self.graph.shape(real)) - 1)
            shape[0 if len(shape) == 3 else -1] = self.graph.shape(real)[1 if len(shape) == 3 else -1]
            real = self.middle(real, 0.5)
            real = self.graph.node("Add", [real, self.some_constant(shape)])
        return self.quantise(real)

    def some_constant(self, shape, around=0.0):
        """A constant operand: plain reals, or codes that are dequantised."""
        value = self.rng.normal(size=shape) * 0.4 + around
        unit = self.unit
        if self.chance(0.5):
            self.real_constant = True
            return value.astype(np.float32)
        scale, zero = self.range_of(value, symmetric=None)
        self.unit, self.real_constant = unit, True
        limits = np.iinfo(zero.dtype)
        codes = np.clip(np.rint(value / np.float64(scale)) + zero, limits.min, limits.max).astype(zero.dtype)
        return self.graph.node("DequantizeLinear", [codes, scale, zero])

    def norm(self, real):
        rng, c = self.rng, self.graph.shape(real)[1]
        scale, variance = rng.uniform(0.5, 1.5, c) * self.pick([1, 1, 1, -1]), rng.uniform(0.3, 2, c)
        self.unit, self.real_constant = self.unit * np.abs(scale / np.sqrt(variance)).max(), True
        constants = [scale, rng.normal(size=c) * 0.3, rng.normal(size=c) * 0.2, variance]
        return self.graph.node("BatchNormalization", [real, *(v.astype(np.float32) for v in constants)])

    def activation(self, real):
        kind = self.pick(["Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "Clip", "Silu", "HardSigmoid"])
        if kind == "HardSwish" and self.graph.opset < 14:
            kind = "Sigmoid"
        if kind == "LeakyRelu":
            return self.graph.node(kind, [real], alpha=float(self.pick([0.01, 0.1, 0.3])))
        if kind == "HardSigmoid":
            return self.graph.node(kind, [real], alpha=1 / 6, beta=0.5)
        if kind == "Clip":
            limits = np.float32(self.pick([-0.5, 0, 0])), np.float32(self.pick([0.6, 1, 6]))
            return self.graph.node(kind, [real, *limits])
        if kind == "Silu":
            return self.graph.node("Mul", [real, self.middle(self.graph.node("Sigmoid", [real]), 0.5)])
        return self.graph.node(kind, [real])

    def mat_mul(self, x):
        """Of tokens or of a vector, with constant weights."""
        shape, columns = self.graph.shape(x.name), self.whole(1, 7)
        w, scale, zero = self.weights((shape[-1], columns), 1)
        if self.operators:
            make = lambda y: ("QLinearMatMul", [x.name, x.scale, x.zero, w, scale, zero, *y], "", {})  # noqa: E731
            real = (w.astype(float) - zero) * np.float64(scale)
            return self.operator(make, self.value_of(x) @ real)
        self.unit = float(np.max(np.float32(x.scale) * scale))
        real = self.graph.node("MatMul", [self.real(x), self.dequantised(w, scale, zero, 1)])
        if self.chance(0.6):
            real = self.middle(real, 0.4)
            bias = self.some_constant([columns])
            operands = [real, bias]
            real = self.graph.node("Add", operands if self.chance(0.7) else operands[::-1])
        return self.after(real)

    def value_of(self, codes):
        return (self.graph.values[codes.name].astype(np.float64) - float(codes.zero)) * np.float64(codes.scale)

    def gemm(self, x):
        rows, columns = self.graph.shape(x.name)[1], self.whole(1, 7)
        transposed = self.chance(0.7)
        alpha = float(np.float32(self.pick([1] * 18 + [0.5, 1.7])))
        w, scale, zero = self.weights((columns, rows) if transposed else (rows, columns), 0 if transposed else 1)
        bias = self.rng.normal(size=columns) * 0.3
        bias_scale = np.float32(x.scale) * np.float32(scale)
        at = {"transB": 1} if transposed else {}
        at.update({"alpha": alpha} if alpha != 1 else {})
        if self.operators and np.ndim(scale) == 0 or self.operators and self.chance(0.5):
            b = np.rint(bias / (np.float64(bias_scale) * alpha)).astype(np.int32) if self.chance(0.6) else None
            matrix = w.astype(float) - (zero.reshape(-1, 1) if transposed and zero.size > 1 else zero)
            sums = (self.value_of(x) / np.float64(x.scale)) @ (matrix.T if transposed else matrix)
            value = (sums if b is None else sums + b) * np.float64(bias_scale) * alpha
            operands = [x.name, x.scale, x.zero, w, scale, zero, "" if b is None else b]
            return self.operator(lambda y: ("QGemm", [*operands, *y], "com.microsoft", at), value)
        inputs = [self.real(x), self.dequantised(w, scale, zero, 0 if transposed else 1)]
        self.unit = float(np.max(bias_scale)) * alpha
        self.bias(inputs, bias, bias_scale)
        if len(inputs) == 3 and self.chance(0.05):
            at["beta"] = 0.5
        self.real_constant |= alpha != 1 or "beta" in at
        return self.after(self.graph.node("Gemm", inputs, **at))

    # Elementwise -------------------------------------------------------------------------------------------------
    def binary(self, kind, a, b):
        a, b = (a, b) if self.chance(0.5) else (b, a)
        if self.operators:
            value = self.value_of(a) + self.value_of(b) if kind == "Add" else self.value_of(a) * self.value_of(b)
            make = lambda y: ("QLinear" + kind, [a.name, a.scale, a.zero, b.name, b.scale, b.zero, *y],  # noqa: E731
                              "com.microsoft", {})
            return self.operator(make, value)
        real = self.graph.node(kind, [self.real(a), self.real(b)])
        if kind == "Add" and self.chance(0.4):
            real = self.graph.node("Relu", [self.middle(real)])
        return self.quantise(real)

    def same_map(self, x):
        """A branch beside x of its shape."""
        draw = self.rng.random()
        if draw < 0.6:
            c = self.graph.shape(x.name)[1]
            w, scale, zero = self.weights((c, c, 1, 1), 0)
            if self.operators:
                return self.qlinear(lambda y: ("QLinearConv", [x.name, x.scale, x.zero, w, scale, zero, *y], "", {}),
                                    x, w, scale, zero, {}, [])
            return self.quantise(self.graph.node("Conv", [self.real(x), self.dequantised(w, scale, zero, 0)]))
        return self.quantise(self.activation(self.real(x)))

    def add(self, x):
        return self.binary("Add", x, self.same_map(x))

    def mul(self, x):
        if len(self.graph.shape(x.name)) == 4 and self.chance(0.4):  # squeeze and excite
            gate = self.quantise(self.graph.node("GlobalAveragePool", [self.real(x)]))
            gate = self.quantise(self.graph.node("Sigmoid", [self.real(self.same_map(gate))]))
            return self.binary("Mul", x, gate)
        return self.binary("Mul", x, self.same_map(x))

    def constant_operand(self, x):
        shape = self.graph.shape(x.name)
        wide = [shape[1], 1, 1] if len(shape) == 4 else [shape[-1]]
        kind = self.pick(["Add", "Mul", "Sub", "Div"])
        around = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 2}[kind]
        operand = self.some_constant(wide if self.chance(0.7) else [1], around)
        if kind == "Div":
            operand = np.full([1] * len(wide), self.rng.uniform(0.5, 3), np.float32)
        return self.quantise(self.graph.node(kind, [self.real(x), operand]))

    def activate(self, x):
        if self.operators and self.chance(0.5):
            kind, at = self.pick([("Sigmoid", {}), ("LeakyRelu", {"alpha": 0.2})])
            value = self.value_of(x)
            value = 1 / (1 + np.exp(-value)) if kind == "Sigmoid" else np.where(value < 0, 0.2 * value, value)
            make = lambda y: ("QLinear" + kind, [x.name, x.scale, x.zero, *y], "com.microsoft", at)  # noqa: E731
            return self.operator(make, value)
        return self.quantise(self.activation(self.real(x)))

    def batch_norm(self, x):
        return self.quantise(self.norm(self.real(x)))

    def soft_max(self, x):
        axis = 1 if len(self.graph.shape(x.name)) == 4 else -1
        if self.operators and self.chance(0.15):  # few importers know it
            make = lambda y: ("QLinearSoftmax", [x.name, x.scale, x.zero, *y], "com.microsoft",  # noqa: E731
                              {"axis": axis, "opset": 13})
            return self.operator(make, softmax_of(self.value_of(x), axis))
        return self.quantise(self.graph.node("Softmax", [self.real(x)], axis=axis))

    # Pools -------------------------------------------------------------------------------------------------------
    def pool_windows(self, extents):
        at = self.windows(extents)
        del at["dilations"]
        at["strides"] = [self.whole(1, 3) for _ in range(2)]
        if "pads" in at:
            at["pads"] = [min(p, k // 2) for p, k in zip(at["pads"], at["kernel_shape"] * 2)]
            at["kernel_shape"] = [min(k, e) for k, e in zip(at["kernel_shape"], extents)]
            at["pads"] = [min(p, k - 1) for p, k in zip(at["pads"], at["kernel_shape"] * 2)]
            if self.chance(0.3):
                at["ceil_mode"] = 1
        return at

    def max_pool(self, x):
        at = self.pool_windows(self.graph.shape(x.name)[2:])
        return self.quantise(self.graph.node("MaxPool", [self.real(x)], **at), like=x)

    def average_pool(self, x):
        at = self.pool_windows(self.graph.shape(x.name)[2:])
        if self.chance(0.5):
            at["count_include_pad"] = 1
        if self.operators:
            make = lambda y: ("QLinearAveragePool", [x.name, x.scale, x.zero, *y], "com.microsoft", at)  # noqa: E731
            return self.operator(make, mean_pool(at, self.value_of(x)))
        real = self.graph.node("AveragePool", [self.real(x)], **at)
        return self.quantise(real, like=x if self.chance(0.4) else None)

    def global_pool(self, x):
        if self.operators and self.chance(0.7):
            make = lambda y: ("QLinearGlobalAveragePool", [x.name, x.scale, x.zero, *y], "com.microsoft",  # noqa: E731
                              {"channels_last": 0})
            return self.operator(make, self.value_of(x).mean((2, 3), keepdims=True))
        if self.chance(0.2):
            return self.quantise(self.graph.node("GlobalMaxPool", [self.real(x)]), like=x)
        if self.chance(0.2):
            real = self.graph.node("ReduceMean", [self.real(x)], axes=[2, 3], keepdims=1)
            return self.quantise(real)
        return self.quantise(self.graph.node("GlobalAveragePool", [self.real(x)]))

    # What moves elements, on reals -------------------------------------------------------------------------------
    def pads(self, rank):
        if rank == 4:
            top, left, bottom, right = (self.whole(0, most) for most in (2, 1, 1, 2))
            return np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        return np.zeros(2 * rank, np.int64)

    def pad(self, x):
        value = np.float32(0 if self.chance(0.5) else self.rng.normal() * 0.5)
        real = self.graph.node("Pad", [self.real(x), self.pads(4), value])
        return self.quantise(real, like=x if self.chance(0.6) else None)

    def concat(self, x):
        other = self.conv_like(x)
        axis = 1
        if self.operators and self.chance(0.7):
            parts = [x, other]
            operands = [value for part in parts for value in (part.name, part.scale, part.zero)]
            make = lambda y: ("QLinearConcat", [*y, *operands], "com.microsoft", {"axis": axis})  # noqa: E731
            return self.operator(make, np.concatenate([self.value_of(p) for p in parts], axis))
        return self.quantise(self.graph.node("Concat", [self.real(x), self.real(other)], axis=axis))

    def conv_like(self, x):
        c, k = self.graph.shape(x.name)[1], self.whole(1, 4)
        w, scale, zero = self.weights((k, c, 1, 1), 0)
        real = self.graph.node("Conv", [self.real(x), self.dequantised(w, scale, zero, 0)])
        return self.quantise(real)

    def slice_args(self, shape):
        axis = 1 if shape[1] > 1 else 2
        extent = shape[axis]
        begin = self.whole(0, max(0, extent // 2))
        end = self.whole(min(begin + 1, extent), extent)
        return [np.array([v], np.int64) for v in (begin, end, axis)]

    def slice(self, x):
        real = self.graph.node("Slice", [self.real(x), *self.slice_args(self.graph.shape(x.name))])
        return self.quantise(real, like=x)

    def split(self, x):
        c = self.graph.shape(x.name)[1]
        if c < 2:
            return self.slice(x)
        k = self.whole(1, c - 1)
        parts = self.graph.node("Split", [self.real(x), np.array([k, c - k], np.int64)], outputs=2, axis=1)
        a, b = (self.quantise(part, like=x) for part in parts)
        a = self.quantise(self.activation(self.real(a)))
        return self.quantise(self.graph.node("Concat", [self.real(b), self.real(a)], axis=1))

    def requantise(self, x):
        return self.quantise(self.real(x))

    # On codes ----------------------------------------------------------------------------------------------------
    def on_codes(self, x):
        shape = self.graph.shape(x.name)
        dtype = x.zero.dtype
        limits = np.iinfo(dtype)
        kinds = ["Clip", "Slice", "Concat", "MaxPool", "Pad", "Transpose2"]
        if dtype == SIGNED and self.graph.opset >= 14:
            kinds.append("Relu")
        kind = self.pick(kinds)
        if kind == "Pad":
            value = x.zero if self.chance(0.4) else dtype.type(self.whole(int(limits.min), int(limits.max)))
            inputs = [x.name, self.pads(4), value] if self.chance(0.9) else [x.name, self.pads(4)]
            name = self.graph.node(kind, inputs)
        elif kind == "Clip":
            low, high = sorted(self.whole(int(limits.min), int(limits.max)) for _ in range(2))
            name = self.graph.node(kind, [x.name, dtype.type(low), dtype.type(min(high + 20, int(limits.max)))])
        elif kind == "Slice":
            name = self.graph.node(kind, [x.name, *self.slice_args(shape)])
        elif kind == "MaxPool":
            name = self.graph.node(kind, [x.name], **self.pool_windows(shape[2:]))
        elif kind == "Concat":
            other = self.conv_like(x)
            other = self.quantise(self.real(other), like=x)
            name = self.graph.node(kind, [x.name, other.name], axis=1)
        elif kind == "Relu":
            name = self.graph.node(kind, [x.name])
        else:
            name = self.graph.node("Transpose", [x.name], perm=[0, 1, 3, 2])
        return self.like(x, name)

    def flatten(self, x):
        """To a vector, on codes or on reals."""
        shape = self.graph.shape(x.name)
        flat = ("Flatten", [], {"axis": 1}) if self.chance(0.5) else \
            ("Reshape", [np.array([1, int(np.prod(shape))], np.int64)], {})
        if self.chance(0.5) or self.operators:
            return self.like(x, self.graph.node(flat[0], [x.name, *flat[1]], **flat[2]))
        real = self.graph.node(flat[0], [self.real(x), *flat[1]], **flat[2])
        return self.quantise(real, like=x)

    def attention(self, x):
        """Tokens: A B^T by softmax, times B."""
        a, b = self.mat_mul_to(x, 4), self.mat_mul_to(x, 4)
        turned = self.like(b, self.graph.node("Transpose", [b.name], perm=[0, 2, 1]))
        if self.operators:
            operands = [a.name, a.scale, a.zero, turned.name, b.scale, b.zero]
            make = lambda y: ("QLinearMatMul", [*operands, *y], "", {})  # noqa: E731
            scores = self.operator(make, self.value_of(a) @ self.value_of(turned))
        else:
            scores = self.quantise(self.graph.node("MatMul", [self.real(a), self.real(turned)]))
        scores = self.soft_max(scores)
        return self.quantise(self.graph.node("MatMul", [self.real(scores), self.real(b)]))

    def mat_mul_to(self, x, columns):
        w, scale, zero = self.weights((self.graph.shape(x.name)[-1], columns), 1)
        real = self.graph.node("MatMul", [self.real(x), self.dequantised(w, scale, zero, 1)])
        return self.quantise(real)

    # Whole graphs ------------------------------------------------------------------------------------------------
    MAPS = ["conv"] * 8 + ["add"] * 3 + ["mul"] * 2 + ["concat"] * 2 + ["max_pool"] * 2 + ["average_pool"] * 3 + \
        ["global_pool", "activate", "activate", "batch_norm", "batch_norm", "pad", "pad", "slice", "split",
         "requantise", "soft_max", "constant_operand"] + ["on_codes"] * 6
    VECTORS = ["gemm"] * 4 + ["mat_mul"] * 5 + ["activate", "activate", "soft_max", "requantise", "constant_operand"]
    MOVES = {"pad", "concat", "slice", "split", "on_codes", "requantise"}
    TOKENS = ["mat_mul"] * 5 + ["activate", "soft_max", "attention", "attention", "constant_operand"]

    def start(self, shape):
        """The input: reals, or codes that whoever feeds the network made."""
        real = self.rng.normal(size=shape) * self.rng.uniform(0.5, 3) + self.rng.normal() * 0.5
        draw = self.rng.random()
        scale, zero = self.range_of(real)
        if draw < 0.7:
            return self.quantise(self.graph.input("x", real.astype(np.float32)))
        dtype = zero.dtype
        codes = self.rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)
        return Codes(self.graph.input("x", codes), scale, zero)

    def make(self):
        while True:
            self.grow()
            if set(self.blocks) - {"requantise", "on_codes", "slice", "pad"}:  # something is computed
                return self.graph

    def grow(self):
        form = self.rng.random()
        self.graph, self.blocks = Builder(self.graph.opset, self.chance(0.1)), []
        self.reals = {}  # of codes: what DequantizeLinear made of them
        if form < 0.65:
            x = self.start((1, self.whole(1, 4), self.whole(3, 8), self.whole(3, 8)))
            for i in range(self.whole(1, 3)):
                block = self.pick(self.MAPS) if i or self.chance(0.6) else "conv"
                x = self.step(block, x)
            if self.chance(0.4):
                x = self.flatten(x)
                for _ in range(self.whole(1, 2)):
                    x = self.step(self.pick(self.VECTORS), x)
        elif form < 0.83:
            x = self.start((1, self.whole(2, 24)))
            for _ in range(self.whole(1, 4)):
                x = self.step(self.pick(self.VECTORS), x)
        else:
            x = self.start((1, self.whole(2, 6), self.whole(2, 9)))
            for _ in range(self.whole(1, 3)):
                x = self.step(self.pick(self.TOKENS), x)
        if self.blocks[-1] in self.MOVES and self.chance(0.9):  # somebody must look at it
            x = self.step("conv" if len(self.graph.shape(x.name)) == 4 else "mat_mul", x)
        self.graph.output(self.real(x) if self.chance(0.85) else x.name)

    def step(self, block, x):
        self.blocks.append(block)
        return getattr(self, block)(x)

    def image(self):
        """Another input than the one ranges were found on."""
        _, shape, dtype = self.graph.inputs[0]
        if dtype.kind != "f":
            return self.rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)
        like = self.graph.values["x"]
        return (self.rng.normal(size=shape) * like.std() + like.mean()).astype(np.float32)
