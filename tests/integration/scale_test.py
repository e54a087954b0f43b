#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A chip of 100 000 macros with one MVM on each: all of it is there, in less than 2 GB."""
import json
import os
import resource
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import h5py

TILES, MACROS = 50, 40


def dense(value):
    return json.dumps(value, separators=(",", ":"))


def write_trace(path):
    units = [f"t{tile}.m{macro}" for tile in range(TILES * TILES) for macro in range(MACROS)]
    header = {"format": "tessera-trace", "version": "1.0", "producer": "scale_test", "network": {"name": "many"},
              "tiles": TILES * TILES, "memory_ports": 1,
              "counts": {"operations": len(units), "units": {unit: 1 for unit in units}}, "window": len(units)}
    lines = [dense(header)]
    lines += [dense({"id": i, "op": "mvm", "at": unit, "n": 1, "bytes": 0, "uses": 0})
              for i, unit in enumerate(units)]
    body = "".join(line + "\n" for line in lines)
    end = dense({"end": True, "ops": len(units), "crc32": f"{zlib.crc32(body.encode()):08x}"})
    path.write_text(body + end + "\n")
    return units


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "chip.json").write_text(dense({
            "clock": "1 GHz", "tiles": {"rows": TILES, "columns": TILES, "macros": MACROS},
            "macro": {"rows": 128, "columns": 128, "t_mvm": "1.4 us"}}))
        units = write_trace(folder / "many.trace.jsonl")
        result = subprocess.run([os.environ["TESSERA"], "run", "--trace", folder / "many.trace.jsonl", "--chip",
                                 folder / "chip.json", "-o", folder / "out", "--json"],
                                stdout=subprocess.PIPE, check=True)
        figures = json.loads(result.stdout)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        with h5py.File(folder / "out/activity.h5") as file:
            names = [row.decode() for row in file["units"]["name"]]
            operations = file["units"]["operations"]
            recorded = len(file["ops"])
        macros = {unit: count for unit, count in zip(names, operations) if ".m" in unit}
        checks = {
            "one MVM of 1.4 us": figures["makespan_ps"] == 1_400_000,
            "100 000 operations": figures["operations"] == recorded == len(units) == 100_000,
            "every macro is in /units, with one operation": macros == {unit: 1 for unit in units},
            "less than 2 GB": os.environ.get("TESSERA_SANITIZE") or used.ru_maxrss < 2_000_000_000 // 1024,
        }
    print(f"{used.ru_utime + used.ru_stime:.2f} s of CPU time, {used.ru_maxrss / 1024:.0f} MiB")
    failures = [what for what, good in checks.items() if not good]
    print(f"{len(checks) - len(failures)} passed, {len(failures)} failed", *failures)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
