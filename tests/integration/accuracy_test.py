#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tessera accuracy` writes what it computes as it comes, under names that HDF5 can hold, and says what its intervals
are of; an interruption keeps what is known."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote

import h5py
import numpy as np

TESSERA = os.environ["TESSERA"]
ORACLE = Path(os.environ["TESSERA_SOURCE_DIR"]) / "tests" / "oracle"
IMAGES = str(ORACLE / "fashion-200-images-idx3-ubyte.gz")
TRUTH = json.loads((ORACLE / "integers_truth.json").read_text())["lenet5-fashion"]["first"]
FAILURES = []


def expect(condition, what):
    if not condition:
        FAILURES.append(what)
        print(what, file=sys.stderr)


def command(*more):
    return [TESSERA, "accuracy", "--network", "lenet5-fashion", "--dataset", IMAGES, "--chip", "clsa-256", "--set",
            "macro.cell.device=generic", *map(str, more)]


def check_names(folder):
    logits = folder / "logits.h5"
    ran = subprocess.run(command("--images", 3, "--trials", 2, "--logits", logits, "--json"), stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, timeout=600)
    expect(ran.returncode == 0, f"accuracy: {ran.stderr}")
    if ran.returncode != 0:
        return
    report = json.loads(ran.stdout)
    answers = {answer["name"]: answer for answer in report["answers"]}
    expect(report["complete"] and "1/f noise" in answers, f"answers: {list(answers)}")
    for name, answer in answers.items():
        over = "images" if answer["chips"] == 1 else "chips and images"
        expect(answer["interval_over"] == over, f"{name} of {answer['chips']} chips: {answer['interval_over']}")
    with h5py.File(logits) as file:
        expect(file.attrs["complete"] == 1, "the file does not say that it is complete")
        names = {unquote(link) for link in file if link != "right"}
        expect(names == set(answers), f"logits of {names}")
        expect({unquote(link) for link in file["right"]} == set(answers), f"outcomes of {list(file['right'])}")
        expect(file["integers"][:].tolist() == TRUTH[:3], "other logits than NumPy's")
        for link, dataset in file["right"].items():
            name = dataset.attrs["name"].decode()
            expect(name == unquote(link), f"{link} is named {name}")
            expect(dataset.shape == (answers[name]["chips"], 3), f"{name}: shape {dataset.shape}")
            expect(np.isclose(dataset[:].mean(), answers[name]["accuracy"]["value"]), f"{name}: other outcomes")


def check_interruption(folder, number):
    """What is known is in the file and on stdout, and stdout says that it is not all."""
    logits = folder / f"cut-{number}.h5"
    process = subprocess.Popen(command("--trials", 10000, "--images", 2, "--logits", logits, "--json"),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    def hidden():
        return next(iter(folder.glob(f".{logits.name}.*.tmp")), "none")

    deadline = time.monotonic() + 120
    chips = 0
    while chips < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
        try:
            with h5py.File(hidden(), locking=False) as file:
                chips = len(file["right"]["programming"])
        except (OSError, KeyError, RuntimeError):
            pass  # it is not there yet, or being written
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    killed = number == signal.SIGKILL
    expect(logits.exists() != killed, f"signal {number}: {logits} is {'' if killed else 'not '}there")
    with h5py.File(hidden() if killed else logits, locking=False) as file:
        expect(len(file["right"]["programming"]) >= 2 and file["integers"][:].tolist() == TRUTH[:2],
               f"signal {number}: what is left of the file")
        expect(killed or file.attrs["complete"] == 0, f"signal {number}: the file says that it is complete")
    if killed:
        return
    expect(process.returncode == 130, f"exit code {process.returncode}: {err}")
    report = json.loads(out)
    last = report["answers"][-1]
    expect(not report["complete"] and last["name"] == "programming" and 2 <= last["chips"] < 10000,
           f"after an interruption: {last}")


def main():
    if os.environ["TESSERA_HAS_ONNX"] != "ON":
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_names(folder)
        for number in (signal.SIGINT, signal.SIGKILL):
            check_interruption(folder, number)
    print(f"{len(FAILURES)} failures")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
