#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the sizes of sets are worth: simulated times of a network with finite buffers, unlimited ones and on the ideal
chip, with row sets and with --sets auto, and how long compiling takes. A line ends in `SLOWER` where unlimited buffers or
the ideal chip with auto are more than 0.5 % slower than any finite capacity. Without names: every shipped network, which
takes an hour:
    sets_bench.py TESSERA [NETWORK ...]"""
import json
import os
import subprocess
import sys
import tempfile

CAPACITIES = ["256 KiB", "512 KiB", "1 MiB"]
SLOWER = 1.005


def measure(tessera, network, options, folder):
    """Microseconds on the chip, CPU seconds of compiling; nothing where it does not fit."""
    trace = os.path.join(folder, "out.trace.h5")
    command = [tessera, "compile", "--network", network, *options, "-o", trace, "--force", "-q"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode == 3:
        return None
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {child.returncode}")
    chip = options[:4] if options[2:3] == ["--set"] else options[:2]
    run = subprocess.run([tessera, "run", "--trace", trace, *chip, "--kernel", "native", "--level", "off", "--json", "-o",
                          os.path.join(folder, "out"), "--force"], stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)["makespan_ps"] / 1e6, usage.ru_utime + usage.ru_stime


def line(tessera, network, choices, folder):
    """Cells of the table, and whether a chip without limits is slower than one with them."""
    finite, free, cells = [], [], []
    chips = {c: ["--chip", "clsa-256", "--set", f'buffer.capacity="{c}"'] for c in [*CAPACITIES, "unlimited"]}
    chips["ideal"] = ["--chip", "clsa-256-ideal"]
    for name, chip in chips.items():
        for sets in ("row", "auto"):
            its = measure(tessera, network, [*chip, *choices, "--sets", sets], folder)
            cells.append(f"{name} {sets}: " + ("does not fit" if its is None else f"{its[0]:.1f} us {its[1]:.2f} s"))
            if its is not None and (name in CAPACITIES or sets == "auto"):
                (finite if name in CAPACITIES else free).append(its[0])
    if not free:
        sys.exit(f"{network} {' '.join(choices)}: does not run even on the ideal chip")
    return cells, bool(finite) and max(free) > SLOWER * min(finite)


def main():
    tessera, networks = sys.argv[1], sys.argv[2:]
    if not networks:
        listed = subprocess.run([tessera, "network", "list"], stdout=subprocess.PIPE, text=True, check=True)
        networks = list(dict.fromkeys(its.split()[0] for its in listed.stdout.splitlines()))
    slower = 0
    with tempfile.TemporaryDirectory() as folder:
        for network in networks:
            for schedule in ("layer-by-layer", "xinf"):
                for duplicate in (["none"], ["greedy"], ["greedy", "--extra-pes", "32"]):
                    choices = ["--schedule", schedule, "--duplicate", *duplicate]
                    cells, worse = line(tessera, network, choices, folder)
                    slower += worse
                    print(f"{network} {' '.join(choices)}: {'; '.join(cells)}{' SLOWER' if worse else ''}", flush=True)
    sys.exit(1 if slower else 0)


if __name__ == "__main__":
    main()
