#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Latency, waiting and service of images: /images computed again from /ops, percentiles and rates from /images, and what
the run and its statistics say of them; padding from /deps."""
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

TESSERA = os.environ["TESSERA"]
NEVER = 2 ** 64 - 1
FAILURES = []


def tessera(*arguments):
    return subprocess.run([TESSERA, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=300)


def expect(condition, what):
    if not condition:
        FAILURES.append(what)
        print(what, file=sys.stderr)


def run(folder, *arguments):
    done = tessera("run", *arguments, "--kernel", "native", "--json", "-o", folder)
    expect(done.returncode == 0, f"{arguments}: exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def operations(file):
    """All of /ops, by id, and the operands of each."""
    ops = np.sort(file["ops"][:], order="id")
    edges = file["deps"][:]
    operands = {}
    for edge in edges[edges["order_only"] == 0]:
        operands.setdefault(int(edge["operation"]), []).append(int(edge["on"]))
    return ops, operands


def starts_and_ends(ops):
    """By image: first start of what reads more than padding, last end, number of operations."""
    kinds = h5py.check_enum_dtype(ops.dtype["kind"])
    ops = ops[ops["kind"] != kinds["program"]]
    times = {}
    for image in np.unique(ops["image"]):
        its = ops[ops["image"] == image]
        reads = its[its["padding"] == 0]
        times[int(image)] = (int((reads if len(reads) else its)["start"].min()), int(its["end"].max()), len(its))
    return times


def figures(values):
    """Mean, nearest ranks and the most."""
    ordered = sorted(values)
    ranks = {f"p{p}": ordered[math.ceil(p * len(ordered) / 100) - 1] for p in (50, 95, 99)}
    return {"mean": math.fsum(ordered) / len(ordered), "most": ordered[-1], **ranks}


def same(one, other):
    return math.isclose(one, other, rel_tol=1e-9)


def check_figures(folder, title, told, arrivals):
    """What a run says against what its file holds."""
    with h5py.File(folder / "activity.h5") as file:
        images = file["images"][:]
        times = starts_and_ends(file["ops"][:])
        makespan = int(file.attrs["makespan_ps"])
    expect((np.diff(images["image"].astype(np.int64)) > 0).all(), f"{title}: the order of images")
    for image in images:
        start, end, _ = times[int(image["image"])]
        expect((int(image["start"]), int(image["end"])) == (start, end), f"{title}: image {image['image']} in /ops")
    expect(int(images["end"].max()) == makespan, f"{title}: the last end")
    begin = [int(a if arrivals else s) for a, s in zip(images["arrival"], images["start"])]
    lists = {"latency": [int(e) - b for e, b in zip(images["end"], begin)]}
    if arrivals:
        lists["waiting"] = [int(s) - b for s, b in zip(images["start"], begin)]
        lists["service"] = [int(e) - int(s) for e, s in zip(images["end"], images["start"])]
        expect(min(lists["waiting"]) >= 0, f"{title}: an image starts before it arrives")
    stats = json.loads((folder / "stats.json").read_text())["chip"]["images"]
    for name, values in lists.items():
        right = figures(values)
        expect(all(same(told[f"{name}_ps"][key], value) for key, value in right.items()),
               f"{title}: {name} {told[f'{name}_ps']}, not {right}")
        listed = {"mean": stats[f"mean_{name}"], "most": stats[f"most_{name}"],
                  **{p: stats[f"{name}_{p}"] for p in ("p50", "p95", "p99")}}
        expect(all(same(listed[key]["value"], value) for key, value in right.items()), f"{title}: {name} in stats.json")
    ends = sorted(int(end) for end in images["end"])
    rates = {"served": (len(ends) - 1) * 1e12 / (ends[-1] - ends[0])}
    if arrivals:
        rates["offered"] = (len(begin) - 1) * 1e12 / (max(begin) - min(begin))
    for name, rate in rates.items():
        expect(same(told[f"{name}_per_second"], rate) and same(stats[name]["value"], rate), f"{title}: {name}")
    expect(told["count"] == told["arrived"] == len(images), f"{title}: counts {told}")
    return lists


def check_load(folder):
    """More is offered than can be served: the k-th image waits k times what is too much."""
    lenet = ["-n", "lenet5", "-c", "clsa-256", "--images", "100"]
    for schedule, mean, most in (("layer-by-layer", 57.80, 114.37), ("xinf", 50.51, 99.91)):
        for arrivals in ("100us", "poisson:1500us", None):
            title = f"{schedule}-{arrivals}".replace(":", "")
            seed = ["--seed", "4"] if arrivals and arrivals.startswith("poisson") else []
            timed = ["--arrivals", arrivals, *seed] if arrivals else []
            told = run(folder / title, *lenet, "--schedule", schedule, *timed)["images"]
            lists = check_figures(folder / title, title, told, bool(arrivals))
            if arrivals == "100us":
                got = (round(told["latency_ps"]["mean"] / 1e9, 2), round(told["latency_ps"]["most"] / 1e9, 2))
                expect(got == (mean, most), f"{title}: {got}")
                expect(same(told["offered_per_second"], 10000), f"{title}: offered")
                expect(sum(lists["service"]) < sum(lists["waiting"]), f"{title}: waiting")
            shown = tessera("inspect", folder / title, "--images", "--top", 5, "--json")
            tables = json.loads(shown.stdout)
            slowest = sorted(lists["latency"], reverse=True)[:5]
            expect([row["latency_ps"] for row in tables["Slowest images"]] == slowest, f"{title}: inspect")


def check_cut(folder):
    """Of a run that was cut, those have ended of which nothing is left."""
    for schedule in ("layer-by-layer", "xinf"):
        options = ["-n", "lenet5", "-c", "clsa-256", "--images", "12", "--schedule", schedule, "--arrivals", "1ms"]
        whole = folder / f"whole-{schedule}"
        run(whole, *options)
        with h5py.File(whole / "activity.h5") as file:
            all_images = file["images"][:]
        for until in (500_000_000, 3_000_000_000, 7_777_777_777):
            cut = folder / f"cut-{schedule}-{until}"
            told = run(cut, *options, "--until", f"{until}ps")["images"]
            with h5py.File(cut / "activity.h5") as file:
                images = file["images"][:]
            arrived = all_images[all_images["arrival"] <= until]
            ended = arrived["end"] <= until
            right = [(int(a), int(s) if s <= until else NEVER, int(e) if e <= until else NEVER)
                     for a, s, e in zip(arrived["arrival"], arrived["start"], arrived["end"])]
            got = [tuple(int(x) for x in image) for image in zip(images["arrival"], images["start"], images["end"])]
            expect(got == right, f"{cut.name}: {got}, not {right}")
            expect((told["arrived"], told["count"]) == (len(arrived), int(ended.sum())), f"{cut.name}: {told}")


def check_padding(folder):
    """What reads nothing but padding begins no layer and no image."""
    options = ["-n", "resnet18", "-c", "clsa-256", "--schedule", "xinf", "--duplicate", "greedy", "--extra-pes", "16"]
    run(folder / "padding", *options, "--images", "2", "--arrivals", "1ms")
    with h5py.File(folder / "padding" / "activity.h5") as file:
        ops, operands = operations(file)
        layers = file["layers"][:]
        images = file["images"][:]
        times = starts_and_ends(file["ops"][:])
    kinds = h5py.check_enum_dtype(ops.dtype["kind"])
    padding = {}
    for operation in ops:
        its = operands.get(int(operation["id"]), [])
        reads = operation["kind"] not in (kinds["load"], kinds["program"])
        padding[int(operation["id"])] = reads and all(padding[on] for on in its)
    marked = ops["padding"] == 1
    expect((marked == np.array([padding[int(i)] for i in ops["id"]])).all(), "padding: other operations are marked")
    without = sum(1 for operation in ops[marked] if int(operation["id"]) not in operands)
    expect(100 < without < marked.sum() < len(ops) / 2, f"padding: {marked.sum()} are marked")
    for number, layer in enumerate(layers):
        its = ops[ops["layer"] == number]
        if len(its):
            reads = its[its["padding"] == 0]
            expect(int(layer["start"]) == int((reads if len(reads) else its)["start"].min()),
                   f"padding: start of {layer['name']}")
    early = sum(1 for number, layer in enumerate(layers)
                if (ops["layer"] == number).any() and ops["start"][ops["layer"] == number].min() < layer["start"])
    expect(early > 5, f"padding: {early} layers have operations before their start")
    for image in images:
        expect(int(image["start"]) == times[int(image["image"])][0], "padding: start of an image")
        expect((ops["start"][ops["image"] == image["image"]] >= image["arrival"]).all(), "padding: before the arrival")
    last = int(ops["id"][marked][-1])
    chain = json.loads(tessera("inspect", folder / "padding", "--why", last, "--json").stdout)
    expect(chain["What let it start"][0]["reads"] == "padding", "padding: inspect --why")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_load(folder)
        check_cut(folder)
        check_padding(folder)
    print(f"{len(FAILURES)} failures")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
