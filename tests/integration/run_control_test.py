#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run control on the command line, under both kernels: where a run ends, windows of statistics, arrivals, repeated
traces, the log and the watchdog."""
import json
import os
import re
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import h5py

TESSERA = os.environ["TESSERA"]
SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
CHAIN = str(SOURCE / "traces" / "two-layer-chain.trace.jsonl")
KERNELS = ("systemc", "native")
LATEST = 2 ** 62 - 1  # ps, that anything may be asked to happen at
FAILURES = []


def tessera(*arguments):
    return subprocess.run([TESSERA, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=120)


def expect(condition, what):
    if not condition:
        FAILURES.append(what)
        print(what, file=sys.stderr)


def content(path):
    return path.read_bytes() if path.exists() else None


def both_kernels(folder, title, arguments, files):
    """Runs under both kernels; the files must be the same. Returns the folder of one of them."""
    for kernel in KERNELS:
        log = ["--log-file", folder / f"{title}-{kernel}.log"] if "--log" in arguments else []
        done = tessera("run", *arguments, "--kernel", kernel, "-q", "-o", folder / f"{title}-{kernel}", *log)
        expect(done.returncode == 0, f"{title}, {kernel}: exit code {done.returncode}: {done.stderr}")
    for name in files:
        one, other = (content(folder / f"{title}-{kernel}" / name) for kernel in KERNELS)
        expect(one is not None and one == other, f"{title}: {name} differs between the kernels, or is missing")
    logs = [content(folder / f"{title}-{kernel}.log") for kernel in KERNELS]
    expect(logs[0] == logs[1], f"{title}: the log differs between the kernels")
    return folder / f"{title}-native"


def check_until(folder, network):
    whole = both_kernels(folder, "whole", network, ["activity.h5", "stats.json"])
    with h5py.File(whole / "activity.h5") as file:
        ops = file["ops"][:]
    makespan = int(ops["end"].max())
    middle = int(sorted(ops["end"])[len(ops) // 2])
    for until in (middle - 1, middle, makespan - 1, makespan, makespan + 1):
        cut = both_kernels(folder, f"until{until}", [*network, "--until", f"{until}ps"], ["activity.h5", "stats.json"])
        with h5py.File(cut / "activity.h5") as file:
            cut_ops = file["ops"][:]
            ended = ops[ops["end"] <= until]
            finished = cut_ops[cut_ops["unfinished"] == 0]
            expect(len(finished) == len(ended) and (finished["id"] == ended["id"]).all(),
                   f"--until {until} ps: other operations than those that end by then")
            expect(set(cut_ops["id"]) == set(ops["id"][ops["start"] <= until]), f"--until {until} ps: what has started")
            expect(int(file.attrs["span_ps"]) == min(until, makespan), f"--until {until} ps: span")
            expect(int(file.attrs["closed"]) == 1, f"--until {until} ps: complete")
        status = json.loads((cut / "run.json").read_text())["status"]
        expect(status == ("until" if until < makespan else "complete"), f"--until {until} ps: status {status}")
        expect(tessera("inspect", cut).returncode == 0, f"--until {until} ps: inspect")
    done = tessera("run", *network, "--until", "10us", "-o", folder / "told")
    expect("stopped at --until 10us" in done.stderr, f"--until is not told: {done.stderr}")


def check_windows(folder, network):
    run = both_kernels(folder, "windows", [*network, "--stats-every", "100us"],
                       ["activity.h5", "stats.json", "windows.jsonl"])
    expect(content(run / "activity.h5") == content(folder / "whole-native" / "activity.h5"),
           "windows change the activity")
    lines = [json.loads(line) for line in (run / "windows.jsonl").read_text().splitlines()]
    stats = json.loads((run / "stats.json").read_text())["chip"]
    expect(sum(line["operations"] for line in lines) == stats["operations"]["value"], "windows: operations")
    expect(lines[-1]["end"] == stats["makespan"]["value"], "windows: the last end")
    expect(all(a["end"] == b["begin"] for a, b in zip(lines, lines[1:])), "windows: gaps")
    expect(all(line["end"] - line["begin"] == line["windows"] * 100_000_000 for line in lines[:-1]), "windows: lengths")


def check_images(folder):
    chip = ["--chip", "clsa-256"]
    trace = folder / "lenet5.trace.h5"
    expect(tessera("compile", "-n", "lenet5", *chip, "-o", trace).returncode == 0, "compile")
    for kind in (str(trace), None):
        source = ["--trace", kind] if kind else ["--network", "lenet5"]
        run = both_kernels(folder, f"images{'' if kind is None else '-trace'}", [*source, *chip, "--images", "3"],
                           ["activity.h5", "stats.json"])
        with h5py.File(run / "activity.h5") as file:
            images = file["ops"][:]["image"]
            expect([int((images == k).sum()) for k in range(4)] == [len(images) // 3] * 3 + [0], f"images of {source}")
    two = folder / "two.trace.jsonl"
    tessera("compile", "-n", "lenet5", *chip, "--images", "2", "-o", two)
    done = tessera("run", "--trace", two, *chip, "--images", "2", "-o", folder / "refused")
    expect(done.returncode == 3 and "several images" in done.stderr and "two.trace.jsonl:" in done.stderr,
           f"several images: {done.returncode} {done.stderr}")
    for arrivals, seed in (("2ms", []), ("poisson:2ms", ["--seed", "7"])):
        run = both_kernels(folder, "arrivals-" + arrivals.replace(":", ""),
                           ["--trace", trace, *chip, "--images", "20", "--arrivals", arrivals, *seed],
                           ["activity.h5", "stats.json"])
        with h5py.File(run / "activity.h5") as file:
            ops = file["ops"][:]
        starts = [int(ops["start"][ops["image"] == k].min()) for k in range(20)]
        if arrivals == "2ms":
            expect(starts == [2_000_000_000 * k for k in range(20)], f"arrivals: {starts}")
        else:
            expect(starts == sorted(starts) and len(set(starts)) == 20, f"Poisson arrivals: {starts}")
            again = folder / "seed8"
            tessera("run", "--trace", trace, *chip, "--images", "20", "--arrivals", arrivals, "--seed", "8", "-q",
                    "--kernel", "native", "-o", again)
            expect(content(again / "activity.h5") != content(run / "activity.h5"), "the seed changes nothing")


def check_log(folder, network):
    run = both_kernels(folder, "log", [*network, "--log", "all"], ["activity.h5", "stats.json"])
    expect(content(run / "activity.h5") == content(folder / "whole-native" / "activity.h5"),
           "logging changes the activity")
    lines = (folder / "log-native.log").read_text().splitlines()
    expect([int(line.split()[0]) for line in lines] == sorted(int(line.split()[0]) for line in lines),
           "the log goes back in time")
    done = tessera("run", *network, "--log", "noc@*,buffer@t0", "--log", "op@mem?", "-q", "-o", folder / "some")
    chosen = [line for line in lines if line.split()[2] == "noc" or line.split()[1:3] == ["t0", "buffer"] or
              (line.split()[2] == "op" and line.split()[1].startswith("mem"))]
    expect(done.stderr.splitlines() == chosen and len(chosen) > 10, "globs choose other lines")
    listed = tessera("run", "--log", "list")
    topics = [line.split()[0] for line in listed.stdout.splitlines() if line]
    expect(set(topics) >= {line.split()[2] for line in lines} and "noc" in topics, f"topics: {topics}")


def check_watchdog(folder):
    header = {"format": "tessera-trace", "version": "1.0", "tiles": 4, "memory_ports": 1,
              "counts": {"operations": 2, "units": {"t0.vec": 1, "t0.ni": 1}}, "window": 2}
    made = {"id": 0, "op": "vec", "at": "t0.vec", "n": 1, "bytes": 2 ** 32, "uses": 1, "fn": "copy"}
    move = {"id": 1, "op": "move", "at": "t0.ni", "bytes": 2 ** 32, "in": [0], "to": [{"at": "t3", "uses": 0}]}
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in (header, made, move))
    end = {"end": True, "ops": 2, "crc32": f"{zlib.crc32(text.encode()):08x}"}
    trace = folder / "endless.trace.jsonl"
    trace.write_text(text + json.dumps(end, separators=(",", ":")) + "\n")
    for kernel in KERNELS:
        out = folder / f"dog-{kernel}"
        done = tessera("run", "--trace", trace, "--chip", "tiny", "--set", "buffer.capacity=unlimited", "--set",
                       "buffer.ports=unlimited", "--watchdog", "0.2", "--kernel", kernel, "-o", out)
        expect(done.returncode == 4 and "t0.ni: operation 1 (move), since 5000 ps" in done.stderr,
               f"watchdog, {kernel}: {done.returncode} {done.stderr}")
        expect((out / "watchdog.json").exists() and (out / "activity.h5.part").exists(), f"watchdog, {kernel}: files")


def check_refusals(folder, network):
    for arguments, word in ((["--until", "5"], "unit"), (["--until", "5 parsecs"], "one of s, ms"), (["--until", "-5ms"], "negative"),
                            (["--stats-every", "0ms"], "greater"), (["--stats-every", "x"], "--stats-every"),
                            (["--images", "2", "--arrivals", "normal:3ms"], "poisson"),
                            (["--images", "2", "--arrivals", "0ms"], "0"), (["--arrivals", "1ms"], "--images"),
                            (["--log", "nic"], "noc"), (["--log", "noc@"], "glob"), (["--images", "0"], "0 images"),
                            (["--log", "op@tile3"], "'tile3' names no unit of op"), (["--log", "op@t0.m99"], "t0.m9"),
                            (["--until", f"{LATEST + 1}ps"], str(LATEST)), (["--stats-every", f"{LATEST + 1}ps"], str(LATEST)),
                            (["--images", "2", "--arrivals", f"{LATEST + 1}ps"], str(LATEST)),
                            (["--watchdog", "soon"], "watchdog")):
        out = folder / "refused"
        done = tessera("run", *network, *arguments, "-o", out)
        expect(done.returncode == 2 and word in done.stderr, f"{arguments}: {done.returncode} {done.stderr}")
        expect(not out.exists(), f"{arguments}: leaves a folder")


def timed_trace(folder, release):
    """One operation that may not start before a tick."""
    lines = [{"format": "tessera-trace", "version": "1.0", "tiles": 4, "memory_ports": 1},
             {"id": 0, "op": "vec", "at": "t0.vec", "n": 1, "fn": "copy", "release": release}]
    (folder / "open.trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "open.trace.jsonl"


def check_latest_time(folder, network):
    """Every command knows the same latest time: what one accepts, all do."""
    for release in (LATEST - 1, LATEST, LATEST + 1):
        trace = folder / f"{release}.trace.jsonl"
        sealed = tessera("trace", "seal", timed_trace(folder, release), "-o", trace)
        right = release <= LATEST
        expect(sealed.returncode == (0 if right else 3), f"seal, release {release}: {sealed.stderr}")
        if not right:
            text = timed_trace(folder, LATEST).read_text().splitlines()
            header = {**json.loads(text[0]), "counts": {"operations": 1, "units": {"t0.vec": 1}}, "window": 1}
            whole = "".join(json.dumps(line) + "\n" for line in (header, {**json.loads(text[1]), "release": release}))
            trace.write_text(whole + json.dumps({"end": True, "ops": 1, "crc32": f"{zlib.crc32(whole.encode()):08x}"}) + "\n")
        for command in (["trace", "check", trace], ["run", "-t", trace, "-c", "tiny", "-q", "-o", folder / f"r{release}"]):
            done = tessera(*command)
            expect(done.returncode == (0 if right else 3), f"{command[0]}, release {release}: {done.stderr}")
            expect(right or f"{LATEST}" in done.stderr, f"{command[0]}: the limit is not named: {done.stderr}")
    for value in (LATEST - 1, LATEST):
        for option in (["--until", f"{value}ps"], ["--stats-every", f"{value}ps"],
                       ["--images", "2", "--arrivals", f"{value}ps"]):
            done = tessera("run", *network, *option, "-q", "-o", folder / f"{option[-2][2:]}{value}")
            expect(done.returncode == 0, f"{option}: {done.returncode} {done.stderr}")
    done = tessera("run", *network, "--images", "3", "--arrivals", f"{LATEST}ps", "-q", "-o", folder / "third")
    expect(done.returncode == 2 and "image 2 arrives after" in done.stderr, f"third image: {done.returncode} {done.stderr}")


def check_long_sums(folder, network):
    """Times of many units that do not fit 64 bits together are an error, never another number."""
    chip_seconds = [*network, "--images", "8", "--arrivals", "1000s"]  # of 2304 macros
    done = tessera("run", *chip_seconds, "--stats-every", "10000s", "-q", "-o", folder / "sums")
    most = int(re.search(r"give --stats-every at most (\d+) ps", done.stderr)[1]) if done.returncode == 4 else 0
    expect(most > 0, f"a long window: {done.returncode} {done.stderr}")
    done = tessera("run", *chip_seconds, "--stats-every", f"{most}ps", "-q", "-o", folder / "most")
    expect(done.returncode == 0, f"the longest window: {done.returncode} {done.stderr}")
    idle = 0
    for line in (folder / "most" / "windows.jsonl").read_text().splitlines():
        times = [time for kind in json.loads(line)["units"].values() for time in kind["time"].values()]
        expect(min(times) >= 0, f"a time below 0: {line}")
        idle += sum(times)
    expect(idle > 2 ** 63, "sums of the lines are those of the run")
    # Eight macros compute all the time, for more than 2^64 ps together.
    lines = [{"format": "tessera-trace", "version": "1.0", "tiles": 4, "memory_ports": 1}]
    lines += [{"id": i, "op": "mvm", "at": f"t{i % 4}.m{i // 4}", "n": 2 ** 32 - 1} for i in range(8)]
    (folder / "long.hand.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    trace = folder / "long.trace.jsonl"
    expect(tessera("trace", "seal", folder / "long.hand.jsonl", "-o", trace).returncode == 0, "seal")
    for t_mvm in ("100 us", "1 ms"):
        done = tessera("run", "-t", trace, "-c", "tiny", "--set", f"macro.t_mvm={t_mvm}", "--json", "-o", folder / "long", "--force")
        expect(done.returncode == 0 and json.loads(done.stdout)["utilization"] == 1, f"always computing: {done.stdout} {done.stderr}")



def main():
    network = ["--network", "lenet5", "--chip", "clsa-256"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_until(folder, network)
        check_windows(folder, network)
        check_images(folder)
        check_log(folder, network)
        check_latest_time(folder, network)
        check_long_sums(folder, network)
        check_watchdog(folder)
        check_refusals(folder, network)
        live = both_kernels(folder, "live", [*network, "--live"], ["stats.json"])
        with h5py.File(live / "activity.h5") as file:
            expect(len(file["ops"]) > 0, "--live")
    print(f"{len(FAILURES)} failures")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
