#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""AveragePool and MaxPool in all combinations of kernel, stride, padding, ceil_mode and count_include_pad, of reals and
of codes: shapes and values are those of PyTorch's rule, spelled out here window by window."""
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx

import onnx_eval
from onnx_builder import Builder, as_image
from quantised_graphs_test import read_layers

BINARY, OUTPUTS = os.environ.get("TESSERA"), os.environ.get("TESSERA_FLOAT_OUTPUTS")
EXTENTS = (7, 5)
KERNELS, STRIDES = [(2, 2), (3, 3), (3, 2)], [(1, 1), (2, 2), (3, 3), (2, 3)]
PADS = [(0, 0, 0, 0), (1, 1, 1, 1), (1, 0, 0, 1), (0, 1, 1, 0)]  # top, left, bottom, right
SCALE = np.float32(0.03125)
FAILURES = []


def expect(condition, what):
    if not condition:
        FAILURES.append(what)
        print(what, file=sys.stderr)


def combinations():
    for kernel, stride, pads, ceil in itertools.product(KERNELS, STRIDES, PADS, (0, 1)):
        at = {"kernel_shape": list(kernel), "strides": list(stride), "pads": list(pads), "ceil_mode": ceil}
        yield "MaxPool", at
        for included in (0, 1):
            yield "AveragePool", dict(at, count_include_pad=included)


def windows(extent, kernel, stride, before, behind, ceil):
    """Of one axis: where each window begins and ends in the padded map, and its elements in the map."""
    room = extent + before + behind - kernel
    count = (room + (stride - 1 if ceil else 0)) // stride + 1
    if ceil and (count - 1) * stride >= extent + before:
        count -= 1
    for i in range(count):
        begin = i * stride - before
        end = min(begin + kernel, extent + behind)
        yield end - begin, range(max(begin, 0), min(end, extent))


def pooled(kind, at, x):
    """Of a map channels x rows x columns."""
    (top, left, bottom, right), ceil = at["pads"], at["ceil_mode"]
    rows = list(windows(x.shape[1], at["kernel_shape"][0], at["strides"][0], top, bottom, ceil))
    columns = list(windows(x.shape[2], at["kernel_shape"][1], at["strides"][1], left, right, ceil))
    out = np.zeros((len(x), len(rows), len(columns)))
    for (i, (height, ys)), (j, (width, xs)) in itertools.product(enumerate(rows), enumerate(columns)):
        part = x[:, ys.start:ys.stop, xs.start:xs.stop]
        if kind == "MaxPool":
            out[:, i, j] = part.max((1, 2))
        else:
            out[:, i, j] = part.sum((1, 2)) / (height * width if at["count_include_pad"] else len(ys) * len(xs))
    return out


def check_reals(folder, cases, image):
    """One network with all pools side by side."""
    graph = Builder(opset=19)
    graph.input("x", image)
    for kind, at in cases:
        graph.output(graph.node(kind, ["x"], **at))
    path = str(folder / "reals.onnx")
    onnx.save(graph.model(), path)
    as_image(image).astype(np.float32).tofile(path + ".in")
    done = subprocess.run([OUTPUTS, path], capture_output=True, text=True, timeout=120, check=False)
    expect(done.stdout.startswith("computed"), f"reals: {done.stdout}{done.stderr}")
    if not done.stdout.startswith("computed"):
        return
    values, shapes = np.fromfile(path + ".out", np.float32), done.stdout.split()[1:]
    expect(len(shapes) == len(cases), f"{len(shapes)} outputs of {len(cases)}")
    for (kind, at), shape in zip(cases, shapes):
        wanted = pooled(kind, at, image[0].astype(np.float64))
        rows, columns, channels = map(int, shape.split("x"))
        got, values = np.split(values, [rows * columns * channels])
        if (channels, rows, columns) != wanted.shape:
            expect(False, f"{kind} {at}: of reals {shape}, expected {wanted.shape[1]}x{wanted.shape[2]}x{len(wanted)}")
            continue
        off = np.abs(got.reshape(rows, columns, channels).transpose(2, 0, 1) - wanted)
        many = np.count_nonzero(off > 1e-5)
        expect(not many, f"{kind} {at}: of reals off by {off.max():.3g} in {many} elements")
        ours = onnx_eval.OPERATORS["", kind](None, at, [image.astype(np.float64)])[0]
        expect(np.abs(ours - wanted).max() < 1e-9, f"{kind} {at}: the evaluator errs")


def check_codes(folder, cases, image, number):
    graph, zero, result = Builder(opset=19), np.uint8(77), (np.float32(0.02), np.uint8(131))
    codes = graph.node("QuantizeLinear", [graph.input("x", image), SCALE, zero])
    real = graph.node("DequantizeLinear", [codes, SCALE, zero])
    names = []
    for kind, at in cases:
        pool = graph.node(kind, [real], **at)
        names.append(graph.nodes[-1].name)
        scale = (SCALE, zero) if kind == "MaxPool" else result
        graph.output(graph.node("DequantizeLinear", [graph.node("QuantizeLinear", [pool, *scale]), *scale]))
    path = folder / f"codes{number}.onnx"
    onnx.save(graph.model(), str(path))
    np.save(folder / "x.npy", as_image(image)[None])
    out = folder / f"out{number}"
    for command in (["quantize", "--network", path, "-o", folder / "codes.integers", "--force"],
                    ["run", "--network", path, "--integers", folder / "codes.integers", "--chip", "clsa-256",
                     "--values", folder / "x.npy", "--errors", "lossless", "-o", out, "--force", "--quiet"]):
        done = subprocess.run([BINARY, *map(str, command)], capture_output=True, text=True, timeout=300, check=False)
        expect(done.returncode == 0, f"codes, {command[0]}: exit code {done.returncode}: {done.stderr}")
        if done.returncode:
            return
    layers = read_layers(out / "values.h5", 0)
    codes = np.clip(np.rint(image[0] / np.float64(SCALE)) + 77, 0, 255) - 77
    for (kind, at), name in zip(cases, names):
        wanted = pooled(kind, at, codes)
        if kind == "AveragePool":
            wanted = np.clip(wanted * np.float64(SCALE) / np.float64(result[0]), -131, 255 - 131)
        if name not in layers:
            expect(False, f"{kind} {at}: no codes")
            continue
        got = layers[name][0][0].transpose(2, 0, 1)
        if got.shape != wanted.shape:
            expect(False, f"{kind} {at}: of codes {got.shape}, expected {wanted.shape}")
            continue
        off = np.abs(got - wanted)
        expect(off.max() <= (0 if kind == "MaxPool" else 0.5 + 1e-6), f"{kind} {at}: codes off by {off.max():.4g}")


def main():
    if os.environ.get("TESSERA_HAS_ONNX", "ON") != "ON":
        return 0
    if not BINARY or not OUTPUTS:
        sys.exit("set TESSERA to the binary to test, TESSERA_FLOAT_OUTPUTS to float_outputs")
    cases = list(combinations())
    image = np.random.default_rng(3).normal(size=(1, 3, *EXTENTS)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for number in range(0, len(cases), 48):
            part = cases[number:number + 48]
            check_reals(folder, part, image)
            check_codes(folder, part, image, number)
    print(f"{len(cases)} pools, of reals and of codes: {len(FAILURES)} failures")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
