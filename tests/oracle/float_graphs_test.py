#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Random networks of reals: what Tessera computes is what ONNX's definitions give.

    float_graphs_test.py [--graphs N] [--seed S] [--only K] [--keep DIR]

Outputs come from float_outputs, a program around the network that `tessera accuracy --only float` runs. A few graphs
go through that command too, with the evaluator's answers as labels.
"""
import argparse
import collections
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
from float_graphs import Generator
from onnx_builder import as_image, listing
from quantised_graphs_test import names_of, placed

OUTPUTS, BINARY = os.environ.get("TESSERA_FLOAT_OUTPUTS"), os.environ.get("TESSERA")
BOUND = 1e-4  # of the largest output
ACCEPTED = 0.95
CHUNK = 25    # graphs a process


def judge(line, path, wanted):
    """A line of float_outputs: (kind, text, deviation)."""
    model = onnx.load(path)
    if line.startswith("refused"):
        named = any(re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", line) for name in names_of(model))
        return ("refused" if named else "failed"), line, 0
    if not line.startswith("computed"):
        return "failed", line or "no answer", 0
    got = np.fromfile(path + ".out", np.float32).astype(np.float64)
    shapes = line.split()[1:]
    if len(shapes) != 1 or got.size != wanted.size:
        return "unlike", f"outputs {shapes}, expected {wanted.shape}", 0
    greatest = max(np.abs(wanted).max(), 1e-3)
    shape = [int(extent) for extent in shapes[0].split("x")]
    # Elements are rows x columns x channels; the layout whose difference is smallest is the one.
    got = placed(np.rint(got.reshape(shape) / greatest * 1e7).astype(np.int64), wanted.shape,
                 np.rint(wanted / greatest * 1e7).astype(np.int64), near=1e3) / 1e7 * greatest
    off = np.abs(got - wanted)
    deviation = float(off.max() / greatest)
    if not deviation <= BOUND:
        at = np.unravel_index(off.argmax(), off.shape)
        return "unlike", (f"at {list(map(int, at))}: expected {wanted[at]:.6g}, got {got[at]:.6g}; "
                          f"{np.count_nonzero(off > BOUND * greatest)} of {off.size} differ"), deviation
    return "equal", "", deviation


def make(folder, number, seed):
    """Writes a network and an image; returns the generator, the path and what is right."""
    generator = Generator(seed + number)
    model = generator.make().model()
    shape = generator.graph.inputs[0][1]
    image = generator.rng.normal(size=shape).astype(np.float32)
    path = str(folder / f"{seed + number}.onnx")
    onnx.save(model, path)
    np.ascontiguousarray(as_image(image), np.float32).tofile(path + ".in")
    wanted = onnx_eval.Evaluator(model).run({"x": image})[model.graph.output[0].name]
    return generator, path, wanted


def answers(paths):
    """float_outputs' line for each; where it died, for the network that it died of."""
    lines = []
    while len(lines) < len(paths):
        done = subprocess.run([OUTPUTS, *paths[len(lines):]], capture_output=True, text=True, timeout=300, check=False)
        lines += done.stdout.splitlines()
        if len(lines) < len(paths) or done.returncode:
            lines.append(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    return lines


def check_accuracy(folder, number, seed):
    """`tessera accuracy --only float`: its outputs are ours, and with our own answers as labels all are right."""
    generator = Generator(seed + number)
    model = generator.make().model()
    shape = generator.graph.inputs[0][1]
    images = [generator.rng.normal(size=shape).astype(np.float32) for _ in range(4)]
    outputs = [onnx_eval.Evaluator(model).run({"x": image})[model.graph.output[0].name].reshape(-1) for image in images]
    path = folder / "a.onnx"
    onnx.save(model, str(path))
    np.savez(folder / "a.npz", images=np.stack([as_image(image) for image in images]),
             labels=np.array([np.argmax(output) for output in outputs], np.uint8))
    made = subprocess.run([BINARY, "quantize", "--network", path, "--calibrate", folder / "a.npz", "-o",
                           folder / "a.integers", "--force"], capture_output=True, text=True, timeout=120, check=False)
    if made.returncode:
        return f"graph {number}: quantize --calibrate: exit code {made.returncode}: {made.stderr.strip()[-300:]}"
    ran = subprocess.run([BINARY, "accuracy", "--network", path, "--dataset", folder / "a.npz", "--chip", "clsa-256",
                          "--images", "4", "--only", "float", "-j", "1", "--logits", folder / "a.h5"], capture_output=True, text=True, timeout=120,
                         check=False)
    if ran.returncode:
        return f"graph {number}: accuracy: exit code {ran.returncode}: {ran.stderr.strip()[-300:]}"
    with h5py.File(folder / "a.h5") as file:
        reals = file["float"][:].astype(np.float64)
    (folder / "a.h5").unlink()
    greatest = max(max(np.abs(output).max() for output in outputs), 1e-3)
    farthest = np.abs(reals - np.stack(outputs)).max() / greatest
    if not farthest <= BOUND:
        return f"graph {number}: accuracy: outputs are {farthest:.2g} of the largest off"
    line = next(line for line in ran.stdout.splitlines() if line.startswith("float"))
    return None if "100.00" in line else f"graph {number}: accuracy: other answers than the evaluator's: {line}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--only", type=int, help="one graph of them")
    parser.add_argument("--keep", help="folder for the models that differ or are refused")
    parser.add_argument("--show-refused", action="store_true")
    parser.add_argument("--every", type=int, default=15, help="one in so many goes through the command too")
    options = parser.parse_args()
    if os.environ.get("TESSERA_HAS_ONNX", "ON") != "ON":
        return 0
    if not OUTPUTS:
        sys.exit("set TESSERA_FLOAT_OUTPUTS to the program float_outputs")
    numbers = [options.only] if options.only is not None else list(range(options.graphs))
    counts, farthest, vectors, wrong = collections.Counter(), 0.0, [], 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for begin in range(0, len(numbers), CHUNK):
            made = [(number, *make(folder, number, options.seed)) for number in numbers[begin:begin + CHUNK]]
            for (number, generator, path, wanted), line in zip(made, answers([case[2] for case in made])):
                kind, text, deviation = judge(line, path, wanted)
                counts[kind] += 1
                if kind == "equal":
                    farthest = max(farthest, deviation)
                    if wanted.size > 1 and len(wanted.shape) == 2:
                        vectors.append(number)
                    continue
                if options.keep:
                    pathlib.Path(options.keep).mkdir(parents=True, exist_ok=True)
                    os.replace(path, f"{options.keep}/float-{options.seed + number}.onnx")
                if kind != "refused" or options.show_refused or options.only is not None:
                    print(f"{kind}: graph {number} (--seed {options.seed} --only {number}; "
                          f"{'+'.join(generator.blocks)}): {text}\n    {listing(generator.graph.model())}", flush=True)
        for number in vectors[::options.every] if BINARY else []:
            problem = check_accuracy(folder, number, options.seed)
            wrong += problem is not None
            if problem:
                print(problem)
    accepted = 1 - counts["refused"] / len(numbers)
    print(f"{dict(counts)}; farthest from the evaluator {farthest:.2g} of the largest output (bound {BOUND:g}); "
          f"accuracy of {len(vectors[::options.every])}")
    if accepted < ACCEPTED and options.only is None:
        print(f"only {accepted:.1%} of the graphs are accepted")
    return 1 if wrong or counts["failed"] or counts["unlike"] or accepted < ACCEPTED else 0


if __name__ == "__main__":
    sys.exit(main())
