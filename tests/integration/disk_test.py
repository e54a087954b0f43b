#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whatever writes and cannot: exit code 5 and the reason, and nothing left that looks complete. Full disks (a tmpfs
whose size is swept, so that every file of a run is the one that does not fit), a read-only one, one without inodes.
Needs the right to mount.
    disk_test.py [--step KIB]"""
import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from writing import NO_SPACE, SOURCE, TESSERA, h5py

COMPLETE = {"activity.h5", "stats.json", "stats.txt"}
counts = {"failed as they should": 0, "fitted": 0}
failures = []


def expect(condition, text):
    if not condition:
        failures.append(text)
        print(f"failed: {text}", file=sys.stderr)
    return condition


def tessera(*arguments, stdout=subprocess.PIPE, limit=None, cwd=None):
    def before():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    # restore_signals: Python ignores SIGXFSZ, and those who use a shell do not.
    return subprocess.run([TESSERA, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, text=True,
                          timeout=120, preexec_fn=before, cwd=cwd, restore_signals=True)


class Tmpfs:
    """A file system of its own."""

    def __init__(self, folder, options):
        self.path = folder
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", str(self.path)], check=True)
        self.path.rmdir()


def can_mount(folder):
    if os.geteuid() != 0:
        return False
    try:
        with Tmpfs(folder / "try", "size=64k"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def status_of(folder):
    try:
        return json.loads((folder / "run.json").read_text())["status"]
    except (FileNotFoundError, NotADirectoryError):
        return None


def check_failed_run(what, result, folder, reasons):
    """A run that failed has said so, also in run.json, and left nothing under the name of a whole result."""
    counts["failed as they should"] += 1
    expect(result.returncode == 5, f"{what}: exit code {result.returncode}: {result.stderr}")
    expect(any(reason in result.stderr for reason in reasons), f"{what}: no reason: {result.stderr}")
    expect(result.stdout == "", f"{what}: printed {result.stdout}")
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()}
    expect(not names & COMPLETE, f"{what}: left {sorted(names)}")
    # Before run.json there is nothing else, and after that it says how the run ended.
    status = status_of(folder)
    expect(status == "failed" or (status is None and not names - {"run.json"}),
           f"{what}: run.json says {status}, with {sorted(names)}")
    expect(not any(name.startswith(".") for name in names), f"{what}: left {sorted(names)}")
    part = folder / "activity.h5.part"
    if part.exists():
        with h5py.File(part, "r") as file:
            expect(file.attrs["closed"] == 0, f"{what}: the part says that it is complete")
            for stream in ("ops", "deps", "intervals", "stalls", "cycles"):
                if stream in file:
                    file[stream][:]
        expect(tessera("h5", "check", part).returncode == 0, f"{what}: the part is damaged")


def sweep(base, what, command, outputs, step, needed, check=None):
    """Runs a command on file systems from nothing to more than enough; outputs: what it makes there."""
    size = step
    fitted = False
    while size <= needed + 2 * step:
        with Tmpfs(base / "disk", f"size={size}k") as disk:
            result = tessera(*command(disk.path))
            name = f"{what} on {size} KiB"
            if result.returncode == 0:
                fitted = True
                counts["fitted"] += 1
                expect(all((disk.path / output).exists() for output in outputs), f"{name}: something is missing")
            else:
                expect(not fitted, f"{name} fails, and did not on less")
                if check:
                    check(name, result, disk.path)
                else:
                    counts["failed as they should"] += 1
                    expect(result.returncode == 5 and NO_SPACE in result.stderr,
                           f"{name}: exit code {result.returncode}: {result.stderr}")
                    left = [path.name for path in disk.path.rglob("*")]
                    expect(not left, f"{name}: left {left}")
        size += step
    expect(fitted, f"{what}: never fits")


def test_full_disks(base, step):
    def run(level, *options):
        return lambda disk: ["run", "--trace", trace, "--chip", "tiny", "--level", level, "--quiet",
                             "-o", disk / "r", *options]

    def check(name, result, disk):
        check_failed_run(name, result, disk / "r", [NO_SPACE])

    trace = SOURCE / "traces" / "two-layer-chain.trace.jsonl"
    files = ["r/run.json", "r/stats.json", "r/stats.txt", "r/config.resolved.json"]
    for level in ("off", "unit", "stage"):
        sweep(base, f"run --level {level}", run(level), files + ["r/activity.h5"] * (level != "off"), step, 160, check)
    sweep(base, "run --live", run("stage", "--live"), files + ["r/activity.h5"], step, 160, check)

    # A recording of many chunks, of which some fit.
    def network(disk):
        return ["run", "--network", "tinyyolov4", "--chip", "clsa-256", "--level", "stage", "--quiet", "-o", disk / "r"]
    sweep(base, "run of a network", network, files + ["r/activity.h5"], 25 * step, 6000, check)

    small = ["--network", "lenet5", "--chip", "clsa-256"]
    for end in (".trace.jsonl", ".trace.jsonl.gz", ".trace.h5"):
        sweep(base, f"compile to {end}", lambda disk: ["compile", *small, "-o", disk / f"a{end}"], [f"a{end}"],
              2 * step, 400)
    made = base / "made.trace.jsonl"
    assert tessera("compile", *small, "-o", made).returncode == 0
    for end in (".trace.jsonl", ".trace.jsonl.gz", ".trace.h5"):
        sweep(base, f"trace convert to {end}", lambda disk: ["trace", "convert", made, disk / f"b{end}"], [f"b{end}"],
              2 * step, 400)
    sweep(base, "run --stats-every", run("off", "--stats-every", "1us"), files + ["r/windows.jsonl"], step, 160, check)

    # What leaves a folder, or a part of it, in which every file is whole.
    def check_reason(name, result, disk):
        counts["failed as they should"] += 1
        expect(result.returncode == 5 and NO_SPACE in result.stderr,
               f"{name}: exit code {result.returncode}: {result.stderr}")
        for path in disk.rglob("*"):
            expect(path.is_dir() or path.name == "log" or path.read_bytes() == whole.get(path.name),
                   f"{name}: {path.name} is not whole")
    pages = base / "pages"
    assert tessera("help", "--pages", pages).returncode == 0
    assert tessera("reproduce", "clsa-cim", "--quick", "-o", base / "report").returncode == 0
    whole = {path.name: path.read_bytes() for folder in (pages, base / "report") for path in folder.iterdir()}
    sweep(base, "help --pages", lambda disk: ["help", "--pages", disk / "p"], ["p/tessera.1"], 2 * step, 400,
          check_reason)
    sweep(base, "reproduce -o", lambda disk: ["reproduce", "clsa-cim", "--quick", "-o", disk / "q"],
          ["q/report.json", "q/report.txt"], 2 * step, 64, check_reason)
    sweep(base, "run --log-file", lambda disk: ["run", "--trace", trace, "--chip", "tiny", "--quiet", "--log", "all",
                                                "--log-file", disk / "log", "-o", base / "logged", "--force"],
          ["log"], step, 100, check_reason)
    results = base / "results"
    assert tessera("run", *small, "--level", "stage", "--quiet", "-o", results).returncode == 0
    sweep(base, "h5 recover", lambda disk: ["h5", "recover", results, "-o", disk / "c.h5"], ["c.h5"], 8 * step, 900)


def test_other_disks(base):
    chain = ["run", "--trace", SOURCE / "traces" / "two-layer-chain.trace.jsonl", "--chip", "tiny", "--quiet"]
    small = ["compile", "--network", "lenet5", "--chip", "clsa-256", "-o"]
    with Tmpfs(base / "disk", "size=8m") as disk:
        (disk.path / "empty").mkdir()
        disk.remount("ro")
        for folder in (disk.path / "r", disk.path / "empty"):
            result = tessera(*chain, "-o", folder)
            check_failed_run("a read-only disk", result, folder, ["Read-only file system"])
        for end in (".trace.jsonl", ".trace.jsonl.gz", ".trace.h5"):
            result = tessera(*small, disk.path / f"a{end}")
            expect(result.returncode == 5 and "Read-only" in result.stderr, f"compile, read-only: {result.stderr}")
        result = tessera("h5", "recover", base / "results", "-o", disk.path / "c.h5")
        expect(result.returncode == 5 and "Read-only" in result.stderr, f"recover, read-only: {result.stderr}")
    # No room for one more file, from none at all to one too few.
    inodes = 2
    while True:
        with Tmpfs(base / "disk", f"size=8m,nr_inodes={inodes}") as disk:
            result = tessera(*chain, "-o", disk.path / "r")
            if result.returncode == 0:
                break
            check_failed_run(f"a disk of {inodes} files", result, disk.path / "r", [NO_SPACE])
        inodes += 1
    expect(inodes > 4, "a run makes files")


def summary():
    """Prints what was counted; the exit code."""
    print(", ".join(f"{text}: {count}" for text, count in counts.items()) + f", failures: {len(failures)}")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=int, default=int(os.environ.get("DISK_STEP", "12")), help="KiB")
    step = parser.parse_args().step
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        if not can_mount(base):
            print("cannot mount a tmpfs (not root): nothing is tested")
            return 77
        test_full_disks(base, step)
        test_other_disks(base)
    return summary()


if __name__ == "__main__":
    sys.exit(main())
