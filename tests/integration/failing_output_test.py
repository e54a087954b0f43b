#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whatever writes and cannot, where nobody may mount a disk: a limit on the size of files, a folder that vanishes,
/dev/full as the standard output. Exit code 5 and the reason, and nothing left that looks complete."""
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from disk_test import NO_SPACE, TESSERA, check_failed_run, counts, expect, summary, tessera


def test_limited_files(base):
    """A limit on the size of a file stands for a quota: writing fails while the disk has room."""
    command = ["run", "--network", "tinyyolov4", "--chip", "clsa-256", "--level", "stage", "--quiet", "-o"]
    for limit in (80_000, 200_000, 500_000, 800_000):
        folder = base / f"limited_{limit}"
        check_failed_run(f"files of {limit} bytes", tessera(*command, folder, limit=limit), folder,
                         ["File too large", "cannot write", "write failed"])
    out = base / "limited.trace.h5"
    result = tessera("compile", "--network", "lenet5", "--chip", "clsa-256", "-o", out, limit=20_000)
    expect(result.returncode == 5 and "File too large" in result.stderr and not out.exists(),
           f"compile, limited: {result.returncode} {result.stderr}")


def test_vanished_folder(base):
    for live in ([], ["--live"]):
        folder = base / "vanishing"
        process = subprocess.Popen([TESSERA, "run", "--network", "resnet152", "--chip", "clsa-256", "--level", "stage",
                                    "--quiet", "-o", str(folder), *live], stderr=subprocess.PIPE, text=True)
        while not (folder / "activity.h5.part").exists() and process.poll() is None:
            time.sleep(0.001)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        error = process.communicate()[1]
        expect(process.returncode == 5 and "No such file or directory" in error,
               f"a folder that vanishes: {process.returncode} {error}")
        expect(not folder.exists(), "a folder that vanished comes back")


def test_full_output(base):
    results = base / "results"
    commands = [["--help"], ["--version"], ["run", "--help"], ["config", "list"], ["config", "doc"], ["config", "schema"],
                ["config", "show", "tiny"], ["network", "list"], ["network", "show", "lenet5"], ["trace", "schema"],
                ["trace", "check", base / "made.trace.jsonl"], ["trace", "stats", base / "made.trace.jsonl"],
                ["trace", "head", base / "made.trace.jsonl"], ["inspect", results], ["inspect", results, "--json"],
                ["inspect", results, "--follow"], ["inspect", results, "--why", "5"], ["h5", "check", results],
                ["h5", "check", results, "--json"], ["h5", "recover", results, "-o", base / "out.h5", "--force"],
                ["run", "--network", "lenet5", "--chip", "clsa-256", "-o", base / "printed"]]
    with open("/dev/full", "w") as full:
        for command in commands:
            result = tessera(*command, stdout=full)
            expect(result.returncode == 5 and "standard output" in result.stderr and NO_SPACE in result.stderr,
                   f"{command} to a full output: {result.returncode} {result.stderr}")
            counts["failed as they should"] += 1


def main():
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        small = ["--network", "lenet5", "--chip", "clsa-256"]
        assert tessera("compile", *small, "-o", base / "made.trace.jsonl").returncode == 0
        assert tessera("run", *small, "--level", "stage", "--quiet", "-o", base / "results").returncode == 0
        test_limited_files(base)
        test_vanished_folder(base)
        test_full_output(base)
    return summary()


if __name__ == "__main__":
    sys.exit(main())
