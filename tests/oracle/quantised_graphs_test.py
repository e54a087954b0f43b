#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Random quantised graphs: chips that compute without loss have the codes that ONNX's definitions give, node by node.

    quantised_graphs_test.py [--graphs N] [--seed S] [--only K] [--keep DIR]

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

import onnx_eval
from onnx_builder import as_image, listing
from quantised_graphs import Generator

BINARY = os.environ.get("TESSERA")
# How far from half a code a value may lie whose code is not the nearest.
BOUNDS = {"exact": 1e-6,    # products, sums, means, what moves elements
          "derived": 0.01,  # reals that become whole numbers: biases, norms, constant operands
          "table": 0.01}    # softmax, sigmoid and their like
TABLES = {"Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "Softmax", "QLinearSigmoid", "QLinearLeakyRelu",
          "QLinearSoftmax"}
ACCEPTED = 0.95


class Graph:
    """Who makes what in a model."""

    def __init__(self, model):
        self.model = model
        self.constants = {tensor.name for tensor in model.graph.initializer}
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
            if maker is not None and maker.op_type != "DequantizeLinear" and not any(maker is f for f in found):
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
        """What a layer with a quantiser's codes may be called."""
        if node.op_type != "QuantizeLinear":
            return [node.name]
        maker = self.maker.get(node.input[0])
        return [node.name] + ([maker.name] if maker is not None else [])

    def scale(self, node, values):
        """Of the codes that a node makes: its own, or that of whoever reads them next."""
        if node.op_type == "QuantizeLinear":
            return float(values[node.input[1]]), int(values[node.input[2]])
        place = {"QLinearConv": 6, "QLinearMatMul": 6, "QLinearAdd": 6, "QLinearMul": 6, "QLinearConcat": 0,
                 "QGemm": 7}.get(node.op_type, 3 if node.op_type.startswith("QLinear") else None)
        if place is not None:
            return float(values[node.input[place]]), int(values[node.input[place + 1]])
        return self.scale(self.maker[node.input[0]], values) if node.input[0] in self.maker else (None, None)


def placed(codes, shape, wanted):
    """A layer's rows x columns x channels as ONNX has the tensor."""
    ways = []
    for order in itertools.permutations(range(3)):
        turned = codes.transpose(order)
        if len(shape) == 4 and turned.shape != shape[1:] or len(shape) == 3 and \
                [e for e in turned.shape if e > 1] != [e for e in shape if e > 1]:
            continue
        ways.append(turned.reshape(shape))
    if not ways:
        ways = [codes.transpose(order).reshape(shape) for order in itertools.permutations(range(3))]
    return min(ways, key=lambda way: np.count_nonzero(way != wanted))


class Comparison:
    """One image's codes against what is right."""

    def __init__(self, model, layers, up):
        self.graph, self.layers, self.up = Graph(model), layers, up
        self.evaluator = onnx_eval.Evaluator(model)
        self.compared, self.hidden, self.unlike, self.deviation = 0, 0, None, collections.defaultdict(float)

    def run(self, feeds):
        self.evaluator.run(feeds, self.force)
        return self

    def force(self, name, value):
        node = self.graph.maker[name]
        if value.dtype.kind not in "iu" or value.dtype.itemsize > 1 or self.graph.constant(name):
            return None
        layer = self.find(node, value)
        if layer is None:
            self.hidden += 1
            return self.rounded_up(name, value)
        self.compared += 1
        limits = np.iinfo(value.dtype)
        codes = placed(layer + self.zero, value.shape, value)
        # What was not rounded here is equal, or wrong.
        real = self.evaluator.unrounded.get(name, value.astype(np.float64))
        kind = self.graph.bound(node)
        excess = np.abs(codes - np.clip(real, limits.min, limits.max)) - 0.5
        excess = np.where(codes == value, 0, excess)
        if name not in self.evaluator.unrounded:
            excess = np.where(codes == value, 0, np.inf)
        if excess.max() > BOUNDS[kind] and self.unlike is None:
            at = np.unravel_index(excess.argmax(), excess.shape)
            self.unlike = (f"{node.name} ({'+'.join(n.op_type for n in self.graph.between(node))}) at "
                           f"{list(map(int, at))}: expected {value[at]} ({real[at]:.7g} before rounding), got {codes[at]}; "
                           f"{np.count_nonzero(excess > BOUNDS[kind])} of {excess.size} differ")
        elif self.unlike is None:
            self.deviation[kind] = max(self.deviation[kind], float(excess.max()))
        if codes.min() < limits.min or codes.max() > limits.max:
            self.unlike = self.unlike or f"{node.name}: codes {codes.min()} to {codes.max()}"
        return np.clip(codes, limits.min, limits.max).astype(value.dtype)

    def find(self, node, value):
        scale, self.zero = self.graph.scale(node, self.evaluator.tensors)
        if scale is None:
            return None
        for name in self.graph.names(node):
            for codes, its_scale in self.layers.get(name, []):
                if abs(its_scale / scale - 1) < 1e-6 and codes.size == value.size:
                    return codes
        return None

    def rounded_up(self, name, value):
        """Codes that the chip does not show: ties may have gone up there."""
        real = self.evaluator.unrounded.get(name)
        if not self.up or real is None:
            return None
        limits = np.iinfo(value.dtype)
        codes = np.where(np.abs(real - np.floor(real) - 0.5) < 1e-9, np.floor(real) + 1, value)
        return np.clip(codes, limits.min, limits.max).astype(value.dtype)


