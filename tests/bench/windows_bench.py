#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU time of a run with windows of statistics over that of the same run without: the median of the ratios of paired
runs, in random order within a pair.
    windows_bench.py TESSERA [NETWORK [EVERY [PAIRS]]]"""
import json
import random
import statistics
import sys
import tempfile
from pathlib import Path

from kernels_bench import cpu_seconds


def main():
    tessera = sys.argv[1]
    network = sys.argv[2] if len(sys.argv) > 2 else "tinyyolov4"
    every = sys.argv[3] if len(sys.argv) > 3 else "10us"
    pairs = int(sys.argv[4]) if len(sys.argv) > 4 else 9
    order = random.Random(1)
    ratios, seconds = [], {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        for _ in range(pairs):
            pair = {}
            for windows in order.sample((True, False), 2):
                pair[windows] = cpu_seconds([tessera, "run", "--network", network, "--chip", "clsa-256", "--quiet",
                                             "--force", "-o", out, *(["--stats-every", every] if windows else [])])
                seconds[windows].append(pair[windows])
                if windows:
                    lines = [json.loads(line) for line in (out / "windows.jsonl").read_text().splitlines()]
            ratios.append(pair[True] / pair[False])
    count = sum(line["windows"] for line in lines)
    extra = statistics.median(a - b for a, b in zip(seconds[True], seconds[False]))
    print(f"{network}  {count} windows of {every} on {len(lines)} lines  {statistics.median(seconds[False]):.3f} s without, "
          f"{statistics.median(seconds[True]):.3f} s with  {statistics.median(ratios):.3f} "
          f"({min(ratios):.3f} to {max(ratios):.3f}) x  {1e6 * extra / count:.1f} us a window")


if __name__ == "__main__":
    main()
