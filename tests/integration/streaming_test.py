# SPDX-License-Identifier: Apache-2.0
"""Run time grows with events, not with idle simulated time: the same chain, its releases 1000 times further apart,
takes the same CPU time."""
import os
import resource
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))

import generate  # noqa: E402
import harness  # noqa: E402

OPERATIONS = int(os.environ.get("STREAMING_OPERATIONS", "300000"))
REPETITIONS = 5
ATTEMPTS = 4
TOLERANCE = 0.10
# As many digits for either spacing, so that reading the two traces costs the same.
SPACING, BASE = 100_000, 10**15
CHIP = {
    "clock": "1 GHz", "tiles": {"rows": 1, "columns": 2, "macros": 1},
    "macro": {"t_mvm": "40 ns"}, "vector": {"lanes": 16, "startup": "4 cycles"},
    "buffer": {"capacity": "64 KiB", "ports": 2, "bytes_per_cycle": 64},
    "noc": {"kind": "mesh"}, "memory": {"ports": 1, "channels": "unlimited"},
}


def chain(spacing):
    """mvm in t0, move to t1, vec in t1; over and over."""
    operations = []
    for item in range(OPERATIONS // 3):
        first = 3 * item
        operations += [
            {"id": first, "op": "mvm", "at": "t0.m0", "n": 1, "bytes": 64, "uses": 1,
             "release": BASE + item * spacing},
            {"id": first + 1, "op": "move", "at": "t0.ni", "bytes": 64, "in": [first], "to": [{"at": "t1", "uses": 1}]},
            {"id": first + 2, "op": "vec", "at": "t1.vec", "n": 16, "bytes": 16, "in": [first + 1], "fn": "relu"},
        ]
    return operations


def cpu_time(folder, trace, chip, kernel):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = harness.run(os.path.join(folder, "out"), ["--trace", trace, "--chip", chip], kernel, "off")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.returncode != 0:
        raise RuntimeError(f"exit {run.returncode}: {run.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(folder, inputs, kernel):
    """Median CPU seconds for both spacings, interleaved so that a busy machine hits both alike."""
    near, far = [], []
    for _ in range(REPETITIONS):
        near.append(cpu_time(folder, *inputs[0], kernel))
        far.append(cpu_time(folder, *inputs[1], kernel))
    return statistics.median(near), statistics.median(far)


def main():
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        inputs = [generate.write(os.path.join(folder, name), CHIP, chain(spacing))
                  for name, spacing in (("near", SPACING), ("far", 1000 * SPACING))]
        for kernel in ("native", "systemc"):
            for attempt in range(1, ATTEMPTS + 1):
                near, far = measure(folder, inputs, kernel)
                ratio = far / near
                if abs(ratio - 1) <= TOLERANCE:
                    break
            print(f"{kernel}: {OPERATIONS} operations, {near:.3f} s of CPU; 1000 times further apart {far:.3f} s "
                  f"(ratio {ratio:.3f}, attempt {attempt})")
            status |= abs(ratio - 1) > TOLERANCE
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