def tessera(folder, *arguments):
    return subprocess.run([BINARY, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=120,
                          check=False)


def read_layers(path, image):
    layers = collections.defaultdict(list)
    with h5py.File(path, "r") as file:
        for dataset in file["layers"].values():
            name = dataset.attrs["layer"]
            name = name.decode() if isinstance(name, bytes) else str(name)
            layers[name].append((dataset[image].astype(np.int64), float(dataset.attrs["scale"])))
    return layers


def names_of(model):
    return {node.name for node in model.graph.node} | {node.op_type for node in model.graph.node}


def judge(number, seed, keep):
    """What became of graph `number`: (kind, text, statistics)."""
    generator = Generator(seed + number)
    model = generator.make().model()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        onnx.save(model, str(folder / "g.onnx"))
        images = [generator.image() for _ in range(2)]
        np.save(folder / "x.npy", np.stack([as_image(image) for image in images]))
        kind, text, statistics = run_and_compare(folder, model, images)
        if keep and kind != "equal":
            pathlib.Path(keep).mkdir(parents=True, exist_ok=True)
            onnx.save(model, f"{keep}/{seed + number}.onnx")
            np.save(f"{keep}/{seed + number}.npy", np.stack([as_image(image) for image in images]))
    if kind != "equal":
        blocks = "+".join(generator.blocks)
        text = f"graph {number} (--seed {seed} --only {number}; {blocks}): {text}\n    {listing(model)}"
    return kind, text, statistics


def run_and_compare(folder, model, images):
    made = tessera(folder, "quantize", "--network", "g.onnx", "-o", "g.integers")
    ran = made
    if made.returncode == 0:
        ran = tessera(folder, "run", "--network", "g.onnx", "--integers", "g.integers", "--chip", "clsa-256", "--values",
                      "x.npy", "--images", len(images), "--errors", "lossless", "-o", "out", "--force", "--quiet")
    if ran.returncode:
        step, message = "quantize" if ran is made else "run", " ".join((ran.stderr or ran.stdout).split())
        named = any(re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", message) for name in names_of(model))
        if ran.returncode == 3 and named:
            return "refused", f"{step}: {message}", {}
        return "failed", f"{step}: exit code {ran.returncode}: {message}", {}
    statistics = collections.Counter()
    deviation = collections.defaultdict(float)
    for i, image in enumerate(images):
        layers = read_layers(folder / "out" / "values.h5", i)
        ways = [Comparison(model, layers, up).run({"x": image}) for up in (False, True)]
        best = next((way for way in ways if way.unlike is None), ways[0])
        if best.unlike:
            return "unlike", f"image {i}: {best.unlike}", {}
        if best.compared == 0:
            return "failed", f"no quantiser's codes are among the layers {sorted(layers)}", {}
        statistics.update(compared=best.compared, hidden=best.hidden)
        for kind, value in best.deviation.items():
            deviation[kind] = max(deviation[kind], value)
    return "equal", "", {**statistics, "deviation": dict(deviation)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--only", type=int, help="one graph of them")
    parser.add_argument("--keep", help="folder for the models that differ or are refused")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--show-refused", action="store_true")
    options = parser.parse_args()
    if not BINARY:
        sys.exit("set TESSERA to the binary to test")
    if os.environ.get("TESSERA_HAS_ONNX", "ON") != "ON":
        return 0
    numbers = [options.only] if options.only is not None else range(options.graphs)
    counts, totals, deviation = collections.Counter(), collections.Counter(), collections.defaultdict(float)
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        for kind, text, statistics in pool.map(judge, numbers, *map(itertools.repeat, (options.seed, options.keep)),
                                               chunksize=4):
            counts[kind] += 1
            for name, value in statistics.pop("deviation", {}).items():
                deviation[name] = max(deviation[name], value)
            totals.update(statistics)
            if kind in ("failed", "unlike") or kind == "refused" and (options.show_refused or options.only is not None):
                print(f"{kind}: {text}", flush=True)
    print(f"{dict(counts)}; quantisers {dict(totals)}; farthest beyond half a code: "
          + ", ".join(f"{name} {value:.2g} (bound {BOUNDS[name]:g})" for name, value in sorted(deviation.items())))
    accepted = 1 - counts["refused"] / len(numbers)
    if accepted < ACCEPTED and options.only is None:
        print(f"only {accepted:.1%} of the graphs are accepted")
    return 1 if counts["failed"] or counts["unlike"] or accepted < ACCEPTED else 0


if __name__ == "__main__":
    sys.exit(main())
