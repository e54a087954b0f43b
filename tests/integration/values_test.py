#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Values travel with the events: the shipped networks of whole numbers, run operation by operation on chips of both
kinds under both schedules, give the logits that NumPy computed, or those of the slow reference, bit for bit."""
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

TESSERA = os.environ["TESSERA"]
ORACLE = Path(os.environ["TESSERA_SOURCE_DIR"]) / "tests" / "oracle"
TRUTH = json.loads((ORACLE / "integers_truth.json").read_text())
IMAGES = ORACLE / "fashion-200-images-idx3-ubyte.gz"
NETWORKS = ["lenet5-fashion", "resnet-fashion"]
SCHEDULES = ["layer-by-layer", "xinf"]
# Few bits, so that ranges, rounding and saturation matter.
ADC = ["--set", "macro.adc.range=granular", "--set", "macro.adc.bits=6"]
WHITE = ["--set", "macro.cell.device=generic", "--set", 'macro.cell.steps=["programming", "retention", "read_noise"]']
FAILURES = []


def expect(condition, what):
    if not condition:
        FAILURES.append(what)
        print(what, file=sys.stderr)


def run(folder, *arguments):
    return subprocess.run([TESSERA, "run", "--values", str(IMAGES), "--json", "-o", str(folder), "--force",
                           *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=250)


def outputs(folder):
    """The codes of the last layer, image by image."""
    with h5py.File(folder / "values.h5") as file:
        last = file["layers"][sorted(file["layers"])[-1]]
        return last[:].reshape(last.shape[0], -1).tolist()


def check(case):
    network, chip, schedule, folder = case
    name = f"{network} on {chip}, {schedule}"
    arguments = ["--network", network, "--chip", chip, "--schedule", schedule]
    image = 3 if schedule == "xinf" else 11

    kernel = "systemc" if chip == "aidac" else "native"
    lossless = run(folder, *arguments, "--errors", "lossless", "--values-first", image, "--kernel", kernel)
    expect(lossless.returncode == 0, f"{name}, lossless: {lossless.stderr}")
    if lossless.returncode == 0:
        expect(outputs(folder) == [TRUTH[network]["first"][image]], f"{name}: other logits than NumPy's")
        layers = json.loads(lossless.stdout)["values"]
        expect(len(layers) > 5 and all(layer["missing"] == 0 for layer in layers), f"{name}: {layers}")

    # Compared with the slow reference inside; it must have bitten.
    finite = ADC if chip != "aidac" else []
    noiseless = run(folder, *arguments, *finite, "--errors", "noiseless", "--kernel", "native")
    expect(noiseless.returncode == 0, f"{name}, noiseless: {noiseless.stderr}")
    if noiseless.returncode == 0:
        layers = json.loads(noiseless.stdout)["values"]
        expect(all(layer["different_from_reference"] == 0 for layer in layers), f"{name}: {layers}")
        expect(any(layer["different"] > 0 for layer in layers), f"{name}: converters of few bits lose nothing")

    noisy = run(folder, *arguments, *(WHITE if finite else []), "--kernel", "native", "--images", 2)
    expect(noisy.returncode == 0, f"{name}, noisy: {noisy.stderr}")
    return network, chip, outputs(folder) if noisy.returncode == 0 else None


def tessera(*arguments):
    return subprocess.run([TESSERA, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=250)


def check_quantised(scratch):
    """Quantised ONNX files need no images to become whole numbers, which chips compute with, bit for bit."""
    lenet = scratch / "lenet5-qdq.onnx"
    lenet.write_bytes((ORACLE / "lenet5-fashion-qdq.onnx").read_bytes())
    made = tessera("quantize", "--network", lenet, "-o", scratch / "lenet5-qdq.integers")
    expect(made.returncode == 0 and "with the codes of" in made.stdout, f"quantize: {made.stdout} {made.stderr}")
    folder = scratch / "lenet5-qdq"
    lossless = run(folder, "--network", lenet, "--chip", "clsa-256", "--errors", "lossless", "--values-first", 3,
                   "--kernel", "native")
    expect(lossless.returncode == 0, f"QDQ, lossless: {lossless.stderr}")
    if lossless.returncode == 0:
        expect(outputs(folder) == [TRUTH["lenet5-fashion"]["first"][3]], "QDQ: other logits than NumPy's")
    judged = tessera("accuracy", "--network", lenet, "--dataset", IMAGES, "--images", 50, "--chip", "clsa-256", "--set",
                     "macro.adc.range=lossless", "--only", "float", "--only", "noiseless", "--json")
    expect(judged.returncode == 0, f"QDQ, accuracy: {judged.stderr}")
    if judged.returncode == 0:
        answers = {answer["name"]: answer["accuracy"]["value"] for answer in json.loads(judged.stdout)["answers"]}
        expect(len(answers) == 3 and len(set(answers.values())) == 1, f"QDQ: {answers}")

    # Zero points inside the range: rows are driven from there.
    seeds = ORACLE.parent / "fuzz" / "corpus" / "onnx"
    for name in ("qdq", "qlinear"):
        network = scratch / f"{name}.onnx"
        network.write_bytes((seeds / name).read_bytes())
        made = tessera("quantize", "--network", network, "-o", scratch / f"{name}.integers")
        expect(made.returncode == 0, f"{name}: {made.stderr}")
        layers = [json.loads(line.rstrip(",")) for line in (scratch / f"{name}.integers").read_text().split("\n")[1:-2]]
        expect(any(layer["range"][0] < 0 and layer["range"][1] > 127 for layer in layers), f"{name} is symmetric")
        shape = tessera("network", "show", network).stdout.split("\n")[1].split()[2]
        images = np.random.default_rng(1).random([2, *map(int, shape.split("x"))], dtype=np.float32) * 2 - 0.5
        np.savez(scratch / f"{name}.npz", images=images)
        for errors in ("lossless", "noiseless"):
            ran = tessera("run", "--network", network, "--chip", "clsa-256", "--values", scratch / f"{name}.npz",
                          "--images", 2, "--errors", errors, "--kernel", "native", "-o", scratch / name, "--force")
            expect(ran.returncode == 0, f"{name}, {errors}: {ran.stderr}")

    refused = tessera("quantize", "--network", "lenet5-fashion", "-o", scratch / "none.integers")
    expect(refused.returncode == 2 and "calibrate" in refused.stderr, f"reals without images: {refused.stderr}")


def main():
    if os.environ["TESSERA_HAS_ONNX"] != "ON":
        print("the networks with weights are ONNX files, which this build does not read")
        return
    with tempfile.TemporaryDirectory() as scratch:
        check_quantised(Path(scratch))
        cases = [(network, chip, schedule, Path(scratch) / f"{network}-{chip}-{schedule}")
                 for network in NETWORKS for chip in ("clsa-256", "aidac") for schedule in SCHEDULES]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            noisy = {}
            for network, chip, logits in pool.map(check, cases):
                noisy.setdefault((network, chip), []).append(logits)
    for (network, chip), (one, other) in noisy.items():
        expect(one is not None and one == other, f"{network} on {chip}: noise depends on the schedule: {one} {other}")
        expect(one is not None and one[0] != TRUTH[network]["first"][0], f"{network} on {chip}: there is no noise")
    sys.exit(1 if FAILURES else 0)


if __name__ == "__main__":
    main()
