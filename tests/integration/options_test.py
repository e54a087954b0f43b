#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No option is accepted and ignored: each, with a value other than its default, changes what its command prints or
writes, or is refused by a message that names what it needs. Options are those that completion offers; one that has no
case here fails the test."""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

TESSERA = os.environ["TESSERA"]
SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
HAS_ONNX = os.environ["TESSERA_HAS_ONNX"] == "ON"
IMAGES = SOURCE / "tests" / "oracle" / "fashion-200-images-idx3-ubyte.gz"
LABELLED = "labelled.npz"
TRACE = "two-layer-cnn.trace.jsonl"

# What may leave all bytes as they are, and why.
NO_EFFECT = {
    ("*", "help"): "prints something else instead of doing it",
    ("*", "set"): "which key of a chip has an effect is a question of chips, not of options",
    ("accuracy", "threads"): "results do not depend on it",
    ("run", "kernel"): "both have the same results",
    ("run", "shuffle"): "results must not depend on it",
    ("run", "live"): "how the file is written, not what is in it",
    ("run", "watchdog"): "ends what hangs, and only that",
    ("compile", "quiet"): "its own case: it leaves the standard output empty",
    ("reproduce", "quick"): "without it a reproduction takes minutes; refused where a paper has no quick part",
    ("reproduce", "real"): "takes longer than all other cases together; refused where a paper has no such part",
}


class Case:
    """An option with a value. `base` is what the command needs beside it; `needs` is what the option needs: without it
    the option is refused, and the message names the first word of it."""
    def __init__(self, option, *values, base, needs=(), names=None, instead=None):
        self.option = option
        self.added = [f"--{option}", *map(str, values)]
        self.base = [str(word) for word in base]
        self.needs = [str(word) for word in needs]
        self.names = names or (self.needs[0] if self.needs else "")
        self.instead = instead  # the whole command with the option, where it takes the place of another one


def compiler_cases(command):
    """Of a network and how it is compiled."""
    out = ["-o", "a.trace.jsonl"] if command == "compile" else []

    def base(network="two-layer-cnn.json", chip="tiny"):
        return [command, "-n", network, "-c", chip, *out]

    def case(option, *values, network="two-layer-cnn.json", chip="tiny", **more):
        return Case(option, *values, base=base(network, chip), **more)

    yield case("network", instead=base("attention.json"))
    yield case("chip", instead=base(chip="wide.json"))
    yield case("set", "noc.vcs=2")
    yield case("schedule", "xinf")
    yield case("duplicate", "greedy")
    yield case("extra-pes", 1, needs=["--duplicate", "greedy"])
    yield case("sets", "pixel")
    yield case("placement", "snake", network="resnet18", chip="clsa-256")
    yield case("depthwise", "crossbar", network="depthwise.json")
    yield case("attention", "crossbar", network="attention.json")
    yield case("time-multiplex", chip="small.json", network="attention.json")
    yield case("pack", network="attention.json")
    yield case("replicate-in-crossbar")
    yield case("order", "demand:50", needs=["--schedule", "xinf", "--sets", "pixel"])
    yield case("batch-axis", "none", names="--network") if not HAS_ONNX else \
        Case("batch-axis", "none", base=base("rows.onnx"))
    yield case("images", 2)


def run_cases():
    yield from compiler_cases("run")
    base = ["run", "-n", "two-layer-cnn.json", "-c", "tiny"]
    yield Case("trace", base=base, instead=["run", "-t", TRACE, "-c", "tiny"])
    yield Case("output", "elsewhere", base=base)
    yield Case("force", base=base, needs=["--output", "older"])
    yield Case("level", "stage", base=base)
    yield Case("seed", 7, base=[*base, "--images", 3], needs=["--arrivals", "poisson:1ms"])
    yield Case("until", "1us", base=base)
    yield Case("arrivals", "1ms", base=base, needs=["--images", 3])
    yield Case("stats-every", "1us", base=base)
    yield Case("log", "op", base=base)
    yield Case("log-file", "file.log", base=base, needs=["--log", "op"])
    yield Case("uncompressed", base=base)
    yield Case("quiet", base=base)
    yield Case("json", base=base)
    yield Case("json", base=[*base, "--quiet"])
    for option, *values in (["kernel", "native"], ["shuffle", 3], ["live"], ["watchdog", 60]):
        yield Case(option, *values, base=base)
    if HAS_ONNX:
        values = ["run", "-n", "lenet5-fashion", "-c", "noisy.json"]
        given = ["--values", IMAGES]
        yield Case("values", IMAGES, base=["run", "-n", "lenet5-fashion", "-c", "full.json"])
        yield Case("values-first", 3, base=["run", "-n", "lenet5-fashion", "-c", "full.json"], needs=given)
        yield Case("errors", "noiseless", base=["run", "-n", "lenet5-fashion", "-c", "full.json"], needs=given)
        yield Case("integers", "coarse.integers", base=["run", "-n", "lenet5-fashion", "-c", "full.json"], needs=given)
        one = ["--calibrate", IMAGES, "--calibrate-images", 1]
        yield Case("calibrate", IMAGES, base=values, needs=given)
        yield Case("calibrate-first", 150, base=[*values, *given], needs=one)
        yield Case("calibrate-images", 1, base=[*values, *given], names="--calibrate")
        yield Case("calibrate-images", base=[*values, *given, *one], instead=[*values, *given, *one[:-1], 2])


def compile_cases():
    yield from compiler_cases("compile")
    base = ["compile", "-n", "two-layer-cnn.json", "-c", "tiny", "-o", "a.trace.jsonl"]
    yield Case("output", base=base, instead=[*base[:-1], "b.trace.jsonl"])
    yield Case("force", base=base[:-2], needs=["--output", "older.trace.jsonl"])
    yield Case("explain", base=base[:-2])
    yield Case("explain", base=base, names="--output")
    yield Case("json", base=base)
    yield Case("json", base=[*base, "--quiet"])
    yield Case("quiet", base=base)


def accuracy_cases():
    base = ["accuracy", "-n", "lenet5-fashion", "--dataset", LABELLED, "-c", "full.json", "--only", "all", "--trials", 1]
    yield Case("network", base=base, instead=["accuracy", "-n", "coarse.integers", *base[3:]])
    yield Case("dataset", base=base, instead=[*base[:4], "other.npz", *base[5:]])
    yield Case("chip", base=base, instead=[*base[:6], "aged.json", *base[7:]])
    yield Case("set", "macro.adc.bits=4", base=base)
    yield Case("first", 2, base=base)
    yield Case("images", 2, base=base)
    yield Case("trials", base=base, instead=[*base[:-1], 2])
    yield Case("seed", 7, base=base)
    yield Case("only", "noiseless", base=base)
    yield Case("seed", 7, base=[*base[:-4], "--only", "noiseless"], names="--only")
    yield Case("trials", 2, base=[*base[:-4], "--only", "noiseless"], names="--only")
    wanted = ["--set", "macro.adc.range=calibrated"]
    one = ["--calibrate", IMAGES, "--calibrate-images", 1]
    calibrated = [*base, "--json", *wanted]
    yield Case("calibrate", IMAGES, base=base, names="macro.adc.range")
    yield Case("calibrate", base=calibrated, instead=[*calibrated, *one])
    yield Case("calibrate-first", 150, base=calibrated, needs=one)
    yield Case("calibrate-images", 1, base=calibrated, names="--calibrate")
    yield Case("calibrate-images", base=[*calibrated, *one], instead=[*calibrated, *one[:-1], 2])
    yield Case("logits", "logits.h5", base=base)
    yield Case("force", base=base, needs=["--logits", "older.h5"])
    yield Case("threads", 1, base=base)
    yield Case("json", base=base)


def quantize_cases():
    whole = ["quantize", "-n", SOURCE / "tests" / "oracle" / "lenet5-fashion-qdq.onnx", "-o", "a.integers"]
    real = ["quantize", "-n", "lenet5-fashion", "-o", "a.integers", "--images", 4, "--calibrate", IMAGES]
    yield Case("network", base=real, instead=["quantize", "-n", "resnet-fashion", *real[3:]])
    yield Case("calibrate", "other.npz", base=real[:-2])
    yield Case("first", 5, base=whole, needs=["--calibrate", IMAGES], names="--calibrate")
    yield Case("first", 5, base=real)
    yield Case("images", base=real, instead=[*real[:-3], 8, *real[-2:]])
    yield Case("images", 4, base=whole, names="--calibrate")
    yield Case("range", "min-max", base=real)
    yield Case("range", "min-max", base=whole, names="--calibrate")
    yield Case("percentile", 90, base=real, needs=["--range", "percentile"])
    yield Case("batch-axis", "0", base=real)
    yield Case("per-layer", base=real)
    yield Case("per-layer", base=whole, names="--calibrate")
    yield Case("output", base=whole, instead=[*whole[:-1], "b.integers"])
    yield Case("force", base=whole, instead=[*whole[:-1], "coarse.integers", "--force"])


def inspect_cases():
    base = ["inspect", "older"]
    yield Case("images", base=base)
    yield Case("top", 1, base=base)
    yield Case("top", 1, base=[*base, "--why", 9])
    yield Case("top", 1, base=[*base, "--windows"], names="--windows")
    yield Case("top", 1, base=[*base, "--against", "older"], names="--against")
    yield Case("why", 9, base=base)
    yield Case("why", 9, base=[*base, "--windows"], names="--windows")
    yield Case("against", "older", base=base)
    yield Case("follow", base=base)
    yield Case("windows", base=base)
    yield Case("json", base=base)


def trace_cases():
    check = ["trace", "check", TRACE]
    yield Case("canonical", base=["trace", "convert", "spelled.trace.jsonl", "out.trace.jsonl"])
    yield Case("canonical", base=["trace", "convert", TRACE, "out.trace.h5"], names="out.trace.h5")
    yield Case("canonical", base=check, names="trace convert")
    yield Case("output", "b.trace.jsonl", base=["trace", "seal", "open.trace.jsonl"])
    yield Case("output", "b.trace.jsonl", base=check, names="trace seal")
    yield Case("force", base=["trace", "convert", TRACE, "older.trace.jsonl"])
    yield Case("force", base=check, names="trace convert")
    yield Case("count", 1, base=["trace", "head", TRACE])
    yield Case("count", 1, base=check, names="trace head")
    yield Case("semantic", base=check, instead=[*check, "--semantic", "--network", "two-layer-cnn.json"])
    yield Case("semantic", base=["trace", "stats", TRACE], names="trace check")
    yield Case("network", "attention.json", base=[*check], names="--semantic")
    yield Case("network", "attention.json", base=[*check, "--semantic"])
    yield Case("batch-axis", "0", base=check, names="--network")
    yield Case("batch-axis", "0", base=[*check, "--semantic", "--network", "two-layer-cnn.json"], names="--network")
    yield Case("json", base=check)
    yield Case("json", base=["trace", "head", TRACE], names="trace check")


def reproduce_cases():
    base = ["reproduce", "clsa-cim", "--quick"]
    yield Case("json", base=base)
    yield Case("output", "report", base=base)
    yield Case("force", base=base, needs=["--output", "reports"])
    yield Case("quick", base=["reproduce", "aidac"], names="reproduce clsa-cim")
    yield Case("real", base=["reproduce", "aidac"], names="reproduce clsa-cim")


def other_cases():
    """By command, those of the commands with few options."""
    yield "config", [Case("set", "noc.vcs=2", base=["config", "show", "tiny"]),
                     *(Case("set", "noc.vcs=2", base=["config", action], names="config show")
                       for action in ("list", "schema", "doc"))]
    yield "network", [Case("weights", base=["network", "show", "lenet5"]),
                      Case("weights", base=["network", "list"], names="network show"),
                      Case("batch-axis", "0", base=["network", "list"], names="network show"),
                      Case("batch-axis", "0", base=["network", "show", "lenet5"], names="--network")]
    yield "h5", [Case("output", "b.h5", base=["h5", "recover", "older"]),
                 Case("output", "b.h5", base=["h5", "check", "older"], names="h5 recover"),
                 Case("force", base=["h5", "recover", "older", "-o", "older.h5"]),
                 Case("force", base=["h5", "check", "older"], names="h5 recover"),
                 Case("json", base=["h5", "check", "older"])]
    yield "help", [Case("man", base=["help", "run"]), Case("pages", "pages", base=["help"]),
                   Case("pages", "pages", base=["help", "run"], names="command"),
                   Case("man", base=["help", "--pages", "pages"], names="--pages"),
                   Case("force", base=["help"], needs=["--pages", "old-pages"])]
    yield "completion", []


# Arguments without a name that an action does not take are not ignored either.
REFUSED = [(["config", "list", "tiny"], "config show"), (["network", "list", "lenet5"], "network show"),
           (["trace", "check", TRACE, TRACE], "1 file"), (["run", "-n", "two-layer-cnn.json", "-t", TRACE, "-c", "tiny"], "--trace"),
           (["run", "-t", TRACE, "-c", "tiny", "--schedule", "nonsense"], "--network"),
           (["run", "-t", TRACE, "-c", "tiny", "--arrivals", "0.5ps"], "for example to 1 ps"),
           (["run", "-t", TRACE, "-c", "tiny", "--arrivals", "poisson:-1ms"], "at least 1 ps"),
           (["run", "-t", TRACE, "-c", "tiny", "--stats-every", "0.5ps"], "for example to 1 ps"),
           *((["run", "-t", TRACE, "-c", "tiny", f"--watchdog={value}"], "--watchdog")
             for value in ("nan", "inf", "-inf", "-nan", "-.5", "1e-400", "1e400", "0x1p3")),
           *((["quantize", "-n", "lenet5-fashion", "-o", "a.integers", "--calibrate", IMAGES, "--range", "percentile",
               f"--percentile={value}"], "--percentile") for value in ("nan", "inf", "1e-400"))]
# Nothing is done for no images, and where nothing can be computed.
ACCURACY = ["accuracy", "-n", "lenet5-fashion", "--dataset", LABELLED, "-c"]
WITH_VALUES = ["run", "-n", "lenet5-fashion", "-c", "noisy.json", "--values", IMAGES]
REFUSED_WITH_ONNX = [
    ([*ACCURACY, "full.json", "--images", 0], "at least 1"),
    ([*ACCURACY, "noisy.json", "--calibrate", IMAGES, "--calibrate-images", 0], "at least 1"),
    ([*WITH_VALUES, "--calibrate", IMAGES, "--calibrate-images", 0], "at least 1"),
    ([*WITH_VALUES, "--images", 0], "at least 1"),
    (["quantize", "-n", "lenet5-fashion", "-o", "a.integers", "--calibrate", IMAGES, "--images", 0], "at least 1"),
    ([*ACCURACY, "tiny", "--only", "all"], "macro.cell.device"),
    ([*ACCURACY, "tiny", "--only", "alone", "--trials", 3], "macro.cell.device")]
# Input that is bad (exit code 3): the message names where, or how many there are.
BAD = [(["run", "-t", TRACE, "-c", chip, "--set", f"{key}=nope"], f"--set {key}=nope:")
       for chip, key in (("tiny", "macro.cell.device"), ("aidac", "macro.aidac.model"), ("tiny", "macro.$preset"))]
BAD += [(["run", "-t", TRACE, "-c", chip, *(f"--set={setting}" for setting in settings)], f"--set {settings[-1]}:")
        for chip, *settings in (("tiny", "macro.cell.device=none/x.json"), ("aidac", "macro.aidac.model=none/x.json"),
                                ("tiny", "macro.cell.device=generic", "macro.cell.faults=none/x.json"))]
BAD += [(["run", "-n", "two-layer-cnn.json", "-c", "tiny", "--set", setting], f"--set {setting}: /")
        for setting in ("mapping.on_crossbar=[\"matmul\"]", "macro.input_bits=4")]
BAD += [(["config", "check", "tiny", "--set", "noc.clock=0.001 Hz"], "for example to 1000 Hz"),
        (["config", "check", "tiny", "--set", "macro.cell.device=nope"], "--set macro.cell.device=nope:"),
        (["run", "-t", "unnamed.trace.jsonl", "-c", "tiny", "--values", IMAGES], "names no network")]
BAD_WITH_ONNX = [
    ([*ACCURACY, "full.json", "--images", 4], "has 3 images"),
    ([*ACCURACY, "noisy.json", "--calibrate", IMAGES, "--calibrate-images", 201], "has 200 images"),
    ([*WITH_VALUES, "--calibrate", IMAGES, "--calibrate-images", 201], "has 200 images"),
    (["quantize", "-n", "lenet5-fashion", "-o", "a.integers", "--calibrate", "other.npz", "--images", 5], "has 4 images"),
    (["run", "-n", "resnet-fashion", "-c", "full.json", "--values", IMAGES, "--integers", "coarse.integers"],
     "coarse.integers: /network"),
    (["run", "-t", TRACE, "-c", "tiny", "--values", IMAGES, "--integers", "coarse.integers"], "coarse.integers: /network")]
# What is left out is told, and the rest is done.
TOLD = [([*ACCURACY, "tiny", "--only", "noiseless", "--only", "all"], "no errors of cells"),
        ([*ACCURACY, "tiny", "--seed", 3], "--seed mean nothing")]
# Names of files that are empty, mostly because a variable of a script is not set.
EMPTY = [["run", "-n", "two-layer-cnn.json", "-c", "tiny", "-o", ""],
         ["run", "-n", "two-layer-cnn.json", "-c", "tiny", "--log", "op", "--log-file", ""],
         ["compile", "-n", "two-layer-cnn.json", "-c", "tiny", "-o", ""], ["trace", "convert", TRACE, ""],
         ["trace", "seal", "open.trace.jsonl", "-o", ""], ["h5", "recover", "older", "-o", ""],
         ["help", "--pages", ""], ["reproduce", "clsa-cim", "--quick", "-o", ""],
         ["quantize", "-n", "lenet5-fashion", "-o", ""],
         ["accuracy", "-n", "lenet5-fashion", "--dataset", LABELLED, "-c", "tiny", "--logits", ""]]


def tessera(*arguments, cwd):
    return subprocess.run([TESSERA, *map(str, arguments)], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=300, check=False)


def prepare(folder):
    """What cases read."""
    def succeed(*arguments):
        done = tessera(*arguments, cwd=folder)
        if done.returncode != 0:
            sys.exit(f"{arguments}: {done.stderr}")

    subprocess.run([sys.executable, SOURCE / "tools" / "two_layer_trace.py", folder], check=True)
    def network(name, shape, *layers):
        text = {"name": name, "layers": [{"name": "x", "kind": "input", "shape": shape}, *layers]}
        (folder / f"{name}.json").write_text(json.dumps(text))

    network("depthwise", [8, 8, 16], {"name": "d", "kind": "conv2d", "channels": 16, "kernel": 3, "padding": 1, "groups": 16})
    network("attention", [8, 1, 16], *({"name": name, "kind": "conv2d", "inputs": ["x"], "channels": 24, "kernel": 1}
                           for name in ("q", "k", "v")),
            {"name": "scores", "kind": "matmul", "inputs": ["q", "k"], "heads": 2, "transpose_second": True})
    for name, chip in (("wide", {"extends": "tiny", "tiles": {"columns": 3}}),
                       ("small", {"extends": "tiny", "tiles": {"rows": 1, "columns": 1}}),
                       ("full", {"extends": "clsa-256", "macro": {"adc": {"range": "full", "bits": 8}, "cell": {"device": "generic"}}}),
                       ("aged", {"extends": "full.json", "macro": {"cell": {"device": "neurram-1day"}}}),
                       ("noisy", {"extends": "full.json", "macro": {"adc": {"range": "calibrated"}}})):
        (folder / f"{name}.json").write_text(json.dumps({"name": name, **chip}))
    lines = (folder / TRACE).read_text().splitlines()
    header = json.loads(lines[0])
    spaced = [json.dumps(json.loads(line)) for line in lines[:-1]]
    del header["counts"], header["window"]
    (folder / "open.trace.jsonl").write_text("\n".join([json.dumps(header), *spaced[1:]]) + "\n")
    succeed("trace", "seal", "open.trace.jsonl", "-o", "spelled.trace.jsonl")
    bare = {"format": "tessera-trace", "version": "1.0", "tiles": 4, "memory_ports": 1}
    (folder / "bare.jsonl").write_text(json.dumps(bare) + '\n{"id":0,"op":"mvm","at":"t0.m0","n":1,"bytes":8}\n')
    succeed("trace", "seal", "bare.jsonl", "-o", "unnamed.trace.jsonl")
    (folder / "older.trace.jsonl").write_text("older\n")
    for name in ("report.json", "report.txt"):
        (folder / "reports").mkdir(exist_ok=True)
        (folder / "reports" / name).write_text("older\n")
    succeed("run", "-t", TRACE, "-c", "tiny", "--stats-every", "1us", "-o", "older", "-q")
    (folder / "older.h5").write_bytes((folder / "older" / "activity.h5").read_bytes())
    succeed("help", "--pages", "old-pages")
    generator = np.random.default_rng(1)
    for name, count in ((LABELLED, 3), ("other.npz", 4)):
        np.savez(folder / name, images=generator.integers(0, 256, (count, 28, 28, 1), dtype=np.uint8),
                 labels=np.arange(count))
    if HAS_ONNX:
        succeed("quantize", "-n", "lenet5-fashion", "--calibrate", IMAGES, "--images", 4, "--range", "min-max", "-o",
                "coarse.integers")
        import onnx
        from onnx import TensorProto, helper
        product = helper.make_node("Gemm", ["x", "w"], ["y"], name="product")
        graph = helper.make_graph(
            [product], "rows", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 16])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 8])],
            [helper.make_tensor("w", TensorProto.FLOAT, [16, 8], np.ones(128))])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), folder / "rows.onnx")


def outcome(prepared, arguments):
    """Exit code, output, and what is in the folder behind a command: digests by name. run.json tells of itself."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["cp", "-a", f"{prepared}/.", name], check=True)
        done = tessera(*arguments, cwd=folder)
        files = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
                 for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "run.json"}
        return done.returncode, done.stdout, done.stderr, files


