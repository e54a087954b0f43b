#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A transformer block of whole numbers, made and computed here in NumPy from the definitions that the README gives, and
by chips that multiply feature maps on vector units, in crossbars written for every image, and in digital macros: the
same numbers, bit for bit."""
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

TESSERA = os.environ["TESSERA"]
TOKENS, FEATURES, HEADS, HIDDEN = 8, 16, 2, 32
BYTE = [-128, 127]
CASES = [("clsa-256", "vector"), ("clsa-256", "crossbar"), ("clsa-256-hybrid", "digital"), ("aidac", "crossbar")]
CORPUS = Path(os.environ["TESSERA_SOURCE_DIR"]) / "tests" / "fuzz" / "corpus" / "onnx"
FAILURES = []
DICE = np.random.default_rng(5)


def expect(condition, what):
    if not condition:
        FAILURES.append(what)
        print(what, file=sys.stderr)


# The network, layer by layer: (network description, whole numbers).

def dense(name, operand, rows, columns):
    spread = 128 / math.sqrt(3) * 73 * math.sqrt(rows)
    return ({"name": name, "kind": "dense", "channels": columns, "inputs": [operand]},
            {"range": BYTE, "weights": DICE.integers(-128, 128, [rows, columns]).tolist(),
             "bias": DICE.integers(-20000, 20000, columns).tolist(),
             "multiplier": DICE.integers(1 << 19, 1 << 20, columns).tolist(),
             "shift": [20 + round(math.log2(spread / 64))] * columns})


def norm(name, operand):
    return ({"name": name, "kind": "layer_norm", "inputs": [operand]},
            {"range": BYTE, "weights": [DICE.integers(-32767, 32768, FEATURES).tolist()],
             "bias": DICE.integers(-(1 << 23), 1 << 23, FEATURES).tolist(),
             "multiplier": [3] * FEATURES, "shift": [21] * FEATURES, "epsilon": 37})


def block():
    fall = 0.04
    gelu = [int(np.clip(math.floor(c / 2 * (1 + math.erf(c / 40)) + 0.5), -128, 127)) for c in range(-128, 128)]
    return [
        ({"name": "x", "kind": "input", "shape": [TOKENS, 1, FEATURES]}, {"range": BYTE}),
        norm("norm1", "x"),
        dense("q", "norm1", FEATURES, FEATURES), dense("k", "norm1", FEATURES, FEATURES),
        dense("v", "norm1", FEATURES, FEATURES),
        ({"name": "scores", "kind": "matmul", "inputs": ["q", "k"], "heads": HEADS, "transpose_second": True},
         {"range": BYTE, "multiplier": [5], "shift": [11]}),
        ({"name": "softmax", "kind": "softmax", "inputs": ["scores"]},
         {"range": [0, 255], "multiplier": [255 << 6], "shift": [6],
          "table": [round(65536 * math.exp(-fall * below)) for below in range(256)]}),
        ({"name": "context", "kind": "matmul", "inputs": ["softmax", "v"], "heads": HEADS},
         {"range": BYTE, "multiplier": [257], "shift": [16]}),
        dense("project", "context", FEATURES, FEATURES),
        ({"name": "sum", "kind": "add", "inputs": ["x", "project"]}, {"range": BYTE, "multiplier": [700, 500],
                                                                     "shift": [10, 10]}),
        norm("norm2", "sum"),
        dense("up", "norm2", FEATURES, HIDDEN),
        ({"name": "gelu", "kind": "activation", "function": "gelu", "inputs": ["up"]}, {"range": BYTE, "table": gelu}),
        dense("down", "gelu", HIDDEN, FEATURES),
        ({"name": "out", "kind": "add", "inputs": ["sum", "down"]},
         {"range": [-32768, 32767], "multiplier": [40000, 30000], "shift": [10, 10]}),
    ]


# What it computes: rows are tokens.

def rescaled(value, layer, index=None):
    multiplier, shift = (np.array(layer[key]) if index is None else layer[key][index] for key in ("multiplier", "shift"))
    value = np.clip(value, -(2**31 - 1), 2**31 - 1)
    return np.clip((value * multiplier + (1 << shift >> 1)) >> shift, *layer["range"])


def truth(layers, image):
    """Codes by layer."""
    whole = {}
    for description, numbers in layers:
        name, kind = description["name"], description["kind"]
        operands = [whole[operand] for operand in description.get("inputs", [])]
        if kind == "input":
            made = image
        elif kind == "dense":
            made = rescaled(operands[0] @ np.array(numbers["weights"]) + np.array(numbers["bias"]), numbers)
        elif kind == "layer_norm":
            x = operands[0]
            total = x.sum(1, keepdims=True)
            square = FEATURES * (x * x).sum(1, keepdims=True) - total**2 + numbers["epsilon"]
            root = np.array([[max(math.isqrt(int(v) << 16), 1)] for v in square[:, 0]])
            deviation = (FEATURES * x - total) << 18
            normed = (2 * deviation + root) // (2 * root)
            made = rescaled(normed * np.array(numbers["weights"][0]) + np.array(numbers["bias"]), numbers)
        elif kind == "matmul":
            parts = []
            for head in range(HEADS):
                depth = FEATURES // HEADS
                b = operands[1][:, head * depth:(head + 1) * depth]
                if description.get("transpose_second"):
                    parts.append(operands[0][:, head * depth:(head + 1) * depth] @ b.T)
                else:
                    parts.append(operands[0][:, head * TOKENS:(head + 1) * TOKENS] @ b)
            made = rescaled(np.concatenate(parts, 1), numbers, 0)
        elif kind == "softmax":
            x = operands[0].reshape(TOKENS, HEADS, TOKENS)
            powers = np.array(numbers["table"])[x.max(2, keepdims=True) - x]
            whole_power = powers.sum(2, keepdims=True) << numbers["shift"][0]
            made = (2 * powers * numbers["multiplier"][0] + whole_power) // (2 * whole_power)
            made = np.clip(made, *numbers["range"]).reshape(TOKENS, HEADS * TOKENS)
        elif kind == "activation":
            made = np.array(numbers["table"])[operands[0] + 128]
        else:
            total = sum(operand * numbers["multiplier"][k] for k, operand in enumerate(operands))
            made = np.clip((total + (1 << numbers["shift"][0] >> 1)) >> numbers["shift"][0], *numbers["range"])
        whole[name] = made
    return whole


def tessera(*arguments):
    return subprocess.run([TESSERA, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=250)


def written(layers, folder):
    """The network and its whole numbers as files; the first one's name."""
    network = folder / "block.json"
    network.write_text(json.dumps({"name": "block", "layers": [description for description, _ in layers]}))
    numbers = [{"name": description["name"], "scale": 1 / 64, **its} for description, its in layers]
    network.with_suffix(".integers").write_text(json.dumps(
        {"format": "tessera-integers", "version": "1.0", "network": network.name, "origin": "a test",
         "layers": numbers}))
    return network


