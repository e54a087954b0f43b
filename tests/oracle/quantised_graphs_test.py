#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Random quantised graphs: chips that compute without loss have the codes that ONNX's definitions give, node by node.

    quantised_graphs_test.py [--graphs N] [--seed S] [--only K] [--keep DIR] [--form qonnx]

At every quantiser that the chip has a layer for, the exact value is computed from the codes of the chip's own
predecessors, so that nothing spreads. A code may be that value's neighbour on the other side only where it lies
within a bound of half a code (BOUNDS).
"""
import argparse
import collections
import concurrent.futures
import itertools
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import onnx
from onnx import numpy_helper

import onnx_eval
import qonnx_form
from onnx_builder import as_image, listing
from quantised_graphs import Generator

BINARY = os.environ.get("TESSERA")
# How far from half a code a value may lie whose code is not the nearest.
BOUNDS = {"exact": 1e-6,    # products, sums, means, what moves elements
          "derived": 0.01,  # reals that become whole numbers: biases, norms, constant operands
          "table": 0.01}    # softmax, sigmoid and their like
INPUT = 2e-5               # of the first quantiser: QuantizeLinear divides in float32
TABLES = {"Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "Softmax", "QLinearSigmoid", "QLinearLeakyRelu",
          "QLinearSoftmax"}
ACCEPTED = 0.95


class Graph:
    """Who makes what in a model."""

    def __init__(self, model):
        self.model = model
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.constants.update({node.output[0]: numpy_helper.to_array(node.attribute[0].t)
                               for node in model.graph.node if node.op_type == "Constant"})
        self.fed = {value.name for value in model.graph.input}
        self.maker = {name: node for node in model.graph.node for name in node.output}

    def constant(self, name):
        """Whether a tensor is the same for all images."""
        node = self.maker.get(name)
        return not name or name in self.constants or (node is not None and all(map(self.constant, node.input)))

    def between(self, node):
        """The nodes that compute with reals for a quantiser; for other operators themselves."""
        if node.op_type != "QuantizeLinear":
            return [node]
        found, todo = [], [node.input[0]]
        while todo:
            maker = self.maker.get(todo.pop())
            if maker is None or maker.op_type in ("DequantizeLinear", "Constant"):
                continue
            if not any(maker is node for node in found):
                found.append(maker)
                todo += maker.input
        return found

    def real_constant(self, node):
        """Whether a node has an operand that must become whole numbers first."""
        if node.op_type == "BatchNormalization":
            return True
        if node.op_type in ("Add", "Sub", "Mul", "Div"):
            return any(self.constant(name) for name in node.input)
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3:
            return False
        maker = self.maker.get(node.input[2])
        scaled = any(a.name in ("alpha", "beta") for a in node.attribute)
        return maker is None or scaled  # the generator gives codes of biases the scale of their sums

    def bound(self, node):
        kinds = self.between(node)
        if any(n.op_type in TABLES for n in kinds):
            return "table"
        return "derived" if any(map(self.real_constant, kinds)) else "exact"

    def names(self, node):
        """What a layer with a node's codes may be called, the likeliest first: after it, or after what it was
        merged into, up to where more than one tensor comes together."""
        names = [node.name]
        while True:
            operands = [name for name in node.input if not self.constant(name)]
            node = self.maker.get(operands[0]) if operands else None
            if node is None or len(operands) > 1:
                return names
            names.append(node.name)

    def scale(self, node):
        """Of the codes that a node makes, with their zero point: its own, or that of whoever it moves them for."""
        place = {"QuantizeLinear": 1, "QLinearConv": 6, "QLinearMatMul": 6, "QLinearAdd": 6, "QLinearMul": 6,
                 "QLinearConcat": 0, "QGemm": 7}.get(node.op_type, 3 if node.op_type.startswith("QLinear") else None)
        if place is None:
            if node.input[0] in self.maker:
                return self.scale(self.maker[node.input[0]])
            readers = [n for n in self.model.graph.node if n.input and n.input[0] == node.output[0]]
            return next(((float(self.constants[n.input[1]]), int(self.constants[n.input[2]])) for n in readers
                         if n.op_type == "DequantizeLinear" and len(n.input) > 2), (None, None))
        zero = self.constants[node.input[place + 1]] if len(node.input) > place + 1 else 0
        return float(self.constants[node.input[place]]), int(zero)


def placed(codes, shape, wanted, near=0, source=None):
    """A layer's rows x columns x channels as ONNX has the tensor, which may have been a map (`source`: channels x
    rows x columns)."""
    ways = []
    for order in itertools.permutations(range(3)):
        turned = codes.transpose(order)
        if len(shape) == 4 and turned.shape != shape[1:] or len(shape) == 3 and \
                [e for e in turned.shape if e > 1] != [e for e in shape if e > 1]:
            continue
        ways.append(turned.reshape(shape))
    if len(shape) == 2 and source is not None and codes.size == np.prod(source):
        # A flattened map whose elements still lie as the map's, which may have been transposed before.
        for order in itertools.permutations(range(3)):
            ways.append(codes.reshape([source[axis] for axis in order]).transpose(np.argsort(order)).reshape(shape))
    if not ways and len(shape) <= 4:
        # Its elements lie in one row, in the order of some axes.
        for order in itertools.permutations(range(len(shape))):
            ways.append(codes.reshape([shape[axis] for axis in order]).transpose(np.argsort(order)))
    if not ways:
        ways = [codes.transpose(order).reshape(shape) for order in itertools.permutations(range(3))]
    return min(ways, key=lambda way: np.count_nonzero(np.abs(way - wanted) > near))


class Comparison:
    """One image's codes against what is right."""

    def __init__(self, model, layers, up, other_side=()):
        self.graph, self.layers, self.up, self.other_side = Graph(model), layers, up, set(other_side)
        self.doubtful = []  # of tensors that are not shown: elements that may be one code off
        self.evaluator = onnx_eval.Evaluator(model)
        self.claims, self.deferred = self.claimed(), {}  # words of what did not fit, by layer
        self.compared, self.hidden, self.deviation = 0, 0, collections.defaultdict(float)
        self.unlike, self.differing = None, 0  # words; elements in all

    def run(self, feeds):
        self.evaluator.run(feeds, self.force)
        if self.unlike is None and not self.compared:
            self.unlike, self.differing = f"no quantiser's codes are among the layers {sorted(self.layers)}", 1
        return self

    def claimed(self):
        """By layer: the tensors that its codes may be, in the order of the file."""
        claims = collections.defaultdict(list)
        for node in self.graph.model.graph.node:
            for name in self.graph.names(node):
                if name in self.layers:
                    claims[name] += node.output
                    break
        return claims

    def force(self, name, value):
        node = self.graph.maker[name]
        if value.dtype.kind not in "iu" or value.dtype.itemsize > 1 or self.graph.constant(name):
            return None
        scale, zero = self.graph.scale(node)
        layer = next((layer for layer in self.graph.names(node) if name in self.claims.get(layer, [])), None)
        shown = [(codes, exact) for codes, its, exact in self.layers.get(layer, [])
                 if scale is not None and abs(its / scale - 1) < 1e-6]
        its_own = layer in self.graph.names(node)[:2 if node.op_type == "QuantizeLinear" else 1]
        for codes, exact in shown:
            if its_own and exact and codes.size != value.size:
                self.unlike = self.unlike or f"{layer}: shape {codes.shape}, expected {value.shape}"
                self.differing += value.size
        shown = [codes for codes, _ in shown if codes.size == value.size]
        if not shown:
            return self.not_shown(name, value)
        later = [other for other in self.claims[layer][self.claims[layer].index(name) + 1:]
                 if self.may_be(other, scale)]
        limits = np.iinfo(value.dtype)
        source = self.map_before(node)
        codes = min((placed(codes + zero, value.shape, value, source=source) for codes in shown),
                    key=lambda codes: np.count_nonzero(codes != value))
        excess, differing, text = self.judged(node, name, value, codes)
        kind = self.graph.bound(node)
        if excess > BOUNDS[kind] and later:  # the layer's codes are those of what was merged into it
            self.deferred.setdefault(layer, text)
            return self.not_shown(name, value)
        text, self.claims[layer] = self.deferred.get(layer, text), []
        self.compared += 1
        if excess > BOUNDS[kind]:
            self.unlike = self.unlike or text
            self.differing += differing
        elif self.unlike is None:
            self.deviation[kind] = max(self.deviation[kind], excess)
        return np.clip(codes, limits.min, limits.max).astype(value.dtype)

    def map_before(self, node):
        """Of the map that a node's operand was before it was flattened: channels, rows, columns."""
        while node is not None and node.input:
            value = self.evaluator.tensors.get(node.input[0])
            if value is not None and value.ndim == 4:
                return value.shape[1:]
            node = self.graph.maker.get(node.input[0])
        return None

    def may_be(self, name, scale):
        node = self.graph.maker[name]
        if not (node.op_type == "QuantizeLinear" or node.op_type.startswith("Q")):
            return False
        its = self.graph.scale(node)[0]
        return its is not None and abs(its / scale - 1) < 1e-6

    def judged(self, node, name, value, codes):
        """How far beyond half a code the exact value of the worst code lies; how many lie too far; in words."""
        limits = np.iinfo(value.dtype)
        real = self.evaluator.unrounded.get(name)
        if real is None:  # nothing is rounded here
            real = value.astype(np.float64)
            excess = np.where(codes == value, 0, np.inf)
        else:
            excess = np.where(codes == value, 0, np.abs(codes - np.clip(real, limits.min, limits.max)) - 0.5)
        at = np.unravel_index(excess.argmax(), excess.shape)
        differing = np.count_nonzero(excess > BOUNDS[self.graph.bound(node)])
        return float(excess[at]), differing, (
            f"{node.name} ({'+'.join(n.op_type for n in self.graph.between(node))}) at {list(map(int, at))}: expected "
            f"{value[at]} ({real[at]:.10g} before rounding), got {codes[at]}, {excess[at]:.2g} beyond half a code; "
            f"{differing} of {excess.size} differ")

    def not_shown(self, name, value):
        """Codes that the chip does not show: where they may be their neighbours, they are in turn."""
        self.hidden += 1
        real = self.evaluator.unrounded.get(name)
        if real is None:
            return None
        limits = np.iinfo(value.dtype)
        codes, from_half = value.astype(np.int64), real - np.floor(real) - 0.5
        if self.up:
            codes = np.where(np.abs(from_half) < 1e-9, np.floor(real).astype(np.int64) + 1, codes)
        node = self.graph.maker[name]
        bound = INPUT if node.input[0] in self.graph.fed else BOUNDS[self.graph.bound(node)]
        near = np.abs(from_half) <= bound
        for at in map(tuple, np.argwhere(near & (real > limits.min) & (real < limits.max))):
            self.doubtful.append((name, at))
            if (name, at) in self.other_side:
                codes[at] = 2 * int(np.floor(real[at])) + 1 - codes[at]
        return np.clip(codes, limits.min, limits.max).astype(value.dtype)


