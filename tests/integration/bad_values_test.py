#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Data sets in every format give the same logits; whatever is wrong in data sets, whole numbers, weights or devices is
one message with file and remedy, and exit code 3."""
import concurrent.futures
import copy
import gzip
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

TESSERA = os.environ["TESSERA"]
SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
ORACLE = SOURCE / "tests" / "oracle"
NETWORKS = SOURCE / "models" / "networks"
TRUTH = json.loads((ORACLE / "integers_truth.json").read_text())["lenet5-fashion"]["first"]
NETWORK = str(NETWORKS / "lenet5-fashion.onnx")
FAILURES = []


def expect(condition, what):
    if not condition:
        FAILURES.append(what)
        print(what, file=sys.stderr)


def tessera(*arguments):
    return subprocess.run([TESSERA, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", timeout=120)


def images():
    with gzip.open(ORACLE / "fashion-200-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(ORACLE / "fashion-200-labels-idx1-ubyte.gz") as file:
        return pixels, np.frombuffer(file.read(), np.uint8, offset=8)


def good_data(folder, pixels, labels):
    floats = (pixels / 255).astype(np.float32)
    np.save(folder / "good-bytes.npy", pixels)
    np.save(folder / "good-planes.npy", floats[:, None])
    np.savez(folder / "good-stored.npz", images=pixels, labels=labels)
    np.savez_compressed(folder / "good-deflated.npz", images=floats.astype(np.float64)[..., None],
                        labels=labels.astype(np.int64))
    with h5py.File(folder / "good-bytes.h5", "w") as file:
        file["images"], file["labels"] = pixels, labels
    with h5py.File(folder / "good-chunks.h5", "w") as file:
        file.create_dataset("images", data=floats[..., None], compression="gzip", shuffle=True, chunks=(7, 28, 9, 1))
        file["labels"] = labels.astype(np.int32)
    (folder / "good-plain-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + b"".join(
        n.to_bytes(4, "big") for n in pixels.shape) + pixels.tobytes())
    return sorted(folder.glob("good-*"))


def check_good(path):
    logits = path.with_suffix(".logits")
    arguments = ["--chip", "clsa-256", "--network", NETWORK]
    if "labels" in path.read_bytes()[:100000].decode("latin1"):
        ran = tessera("accuracy", *arguments, "--dataset", path, "--first", 5, "--images", 3, "--only", "noiseless",
                      "--logits", logits)
        expect(ran.returncode == 0, f"{path.name}: {ran.stderr}")
        with h5py.File(logits) as file:
            expect(file["finite, noiseless"][:].tolist() == TRUTH[5:8], f"{path.name}: other logits than NumPy's")
        return
    out = path.with_suffix(".run")
    ran = tessera("run", *arguments, "--values", path, "--values-first", 5, "--images", 3, "--kernel", "native",
                  "--errors", "lossless", "-q", "-o", out)
    expect(ran.returncode == 0, f"{path.name}: {ran.stderr}")
    with h5py.File(out / "values.h5") as file:
        last = file["layers"][sorted(file["layers"])[-1]][:].reshape(3, -1)
    expect(last.tolist() == TRUTH[5:8], f"{path.name}: other logits than NumPy's")


def bad_data(folder, pixels, labels):
    """Files, and what the message must say of each."""
    floats = (pixels / 255).astype(np.float32)
    holed = floats.copy()
    holed[1, 2, 3] = np.nan

    def write(name, data):
        (folder / name).write_bytes(data)
        return folder / name

    def npy(name, array):
        np.save(folder / name, array)
        return folder / name

    def npz(name, **arrays):
        np.savez(folder / name, **arrays)
        return folder / name

    def hdf5(name, **arrays):
        with h5py.File(folder / name, "w") as file:
            for key, value in arrays.items():
                file[key] = value
        return folder / name

    idx = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in pixels.shape) + pixels.tobytes()
    whole = npy("whole.npy", pixels).read_bytes()
    external = folder / "external.h5"
    with h5py.File(external, "w") as file:
        file.create_dataset("images", shape=pixels.shape, dtype="u1", external=[(str(folder / "whole.npy"), 0, 10**9)])
    return [
        (write("idx-inside.npy", idx), "no npy array"),
        (write("npy-inside.npz", whole), "zip"),
        (write("npy-inside.h5", whole), "HDF5"),
        (write("npy-inside-images-idx3-ubyte", whole), "no IDX file"),
        (write("words-images-idx3-ubyte", b"\0\0\x0d\x03" + idx[4:]), "unsigned bytes"),
        (write("short-images-idx3-ubyte", idx[:-1]), "header says"),
        (write("flat-images-idx3-ubyte", idx[:3] + b"\x01" + idx[4:]), "elements where"),
        (write("empty.npy", b""), "no npy array"),
        (write("cut.npy", whole[:-5]), "header says"),
        (write("cut-header.npy", whole[:40]), "header"),
        (write("huge.npy", whole[:10] + whole[10:].replace(b"(200, 28, 28)", b"(999999999999999999, 28, 28)", 1)), ""),
        (npy("fortran.npy", np.asfortranarray(floats)), "Fortran"),
        (npy("complex.npy", pixels.astype(np.complex64)), "type"),
        (npy("big-endian.npy", floats.astype(">f4")), "type"),
        (npy("holed.npy", holed), "nan"),
        (npy("infinite.npy", np.full((1, 28, 28), np.inf)), "inf"),
        (npy("small.npy", pixels[:, :20]), "200x20x28"),
        (npy("none.npy", pixels[:0]), "extent of 0"),
        (npz("nameless.npz", pixels=pixels), "no array \"images\""),
        (npz("float-labels.npz", images=pixels, labels=labels / 2), "floats"),
        (npz("few-labels.npz", images=pixels, labels=labels[:-1]), "labels belong"),
        (npz("negative.npz", images=pixels, labels=labels.astype(np.int32) - 10), "classes from 0"),
        (npz("other-classes.npz", images=pixels, labels=labels.astype(np.int32) + 10), "outputs"),
        (npz("no-labels.npz", images=pixels), "no labels"),
        (write("cut.npz", (folder / "no-labels.npz").read_bytes()[:-30]), "zip"),
        (hdf5("nameless.h5", pixels=pixels), "no array \"images\""),
        (hdf5("small.h5", images=pixels[:, :20]), "200x20x28"),
        (hdf5("holed.h5", images=holed), "nan"),
        (hdf5("text.h5", images="pixels"), "numbers"),
        (hdf5("deep.h5", images=pixels[None, None]), "dimensions"),
        (external, "other files"),
        (write("cut.h5", (folder / "small.h5").read_bytes()[:-2000]), "HDF5"),
        (folder / "nowhere.npy", "nowhere.npy"),
        (folder, "t10k-images-idx3-ubyte"),
    ]


def refused(what, path, ran, words):
    expect(ran.returncode == (5 if "nowhere" in str(path) else 3), f"{what}: exit code {ran.returncode}: {ran.stderr}")
    lines = ran.stderr.strip().splitlines()
    expect(len(lines) == 1 and words in lines[0], f"{what}: '{words}' is not in {ran.stderr}")
    expect(";" in ran.stderr or "nowhere" in str(path), f"{what}: no remedy in {ran.stderr}")


def check_bad_data(case):
    path, words = case
    refused(path.name, path, tessera("accuracy", "--network", NETWORK, "--chip", "clsa-256", "--dataset", path,
                                     "--images", 200, "--only", "noiseless"), words)


def bad_integers():
    """Changes to a file of whole numbers, and what the message must say."""
    whole = json.loads((NETWORKS / "lenet5-fashion.integers").read_text())
    cases = []

    def change(words, action):
        text = copy.deepcopy(whole)
        action({layer["name"]: layer for layer in text["layers"]}, text)
        cases.append((text, words))

    change("too large", lambda layers, _: layers["/0/Conv"]["weights"][3].__setitem__(0, 128))
    change("150 x 16", lambda layers, _: layers["/3/Conv"]["weights"].pop())
    change("scale", lambda layers, _: layers["/3/Conv"].__setitem__("scale", 0))
    change("range", lambda layers, _: layers["/3/Conv"].__setitem__("range", [5, 3]))
    change("32 bits", lambda layers, _: layers["/3/Conv"]["bias"].__setitem__(0, 2**31 - 1))
    for number in (2**60 + 1, -2**60 - 1, 2**63, -2**63, 2**64 - 1):  # none is taken for its negative
        change(f"holds {number}, no whole number",
               lambda layers, _, number=number: layers["/3/Conv"]["bias"].__setitem__(0, number))
    change("multiplier", lambda layers, _: layers["/3/Conv"]["multiplier"].__setitem__(0, 2**31))
    change("shift", lambda layers, _: layers["/3/Conv"]["shift"].__setitem__(0, 63))
    change("multipliers", lambda layers, _: layers["/3/Conv"]["shift"].pop())
    change("13 layers", lambda _, text: text["layers"].pop(4))
    change("is not \"tessera-integers\" 1.0", lambda _, text: text.__setitem__("version", "9.0"))
    change("", lambda layers, _: layers["/0/Conv"]["weights"].__setitem__(3, "text"))
    return cases


def check_bad_integers(case):
    folder, number, text, words = case
    path = folder / f"bad-{number}.integers"
    text["network"] = NETWORK
    path.write_text(json.dumps(text))
    refused(f"integers {number}", path, tessera("run", "--network", NETWORK, "--integers", path, "--chip", "clsa-256",
                                                "--values", ORACLE / "fashion-200-images-idx3-ubyte.gz", "-o",
                                                folder / f"run-{number}"), words)


def check_weights(folder):
    """Sixteen bytes of ones are a NaN in whichever weight they lie."""
    data = bytearray(Path(NETWORK).read_bytes())
    middle = len(data) // 2
    data[middle:middle + 16] = b"\xff" * 16
    path = folder / "nan.onnx"
    path.write_bytes(data)
    refused("NaN weights", path, tessera("quantize", "--network", path, "--calibrate", ORACLE /
                                         "fashion-200-images-idx3-ubyte.gz", "-o", folder / "nan.integers"), "layer")
    expect(not (folder / "nan.integers").exists(), "a file of NaN weights was written")


def check_codes(folder):
    """Scales of a quantised file that are none."""
    whole = (ORACLE / "lenet5-fashion-qdq.onnx").read_bytes()
    scale = struct.pack("<f", 1 / 255)
    expect(whole.count(scale) == 1, "the scale of the input is not there once")
    for number, value in enumerate((0.0, -1.0, float("nan"), float("inf"))):
        path = folder / f"codes-{number}.onnx"
        path.write_bytes(whole.replace(scale, struct.pack("<f", value)))
        target = folder / f"codes-{number}.integers"
        for command in (("quantize", "--network", path, "-o", target), ("network", "show", path)):
            refused(f"a scale of {value}", path, tessera(*command), "/graph/image.codes: has a scale of")
        expect(not target.exists(), f"whole numbers with a scale of {value} were written")


def bad_devices():
    whole = json.loads((SOURCE / "models" / "devices" / "generic.json").read_text())
    cases = []
    for section, key, value in (("conductance", "off_uS", -1), ("conductance", "off_uS", 200),
                                ("conductance", "on_uS", 0), ("conductance", "bits", 9), ("faults", "stuck_on", 1.5),
                                ("faults", "stuck_off", -0.1), ("retention", "from_s", -3),
                                ("endurance", "cycles", -1), ("flicker", "sigma", -0.1), ("flicker", "shortest_s", 0),
                                ("flicker", "longest_s", 1e-7), ("flicker", "processes", 0),
                                ("telegraph", "amplitude", 2), ("telegraph", "mean_full_s", 0),
                                ("telegraph", "mean_empty_s", "1 ms")):
        text = copy.deepcopy(whole)
        text[section][key] = value
        cases.append((text, section))
    # What is refused says, of a cell at 0.2 V, that its current falls with the voltage.
    for second, third in ((0, -1), (-1, 0), (1, 0.01), (1e300, 0)):
        text = copy.deepcopy(whole)
        curves = {name: {"over": "conductance_uS", "coefficients": [value]}
                  for name, value in (("second", second), ("third", third))}
        text["non_linear"] = {**curves, "source": "none", "status": "assumed"}
        cases.append((text, "non_linear"))
    return cases


def check_bad_device(case):
    folder, number, text, words = case
    path = folder / f"bad-device-{number}.json"
    path.write_text(json.dumps(text, indent=1))
    refused(f"device {text[words]}", path, tessera("config", "check", "clsa-256", "--set",
                                                   f"macro.cell.device={path}",
                                                   "--set", "macro.cell.row_ohm=1", "--set", "macro.cell.column_ohm=1"),
            words)


def bad_circuits():
    """AiDAC models, and what `config check` must say of each."""
    whole = json.loads((SOURCE / "models" / "macros" / "aidac-28nm.json").read_text())

    def model(change):
        text = copy.deepcopy(whole)
        change(text)
        return text

    def constant(name, **values):
        return model(lambda text: text["constants"][name].update(values))

    return [
        (model(lambda text: text.pop("cell")), 'has no "cell"'),
        (model(lambda text: text.update(cells="sram")), "/cells: unknown key"),
        (model(lambda text: text.update(cell="dram")), "/cell: 'dram' is not known"),
        (model(lambda text: text.update(cell="rram-gated")), 'has no "gate_reference_uS"'),
        (model(lambda text: text.update(extends="yoco-28nm", cell="rram-direct")),
         "R_HRS C is 2.65 ns (1000 kOhm x 2.65 fF), the hold time 3.5 ns; R_HRS C must be 350 ns"),
        (model(lambda text: text["constants"].pop("unit_fF")), 'has no "unit_fF"'),
        (constant("unit_fF", value=0), "/constants/unit_fF/value: 0 is out of range"),
        (constant("unit_fF", value="2 fF"), "/constants/unit_fF/value: must not be text"),
        (constant("unit_fF", high=2), "/constants/unit_fF/high: 2 is out of range"),
        (constant("unit_fF", status="guessed"), "/constants/unit_fF/status: 'guessed' is not known"),
        (constant("tdc_bits", value=8.5), "/constants/tdc_bits/value: is not whole"),
        (constant("tdc_fJ", status="calibrated"), 'has no "calibrated_on"'),
        (constant("tdc_fJ", status="calibrated", calibrated_on="efficiency"),
         "is calibrated on efficiency, and so is unit_fF"),
        (constant("array_rows", value=100, low=100), "100 rows cannot be weighed"),
    ]


def check_bad_circuit(case):
    folder, number, text, words = case
    path = folder / f"bad-circuit-{number}.json"
    path.write_text(json.dumps(text, indent=1))
    ran = tessera("config", "check", "aidac", "--set", f"macro.aidac.model={path}")
    refused(f"circuit {number}", path, ran, words)
    expect(ran.stderr.startswith(f"tessera: {path}:"), f"circuit {number}: no file in {ran.stderr}")


def main():
    if os.environ["TESSERA_HAS_ONNX"] != "ON":
        print("the networks with weights are ONNX files, which this build does not read")
        return 0
    pixels, labels = images()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "good").mkdir()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(check_good, good_data(folder / "good", pixels, labels)))
            list(pool.map(check_bad_data, bad_data(folder, pixels, labels)))
            list(pool.map(check_bad_integers, [(folder, i, *case) for i, case in enumerate(bad_integers())]))
            list(pool.map(check_bad_device, [(folder, i, *case) for i, case in enumerate(bad_devices())]))
            list(pool.map(check_bad_circuit, [(folder, i, *case) for i, case in enumerate(bad_circuits())]))
        check_weights(folder)
        check_codes(folder)
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
