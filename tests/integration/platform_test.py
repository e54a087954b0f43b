#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the example platform in many ways: the results of a job depend neither on who is the memory or
the macro (when they take the same time), nor on quantum, delta cycles or the delay of START, and equal
those of `tessera run`. Every socket has a protocol checker, which finds nothing."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESSERA = os.environ["TESSERA"]
PLATFORM = os.environ["TESSERA_PLATFORM"]
CHIP = {"clock": "1 GHz", "tiles": {"rows": 2, "columns": 2, "macros": 3},
        "macro": {"rows": 128, "columns": 128, "t_mvm": "1.4 us"},
        "vector": {"lanes": 16}, "buffer": {"capacity": "64 KiB", "ports": 2, "bytes_per_cycle": 32},
        "noc": {"kind": "mesh", "reserve": "4 cycles", "vcs": 2, "vc_depth": 4, "flit_bits": 128},
        "memory": {"ports": 1, "channels": 1, "bandwidth": "1 GB/s", "latency": "30 ns", "row_miss": "0 ns"}}
checks = 0
failures = []


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        failures.append(what)


def platform(*arguments, code=0):
    result = subprocess.run([PLATFORM, *map(str, arguments)], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, timeout=120)
    if result.returncode != code:
        raise RuntimeError(f"{arguments}: exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
    return json.loads(result.stdout) if code == 0 else result.stderr


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chip = folder / "chip.json"
        chip.write_text(json.dumps(CHIP))
        trace = folder / "program.trace.jsonl"
        subprocess.run([TESSERA, "compile", "--network", "lenet5", "--chip", chip, "-o", trace], check=True)
        subprocess.run([TESSERA, "run", "--trace", trace, "--chip", chip, "-o", folder / "run", "--level",
                        "stage", "-q"], check=True)
        report = (folder / "run/stats.json").read_text()
        makespan = json.loads(report)["chip"]["makespan"]["value"]
        base = ["--chip", chip, "--trace", trace]

        plain = platform(*base, "--folder", folder / "plain")
        check(plain["status"] == 2 and plain["failure"] == "", f"not done: {plain}")
        check(plain["interrupts"] == 1 and plain["jobs"] == 1, "one job, one interrupt")
        check(plain["makespan_ps"] == makespan, f"{plain['makespan_ps']} is not the CLI's {makespan}")
        check(plain["report"] == report, "the report window is not stats.json")
        check(plain["saw_it_running"] and plain["looks"] > 10, "the second initiator saw nothing")
        for file in ("activity.h5", "stats.json", "stats.txt", "config.resolved.json"):
            check((folder / "plain/job0" / file).read_bytes() == (folder / "run" / file).read_bytes(),
                  f"{file} of the job differs from the CLI's")

        def same(what, *arguments):
            result = platform(*base, *arguments)
            check(result["report"] == report and result["status"] == 2, f"{what}: another result")
            return result

        for quantum in (0, 1, 1000):
            same(f"quantum {quantum} ns", "--quantum", quantum)
        for deltas in (1, 2, 15, 16, 17, 40):
            same(f"{deltas} deltas", "--deltas", deltas)
        for delay in (0.25, 1, 1234.5):
            same(f"delay {delay} ns", "--delay", delay)
        transactions = set()
        for memory in ("at", "at-annotated", "at-early", "blocking", "waiting"):
            for quantum in (0, 1000):
                result = same(f"memory {memory}, quantum {quantum} ns", "--memory", memory, "--quantum", quantum,
                              "--deltas", 3)
                transactions.add((result["memory_transactions"], result["memory_bytes"]))
        check(len(transactions) == 1 and min(transactions)[0] > 0, f"memories saw different things: {transactions}")
        # Who waits for its request's phase to end waits less in the memory's line, but as long in all.
        delayed = platform(*base, "--memory", "at-delayed")
        check(delayed["status"] == 2 and delayed["makespan_ps"] == makespan, "memory at-delayed: another result")
        activity = (folder / "run/activity.h5").read_bytes()
        for memory in ("at", "waiting"):
            same(memory, "--memory", memory, "--folder", folder / memory)
            check((folder / memory / "job0/activity.h5").read_bytes() == activity, f"{memory}: another activity.h5")

        foreign = ["--foreign", "t0.m0", "--foreign", "t1.m1"]
        for extra in ([], ["--blocking-macros"], ["--memory", "at"], ["--memory", "waiting", "--quantum", 1000]):
            result = same(f"foreign macros {extra}", *foreign, *extra)
            check(result["foreign_vectors"] > 0, "the foreign macros had nothing to do")
        slow = platform(*base, *foreign, "--mvm", 2800)
        check(slow["makespan_ps"] > makespan, "slower macros did not matter")

        again = platform(*base, "--jobs", 3)
        check(again["jobs"] == 3 and again["interrupts"] == 3 and again["report"] == report, "three jobs in a row")
        aborted = platform(*base, "--jobs", 2, "--abort", "--memory", "at")
        check(aborted["report"] == report and aborted["jobs"] == 2, "a job after one that was aborted")
        aborted = platform(*base, "--abort", "--memory", "waiting")
        check(aborted["status"] == 8 and "aborted" in aborted["report"], "an aborted job")

        bad = folder / "bad.trace.jsonl"
        bad.write_text(trace.read_text().replace('"op":"mvm"', '"op":"mwm"', 1))
        result = platform("--chip", chip, "--trace", bad)
        check(result["status"] == 4 and "program window:" in result["report"] and "mwm" in result["report"],
              f"a malformed program: {result['report']}")
        other = folder / "other.json"
        other.write_text(json.dumps({**CHIP, "tiles": {"rows": 1, "columns": 4, "macros": 3}}))
        result = platform("--chip", other, "--trace", trace)
        check(result["status"] == 4 and result["report"], "a program for another chip")
        for problem in (["--foreign", "t99.m0"], ["--foreign", "t0.vec"]):
            check("has no macro" in platform(*base, *problem, code=2), f"{problem} was taken")
    for failure in failures:
        print(failure, file=sys.stderr)
    print(f"{checks - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