class Judge:
    def __init__(self, prepared):
        self.prepared = prepared
        self.known = {}
        self.pool = ThreadPoolExecutor(os.cpu_count() or 1)

    def ask(self, arguments):
        """Begins a command, once."""
        key = tuple(map(str, arguments))
        if key not in self.known:
            self.known[key] = self.pool.submit(outcome, self.prepared, key)
        return self.known[key]

    def begin(self, case):
        """The runs of a case: with the option alone, and those that must differ."""
        if case.instead is not None:
            return None, self.ask(case.base), self.ask(case.instead)
        alone = [*case.base, *case.added]
        if case.names and not case.needs:
            return self.ask(alone), None, None
        whole = [*case.base, *case.needs]
        return (self.ask(alone) if case.needs else None), self.ask(whole), self.ask([*whole, *case.added])

    def problem(self, command, case, runs):
        alone, before, after = runs
        if alone is not None:
            code, _, err, _ = alone.result()
            if code != 2 or case.names not in err:
                return f"exit code {code}, and {case.names} must be named: {err.strip()}"
        if after is None:
            return ""
        result = after.result()
        if result[0] not in (0, 3):
            return f"with what it needs: exit code {result[0]}: {result[2].strip()}"
        if result == before.result() and not {(command, case.option), ("*", case.option)} & set(NO_EFFECT):
            return "changes nothing"
        return ""