def codes(image):
    return np.clip(np.floor(image.astype(np.float64) * 64 + 0.5), *BYTE).astype(np.int64).reshape(TOKENS, FEATURES)


def check(network, layers, images, folder):
    wanted = [truth(layers, codes(image)) for image in images]
    for what in ("q", "scores", "softmax", "context", "norm2", "out"):
        spread = len(np.unique(wanted[0][what]))
        expect(spread > 20, f"{what} has only {spread} different codes: the test sees little")
    for chip, attention in CASES:
        for schedule in ("layer-by-layer", "xinf"):
            case = f"{chip}, attention {attention}, {schedule}"
            arguments = ["run", "--network", network, "--chip", chip, "--attention", attention, "--schedule", schedule,
                         "--values", folder / "images.npz", "--images", len(images), "--kernel", "native", "-o",
                         folder / "out", "--force", "--json"]
            lossless = tessera(*arguments, "--errors", "lossless")
            expect(lossless.returncode == 0, f"{case}: {lossless.stderr}")
            if lossless.returncode != 0:
                continue
            compared = 0
            with h5py.File(folder / "out" / "values.h5") as file:
                for dataset in file["layers"].values():
                    for image, whole in enumerate(wanted):
                        wanted_codes = whole[dataset.attrs["layer"].decode()]
                        expect((dataset[image].reshape(TOKENS, -1) == wanted_codes).all(),
                               f"{case}: {dataset.name} differs")
                        compared += 1
            expect(compared >= 13 * len(images), f"{case}: only {compared} maps")
            few = [] if chip == "aidac" else ["--set", "macro.adc.range=granular", "--set", "macro.adc.bits=4"]
            finite = tessera(*arguments, "--errors", "noiseless", *few)
            expect(finite.returncode == 0, f"{case}, noiseless: {finite.stderr}")
            if finite.returncode == 0:
                made = {layer["layer"]: layer["different"] for layer in json.loads(finite.stdout)["values"]}
                expect(made["q"] > 0, f"{case}: converters of few bits lose nothing: {made}")
                own = [made["scores"], made["context"]]
                expect(attention != "crossbar" or min(own) > 20, f"{case}: written operands lose nothing: {made}")


