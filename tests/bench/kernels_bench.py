#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU time of a run under SystemC over that on the wheel alone, and of recording, in interleaved pairs:
    kernels_bench.py TESSERA [NETWORK [RUNS]]"""
import os
import resource
import statistics
import subprocess
import sys
import tempfile


def cpu_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    tessera = sys.argv[1]
    network = sys.argv[2] if len(sys.argv) > 2 else "resnet50"
    runs = int(sys.argv[3]) if len(sys.argv) > 3 else 9
    variants = {"native": ["native", "off"], "systemc": ["systemc", "off"],
                "native, level unit": ["native", "unit"], "native, level stage": ["native", "stage"]}
    times = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            for name, (kernel, level) in variants.items():
                times[name].append(cpu_seconds(
                    [tessera, "run", "--network", network, "--chip", "clsa-256", "--kernel", kernel,
                     "--level", level, "--quiet", "--force", "-o", os.path.join(folder, "out")]))
    for name in variants:
        ratios = [a / b for a, b in zip(times[name], times["native"])]
        print(f"{network}  {name:<20} {statistics.median(times[name]):.3f} s CPU  "
              f"{statistics.median(ratios):.3f} x native, level off")


if __name__ == "__main__":
    main()
