# SPDX-License-Identifier: Apache-2.0
"""ngspice solves the circuits that the numerics model: wires within 1e-4, charge within 0.1 % of full scale. It orders
the 33 000 equations of a linear crossbar of 128 x 128 for a minute and a half; there SciPy's sparse solver takes its
place, with the same netlist, after both have agreed on smaller ones."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

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


def stamped(netlist):
    """Currents through the voltage sources of a netlist of resistors and voltage sources, by modified nodal analysis;
    by name, as ngspice prints them."""
    numbers, sources = {"0": -1}, []
    rows, columns, entries = [], [], []

    def stamp(row, column, entry):
        if row >= 0 and column >= 0:
            rows.append(row)
            columns.append(column)
            entries.append(entry)

    lines = netlist[netlist.index("\n") + 1:netlist.index("\n.options")].split("\n")
    for line in lines:
        name, plus, minus, value = line.split()
        a, b = (numbers.setdefault(node, len(numbers) - 1) for node in (plus, minus))
        if name[0] == "V":
            sources.append((name.lower(), a, b, float(value)))
            continue
        assert name[0] == "R", line
        for one, other in ((a, b), (b, a)):
            stamp(one, one, 1 / float(value))
            stamp(one, other, -1 / float(value))
    nodes = len(numbers) - 1
    right = np.zeros(nodes + len(sources))
    for k, (_, a, b, volts) in enumerate(sources, nodes):
        for node, sign in ((a, 1), (b, -1)):
            stamp(node, k, sign)
            stamp(k, node, sign)
        right[k] = volts
    matrix = scipy.sparse.csc_matrix((entries, (rows, columns)), shape=(len(right), len(right)))
    currents = scipy.sparse.linalg.spsolve(matrix, right)[nodes:]
    return {f"i({name})": current for (name, *_), current in zip(sources, currents)}


def worst_of(currents, c):
    return max(abs(currents[f"i(vs{k})"] / amperes - 1) for k, amperes in enumerate(c["amperes"]))


def main():
    if shutil.which("ngspice") is None:
        print("skipped: ngspice is not installed (tools/test installs it)")
        return 77
    for rows, columns in ((8, 5), (32, 48), (64, 64), (128, 128), (128, 37)):
        c = values("crossbar", rows, columns)
        netlist = make_netlist.crossbar(c)
        sparse = stamped(netlist)
        worst = worst_of(sparse, c)
        print(f"crossbar {rows} x {columns}: worst column off by {worst:.2g} (SciPy)")
        assert worst < 1e-4, worst
        if rows <= 64:
            spice = solved(netlist)
            apart = max(abs(spice[name] / sparse[name] - 1) for name in spice)
            print(f"    by {worst_of(spice, c):.2g} (ngspice); the two are at most {apart:.2g} apart")
            assert len(spice) == columns and worst_of(spice, c) < 1e-4 and apart < 1e-8
        ideal = sum(g[0] * v for g, v in zip(c["siemens"], c["volts"]))
        assert rows < 64 or c["amperes"][0] < 0.99 * ideal, "wires matter in this test"
    for kind, sizes in (("bent", ((8, 8), (32, 32), (64, 64))), ("floating", ((8, 8), (32, 32))),
                        ("gated", ((32, 1), (24, 16), (64, 8)))):
        for rows, columns in sizes:
            c = values(kind, rows, columns)
            begin = time.monotonic()
            spice = solved((make_netlist.gated if kind == "gated" else make_netlist.crossbar)(c))
            worst = worst_of(spice, c)
            print(f"non-linear {kind} array {rows} x {columns}: worst column off by {worst:.2g} "
                  f"({time.monotonic() - begin:.1f} s)")
            assert len(spice) == columns and worst < 1e-8, worst
            volts = c["volts"] if kind != "gated" else [c["volts"] * on for on in c["driven"]]
            linear = sum(g[0] * v for g, v in zip(c["siemens"], volts))
            assert abs(c["amperes"][0] / linear - 1) > 0.02, "cells and wires matter in this test"
            if kind == "bent":
                straight = {name: value for name, value in c.items() if name != "square"}
                assert worst_of(stamped(make_netlist.crossbar(straight)), c) > 0.02, "terms matter in this test"
    for rows, bits in ((8, 4), (32, 6), (128, 8)):
        c = values("group", rows, bits)
        spice = solved(make_netlist.group(c))
        off = abs(spice["volts"] - c["volts"]) / c["full"]
        ns = c["ns"]
        begin = sum(ns[name] for name in ("charge", "multiply", "share", "weigh"))
        late = (spice["crossing"] * 1e9 - begin) / ns["window"] - c["volts"] / c["full"]
        print(f"AiDAC group {rows} rows, {bits} bits: {spice['volts']:.6f} V against {c['volts']:.6f}, "
              f"{100 * off:.4f} % of full scale, its time {100 * late:.4f} %")
        assert off < 1e-3 and abs(late) < 1e-3
    return 0


if __name__ == "__main__":
    sys.exit(main())