def check_accuracy(network, layers, images, folder):
    """The same crossbars without the clock."""
    for attention in ("vector", "crossbar"):
        judged = tessera("accuracy", "--network", network, "--dataset", folder / "images.npz", "--images", 3, "--chip",
                         "clsa-256", "--set", f"mapping.attention={attention}", "--set", "macro.adc.range=lossless",
                         "--only", "noiseless", "--logits", folder / "logits.h5", "--force")
        expect(judged.returncode == 0, f"accuracy, {attention}: {judged.stderr}")
        if judged.returncode == 0:
            wanted = np.array([truth(layers, codes(image))["out"].reshape(-1) for image in images])
            with h5py.File(folder / "logits.h5") as file:
                made = {name: dataset[:] for name, dataset in file.items() if isinstance(dataset, h5py.Dataset)}
            expect(set(made) == {"integers", "finite, noiseless"}, f"accuracy, {attention}: {list(made)}")
            for name, logits in made.items():
                expect((logits == wanted).all(), f"accuracy, {attention}: {name} differs")


def check_onnx(folder):
    """From reals of an ONNX file to numbers in crossbars."""
    network = folder / "attention.onnx"
    network.write_bytes((CORPUS / "attention").read_bytes())
    np.savez(folder / "some.npz", images=DICE.normal(0, 1, [20, 3, 1, 4]).astype(np.float32))
    made = tessera("quantize", "--network", network, "--calibrate", folder / "some.npz", "-o",
                   network.with_suffix(".integers"))
    expect(made.returncode == 0, f"quantize: {made.stderr}")
    ran = tessera("run", "--network", network, "--chip", "clsa-256", "--attention", "crossbar", "--values",
                  folder / "some.npz", "--images", 3, "--errors", "lossless", "-o", folder / "out", "--force", "--json")
    expect(ran.returncode == 0, f"ONNX: {ran.stderr}")
    if ran.returncode == 0:
        seen = json.loads(ran.stdout)["values"]
        expect(len(seen) >= 5 and all(layer["missing"] == 0 for layer in seen), f"ONNX: {seen}")


def check_refused(layers, folder):
    """Numbers that do not fit are named."""
    for name, key, value, part in [("softmax", "table", [0] * 256, "powers"), ("norm1", "epsilon", -1, "epsilon"),
                                   ("scores", "range", [-1, -9], "range"), ("norm1", "weights", [[1]], "weight")]:
        wrong = [(description, {**its, key: value} if description["name"] == name else its)
                 for description, its in layers]
        network = written(wrong, folder)
        ran = tessera("run", "--network", network, "--chip", "clsa-256", "--values", folder / "images.npz", "-o",
                      folder / "out", "--force")
        expect(ran.returncode == 3 and f'"{name}"' in ran.stderr and part in ran.stderr,
               f"{name} with {key} {value}: {ran.returncode} {ran.stderr}")


def main():
    layers = block()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = DICE.normal(0, 0.8, [3, TOKENS, 1, FEATURES]).astype(np.float32)
        np.savez(folder / "images.npz", images=images, labels=np.array([1, 2, 3], dtype=np.uint8))
        network = written(layers, folder)
        check(network, layers, images, folder)
        check_accuracy(network, layers, images, folder)
        check_refused(layers, folder)
        if os.environ["TESSERA_HAS_ONNX"] == "ON":
            check_onnx(folder)
    sys.exit(1 if FAILURES else 0)


if __name__ == "__main__":
    main()
