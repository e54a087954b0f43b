# SPDX-License-Identifier: Apache-2.0
"""Random cases on simulator and model: every ready, start and end has to be the same to the tick. The kernels take
turns; that they agree byte for byte is what determinism_test.py shows."""
import concurrent.futures
import json
import os
import sys
import tempfile

import generate
import harness
from basics import results

CASES = int(os.environ.get("ORACLE_CASES", "500"))
FIRST = int(os.environ.get("ORACLE_FIRST", "0"))


def causes_of(case, op):
    """All (cause, because) that explain why `op` started when it did and not earlier."""
    model, number = case.model, op["id"]
    ready, start = model.ready[number], model.start[number]
    if start > model.clock_of(op).after(ready, 0):
        return {("space", n) for n, end in model.end.items() if end == start}
    causes = {("input", n) for n in op.get("in", []) if model.end[n] == ready}
    causes |= {("after", n) for n in op.get("after", []) if model.end[n] == ready}
    before = [other["id"] for other in case.operations if other["at"] == op["at"] and other["id"] < number]
    causes |= {("unit", n) for n in before[-1:] if model.freed[n] == ready}
    causes |= {("release", None)} if op.get("release", 0) == ready else set()
    causes |= {("none", None)} if ready == 0 else set()
    if results(op) and op.get("bytes", 0):
        causes |= {("space", n) for n, end in model.end.items() if end == start}  # in a later round of the tick
    return causes


def compare(case, folder, run):
    """Differences between the model and one run, as texts."""
    if case.model.heads:
        return [] if run.returncode == 4 else [f"exit {run.returncode} where the model deadlocks: {run.stderr}"]
    if run.returncode != 0:
        return [f"exit {run.returncode}: {run.stderr}"]
    found, problems = harness.read_operations(folder), []
    if sorted(found) != [op["id"] for op in case.operations]:
        return [f"operations {sorted(found)} recorded"]
    for op in case.operations:
        seen, number = found[op["id"]], op["id"]
        for what in ("ready", "start", "end"):
            expected = getattr(case.model, what)[number]
            if seen[what] != expected:
                problems.append(f"operation {number}: {what} {seen[what]}, model {expected}")
        if not problems and (seen["cause"], seen["because"]) not in causes_of(case, op):
            problems.append(f"operation {number}: {seen['cause']} {seen['because']}, model {causes_of(case, op)}")
        if seen["kind"] != op["op"] or seen["wait"] > seen["end"] - seen["start"]:
            problems.append(f"operation {number}: {seen}")
    makespan = json.loads(harness.read_bytes(folder, "stats.json"))["chip"]["makespan"]["value"]
    if makespan != max(case.model.end.values()):
        problems.append(f"makespan {makespan}, model {max(case.model.end.values())}")
    return problems


def one_case(seed):
    """One of the kernels, and every third case with shuffled events too; returns (problems, waits, deadlock)."""
    case = generate.generate(seed, ports=[1, 2, 3][seed % 3] if seed % 4 == 3 else "unlimited")
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        trace, chip = generate.write(folder, case.chip, case.operations)
        inputs, out = ["--trace", trace, "--chip", chip], os.path.join(folder, "out")
        runs = [(["native", "systemc"][seed // 4 % 2], [])]
        runs += [("native", ["--shuffle", seed + 1])] if seed % 3 == 0 else []
        for kernel, options in runs:
            run = harness.run(out, inputs, kernel, options=options)
            problems += [f"seed {seed}, {kernel} {options}: {text}" for text in compare(case, out, run)[:5]]
    model = case.model
    waits = sum(model.start[op["id"]] > model.clock_of(op).after(model.ready[op["id"]], 0)
                for op in case.operations if op["id"] in model.start)
    return problems, waits, bool(model.heads)


def main():
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        outcomes = list(pool.map(one_case, range(FIRST, FIRST + CASES), chunksize=5))
    problems = [text for found, _, _ in outcomes for text in found]
    print("\n".join(problems[:30]))
    bad = sum(bool(found) for found, _, _ in outcomes)
    print(f"{CASES} cases, {bad} differ; {sum(waits for _, waits, _ in outcomes)} waits for space, "
          f"{sum(dead for _, _, dead in outcomes)} deadlocks")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