def cases_by_command():
    found = {"run": run_cases(), "compile": compile_cases(), "inspect": inspect_cases(), "trace": trace_cases(),
             "reproduce": reproduce_cases(), **dict(other_cases())}
    if HAS_ONNX:
        found.update(accuracy=accuracy_cases(), quantize=quantize_cases())
    return {command: list(cases) for command, cases in found.items()}


def offered(*words):
    lines = tessera("completion", "candidates", *words, cwd="/").stdout.splitlines()
    return [line.split("\t")[0] for line in lines]


def missing_cases(by_command):
    """Options that nothing is said of."""
    needs_onnx = {"values", "values-first", "errors", "integers", "calibrate", "calibrate-first", "calibrate-images"}
    for command in offered(""):
        if command not in by_command and not (command in ("accuracy", "quantize") and not HAS_ONNX):
            yield f"{command}: a command without cases"
        options = {word[2:] for word in offered(command, "--")}
        known = {case.option for case in by_command.get(command, [])}
        known |= {name for where, name in NO_EFFECT if where in ("*", command)}
        if not HAS_ONNX:
            known |= options if command in ("accuracy", "quantize") else needs_onnx
        yield from (f"{command} --{option}: there is no case for it" for option in sorted(options - known))
        yield from (f"{command} --{case.option}: there is no such option" for case in by_command.get(command, [])
                    if case.option not in options)


