#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cuts whole activity.h5 files at random places and recovers them: every record whose whole chunk lies before the cut
comes back as it was, in order, and no other; h5py says which these are. A file that was cut before the end of its first
flush, which lies before all chunks, gives exit code 3 and a message that names it.
    recover_test.py [--cuts N] [--seed S]"""
import argparse
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import h5py
    import numpy
except ImportError:
    print("no h5py: nothing is tested")
    sys.exit(77)

TESSERA = os.environ["TESSERA"]
PROGRAMS = Path(TESSERA).parents[1] / "tests"
RECORDER = os.environ.get("TESSERA_RECORDER") or str(PROGRAMS / "recorder")
CUTTER = os.environ.get("TESSERA_CUTTER") or str(PROGRAMS / "cutter")
STREAMS = {"unit": ("ops", "deps", "cycles"), "stage": ("ops", "deps", "intervals", "stalls", "cycles")}
KINDS = [(level, options) for level in STREAMS for options in ((), ("none",), ("live",))]
# Recovered files are synced: where there is no disk, that takes no time.
FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
BEFORE_A_CHUNK = 20  # bytes of what belongs to it


class Original:
    """A whole file: its records, and where they lie."""

    def __init__(self, path, streams):
        self.size = path.stat().st_size
        self.records = {}
        self.chunks = {}  # of a stream: first record, records, address, end
        with h5py.File(path, "r") as file:
            for name in streams:
                data = file[name]
                self.records[name] = data[:]
                chunks = [data.id.get_chunk_info(i) for i in range(data.id.get_num_chunks())]
                self.chunks[name] = sorted(
                    (chunk.chunk_offset[0], min(data.chunks[0], len(data) - chunk.chunk_offset[0]), chunk.byte_offset,
                     chunk.byte_offset + chunk.size) for chunk in chunks)
                assert sum(chunk[1] for chunk in self.chunks[name]) == len(data)
        self.first_chunk = min(chunk[2] for chunks in self.chunks.values() for chunk in chunks) - BEFORE_A_CHUNK

    def before(self, name, cut):
        """The records of a stream whose whole chunks lie before a cut."""
        parts = [self.records[name][first:first + count] for first, count, _, end in self.chunks[name] if end <= cut]
        return numpy.concatenate(parts) if parts else self.records[name][:0]


def problem_of(original, cut, code, message, named, copy, known):
    """What is wrong with the outcome of a recovery, as text; empty if nothing. `known`: copies that were looked at, by
    the records that they should hold."""
    if code == 3:
        if cut >= original.first_chunk:
            return "refused"
        if named not in message or ".tmp" in message or "\n" in message.strip():
            return "the message is not a line that names the file"
        return ""
    if code != 0:
        return f"exit code {code}"
    expected_counts = tuple(len(original.before(name, cut)) for name in original.records)
    content = copy.read_bytes()
    if expected_counts in known:
        return "" if known[expected_counts] == content else "another cut between the same chunks gave another copy"
    known[expected_counts] = content
    with h5py.File(copy, "r") as file:
        if not (file.attrs["recovered"] == 1 and file.attrs["closed"] == 0 and len(file["units"]) == 1):
            return "the copy does not say what it is"
        for name in original.records:
            expected, found = original.before(name, cut), file[name][:]
            if len(expected) != len(found):
                return f"/{name}: {len(found)} records came back, {len(expected)} lie before the cut"
            if not numpy.array_equal(expected, found):
                return f"/{name}: records came back that were not written"
    return ""


def places(original, cuts, random_numbers):
    """Random ones, and the bytes around the end of a chunk and around the end of the first flush."""
    ends = [chunk[3] for chunks in original.chunks.values() for chunk in chunks]
    near = [place + offset for place in (random_numbers.choice(ends), original.first_chunk) for offset in (-1, 0)]
    early = [random_numbers.randrange(original.first_chunk)]
    return sorted({random_numbers.randrange(original.size) for _ in range(cuts)}.union(near, early), reverse=True)


def cut_and_recover(whole, original, cuts, folder, random_numbers):
    """Cuts a file again and again; returns what was wrong, as text, and how many cuts were refused."""
    file, copies, known = folder / "cut.h5", folder / "copies", {}
    shutil.copy(whole, file)
    copies.mkdir()
    lengths = places(original, cuts, random_numbers)
    run = subprocess.run([CUTTER, str(file), str(copies)], input="\n".join(map(str, lengths)), stdout=subprocess.PIPE,
                         text=True)
    answers = run.stdout.splitlines()
    if run.returncode != 0 or len(answers) != len(lengths):
        return f"cut at {lengths[len(answers)]} of {original.size}: exit code {run.returncode}", 0
    for cut, answer in zip(lengths, answers):
        code, _, message = answer.partition(" ")
        problem = problem_of(original, cut, int(code), message, str(file), copies / str(cut), known)
        if problem:
            return f"cut at {cut} of {original.size}: {problem}: {message}", 0
    return "", sum(answer.startswith("3") for answer in answers)


def run_and_recover(whole, original, cuts, folder, random_numbers):
    """The same with the command."""
    file, copy, known = folder / "cut.h5", folder / "copy.h5", {}
    for cut in places(original, cuts, random_numbers):
        file.write_bytes(whole.read_bytes()[:cut])
        run = subprocess.run([TESSERA, "h5", "recover", str(file), "-o", str(copy), "--force"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        problem = problem_of(original, cut, run.returncode, run.stderr, str(file), copy, known)
        if problem or ".tmp" in run.stdout + run.stderr:
            return f"cut at {cut} of {original.size}: {problem or 'a hidden file shows'}: {run.stdout}{run.stderr}"
    return ""


def record(folder, operations, level, options):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    words = [RECORDER, str(folder), str(folder / "marker"), str(operations), *options] + ["unit"] * (level == "unit")
    subprocess.run(words, check=True)
    return folder / "activity.h5"


def try_kind(level, kind, cuts, seed):
    """What is wrong with recovering files of one kind, as text; empty if nothing."""
    random_numbers = random.Random(f"{seed} {level} {kind}")
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        folder = Path(name)
        whole = record(folder / "run", random_numbers.randrange(5000, 8000), level, kind)
        original = Original(whole, STREAMS[level])
        problem, refused = cut_and_recover(whole, original, cuts, folder, random_numbers)
        problem = problem or run_and_recover(whole, original, 2, folder, random_numbers)
    return problem or ("" if refused else "no cut was refused")


def try_many(kind, seed):
    """The same, of a file with more chunks than a node of the index has room for: nodes move."""
    random_numbers = random.Random(f"{seed} {kind}")
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        folder = Path(name)
        whole = record(folder / "run", 290_000, "unit", kind)
        return run_and_recover(whole, Original(whole, STREAMS["unit"]), 3, folder, random_numbers)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=200, help="of each kind of file")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with multiprocessing.Pool(2) as pool:
        tries = [("many chunks, " + (" ".join(kind) or "deflated"), pool.apply_async(try_many, (kind, options.seed)))
                 for kind in ((), ("live",))]
        tries += [(f"{level} {' '.join(kind) or 'deflated'}",
                   pool.apply_async(try_kind, (level, kind, options.cuts, options.seed))) for level, kind in KINDS]
        outcomes = [(name, outcome.get()) for name, outcome in tries]
    for name, problem in outcomes:
        print(f"{name}: {problem or 'as it should be'}")
    return 1 if any(problem for _, problem in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
