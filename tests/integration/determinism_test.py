# SPDX-License-Identifier: Apache-2.0
"""The same results, byte for byte: both kernels, twice, with simultaneous events shuffled, with another heap."""
import concurrent.futures
import hashlib
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))

import generate  # noqa: E402
import harness  # noqa: E402

CASES = int(os.environ.get("DETERMINISM_CASES", "30"))
FILES = ["stats.json", "stats.txt", "config.resolved.json"]
OTHER_HEAP = {"MALLOC_MMAP_THRESHOLD_": "256", "MALLOC_TOP_PAD_": "0", "MALLOC_PERTURB_": "165"}

# (name, kernel, options, environment); each is held against the first
VARIANTS = [
    ("native", "native", [], {}),
    ("native again", "native", [], {}),
    ("systemc", "systemc", [], {}),
    ("shuffled", "native", ["--shuffle", 1], {}),
    ("shuffled otherwise", "native", ["--shuffle", 7919], {}),
    ("systemc shuffled", "systemc", ["--shuffle", 12], {}),
    ("other heap", "native", [], OTHER_HEAP),
    ("systemc, other heap", "systemc", [], OTHER_HEAP),
]


def compare(name, folder, inputs, level, variants, deadlock=False):
    """Problems, as texts."""
    problems, first = [], None
    files = FILES + (["activity.h5.part", "deadlock.json"] if deadlock else ["activity.h5"])
    for variant, kernel, options, environment in variants:
        out = os.path.join(folder, "out")
        run = harness.run(out, inputs, kernel, level, options, environment)
        if run.returncode != (4 if deadlock else 0):
            problems.append(f"{name}, {variant}: exit {run.returncode}: {run.stderr.strip()}")
            continue
        hashes = {file: hashlib.sha256(harness.read_bytes(out, file)).hexdigest() for file in files}
        first = first or hashes
        differ = [file for file in files if hashes[file] != first[file]]
        if differ:
            problems.append(f"{name}, {variant}: {', '.join(differ)} differ from {variants[0][0]}")
    return problems


def one_case(seed):
    case = generate.generate(seed, ports=[2, "unlimited"][seed % 2], keep_deadlock=0.5)
    deadlock = bool(case.model.heads)
    if seed % 3 == 2:  # what the model does not cover: mesh, staged macros, memory that takes time
        del case.chip["macro"]["t_mvm"]
        case.chip["buffer"]["capacity"] = "1 MiB"
        case.chip.update(noc={"kind": "mesh", "vcs": 2, "flit_bits": 64}, memory={**case.chip["memory"], "channels": 1})
        deadlock = False
    with tempfile.TemporaryDirectory() as folder:
        trace, chip = generate.write(folder, case.chip, case.operations)
        return compare(f"seed {seed}", folder, ["--trace", trace, "--chip", chip], ["unit", "stage"][seed // 2 % 2],
                       VARIANTS, deadlock)


def whole_network(_):
    inputs = ["--network", "resnet50", "--chip", "clsa-256"]
    with tempfile.TemporaryDirectory() as folder:
        return compare("resnet50", folder, inputs, "unit", [VARIANTS[i] for i in (0, 2, 3, 6)])


def traces_a_second_apart(_):
    """No file says when it was made."""
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for end in (".trace.h5", ".trace.jsonl.gz", ".trace.jsonl"):
            made = []
            for number in range(2):
                file = f"a{number}{end}"
                subprocess.run([harness.BINARY, "compile", "--network", "lenet5", "--chip", "clsa-256", "--quiet", "-o",
                                os.path.join(folder, file)], check=True)
                made.append(harness.read_bytes(folder, file))
                time.sleep(1.1 if number == 0 and end == ".trace.h5" else 0)
            problems += [f"two {end} of the same differ"] if made[0] != made[1] else []
    return problems


def main():
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        network = pool.submit(whole_network, 0)
        traces = pool.submit(traces_a_second_apart, 0)
        problems = [text for found in pool.map(one_case, range(1_000, 1_000 + CASES)) for text in found]
        problems += network.result() + traces.result()
    print("\n".join(problems[:30]))
    print(f"{CASES} traces in {len(VARIANTS)} ways and resnet50 on clsa-256 in 4: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
