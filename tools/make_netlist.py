#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Netlists for ngspice of the circuits that the numerics model.

crossbar(c), gated(c), group(c): c holds element values as tests/integration/circuit_values prints
them; the result is text that ngspice runs in batch mode and that prints `name = value` lines.
As a program: reads such JSON, kind first: make_netlist.py crossbar < values.json > crossbar.cir
"""
import json
import sys


def cell(c, r, k, a, b):
    """From node a to b: I = G V + S V^2 + T V^3, or a resistor."""
    if "square" not in c:
        return f"RG{r}_{k} {a} {b} {1 / c['siemens'][r][k]!r}"
    terms = [c[name][r][k] for name in ("siemens", "square", "cubic")]
    return f"B{r}_{k} {a} {b} I=v({a},{b})*({terms[0]!r}+v({a},{b})*({terms[1]!r}+v({a},{b})*{terms[2]!r}))"


def crossbar(c):
    """Rows are driven from the left, columns sensed at the bottom; a segment before the first cell. With terms `square`
    and `cubic` cells are not linear; `floating`: rows of 0 V are cut off."""
    rows, columns = len(c["siemens"]), len(c["siemens"][0])
    out = ["crossbar with wires"]
    for r in range(rows):
        if c["volts"][r] or not c.get("floating"):
            out.append(f"VR{r} d{r} 0 {c['volts'][r]!r}")
            out.append(f"RD{r} d{r} r{r}_0 {c['driver'] + c['row_segment']!r}")
        for k in range(columns):
            if k:
                out.append(f"RR{r}_{k} r{r}_{k - 1} r{r}_{k} {c['row_segment']!r}")
            out.append(cell(c, r, k, f"r{r}_{k}", f"c{r}_{k}"))
            if r:
                out.append(f"RC{r}_{k} c{r - 1}_{k} c{r}_{k} {c['column_segment']!r}")
    for k in range(columns):
        out.append(f"RS{k} c{rows - 1}_{k} s{k} {c['column_segment'] + c['sense']!r}")
        out.append(f"VS{k} s{k} 0 0")
    prints = [f"print i(vs{k})" for k in range(columns)]
    return "\n".join(out + [".options reltol=1e-9 abstol=1e-18 vntol=1e-15 gmin=1e-18", ".control", "set numdgt=12", "op"] + prints + ["quit", ".endc", ".end", ""])


def gated(c):
    """Gated columns of cells that are not linear, idle rows left out: driven at the top, sensed at the bottom."""
    rows, columns = len(c["siemens"]), len(c["siemens"][0])
    out = ["gated array", f"VD d 0 {c['volts']!r}"]
    for k in range(columns):
        out.append(f"RD{k} d a0_{k} {c['driver'] + c['segment']!r}")
        for r in range(rows):
            a, b = f"a{r}_{k}", f"b{r}_{k}"
            if r:
                out.append(f"RA{r}_{k} a{r - 1}_{k} {a} {c['segment']!r}")
                out.append(f"RB{r}_{k} b{r - 1}_{k} {b} {c['segment']!r}")
            if c["driven"][r]:
                out.append(cell(c, r, k, a, b))
        out += [f"RS{k} b{rows - 1}_{k} s{k} {c['sense'] + c['segment']!r}", f"VS{k} s{k} 0 0"]
    prints = [f"print i(vs{k})" for k in range(columns)]
    return "\n".join(out + [".options reltol=1e-9 abstol=1e-18 vntol=1e-15 gmin=1e-18", ".control", "set numdgt=12", "op"] + prints + ["quit", ".endc", ".end", ""])


def group(c):
    """One group of bit columns through charge, multiply, share and weigh, then the ramp of its
    converter. Cells of other columns are one capacitor per group of the input conversion."""
    bits, rows = c["bits"], len(c["inputs"])
    cells = len(c["capacitors"][0])
    unit = (cells - bits) >> bits
    ns = c["ns"]
    t1 = ns["charge"]
    t2, t3 = t1 + ns["multiply"], t1 + ns["multiply"] + ns["share"]
    t4 = t3 + ns["weigh"]
    end = t4 + ns["window"]
    gap = 0.02

    def phase(name, begin, until):
        return (f"V{name} {name} 0 PWL(0 {int(begin <= 0)} {max(begin, 0) + gap / 2:.4f}n {int(begin <= 0)} "
                f"{max(begin, 0) + gap:.4f}n 1 {until - gap:.4f}n 1 {until - gap / 2:.4f}n 0 {end + 1:.4f}n 0)")

    out = ["AiDAC group", ".model sw sw vt=0.5 vh=0 ron=200 roff=1e13",
           phase("charge", 0, t1 / 2), phase("short", t1 / 2, t1), phase("multiply", t1, t2),
           phase("share", t2, t3), phase("weigh", t3, end + 1)]

    def group_of(cell):  # of the input conversion; -1: never charged
        return -1 if cell >= cells - bits else (cell // unit).bit_length() - 1

    leak = 1 / c["leak_siemens"]
    for r in range(rows):
        others = {}
        for cell in range(bits, cells):
            g = group_of(cell)
            others[g] = others.get(g, 0) + c["capacitors"][r][cell]

        def charged(node, g):
            on = g >= 0 and c["inputs"][r] >> g & 1
            out.append(f"SC{node} {node} {'vdd' if on else '0'} charge 0 sw")
            out.append(f"SR{node} {node} row{r} short 0 sw")
        out.append(f"RW{r} row{r} 0 1e18")
        for g, farads in others.items():
            node = f"o{r}_{g + 1}"
            out.append(f"C{node} {node} 0 {farads!r}")
            charged(node, g)
        for b in range(bits):
            node = f"n{r}_{b}"
            out.append(f"C{node} {node} 0 {c['capacitors'][r][b]!r}")
            charged(node, group_of(b))
            out.append(f"SL{node} {node} {node}k leak 0 sw")
            out.append(f"RL{node} {node}k 0 {leak!r}")
            if not c["weights"][r] >> b & 1:
                out.append(f"SM{node} {node} 0 multiply 0 sw")
            out.append(f"SS{node} {node} col{b} share 0 sw")
            if r < rows >> (bits - 1 - b):
                out.append(f"SW{node} {node} line weigh 0 sw")
    out += [f"RK{b} col{b} 0 1e18" for b in range(bits)]
    out += [phase("leak", t1, end + 1), f"VDD vdd 0 {c['supply']!r}", f"CL line 0 {c['line']!r}", "RL line 0 1e18"]
    # The converter: a ramp over full scale in the window; its crossing is the time.
    out.append(f"VRAMP ramp 0 PWL(0 0 {t4:.4f}n 0 {end:.4f}n {c['full']!r})")
    out += [".options reltol=1e-4 abstol=1e-12 vntol=1e-6 gmin=1e-16",
            f".tran 0.02n {end:.4f}n 0 0.02n uic", ".control", "set numdgt=12", "run",
            f"meas tran volts find v(line) at={end - 0.01:.4f}n",
            f"meas tran crossing when v(ramp)=v(line) rise=1", "quit", ".endc", ".end", ""]
    return "\n".join(out)


KINDS = {"crossbar": crossbar, "gated": gated, "group": group}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: make_netlist.py {'|'.join(KINDS)} < values.json > netlist.cir")
    sys.stdout.write(KINDS[sys.argv[1]](json.load(sys.stdin)))
