#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What figures are divided by and what they add up to, in random runs cut by --until: windows sum to totals and end
where the run does, units' times to the time simulated, intervals and stalls are those of /units, and what a whole run's
windows say up to a tick is what a run cut there says in total."""
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import h5py
import numpy

TESSERA = os.environ["TESSERA"]
SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
CHAIN = SOURCE / "traces" / "two-layer-chain.trace.jsonl"
CHIPS = 60
CUTS = 5
COMPUTES = ("drive", "crossbar", "hold", "convert", "shift_add", "output", "charge", "multiply", "share", "weigh",
            "chain", "digitise", "mvm")
FAILURES = []


def expect(condition, what):
    if not condition:
        FAILURES.append(what)
        print(what, file=sys.stderr)


def run(folder, arguments, kernel="native"):
    done = subprocess.run([TESSERA, "run", *map(str, arguments), "--level", "stage", "--kernel", kernel, "--json",
                           "--force", "-o", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=120)
    if done.returncode != 0:
        sys.exit(f"{arguments}: {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


class Results:
    """activity.h5, with names for numbers."""

    def __init__(self, folder):
        with h5py.File(folder / "activity.h5") as file:
            self.attributes = dict(file.attrs)
            for table in ("units", "layers", "buffers", "noc/links", "ops", "intervals", "stalls"):
                setattr(self, table.split("/")[-1], file[table][:])
            self.kinds = {number: name for name, number in
                          h5py.check_enum_dtype(file["units"].dtype["kind"]).items()}
            self.stages = {number: name for name, number in
                           h5py.check_enum_dtype(file["intervals"].dtype["stage"]).items()}

    def time_by_kind(self):
        times = Counter()
        for name in self.units.dtype.names:
            if name.startswith("time_"):
                for kind, title in self.kinds.items():
                    times[title, name[5:]] += int(self.units[name][self.units["kind"] == kind].sum())
        return +times


class Sums:
    """Of lines of windows.jsonl."""

    def __init__(self):
        self.figures, self.time, self.links, self.layers = Counter(), Counter(), Counter(), Counter()
        self.bytes, self.held, self.computed = Counter(), {}, 0.0

    def add(self, line, crossbars):
        length = line["end"] - line["begin"]
        for name in ("operations", "mvm_vectors", "events"):
            self.figures[name] += line[name]
        for kind, figures in line["units"].items():
            self.time.update({(kind, stage): time for stage, time in figures["time"].items()})
        for link in line["links"]:
            self.links.update({(link["name"], name): link[name] for name in ("flits", "busy", "stalled")})
        for layer in line["layers"]:
            self.layers.update({(layer["layer"], name): value for name, value in layer.items()
                                if name not in ("layer", "name")})
        for name, held in self.held.items():
            self.bytes[name] += held * length
        for buffer in line["buffers"]:
            self.bytes[buffer["name"]] += (buffer["mean"] - self.held.get(buffer["name"], 0)) * length
            self.bytes[buffer["name"], "waits"] += buffer["waits"]
            self.held[buffer["name"]] = buffer["bytes"]
        self.computed += line["utilization"] * length


def compare(sums, results, span, title):
    """Sums of windows are the totals."""
    expect(sums.figures["operations"] == results.attributes["operations"], f"{title}: operations of windows")
    expect(sums.figures["events"] == results.attributes["events"], f"{title}: events of windows")
    expect(sums.figures["mvm_vectors"] == int(results.units["vectors"].sum()), f"{title}: vectors of windows")
    expect(+sums.time == results.time_by_kind(), f"{title}: times of windows: {sums.time} {results.time_by_kind()}")
    links = Counter({(row["name"].decode(), name): int(row[name]) for row in results.links
                     for name in ("flits", "busy", "stalled")})
    expect(+sums.links == +links, f"{title}: links of windows: {+sums.links} {+links}")
    layers = Counter({(number, name): int(row[name]) for number, row in enumerate(results.layers) for name in
                      ("operations", "vectors", "macro_time", "compute_time", "moved_bytes", "memory_bytes")})
    expect(+sums.layers == +layers, f"{title}: layers of windows")
    for row in results.buffers:
        name = row["name"].decode()
        expect(abs(sums.bytes[name] / max(span, 1) - row["mean"]) < 1e-6 * (1 + row["mean"]),
               f"{title}: {name}: {sums.bytes[name] / max(span, 1)} is not {row['mean']}")
        expect(sums.bytes[name, "waits"] == row["waits"], f"{title}: {name}: waits")
    expect(abs(sums.computed / max(span, 1) - results.attributes["utilization"]) < 1e-12,
           f"{title}: utilization is not the mean of the windows'")


def check_windows(folder, results, span, every, title):
    lines = [json.loads(line) for line in (folder / "windows.jsonl").read_text().splitlines()]
    sums, window, begin = Sums(), 0, 0
    for line in lines:
        length = line["end"] - line["begin"]
        expect(line["window"] == window and line["begin"] == begin, f"{title}: window {window}: a gap")
        window += line["windows"]
        begin = line["end"]
        last = line is lines[-1]
        expect(length == line["windows"] * every or last and length <= line["windows"] * every,
               f"{title}: window {window}: length {length}")
        expect(line["windows"] == 1 or line["events"] == 0, f"{title}: events in windows that share a line")
        for link in line["links"]:
            expect(link["busy"] <= length and link["stalled"] <= length, f"{title}: {link} in {length} ps")
        sums.add(line, results.attributes["crossbars"])
    expect(begin == span and window == -(-span // every), f"{title}: {window} windows up to {begin} of {span}")
    compare(sums, results, span, title)
    return lines


def covered(rows, limit):
    """Length of the union of stretches, each of which is repeated `count` times."""
    stretches = []
    for row in rows:
        names = row.dtype.names
        count, period = (int(row["count"]), int(row["period"])) if "count" in names else (1, 0)
        begin, end = int(row["begin"]), int(row["end"])
        stretches.extend((begin + i * period, end + i * period) for i in range(count))
    total, reached = 0, 0
    for begin, end in sorted(stretches):
        expect(end <= limit, f"a stretch ends at {end}, beyond {limit}")
        total += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def check_totals(results, span, title, is_digital=lambda tile: False):
    computing = 0
    for number, unit in enumerate(results.units):
        time = {name[5:]: int(unit[name]) for name in results.units.dtype.names if name.startswith("time_")}
        expect(sum(time.values()) == span, f"{title}: {unit['name']} {sum(time.values())} of {span}")
        rows = [*results.intervals[results.intervals["unit"] == number], *results.stalls[results.stalls["unit"] == number]]
        expect(covered(rows, span) == span - time["no_work"],
               f"{title}: {unit['name']}: intervals and stalls are not its times")
        # What it waits for with nothing running is in /stalls, and nothing else is.
        for stage in ("wait_input", "wait_release", "wait_space"):
            mine = results.stalls[(results.stalls["unit"] == number)]
            mine = mine[[results.stages[stall] == stage for stall in mine["stage"]]]
            expect(int((mine["end"] - mine["begin"]).sum()) == time[stage], f"{title}: {unit['name']}: {stage}")
        if results.kinds[unit["kind"]] == "macro" and not is_digital(int(unit["node"])):
            computing += sum(time[stage] for stage in COMPUTES)
    crossbars = results.attributes["crossbars"]
    expect(abs(results.attributes["utilization"] - computing / max(1, crossbars * span)) < 1e-12,
           f"{title}: utilization")
    expect(computing == int(results.layers["compute_time"].sum()),
           f"{title}: layers computed {results.layers['compute_time'].sum()} of {computing}")


def check_operations(whole, cut, until, title):
    """What has started by then is there, and ends then at the latest."""
    started = whole.ops[whole.ops["start"] <= until]
    expected = {int(row["id"]): (int(row["start"]), min(int(row["end"]), until), int(row["end"] > until))
                for row in started}
    found = {int(row["id"]): (int(row["start"]), int(row["end"]), int(row["unfinished"])) for row in cut.ops}
    expect(found == expected, f"{title}: other operations: {set(found.items()) ^ set(expected.items())}")
    expect(cut.attributes["operations"] + cut.attributes["unfinished"] == len(cut.ops), f"{title}: counts")
    whole_wait = dict(zip(whole.ops["id"], whole.ops["wait"]))
    for row in cut.ops:
        expect(row["wait"] <= whole_wait[row["id"]], f"{title}: {row['id']} waited longer than in the whole run")


def random_case(draws):
    """Arguments of a run without its end."""
    kind = draws.choice(("mesh", "mesh", "bus", "ideal"))
    sets = [f"noc.kind={kind}"]
    if kind == "mesh":
        sets += [f"noc.flit_bits={draws.choice((8, 64, 256))}", f"noc.vcs={draws.choice((1, 2, 4))}"]
    if kind == "bus":
        sets.append(f"noc.bytes_per_cycle={draws.choice((1, 3, 32))}")
    if draws.random() < 0.3:
        sets.append('noc.clock="1.28 GHz"')
    if draws.random() < 0.5:
        sets += [f"buffer.ports={draws.choice((1, 2))}", f"buffer.bytes_per_cycle={draws.choice((4, 32))}"]
    if draws.random() < 0.25:
        workload = ["--trace", CHAIN, "--chip", "tiny"]
    else:
        sets += ["tiles.rows=2", "tiles.columns=2", "tiles.macros=4", f"memory.ports={draws.choice((1, 2))}"]
        workload = ["--network", "lenet5", "--chip", draws.choice(("clsa-256", "clsa-256", "aidac")),
                    "--schedule", draws.choice(("layer-by-layer", "xinf"))]
        if draws.random() < 0.3:
            workload += ["--images", "2"]
    return workload + [word for text in sets for word in ("--set", text)]


def check_runs(folder):
    draws = random.Random(20)
    runs = 0
    for chip in range(CHIPS):
        case = random_case(draws)
        whole_folder, cut_folder = folder / "whole", folder / "cut"
        said = run(whole_folder, case)
        makespan = said["makespan_ps"]
        expect(said["complete"] and said["span_ps"] == makespan and said["unfinished"] == 0, f"{case}: {said}")
        every = draws.choice((makespan // 7 + 1, makespan // draws.randrange(20, 300) + 1, 100_000))
        every = max(every, makespan // 500 + 1)
        run(whole_folder, [*case, "--stats-every", f"{every}ps"])
        whole = Results(whole_folder)
        title = f"chip {chip}: {' '.join(map(str, case))} --stats-every {every}ps"
        lines = check_windows(whole_folder, whole, makespan, every, title)
        check_totals(whole, makespan, title)
        moments = sorted({int(moment) for name in ("start", "end") for moment in whole.ops[name]})
        for _ in range(CUTS):
            until = draws.choice((draws.randrange(1, makespan), draws.choice(moments) + draws.randrange(-1, 2),
                                  every * draws.randrange(1, max(2, makespan // every + 1))))
            until = min(max(until, 1), makespan - 1)
            arguments = [*case, "--until", f"{until}ps", "--stats-every", f"{every}ps"]
            cut_title = f"{title} --until {until}ps"
            said = run(cut_folder, arguments)
            expect(not said["complete"] and said["span_ps"] == until and said["makespan_ps"] is None,
                   f"{cut_title}: {said}")
            cut = Results(cut_folder)
            check_windows(cut_folder, cut, until, every, cut_title)
            check_totals(cut, until, cut_title)
            check_operations(whole, cut, until, cut_title)
            # Windows of the whole run up to there.
            sums = Sums()
            before = [line for line in lines if line["end"] <= until]
            if before and before[-1]["end"] == until:
                for line in before:
                    sums.add(line, cut.attributes["crossbars"])
                compare(sums, cut, until, f"{cut_title}: of the whole run")
            runs += 1
        if chip % 10 == 0:
            other = folder / "other"
            run(other, arguments, "systemc")
            for name in ("activity.h5", "stats.json", "windows.jsonl"):
                expect((other / name).read_bytes() == (cut_folder / name).read_bytes(), f"{cut_title}: {name}, SystemC")
        if FAILURES:
            return
    print(f"{runs} runs were cut")


def check_views(folder):
    """Who shows a cut run says that it was cut, and where."""
    said = run(folder / "cut", ["--network", "lenet5", "--chip", "clsa-256", "--until", "3us"])
    tables = json.loads(subprocess.run([TESSERA, "inspect", folder / "cut", "--json"], check=True,
                                       stdout=subprocess.PIPE).stdout)
    summary = {row["figure"]: row["value"] for row in tables["Summary"]}
    expect(summary["complete"] is False and summary["cut at its limit"] == 3_000_000 and "makespan" not in summary,
           f"inspect: {summary}")
    expect(summary["operations in flight"] == said["unfinished"] > 0, f"inspect: {summary}")
    path = tables["Where the span went, by cause"]
    expect(sum(row["time_ps"] for row in path) == 3_000_000, f"the path of a cut run: {path}")
    stats = json.loads((folder / "cut" / "stats.json").read_text())["chip"]
    expect(stats["span"]["value"] == 3_000_000 and stats["complete"]["value"] == 0 and "makespan" not in stats, "stats")
    results = Results(folder / "cut")
    expect("makespan_ps" not in results.attributes and results.attributes["span_ps"] == 3_000_000, "attributes")
    subprocess.run([TESSERA, "h5", "recover", folder / "cut", "-o", folder / "again.h5"], check=True, stdout=subprocess.PIPE)
    tables = json.loads(subprocess.run([TESSERA, "inspect", folder / "again.h5", "--json"], check=True,
                                       stdout=subprocess.PIPE).stdout)
    expect("cut at its limit" in [row["figure"] for row in tables["Summary"]], "a recovered file says that the run was cut")
    operation = results.ops["id"][results.ops["unfinished"] == 1][0]
    why = json.loads(subprocess.run([TESSERA, "inspect", folder / "cut", "--why", str(operation), "--json"], check=True,
                                    stdout=subprocess.PIPE).stdout)
    chain = next(iter(why.values()))
    expect([row["finished"] for row in chain] == [False] + [True] * (len(chain) - 1), f"--why: {chain}")
    text = subprocess.run([TESSERA, "run", "--network", "lenet5", "--chip", "clsa-256", "--until", "3us", "--force",
                           "-o", folder / "cut"], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    expect("span                  3 us (3000000 ps" in text.stdout and "makespan" not in text.stdout, text.stdout)


def check_crossbars(folder):
    """Macros hold weights whether their first operation has ended or not, also where a trace does not say where."""
    lines = CHAIN.read_text()
    header = json.loads(lines.splitlines()[0])
    macros = [name for name, count in header["counts"]["units"].items() if ".m" in name and count]
    for until in ("1ps", "1ms"):
        said = run(folder / "few", ["--trace", CHAIN, "--chip", "tiny", "--until", until])
        expect(said["crossbars"] == len(macros), f"crossbars at {until}: {said}")


def check_digital(folder):
    """Digital macros are left out of crossbars, compute time and utilization, of layers as of the chip."""
    layers = [{"name": "x", "kind": "input", "shape": [8, 1, 32]}]
    layers += [{"name": name, "kind": "dense", "channels": 32, "inputs": ["x"]} for name in "qkv"]
    layers += [{"name": "scores", "kind": "matmul", "inputs": ["q", "k"], "heads": 2, "transpose_second": True},
               {"name": "softmax", "kind": "softmax", "inputs": ["scores"]},
               {"name": "context", "kind": "matmul", "inputs": ["softmax", "v"], "heads": 2}]
    network = folder / "attention.json"
    network.write_text(json.dumps({"name": "attention", "layers": layers}))
    case = ["--network", network, "--chip", "clsa-256-hybrid", "--attention", "digital", "--schedule", "xinf"]
    makespan = run(folder / "whole", case)["makespan_ps"]
    with h5py.File(folder / "whole" / "activity.h5") as file:
        config = json.loads(file["meta/config"][()])
    columns, chosen = config["tiles"]["columns"], config["digital"]["tile_columns"]
    digital = {(2 * k + 1) * columns // (2 * chosen) for k in range(chosen)}
    whole = Results(folder / "whole")
    busy = {int(row["node"]) % columns for row in whole.units if row["vectors"] and whole.kinds[row["kind"]] == "macro"}
    expect(busy & digital and busy - digital, f"columns at work: {busy}, digital: {digital}")

    def is_digital(tile):
        return tile % columns in digital
    check_totals(whole, makespan, "attention", is_digital)
    expect(all((row["crossbars"] == 1) == (row["name"] in (b"q", b"k", b"v")) for row in whole.layers), "crossbars")
    for until in (makespan // 3, makespan // 2, makespan * 9 // 10):
        run(folder / "cut", [*case, "--until", f"{until}ps", "--stats-every", "777777ps"])
        cut = Results(folder / "cut")
        check_windows(folder / "cut", cut, until, 777_777, f"attention until {until}")
        check_totals(cut, until, f"attention until {until}", is_digital)


def check_python(folder):
    """The package takes lines apart that stand for several windows."""
    if not os.environ.get("TESSERA_PYTHON"):
        return
    sys.path.insert(0, os.environ["TESSERA_PYTHON"])
    from tessera import InputError, IoError, read_windows
    run(folder / "apart", ["--network", "lenet5", "--chip", "clsa-256", "--stats-every", "100ns"])
    lines = [json.loads(line) for line in (folder / "apart" / "windows.jsonl").read_text().splitlines()]
    windows = list(read_windows(folder / "apart"))
    expect(len(windows) == lines[-1]["window"] + lines[-1]["windows"] > 2 * len(lines), "windows of lines")
    expect([window["window"] for window in windows] == list(range(len(windows))), "numbers of windows")
    expect(all(a["end"] == b["begin"] for a, b in zip(windows, windows[1:])), "windows apart have gaps")
    expect(all(window["end"] - window["begin"] == 100_000 for window in windows[:-1]), "windows apart have one length")
    results = Results(folder / "apart")
    sums, span = Sums(), windows[-1]["end"]
    for window in windows:
        mean = {buffer["name"]: buffer["mean"] for buffer in window["buffers"]}
        sums.add({**window, "buffers": []}, results.attributes["crossbars"])
        for name, value in mean.items():
            sums.bytes[name] += value * (window["end"] - window["begin"])
        for buffer in window["buffers"]:
            sums.bytes[buffer["name"], "waits"] += buffer["waits"]
    compare(sums, results, span, "windows apart")
    (folder / "apart" / "windows.jsonl").write_text(json.dumps({**lines[0], "windows": 0}) + "\n")
    for path, error, word in ((folder / "apart", InputError, "windows.jsonl:1"), (folder / "none", IoError, "none")):
        try:
            list(read_windows(path))
            expect(False, f"{path} is accepted")
        except error as problem:
            expect(word in str(problem), f"{problem}")


def check_formats(folder):
    """Files of older formats are refused with both versions and what to do."""
    for file in sorted((SOURCE / "tests" / "data" / "formats").glob("activity-*.h5.gz")):
        old = folder / file.stem
        old.write_bytes(gzip.decompress(file.read_bytes()))
        version = file.stem.split(".")[0].split("-")[1]
        for command in (["inspect", old], ["h5", "check", old], ["h5", "recover", old, "-o", folder / "new.h5"]):
            done = subprocess.run([TESSERA, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            expect(done.returncode == 3 and f"/@format_version: is {version}, this version of tessera reads 2" in
                   done.stderr and "run again" in done.stderr,
                   f"{command}: {done.returncode} {done.stderr}")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_formats(folder)
        check_views(folder)
        check_crossbars(folder)
        check_digital(folder)
        check_python(folder)
        check_runs(folder)
    print(f"{len(FAILURES)} failures")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
