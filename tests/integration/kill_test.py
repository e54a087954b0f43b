#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills recording processes at random moments, and expects of whatever they leave under the name activity.h5.part or
activity.h5 that h5py and h5ls open it as it is, and that it holds every record that had been flushed:
    kill_test.py [--kills N] [--seed S] [--folder F]
A fifth of the kills comes within 50 ms of the start of the process. Half of the runs compress, half are --live. The
recorder writes down what is safe after each flush, unbuffered; records hold their own numbers."""
import argparse
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import h5py
    import numpy
except ImportError:
    print("no h5py: nothing is tested")
    sys.exit(77)

STREAMS = {"ops": "id", "deps": "operation", "intervals": "operation", "stalls": "operation", "cycles": "cycle"}
TESSERA = os.environ["TESSERA"]
RECORDER = os.environ.get("TESSERA_RECORDER") or str(Path(TESSERA).parents[1] / "tests" / "recorder")


def check(path, safe, live):
    """What is wrong with a file, as text; empty if nothing. Also the number of operations."""
    with h5py.File(path, "r") as file:
        for (name, member), count in zip(STREAMS.items(), safe):
            numbers = file[name][member]  # decodes every chunk
            if len(numbers) < count:
                return f"/{name} holds {len(numbers)} records of {count} flushed", 0
            wrong = numpy.flatnonzero(numbers != numpy.arange(len(numbers), dtype=numbers.dtype))
            if len(wrong):
                return f"/{name}[{wrong[0]}] is {numbers[wrong[0]]}; {count} were flushed", 0
        operations = len(file["ops"])
        for name in ("units", "layers", "meta/config", "meta/trace_header"):
            file[name][()]
        if path.name == "activity.h5" and not (file.attrs["closed"] == 1 and len(file["buffers"]) == 0):
            return "activity.h5 is not complete", 0
    if live:
        with h5py.File(path, "r", libver="latest", swmr=True) as file:
            if len(file["ops"]) != operations:
                return "SWMR sees another number of operations", 0
    listing = subprocess.run(["h5ls", "-r", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if listing.returncode != 0 or "/ops " not in listing.stdout or "**" in listing.stdout:
        return f"h5ls: {listing.stdout}", 0
    return "", operations


def kill_once(number, folder, random_numbers, figures):
    live = number % 2 == 1
    plain = number // 2 % 2 == 1
    early = number % 5 == 0
    shutil.rmtree(folder, ignore_errors=True)
    results = folder / "results"
    results.mkdir(parents=True)
    marker = folder / "marker"
    marker.write_bytes(bytes(40))
    operations = random_numbers.randrange(0, 2_500_000 if plain else 500_000)
    moment = random_numbers.uniform(0, 0.05) if early else random_numbers.uniform(0.05, 0.6)
    command = [RECORDER, str(results), str(marker), str(operations)] + ["live"] * live + ["none"] * plain
    process = subprocess.Popen(command)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    if process.wait() not in (-signal.SIGKILL, 0):
        return f"the recorder failed: exit code {process.returncode}"
    killed = process.returncode != 0
    safe = struct.unpack("<5Q", marker.read_bytes())
    files = [path for path in (results / "activity.h5.part", results / "activity.h5") if path.exists()]
    if not files and any(safe) or len(files) > 1 or not killed and files[0].name != "activity.h5":
        return f"left {[path.name for path in files]} with {safe} flushed"
    figures["killed" if killed else "ended before"] += 1
    figures["with a file"] += len(files)
    figures["something flushed"] += any(safe)
    figures["records flushed"] += sum(safe)
    for path in files:
        try:
            problem, found = check(path, safe, live)
        except Exception as error:  # whatever a reader stumbles upon is a finding
            problem, found = f"{type(error).__name__}: {error}", 0
        if problem:
            return f"{path.name} of {command}, killed after {1000 * moment:.1f} ms: {problem}"
        if number % 10 < 2:
            checked = subprocess.run([TESSERA, "h5", "check", str(path)], stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True)
            if checked.returncode != 0:
                return f"tessera h5 check: exit code {checked.returncode}: {checked.stdout}"
        figures["operations beyond the last flush"] += found - safe[0]
    return ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=int(os.environ.get("KILLS", "60")))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", default=None, help="where to write")
    options = parser.parse_args()
    random_numbers = random.Random(options.seed)
    figures = dict.fromkeys(("killed", "ended before", "with a file", "something flushed", "records flushed",
                             "operations beyond the last flush"), 0)
    failures = 0
    kept = None
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        number = 0
        while figures["killed"] + failures < options.kills:
            problem = kill_once(number, Path(name) / "run", random_numbers, figures)
            if problem:
                failures += 1
                print(f"run {number}: {problem}", file=sys.stderr)
                if kept is None:
                    kept = tempfile.mkdtemp(prefix="tessera_kill_")
                    shutil.copytree(Path(name) / "run", kept, dirs_exist_ok=True)
                    print(f"kept in {kept}", file=sys.stderr)
            number += 1
    print(", ".join(f"{text}: {count}" for text, count in figures.items()) + f", failures: {failures}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
