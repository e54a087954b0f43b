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

TESSERA = os.environ["TESSERA"]
ORACLE = Path(os.environ["TESSERA_SOURCE_DIR"]) / "tests" / "oracle"
TRUTH = json.loads((ORACLE / "integers_truth.json").read_text())
IMAGES = ORACLE / "fashion-200-images-idx3-ubyte.gz"
NETWORKS = ["lenet5-fashion", "resnet-fashion"]
SCHEDULES = ["layer-by-layer", "xinf"]
# Few bits, so that ranges, rounding and saturation matter.
ADC = ["--set", "macro.adc.range=granular", "--set", "macro.adc.bits=6"]
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

    noisy = run(folder, *arguments, *(["--set", "macro.cell.device=generic"] if finite else []), "--kernel", "native",
                "--images", 2)
    expect(noisy.returncode == 0, f"{name}, noisy: {noisy.stderr}")
    return network, chip, outputs(folder) if noisy.returncode == 0 else None


def main():
    if os.environ["TESSERA_HAS_ONNX"] != "ON":
        print("the networks with weights are ONNX files, which this build does not read")
        return
    with tempfile.TemporaryDirectory() as scratch:
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
