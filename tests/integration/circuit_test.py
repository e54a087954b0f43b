# SPDX-License-Identifier: Apache-2.0
"""ngspice solves the circuits that the numerics model: wires within 1e-4, charge within 0.1 % of full scale."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.environ["TESSERA_SOURCE_DIR"]
sys.path.insert(0, os.path.join(SOURCE, "tools"))
sys.dont_write_bytecode = True
import make_netlist  # noqa: E402


def values(kind, *sizes):
    return json.loads(subprocess.run([os.environ["TESSERA_CIRCUITS"], kind, *map(str, sizes)],
                                     check=True, capture_output=True, text=True).stdout)


def solved(netlist):
    """What ngspice prints, by name."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "circuit.cir")
        with open(path, "w") as file:
            file.write(netlist)
        done = subprocess.run(["ngspice", "-b", path], capture_output=True, text=True, cwd=folder)
    found = dict(re.findall(r"^(\S+)\s*=\s*([-+0-9.eE]+)", done.stdout, re.M))
    assert found, done.stdout + done.stderr
    return {name: float(value) for name, value in found.items()}


def main():
    if shutil.which("ngspice") is None:
        print("skipped: ngspice is not installed (tools/test installs it)")
        return 77
    for rows, columns in ((8, 5), (32, 48), (64, 64)):
        c = values("crossbar", rows, columns)
        spice = solved(make_netlist.crossbar(c))
        worst = max(abs(spice[f"i(vs{k})"] / c["amperes"][k] - 1) for k in range(columns))
        print(f"crossbar {rows} x {columns}: worst column off by {worst:.2g}")
        assert worst < 1e-4, worst
        ideal = sum(g[0] * v for g, v in zip(c["siemens"], c["volts"]))
        assert rows < 64 or c["amperes"][0] < 0.99 * ideal, "wires matter in this test"
    c = values("column", 32)
    off = abs(solved(make_netlist.column(c))["i(vs)"] / c["amperes"] - 1)
    print(f"non-linear column of 32: off by {off:.2g}")
    assert off < 1e-4, off
    for rows, bits in ((8, 4), (32, 6), (128, 8)):
        c = values("group", rows, bits)
        spice = solved(make_netlist.group(c))
        off = abs(spice["volts"] - c["volts"]) / c["full"]
        ns = c["ns"]
        begin = sum(ns[name] for name in ("charge", "multiply", "share", "weigh"))
        time = (spice["crossing"] * 1e9 - begin) / ns["window"] - c["volts"] / c["full"]
        print(f"AiDAC group {rows} rows, {bits} bits: {spice['volts']:.6f} V against {c['volts']:.6f}, "
              f"{100 * off:.4f} % of full scale, its time {100 * time:.4f} %")
        assert off < 1e-3 and abs(time) < 1e-3
    return 0


if __name__ == "__main__":
    sys.exit(main())