def compared(model, layers, feeds):
    """The comparison that finds most in order: doubtful elements of tensors that are not shown may be either."""
    ways = [Comparison(model, layers, up).run(feeds) for up in (False, True)]
    best = min(ways, key=lambda way: way.differing)
    for doubtful in best.doubtful[:40]:
        if best.unlike is None:
            break
        way = Comparison(model, layers, best.up, best.other_side | {doubtful}).run(feeds)
        best = min(best, way, key=lambda way: way.differing)
    return best


def tessera(folder, *arguments):
    return subprocess.run([BINARY, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=120,
                          check=False)


def read_layers(path, image):
    layers = collections.defaultdict(list)
    with h5py.File(path, "r") as file:
        for dataset in file["layers"].values():
            name = dataset.attrs["layer"]
            name = name.decode() if isinstance(name, bytes) else str(name)
            base = name.split(".")[0]  # of n1_Add.bias
            layers[base].append((dataset[image].astype(np.int64), float(dataset.attrs["scale"]), name == base))
    return dict(layers)


def names_of(model):
    return {node.name for node in model.graph.node} | {node.op_type for node in model.graph.node}


def judge(number, seed, keep, form):
    """What became of graph `number`: (kind, text, statistics)."""
    generator = Generator(seed + number)
    model = generator.make().model()
    written = qonnx_form.rewritten(model) if form == "qonnx" else model
    if written is None:
        return "of no such form", "", {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        onnx.save(written, str(folder / "g.onnx"))
        images = [generator.image() for _ in range(2)]
        np.save(folder / "x.npy", np.stack([as_image(image) for image in images]))
        kind, text, statistics = run_and_compare(folder, model, images)
        if keep and kind != "equal":
            pathlib.Path(keep).mkdir(parents=True, exist_ok=True)
            onnx.save(written, f"{keep}/{seed + number}.onnx")
            np.save(f"{keep}/{seed + number}.npy", np.stack([as_image(image) for image in images]))
    if kind != "equal":
        blocks = "+".join(generator.blocks)
        text = f"graph {number} (--seed {seed} --only {number}; {blocks}): {text}\n    {listing(written)}"
    return kind, text, statistics


def run_and_compare(folder, model, images):
    made = tessera(folder, "quantize", "--network", "g.onnx", "-o", "g.integers")
    ran = made
    if made.returncode == 0:
        ran = tessera(folder, "run", "--network", "g.onnx", "--integers", "g.integers", "--chip", "clsa-256",
                      "--values", "x.npy", "--images", len(images), "--errors", "lossless", "-o", "out", "--quiet")
    if ran.returncode:
        step, message = "quantize" if ran is made else "run", " ".join((ran.stderr or ran.stdout).split())
        named = any(re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", message) for name in names_of(model) | {"Quant"})
        if ran.returncode == 3 and named:
            return "refused", f"{step}: {message}", {}
        return "failed", f"{step}: exit code {ran.returncode}: {message}", {}
    statistics = collections.Counter()
    deviation = collections.defaultdict(float)
    for i, image in enumerate(images):
        layers = read_layers(folder / "out" / "values.h5", i)
        best = compared(model, layers, {"x": image})
        if best.unlike:
            return "unlike", f"image {i}: {best.unlike}", {}
        statistics.update(compared=best.compared, hidden=best.hidden)
        for kind, value in best.deviation.items():
            deviation[kind] = max(deviation[kind], value)
    return "equal", "", {**statistics, "deviation": dict(deviation)}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=100 if os.environ.get("TESSERA_SANITIZE") else 500)
    parser.add_argument("--seed", type=int, default=1000, help="of the first graph; each has the next one")
    parser.add_argument("--only", type=int, help="one graph of them")
    parser.add_argument("--form", choices=["onnx", "qonnx"], default="onnx",
                        help="qonnx: with Quant of QONNX, those graphs that have such a form")
    parser.add_argument("--keep", help="folder for the models that differ or are refused")
    parser.add_argument("--jobs", type=int, default=2, help="graphs at a time")
    parser.add_argument("--show-refused", action="store_true", help="list refused graphs too")
    options = parser.parse_args(arguments)
    if not BINARY:
        sys.exit("set TESSERA to the binary to test")
    if os.environ.get("TESSERA_HAS_ONNX", "ON") != "ON":
        return 0
    numbers = [options.only] if options.only is not None else range(options.graphs)
    counts, totals, deviation = collections.Counter(), collections.Counter(), collections.defaultdict(float)
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        for kind, text, statistics in pool.map(judge, numbers, *map(
                itertools.repeat, (options.seed, options.keep, options.form)), chunksize=4):
            counts[kind] += 1
            for name, value in statistics.pop("deviation", {}).items():
                deviation[name] = max(deviation[name], value)
            totals.update(statistics)
            if kind in ("failed", "unlike") or kind == "refused" and (options.show_refused or options.only is not None):
                print(f"{kind}: {text}", flush=True)
    print(f"{dict(counts)}; quantisers {dict(totals)}; farthest beyond half a code: "
          + ", ".join(f"{name} {value:.2g} (bound {BOUNDS[name]:g})" for name, value in sorted(deviation.items())))
    accepted = 1 - counts["refused"] / max(1, len(numbers) - counts["of no such form"])
    if accepted < ACCEPTED and options.only is None:
        print(f"only {accepted:.1%} of the graphs are accepted")
    return 1 if counts["failed"] or counts["unlike"] or accepted < ACCEPTED else 0


if __name__ == "__main__":
    sys.exit(main())