def unlisted(folder):
    """Where nothing is shipped, both lists say so."""
    for words in (["config", "list"], ["network", "list"]):
        done = subprocess.run([TESSERA, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "TESSERA_DATA": str(folder / "nothing")})
        if done.returncode != 5 or "TESSERA_DATA" not in done.stderr:
            yield f"{words} without what is shipped: exit code {done.returncode}: {done.stderr}"


def main():
    failures = []
    with tempfile.TemporaryDirectory() as name:
        prepared = Path(name)
        prepare(prepared)
        judge = Judge(prepared)
        by_command = cases_by_command()
        failures += missing_cases(by_command)
        begun = [(command, case, judge.begin(case)) for command, cases in by_command.items() for case in cases]
        expected = [(2, words, part) for words, part in REFUSED + REFUSED_WITH_ONNX * HAS_ONNX]
        expected += [(2, words, "is empty") for words in EMPTY]
        expected += [(3, words, part) for words, part in BAD + BAD_WITH_ONNX * HAS_ONNX]
        expected += [(0, words, part) for words, part in TOLD * HAS_ONNX]
        answered = [(wanted, words, part, judge.ask(words)) for wanted, words, part in expected]
        for command, case, runs in begun:
            problem = judge.problem(command, case, runs)
            if problem:
                failures.append(f"{' '.join(map(str, case.base))} {' '.join(case.added)}: {problem}")
        for wanted, words, part, run in answered:
            code, _, err, _ = run.result()
            if code != wanted or part not in err:
                failures.append(f"{words}: exit code {code}, and it must say '{part}': {err.strip()}")
        failures += unlisted(prepared)
    for failure in failures:
        print(failure, file=sys.stderr)
    print(f"{len(begun) + len(answered)} cases, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
