# SPDX-License-Identifier: Apache-2.0
"""Small random networks of reals: convolutional ones and transformer blocks as exporters write them."""
import numpy as np

from onnx_builder import Builder


class Generator:
    def __init__(self, seed):
        self.rng = np.random.default_rng([77, seed])
        self.graph = Builder(opset=int(self.pick([13, 14, 17])))
        self.blocks = []

    def chance(self, p):
        return self.rng.random() < p

    def pick(self, choices):
        return choices[self.rng.integers(len(choices))]

    def whole(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def normal(self, *shape, sigma=None):
        sigma = sigma or 1 / np.sqrt(max(1, np.prod(shape[1:])))
        return (self.rng.normal(size=shape) * sigma).astype(np.float32)

    def node(self, kind, inputs, outputs=1, **at):
        return self.graph.node(kind, inputs, outputs, **at)

    def shape(self, x):
        return self.graph.shape(x)

    # Maps --------------------------------------------------------------------------------------------------------
    def windows(self, extents, dilate=True):
        while True:
            kernel, strides = [self.whole(1, 3) for _ in range(2)], [self.whole(1, 2) for _ in range(2)]
            dilations = [self.whole(1, 2) if dilate else 1 for _ in range(2)]
            reach = [d * (k - 1) for k, d in zip(kernel, dilations)]
            pads = [self.whole(0, max(0, r)) if self.chance(0.7) else 0 for r in reach * 2]
            if not dilate:
                pads = [min(p, k // 2) for p, k in zip(pads, kernel * 2)]
            if min(e + pads[i] + pads[i + 2] - reach[i] for i, e in enumerate(extents)) < 1:
                continue
            at = {"kernel_shape": kernel, "strides": strides, "pads": pads}
            if dilate:
                at["dilations"] = dilations
            if self.chance(0.15):
                at["auto_pad"] = self.pick(["SAME_UPPER", "SAME_LOWER", "VALID"])
                del at["pads"]
                at.pop("dilations", None)
                if min(e - k for e, k in zip(extents, kernel)) < 0:
                    continue
            return at

    def conv(self, x, channels=None, at=None):
        c = self.shape(x)[1]
        at = at or self.windows(self.shape(x)[2:])
        draw, group = self.rng.random(), 1
        channels = channels or self.whole(1, 8)
        if draw < 0.2:
            group, channels = c, c * self.whole(1, 2)  # depthwise
        elif draw < 0.35:
            group = self.pick([g for g in range(1, c + 1) if c % g == 0])
            channels = group * self.whole(1, 3)
        at = dict(at, **({"group": group} if group > 1 else {}))
        inputs = [x, self.normal(channels, c // group, *at["kernel_shape"])]
        if self.chance(0.6):
            inputs.append(self.normal(channels, sigma=0.3))
        x = self.node("Conv", inputs, **at)
        if self.chance(0.3):
            x = self.norm(x)
        return self.activation(x) if self.chance(0.5) else x

    def conv_transpose(self, x):
        c, channels, s = self.shape(x)[1], self.whole(1, 5), self.whole(1, 2)
        k = self.whole(s, 3)
        pad = self.whole(0, (k - 1) // 2)
        more = self.whole(0, s - 1)
        inputs = [x, self.normal(c, channels, k, k), *([self.normal(channels, sigma=0.3)] if self.chance(0.5) else [])]
        return self.node("ConvTranspose", inputs, kernel_shape=[k, k], strides=[s, s], pads=[pad] * 4,
                         output_padding=[more] * 2)

    def norm(self, x):
        c = self.shape(x)[1]
        return self.node("BatchNormalization", [x, *(v.astype(np.float32) for v in (
            self.rng.uniform(-1.5, 1.5, c), self.rng.normal(size=c) * 0.3, self.rng.normal(size=c) * 0.2,
            self.rng.uniform(0.1, 2, c)))], epsilon=float(self.pick([1e-5, 1e-3])))

    def activation(self, x):
        kind = self.pick(["Relu", "Relu", "Relu6", "LeakyRelu", "Sigmoid", "Tanh", "Silu", "Gelu", "HardSwish",
                          "HardSwishParts", "Mish"])
        if self.chance(0.01):
            kind = "PRelu"
        if kind == "Relu6":
            return self.node("Clip", [x, np.float32(0), np.float32(6)])
        if kind == "LeakyRelu":
            return self.node(kind, [x], alpha=float(self.pick([0.01, 0.2])))
        if kind == "Silu":
            return self.node("Mul", [x, self.node("Sigmoid", [x])])
        if kind == "Gelu":
            return self.gelu(x)
        if kind == "HardSwish" and self.graph.opset >= 14:
            return self.node(kind, [x])
        if kind.startswith("HardSwish"):
            y = self.node("Clip", [self.node("Add", [x, np.float32(3)]), np.float32(0), np.float32(6)])
            return self.node("Div", [self.node("Mul", [x, y]), np.float32(6)])
        if kind == "PRelu":
            c = self.shape(x)[1]
            one = np.full((c, 1, 1), 0.25, np.float32) if len(self.shape(x)) == 4 else np.float32([0.25])
            return self.node(kind, [x, one])
        if kind == "Mish":
            return self.node("Mul", [x, self.node("Tanh", [self.node("Softplus", [x])])])
        return self.node(kind, [x])

    def gelu(self, x):
        y = self.node("Erf", [self.node("Div", [x, np.float32(np.sqrt(2))])])
        y = self.node("Mul", [x, self.node("Add", [y, np.float32(1)])])
        return self.node("Mul", [y, np.float32(0.5)])

    def residual(self, x):
        c = self.shape(x)[1]
        at = {"kernel_shape": [3, 3], "pads": [1] * 4}
        y = self.node("Conv", [x, self.normal(c, c, 3, 3)], **at)
        y = self.activation(self.norm(y)) if self.chance(0.7) else y
        y = self.node("Conv", [y, self.normal(c, c, 3, 3), self.normal(c, sigma=0.2)], **at)
        operands = [x, y] if self.chance(0.5) else [y, x]
        y = self.node("Add", operands)
        return self.activation(y) if self.chance(0.6) else y

    def gate(self, x):
        c = self.shape(x)[1]
        y = self.node("GlobalAveragePool", [x])
        y = self.node("Relu", [self.node("Conv", [y, self.normal(2, c, 1, 1), self.normal(2, sigma=0.3)])])
        y = self.node("Sigmoid", [self.node("Conv", [y, self.normal(c, 2, 1, 1)])])
        return self.node("Mul", [x, y] if self.chance(0.6) else [y, x])

    def pool(self, x):
        at = self.windows(self.shape(x)[2:], dilate=False)
        if "auto_pad" not in at and self.chance(0.3):
            at["ceil_mode"] = 1
        if self.chance(0.5):
            if "pads" in at and self.chance(0.2):
                at["dilations"] = [1, 1]
            return self.node("MaxPool", [x], **at)
        return self.node("AveragePool", [x], **dict(at, **({"count_include_pad": 1} if self.chance(0.5) else {})))

    def branches(self, x):
        y = self.node("Conv", [x, self.normal(self.whole(1, 4), self.shape(x)[1], 1, 1)])
        z = self.node("Conv", [x, self.normal(self.whole(1, 4), self.shape(x)[1], 3, 3)], pads=[1] * 4)
        return self.node("Concat", [x, y, z] if self.chance(0.5) else [z, y], axis=1)

    def parts(self, x):
        c = self.shape(x)[1]
        if c < 2:
            return x
        k = self.whole(1, c - 1)
        if self.chance(0.5):
            a, b = self.node("Split", [x, np.array([k, c - k], np.int64)], 2, axis=1)
        else:
            whole = lambda *v: np.array(v, np.int64)  # noqa: E731
            a = self.node("Slice", [x, whole(0), whole(k), whole(1)])
            b = self.node("Slice", [x, whole(k), whole(c), whole(1)])
        return self.node("Concat", [b, self.activation(a)], axis=1)

    def pad(self, x):
        top, left, bottom, right = (self.whole(0, 2) for _ in range(4))
        pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        return self.node("Pad", [x, pads, np.float32(0 if self.chance(0.7) else 0.4)])

    def upsample(self, x):
        return self.node("Resize", [x, "", np.array([1, 1, 2, 2], np.float32)], mode="nearest",
                         coordinate_transformation_mode="asymmetric", nearest_mode="floor")

    def shuffle(self, x):
        n, c, h, w = self.shape(x)
        if c % 4 == 0 and self.chance(0.1):
            return self.node("DepthToSpace", [x], blocksize=2, mode=self.pick(["DCR", "CRD"]))
        if h % 2 == 0 and w % 2 == 0 and self.chance(0.1):
            return self.node("SpaceToDepth", [x], blocksize=2)
        group = self.pick([g for g in range(1, c + 1) if c % g == 0])
        y = self.node("Reshape", [x, np.array([n, group, c // group, h, w], np.int64)])
        y = self.node("Transpose", [y], perm=[0, 2, 1, 3, 4])
        return self.node("Reshape", [y, np.array([n, c, h, w], np.int64)])

    def scaled(self, x):
        shape = self.shape(x)
        wide = (shape[1], 1, 1) if len(shape) == 4 else (shape[-1],)
        kind = self.pick(["Add", "Mul", "Sub", "Div"])
        value = self.rng.uniform(0.5, 2, wide if self.chance(0.7) else ()).astype(np.float32)
        return self.node(kind, [x, value])

    def lone_activation(self, x):
        return self.activation(x)

    def lone_norm(self, x):
        return self.norm(x)

    def mean(self, x):
        if self.chance(0.5):
            return self.node("GlobalAveragePool", [x])
        if self.chance(0.3):
            return self.node("GlobalMaxPool", [x])
        return self.node("ReduceMean", [x], axes=[2, 3], keepdims=1)

    def vector(self, x):
        if self.chance(0.5):
            x = self.node("Flatten", [x], axis=1)
        else:
            x = self.node("Reshape", [x, np.array([1, -1], np.int64)])
        return self.dense(x)

    def dense(self, x):
        for _ in range(self.whole(1, 2)):
            f, columns = self.shape(x)[1], self.whole(2, 10)
            if self.chance(0.7):
                transposed = self.chance(0.7)
                at = {"transB": 1} if transposed else {}
                if self.chance(0.15):
                    at.update(alpha=0.5, beta=2.0)
                w = self.normal(columns, f) if transposed else self.normal(columns, f).T.copy()
                x = self.node("Gemm", [x, w, *([self.normal(columns, sigma=0.3)] if self.chance(0.7) else [])], **at)
            else:
                x = self.node("Add", [self.node("MatMul", [x, self.normal(columns, f).T.copy()]),
                                      self.normal(columns, sigma=0.3)])
            if self.chance(0.5):
                x = self.activation(x)
        return self.node("Softmax", [x], axis=-1) if self.chance(0.3) else x

    # Transformers ------------------------------------------------------------------------------------------------
    def layer_norm(self, x):
        f = self.shape(x)[-1]
        weight, bias = self.rng.uniform(0.5, 1.5, f).astype(np.float32), self.normal(f, sigma=0.2)
        if self.graph.opset >= 17 and self.chance(0.6):
            return self.node("LayerNormalization", [x, weight, bias], axis=-1, epsilon=1e-5)
        centred = self.node("Sub", [x, self.node("ReduceMean", [x], axes=[-1], keepdims=1)])
        power = self.chance(0.7)
        square = self.node("Pow", [centred, np.float32(2)]) if power else self.node("Mul", [centred, centred])
        variance = self.node("ReduceMean", [square], axes=[-1], keepdims=1)
        root = self.node("Sqrt", [self.node("Add", [variance, np.float32(1e-5)])])
        y = self.node("Div", [centred, root])
        return self.node("Add", [self.node("Mul", [y, weight]), bias])

    def linear(self, x, columns):
        y = self.node("MatMul", [x, self.normal(columns, self.shape(x)[-1]).T.copy()])
        bias = self.normal(columns, sigma=0.2)
        return self.node("Add", [y, bias] if self.chance(0.5) else [bias, y]) if self.chance(0.8) else y

    def attention(self, x):
        t, heads, size = self.shape(x)[1], self.whole(1, 3), self.whole(2, 4)
        f = heads * size

        def split(y, perm):
            y = self.node("Reshape", [y, np.array([1, t, heads, size], np.int64)])
            return self.node("Transpose", [y], perm=perm)
        if self.chance(0.3):  # one product for all three
            q, k, v = self.node("Split", [self.linear(x, 3 * f), np.array([f] * 3, np.int64)], 3, axis=-1)
        else:
            q, k, v = (self.linear(x, f) for _ in range(3))
        q, k, v = split(q, [0, 2, 1, 3]), split(k, [0, 2, 3, 1]), split(v, [0, 2, 1, 3])
        root = np.float32(np.sqrt(size))
        if self.chance(0.3):
            scores = self.node("MatMul", [self.node("Mul", [q, np.float32(1 / root)]), k])
        else:
            scores = self.node("Div", [self.node("MatMul", [q, k]), root])
        y = self.node("MatMul", [self.node("Softmax", [scores], axis=-1), v])
        y = self.node("Transpose", [y], perm=[0, 2, 1, 3])
        return self.linear(self.node("Reshape", [y, np.array([1, t, f], np.int64)]), self.shape(x)[-1])

    def block(self, x):
        before = self.chance(0.5)  # the norm before, or behind
        y = self.attention(self.layer_norm(x) if before else x)
        x = self.node("Add", [x, y])
        x = x if before else self.layer_norm(x)
        y = self.layer_norm(x) if before else x
        y = self.linear(y, self.whole(3, 10))
        y = self.linear(self.gelu(y) if self.chance(0.7) else self.node("Relu", [y]), self.shape(x)[-1])
        x = self.node("Add", [y, x])
        return x if before else self.layer_norm(x)

    def transformer(self):
        t, f = self.whole(2, 7), self.whole(3, 9)
        if self.chance(0.3):  # patches of an image
            c, p, rows, columns = self.whole(1, 3), self.whole(1, 3), self.whole(1, 3), self.whole(1, 3)
            x = self.graph.input("x", self.normal(1, c, rows * p, columns * p, sigma=1))
            weights = [self.normal(f, c, p, p), self.normal(f, sigma=0.2)]
            x = self.node("Conv", [x, *weights], kernel_shape=[p, p], strides=[p, p])
            t = rows * columns
            x = self.node("Transpose", [self.node("Reshape", [x, np.array([1, f, t], np.int64)])], perm=[0, 2, 1])
        else:
            x = self.graph.input("x", self.normal(1, t, f, sigma=1))
        if self.chance(0.5):
            x = self.node("Add", [x, self.normal(1, t, f, sigma=0.5)])  # positions
        self.blocks.append("transformer")
        for _ in range(self.whole(1, 2)):
            x = self.block(x)
        draw = self.rng.random()
        if draw < 0.3:
            x = self.node("ReduceMean", [x], axes=[1], keepdims=0)
            x = self.node("Gemm", [x, self.normal(4, f), self.normal(4, sigma=0.3)], transB=1)
        elif draw < 0.5:
            x = self.linear(x, 4)
        return x

    MAPS = (["conv"] * 6 + ["residual"] * 2 + ["pool"] * 4 + ["gate", "branches", "parts", "pad", "upsample", "shuffle",
                                                              "scaled", "lone_activation", "lone_norm"]) * 4
    MAPS.append("conv_transpose")

    def convolutional(self):
        x = self.graph.input("x", self.normal(1, self.whole(1, 4), self.whole(3, 10), self.whole(3, 10), sigma=1))
        for i in range(self.whole(1, 4)):
            block = self.pick(self.MAPS) if i else "conv"
            self.blocks.append(block)
            x = getattr(self, block)(x)
        if self.chance(0.6):
            x = self.mean(x) if self.chance(0.5) else x
            x = self.vector(x)
        return x

    def make(self):
        x = self.convolutional() if self.chance(0.65) else self.transformer()
        self.graph.output(x)
        return self.graph
