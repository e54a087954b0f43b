#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU time and peak memory of whole compilations, from the network's file to the written trace:
    compile_bench.py TESSERA [RUNS]"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

CHIPS = ["clsa-256-ideal", "clsa-256"]
CASES = {"resnet152, row sets, 64 crossbars for copies": ["-n", "resnet152", "--duplicate", "greedy", "--extra-pes", "64"],
         "resnet18, sets of one pixel": ["-n", "resnet18", "--sets", "pixel"],
         "vit-b16": ["-n", "vit-b16"],
         "vit-b16, 4 images": ["-n", "vit-b16", "--images", "4"]}
# What a compilation may take on an idle machine of our time: CPU seconds, MB.
BOUNDS = {("vit-b16", "clsa-256"): (1.5, 250)}


def compile_once(command):
    """CPU seconds, MB, operations."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        figures = json.load(child.stdout)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {child.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6, figures["operations"]


def main():
    tessera = sys.argv[1]
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "out.trace.h5")
        for case, options in CASES.items():
            for chip in CHIPS:
                command = [tessera, "compile", *options, "--chip", chip, "--schedule", "xinf", "-o", trace, "--force",
                           "--json"]
                seconds, memory, operations = zip(*(compile_once(command) for _ in range(runs)))
                bounds = BOUNDS.get((case, chip))
                print(f"{case:<46} {chip:<15} {operations[0]:>7} operations  {statistics.median(seconds):.2f} s CPU "
                      f"{max(memory):>4.0f} MB" + (f"  (at most {bounds[0]} s, {bounds[1]} MB)" if bounds else ""))


if __name__ == "__main__":
    main()
