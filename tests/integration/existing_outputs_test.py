#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command that writes, where something is already: files are replaced only by --force, what is not a regular
file never is, and what has a name like that of a temporary file stays as it is."""
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from writing import HAS_ONNX, SOURCE, STREAMS, TESSERA, Bench, Campaign, Inputs, jobs, scratch, snapshot, succeed, tessera

ONLY = os.environ.get("SWEEP_ONLY", "")
# What a writer may be tempted to use for itself. A hidden file of that kind may be what a killed one left.
TEMPORARY = ["{}.part", "{}.tmp", "{}~"]
HIDDEN = [".{}.part", ".{}.tmp"]


def test_force(campaign, job, folder):
    """What exists is replaced only by --force, and then it is."""
    bench = Bench(campaign, job, folder)
    if not bench.prepare(True):
        return
    campaign.expect(bench.force, job.name, "knows no --force")
    result = job.run(folder)
    campaign.expect(result.returncode == 2, job.name,
                    f"over older files without --force: exit code {result.returncode}")
    left = {name: content for name, content in snapshot(folder).items() if name not in STREAMS}
    campaign.expect(left == bench.judge.before, job.name, "older files are changed without --force")
    bench.restore(True)
    result = job.run(folder, bench.force)
    campaign.tell(job.name, "with --force", bench.judge.problems(result, folder, []))
    campaign.count(result)


def test_neighbours(campaign, job, folder):
    """Files and folders of the user whose names look like those of temporary files."""
    bench = Bench(campaign, job, folder)
    if not bench.prepare(False):
        return
    for make_folder in (False, True):
        bench.restore(False)
        output = folder / job.outputs[0]
        output.parent.mkdir(exist_ok=True)
        mine = [output.parent / pattern.format(output.name) for pattern in TEMPORARY + HIDDEN * make_folder]
        for path in mine:
            if make_folder:
                path.mkdir()
            (path / "x" if make_folder else path).write_text("of the user\n")
        result = job.run(folder)
        campaign.count(result)
        for path in mine:
            kept = path / "x" if make_folder else path
            campaign.expect(kept.exists() and kept.read_text() == "of the user\n", job.name,
                            f"{path.name}, {'a folder' if make_folder else 'a file'} of the user, is gone or changed")


def drain(path, into):
    with open(path, "rb") as pipe:
        into.append(pipe.read())


def test_pipe(campaign, job, folder):
    """A named pipe is written into, or refused; it stays what it is."""
    bench = Bench(campaign, job, folder)
    if not bench.prepare(True):
        return
    bench.restore(False)
    output = folder / job.outputs[0]
    os.mkfifo(output)
    # Both ends are open here, so that nobody waits for the other.
    hold = os.open(output, os.O_RDWR | os.O_NONBLOCK)
    got = []
    reader = threading.Thread(target=drain, args=(output, got))
    reader.start()
    result = job.run(folder, bench.force)
    os.close(hold)
    if reader.is_alive() and not (output.exists() and stat.S_ISFIFO(output.stat().st_mode)):
        campaign.tell(job.name, "to a pipe", ["the pipe is replaced by a file"])
    reader.join(timeout=10)
    campaign.count(result)
    if result.returncode == 0 and got:
        campaign.expect(got[0] == bench.judge.good[job.outputs[0]], job.name,
                        f"exit code 0, and {len(got[0])} bytes came through the pipe")
    campaign.expect(result.returncode in (0, 2, 3, 5), job.name, f"to a pipe: exit code {result.returncode}")
    campaign.expect(output.exists() and stat.S_ISFIFO(output.lstat().st_mode), job.name,
                    "the pipe is replaced by a file")


def test_folder(campaign, job, folder):
    """A folder where the file should go."""
    bench = Bench(campaign, job, folder)
    if not bench.prepare(True):
        return
    bench.restore(False)
    output = folder / job.outputs[0]
    output.mkdir()
    (output / "x").write_text("of the user\n")
    result = job.run(folder, bench.force)
    campaign.count(result)
    campaign.expect(result.returncode in (2, 3, 5), job.name, f"to a folder: exit code {result.returncode}")
    left = snapshot(folder)
    campaign.expect(left == {f"{job.outputs[0]}/x": b"of the user\n"}, job.name, f"to a folder: left {sorted(left)}")


def refusals(inputs, folder):
    """Commands that are refused (exit code 2), with the file of which nothing may be lost."""
    results = folder / "results"
    log, data, network = folder / "log", folder / "data.npz", folder / "n.onnx"
    chip, link = folder / "chip.json", folder / "link.trace.jsonl"
    succeed("run", *inputs.small, "-q", "-o", results)
    shutil.copy(inputs.trace, results / "windows.jsonl")
    log.write_text("older\n")
    data.write_bytes(b"data")
    network.write_bytes(b"network")
    chip.write_text(succeed("config", "show", "tiny").stdout)
    link.symlink_to(chip)
    (folder / "full").mkdir()
    (folder / "full" / "x").write_text("x")
    run = ["run", *inputs.small, "-q"]
    yield log, [*run, "--log", "nonsense", "--log-file", log, "-o", folder / "k"]
    yield log, [*run, "--log", "op", "--log-file", log, "-o", folder / "full"]
    yield chip, [*run[:-1], "--set", "name=x", "--log", "op", "--log-file", chip, "--chip", chip, "-o", folder / "k"]
    yield results / "stats.json", [*run, "--log", "op", "--log-file", results / "stats.json", "-o", results, "--force"]
    yield (results / "windows.jsonl",
           ["run", "--trace", results / "windows.jsonl", "--chip", "clsa-256", "-q", "-o", results, "--force"])
    yield chip, ["compile", "--network", "lenet5", "--chip", chip, "-o", link, "--force"]
    yield data, ["accuracy", "--network", "lenet5-fashion", "--dataset", data, "--chip", "clsa-256", "--logits", data,
                 "--force"]


def indirect_refusals(folder):
    """The same of files that no option names: those that loading a chip, a network or images reads."""
    chain = SOURCE / "traces" / "two-layer-chain.trace.jsonl"
    base, heir, again = folder / "base.json", folder / "heir.json", folder / "again.json"
    base.write_text(succeed("config", "show", "tiny").stdout)
    heir.write_text(json.dumps({"name": "heir", "extends": "base.json"}))
    results = folder / "resolved"
    succeed("run", "--trace", chain, "--chip", "tiny", "-q", "-o", results)
    again.write_text(json.dumps({"name": "again", "extends": "resolved/config.resolved.json"}))
    yield results / "config.resolved.json", ["run", "--trace", chain, "--chip", again, "-q", "-o", results, "--force"]

    def log(file, *words):
        return file, ["run", *words, "-q", "-o", folder / "k", "--log", "op", "--log-file", file]

    yield log(base, "--trace", chain, "--chip", heir)
    (folder / "link.log").symlink_to(base)
    yield base, log(folder / "link.log", "--trace", chain, "--chip", heir)[1]
    for chip, key, model in (("tiny", "macro.cell.device", "devices/generic.json"),
                             ("aidac", "macro.aidac.model", "macros/aidac-28nm.json")):
        copy = folder / Path(model).name
        shutil.copy(SOURCE / "models" / model, copy)
        yield log(copy, "--trace", chain, "--chip", chip, "--set", f"{key}={copy}")
    if not HAS_ONNX:
        return
    shipped = SOURCE / "models" / "networks" / "lenet5-fashion"
    network, integers = folder / "lenet.onnx", folder / "lenet.integers"
    shutil.copy(shipped.with_suffix(".onnx"), network)
    integers.write_text(shipped.with_suffix(".integers").read_text().replace("lenet5-fashion.onnx", "lenet.onnx"))
    data, images = folder / "labelled.npz", folder / "mnist"
    np.savez(data, images=np.zeros((2, 28, 28, 1), np.uint8), labels=np.zeros(2, np.uint8))
    images.mkdir()
    for kind in ("images-idx3", "labels-idx1"):
        shutil.copy(SOURCE / "tests" / "oracle" / f"fashion-200-{kind}-ubyte.gz", images / f"t10k-{kind}-ubyte.gz")
    values = ["--network", network, "--chip", "clsa-256", "--values", images]
    for kept in (integers, network, images / "t10k-images-idx3-ubyte.gz", images / "t10k-labels-idx1-ubyte.gz"):
        yield log(kept, *values)
    wide = folder / "wide.json"
    wide.write_text(json.dumps({"name": "wide", "extends": "base.json"}))
    for kept in (integers, base):
        yield kept, ["accuracy", "--network", network, "--dataset", data, "--chip", wide, "--logits", kept, "--force"]
    yield integers, ["quantize", "--network", network, "--calibrate", integers, "-o", integers, "--force"]


def test_refusals(campaign, inputs, folder):
    for kept, arguments in [*refusals(inputs, folder), *indirect_refusals(folder)]:
        before = kept.read_bytes()
        result = tessera(*arguments)
        campaign.count(result)
        what = " ".join(map(str, arguments))
        campaign.expect(result.returncode == 2, "refusals", f"{what}: exit code {result.returncode}: {result.stderr}")
        campaign.expect(kept.read_bytes() == before, "refusals", f"{what}: {kept} is changed")


def test_closed_descriptors(campaign, inputs, folder):
    """Whatever of 0, 1 and 2 is closed, files are read and written as ever."""
    for number in range(8):
        closed = [i for i in range(3) if number >> i & 1]
        out = folder / f"closed{number}.trace.h5"
        words = " ".join(f"{i}>&-" for i in closed)
        subprocess.run(["sh", "-c", f'exec "$@" {words}', "sh", TESSERA, "compile", "--network", "lenet5", "--chip",
                        "clsa-256", "-q", "-o", str(out)], timeout=60)
        checked = subprocess.run(["sh", "-c", f'exec "$@" {words}', "sh", TESSERA, "trace", "convert", str(out),
                                  str(out) + ".trace.jsonl"], timeout=60)
        campaign.expect(checked.returncode == 0 and tessera("trace", "check", out).returncode == 0, "closed",
                        f"{closed} closed: exit code {checked.returncode}")


def main():
    campaign = Campaign()
    with scratch() as name:
        base = Path(name)
        folder = base / "out"
        folder.mkdir()
        inputs = Inputs(base / "inputs")
        if not ONLY:
            for test in (test_refusals, test_closed_descriptors):
                own = base / test.__name__
                own.mkdir()
                test(campaign, inputs, own)
        for job in jobs(inputs):
            if job.prints or ONLY not in job.name:
                continue
            if job.takes_force:
                test_force(campaign, job, folder)
            if not job.results:
                test_neighbours(campaign, job, folder)
            if len(job.outputs) == 1:
                test_pipe(campaign, job, folder)
                test_folder(campaign, job, folder)
    return campaign.end()


if __name__ == "__main__":
    sys.exit(main())
