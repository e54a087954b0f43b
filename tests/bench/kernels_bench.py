#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU time of a run under SystemC over that on the wheel alone, and of recording: medians of differences within rounds
of runs in random order.
    kernels_bench.py TESSERA [NETWORK [RUNS]]"""
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile


def cpu_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def counts(tessera, folder):
    """Records of a run, and events."""
    checked = subprocess.run([tessera, "h5", "check", folder, "--json"], check=True, stdout=subprocess.PIPE)
    records = sum(stream["records"] for stream in json.loads(checked.stdout)["Streams"])
    with open(os.path.join(folder, "stats.json")) as file:
        events = json.load(file)["chip"]["events"]["value"]
    return records, events


def main():
    tessera = sys.argv[1]
    network = sys.argv[2] if len(sys.argv) > 2 else "resnet50"
    runs = int(sys.argv[3]) if len(sys.argv) > 3 else 9
    variants = {"native": ["native", "off"], "systemc": ["systemc", "off"],
                "native, level unit": ["native", "unit"], "native, level stage": ["native", "stage"]}
    times = {name: [] for name in variants}
    recorded = {}
    order = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        for _ in range(runs):
            for name, (kernel, level) in order.sample(list(variants.items()), len(variants)):
                times[name].append(cpu_seconds(
                    [tessera, "run", "--network", network, "--chip", "clsa-256", "--kernel", kernel,
                     "--level", level, "--quiet", "--force", "-o", out]))
                if level != "off":
                    recorded[name] = counts(tessera, out)
    base = statistics.median(times["native"])
    for name in variants:
        extra = sorted(a - b for a, b in zip(times[name], times["native"]))
        # Ranks between which the median of the differences lies, 19 times in 20.
        spread = 0.98 * runs ** 0.5
        low, high = extra[max(0, round(runs / 2 - spread))], extra[min(runs - 1, round(runs / 2 + spread))]
        median = statistics.median(extra)
        text = (f"{network}  {name:<20} {statistics.median(times[name]):.3f} s CPU  "
                f"{1 + median / base:.3f} ({1 + low / base:.3f} to {1 + high / base:.3f}) x native, level off")
        if name in recorded:
            records, events = recorded[name]
            text += (f"  {records} records, {records / events:.3f} an event, "
                     f"{1e9 * median / records:.0f} ns a record")
        print(text)


if __name__ == "__main__":
    main()
