#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A trace that somebody else's compiler writes (tools/two_layer_trace.py) is proved and simulated; what is wrong in it
is named by line, operation, layer and element."""
import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

TESSERA = os.environ["TESSERA"]
SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
FAILURES = []


def tessera(*arguments):
    return subprocess.run([TESSERA, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=250)


def expect(condition, what):
    if not condition:
        FAILURES.append(what)
        print(what, file=sys.stderr)


def rewritten(path, folder, change):
    """The trace with `change` applied to its operations, and a checksum that fits."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines[1:-1])
    text = "".join(json.dumps(line) + "\n" for line in lines[:-1])
    text += json.dumps({**lines[-1], "crc32": f"{zlib.crc32(text.encode()):08x}"}) + "\n"
    broken = folder / "broken.trace.jsonl"
    broken.write_text(text)
    return broken


def remove_operand(operations, reader, k):
    """As a compiler with a wrong receptive field would: the use is not counted either."""
    datum = operations[operations[reader]["in"].pop(k)]
    made = datum["to"][0] if "to" in datum else datum
    made["uses"] -= 1


def foreign_trace(folder):
    subprocess.run([sys.executable, str(SOURCE / "tools" / "two_layer_trace.py"), str(folder)], check=True)
    trace, network = folder / "two-layer-cnn.trace.jsonl", folder / "two-layer-cnn.json"
    proved = tessera("trace", "check", trace, "--semantic", "--network", network, "--json")
    expect(proved.returncode == 0, f"the two-layer trace is refused: {proved.stderr}")
    figures = json.loads(proved.stdout)["semantic"]
    expect(figures["layers"] == 2 and figures["regions"] == 16 and figures["left_out"] == 0, f"figures: {figures}")
    ran = tessera("run", "--trace", trace, "--chip", "tiny", "-q", "-o", folder / "run")
    expect(ran.returncode == 0, f"the two-layer trace does not run: {ran.stderr}")
    expect(json.loads((folder / "run" / "stats.json").read_text()) != {}, "the run has no statistics")

    operations = [json.loads(line) for line in trace.read_text().splitlines()][1:-1]
    removed = 0
    for reader, operation in enumerate(operations):
        if operation["op"] not in ("mvm", "vec"):
            continue
        layer = "conv1" if operation["ofm"][5] == 8 else "conv2"
        for k in range(len(operation["in"])):
            broken = rewritten(trace, folder, lambda ops, i=reader, j=k: remove_operand(ops, i, j))
            result = tessera("trace", "check", broken, "--semantic", "--network", network)
            place = f"{broken}:{reader + 2}: /in: operation {reader} ("
            expect(result.returncode == 3 and place in result.stderr and "lacks" in result.stderr and
                   layer in result.stderr, f"operand {k} of operation {reader}: {result.returncode} {result.stderr}")
            removed += 1
    expect(removed == 60, f"{removed} operands were removed")

    def wrong_uses(ops):
        ops[0]["to"][0]["uses"] += 1
    result = tessera("trace", "check", rewritten(trace, folder, wrong_uses), "--semantic", "--network", network)
    expect(result.returncode == 3 and ":2: /uses: " in result.stderr, f"wrong uses: {result.stderr}")


def messages(folder):
    trace = folder / "two-layer-cnn.trace.jsonl"
    result = tessera("trace", "check", trace, "--semantic")
    expect(result.returncode == 3 and "/network/name" in result.stderr and "--network FILE" in result.stderr,
           f"an unknown network: {result.stderr}")
    result = tessera("trace", "check", trace, "--network", "lenet5")
    expect(result.returncode == 2, "--network without --semantic is taken")
    result = tessera("trace", "check", trace, "--semantic", "--network", "lenet5")
    expect(result.returncode == 3 and ":1: /network/layers/0: network lenet5 has no layer" in result.stderr,
           f"another network: {result.stderr}")


def compiled_traces(folder):
    trace = folder / "compiled.trace.h5"
    for network, chip, schedule, sets in (("lenet5", "clsa-256", "layer-by-layer", "row"),
                                          ("tinyyolov4", "clsa-256", "layer-by-layer", "row"),
                                          ("tinyyolov4", "clsa-256-ideal", "xinf", "4x8"),
                                          ("mobilenetv2", "clsa-256", "xinf", "row")):
        done = tessera("compile", "--network", network, "--chip", chip, "--schedule", schedule, "--sets", sets,
                       "--duplicate", "greedy", "--extra-pes", "16", "-q", "-o", trace, "--force")
        expect(done.returncode == 0, f"{network} does not compile: {done.stderr}")
        done = tessera("trace", "check", trace, "--semantic")
        expect(done.returncode == 0 and f"computes {network}" in done.stdout, f"{network}: {done.stderr}")


def attention(folder):
    """Operands that are written into macros, on chips that would have put them elsewhere."""
    trace = folder / "attention.trace.jsonl"
    for network, chip, way in (("bert-base", "clsa-256", "crossbar"), ("vit-b16", "clsa-256-hybrid", "digital")):
        done = tessera("compile", "--network", network, "--chip", chip, "--attention", way, "--depthwise", "crossbar",
                       "-o", trace, "--force")
        expect(done.returncode == 0 and "attention in 288" in done.stdout, f"{network}: {done.stdout}{done.stderr}")
        with open(trace, encoding="utf-8") as lines:
            header = json.loads(lines.readline())
        expect(header["mapping"]["mapping.attention"] == way and header["mapping"]["mapping.depthwise"] == "crossbar",
               f"the choices are not on record: {header['mapping']}")
        done = tessera("trace", "check", trace, "--semantic")
        expect(done.returncode == 0 and f"computes {network}" in done.stdout, f"{network}: {done.stderr}")
        done = tessera("run", "--trace", trace, "--chip", chip, "--set", "mapping.attention=vector", "-q",
                       "-o", folder / f"run-{network}")
        expect(done.returncode == 0, f"{network} does not run: {done.stderr}")
    done = tessera("compile", "--network", "bert-base", "--chip", "clsa-256", "--attention", "digital", "-o", trace,
                   "--force")
    expect(done.returncode == 3 and "/digital/tile_columns" in done.stderr and "the chip has none" in done.stderr,
           f"a chip without digital macros: {done.returncode} {done.stderr}")
    done = tessera("compile", "--network", "bert-base", "--chip", "clsa-256", "--attention", "optical", "-o", trace,
                   "--force")
    expect(done.returncode == 2 and "vector, crossbar, digital" in done.stderr, f"an unknown way: {done.stderr}")


def main():
    with tempfile.TemporaryDirectory() as name:
        foreign_trace(Path(name))
        messages(Path(name))
        compiled_traces(Path(name))
        attention(Path(name))
    print(f"{len(FAILURES)} failed")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
