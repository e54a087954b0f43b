#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM at random moments of every command that takes long: exit code 130, soon, and nothing left but
what is whole, or what says that it is partial and can be read.

INTERRUPT_ROUNDS: moments per command (default 3)."""
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py

TESSERA = os.environ["TESSERA"]
ROUNDS = int(os.environ.get("INTERRUPT_ROUNDS", "3"))
SECONDS = 1.0
TRIES = 60
# One that takes long enough to be met: sanitizers make everything so.
NETWORK = "resnet18" if os.environ.get("TESSERA_SANITIZE") else "resnet152"


def run(arguments):
    begin = time.monotonic()
    done = subprocess.run([TESSERA, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          timeout=250)
    if done.returncode != 0:
        raise RuntimeError(f"{arguments}: exit code {done.returncode}\n{done.stderr}")
    return time.monotonic() - begin


def slack():
    """What a busy machine adds to everything: a start that takes 10 ms when nobody else is there."""
    return 20 * max(run(["--version"]) for _ in range(3))


class Campaign:
    def __init__(self, folder):
        self.folder = folder
        self.failures = []
        self.shots = 0
        self.hits = {}
        self.slowest = 0.0

    def shoot(self, name, arguments, after, number, check):
        """One signal `after` seconds; `check(returncode)` lists what is wrong with what is left."""
        process = subprocess.Popen([TESSERA, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True)
        # The signals' disposition is set first thing; before that the process dies of them as any other does.
        time.sleep(after)
        early = process.poll() is None and not handler_installed(process.pid, number)
        process.send_signal(number)
        begin = time.monotonic()
        try:
            _, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            self.fail(name, after, "it hangs")
            return
        took = time.monotonic() - begin
        self.shots += 1
        code = process.returncode
        problems = []
        if code not in (0, 130) and not (early and code == -number):
            problems.append(f"exit code {code}: {err.strip()}")
        if code == 130:
            self.hits[name] = self.hits.get(name, 0) + 1
            self.slowest = max(self.slowest, took)
            if "interrupted" not in err:
                problems.append(f"does not say why it ends: {err!r}")
            if took > SECONDS and took > slack() + SECONDS:
                problems.append(f"took {took:.2f} s to end")
        problems += check(code)
        for problem in problems:
            self.fail(name, after, problem)

    def fail(self, name, after, problem):
        self.failures.append(f"{name}, signal after {after:.3f} s: {problem}")


def handler_installed(pid, number):
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return int(line.split()[1], 16) >> (number - 1) & 1 == 1
    except OSError:
        pass
    return False


def nothing_but(folder, names):
    left = sorted(entry.name for entry in folder.iterdir())
    return [] if set(left) <= set(names) else [f"left {left}"]


def check_output(folder, name):
    """The output file is there exactly when the command says that it is."""
    def check(code):
        problems = nothing_but(folder, [name])
        if (folder / name).exists() != (code == 0):
            problems.append(f"exit code {code}, and {name} is {'' if (folder / name).exists() else 'not '}there")
        (folder / name).unlink(missing_ok=True)
        return problems
    return check


def check_result(folder):
    """A result is complete, partial and readable, or not there at all."""
    def check(code):
        if not folder.exists():
            return [] if code != 0 else ["no results"]
        files = {entry.name for entry in folder.iterdir()}
        problems = [f"left {name}" for name in files if name.endswith(".tmp")]
        status = json.loads((folder / "run.json").read_text())["status"] if "run.json" in files else "none"
        if code == 0:
            part = "activity.h5"
            problems += [] if status == "complete" else [f"status {status}, exit code 0"]
        elif status == "interrupted":
            part = "activity.h5.part"
        else:
            # Before the first event, or killed by a signal that nobody could catch yet.
            problems += [] if status in ("none", "failed", "running") else [f"status {status}, exit code {code}"]
            problems += [] if "activity.h5" not in files else ["looks complete"]
            return problems
        with h5py.File(folder / part, "r") as file:
            recorded = int((file["ops"]["unfinished"] == 0).sum())
            if len(file["ops"]) - recorded != file.attrs["unfinished"]:
                problems.append("other operations are in flight than the file says")
            if int(file["ops"]["end"].max(initial=0)) > file.attrs["span_ps"]:
                problems.append("operations end after the span")
            if bool(file.attrs["closed"]) != (code == 0):
                problems.append("the file and the exit code disagree")
        counted = json.loads((folder / "stats.json").read_text())["chip"]["operations"]["value"]
        if recorded != counted:
            problems.append(f"{recorded} operations recorded, {counted} counted")
        return problems
    return check


def clear(folder):
    for entry in folder.iterdir() if folder.exists() else []:
        entry.unlink()
    if folder.exists():
        folder.rmdir()


def main():
    rng = random.Random(int(os.environ.get("INTERRUPT_SEED", "1")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        campaign = Campaign(folder)
        out = folder / "out"
        out.mkdir()
        network = ["--network", NETWORK, "--chip", "clsa-256"]
        text, packed, h5 = (str(folder / f"big.trace.{ending}") for ending in ("jsonl", "jsonl.gz", "h5"))
        run(["compile", *network, "--images", "4", "-o", h5])
        run(["trace", "convert", h5, text])
        run(["trace", "convert", h5, packed])
        done = folder / "done"
        run(["run", *network, "--level", "stage", "-q", "-o", str(done)])

        def output(title, arguments, file):
            return title, [*arguments, str(out / file)], check_output(out, file)

        def silent(title, arguments):
            return title, arguments, lambda code: nothing_but(out, [])

        result = folder / "result"
        commands = [
            output("compile", ["compile", *network, "--images", "4", "-o"], "a.trace.jsonl"),
            output("compile to HDF5", ["compile", *network, "--images", "4", "-o"], "a.trace.h5"),
            output("convert text to HDF5", ["trace", "convert", text], "a.trace.h5"),
            output("convert HDF5 to text", ["trace", "convert", h5], "a.trace.jsonl.gz"),
            silent("check text", ["trace", "check", text]),
            silent("check gzip", ["trace", "check", packed]),
            silent("check HDF5", ["trace", "check", h5]),
            silent("stats", ["trace", "stats", h5]),
            silent("inspect", ["inspect", str(done)]),
        ]
        for kernel, source in (("systemc", network), ("native", network), ("native", ["--trace", text, *network[2:]]),
                               ("systemc", ["--trace", h5, *network[2:]]),
                               ("systemc", [*network, "--images", "3", "--stats-every", "20ms"])):
            commands.append((f"run {' '.join(source[:1] + source[4:])} {kernel}",
                             ["run", *source, "--kernel", kernel, "--level", "stage", "-o", str(result)],
                             check_result(result)))
        for title, arguments, check in commands:
            whole = run(arguments + (["-q"] if arguments[0] in ("run", "compile") else []))
            problems = check(0)
            campaign.failures += [f"{title}, undisturbed: {problem}" for problem in problems]
            k = 0
            # A short command is not always met: once more, then, until it is.
            while k < ROUNDS or (campaign.hits.get(title, 0) == 0 and k < ROUNDS + TRIES):
                clear(result)
                # Spread over the whole of it, and some at its very end.
                after = whole * (0.9 + 0.1 * rng.random() if k % 6 == 5 else 0.8 * rng.random())
                number = signal.SIGTERM if k % 3 == 2 else signal.SIGINT
                campaign.shoot(title, arguments, after, number, check)
                k += 1
            clear(result)

        # The second signal does not wait for anybody.
        process = subprocess.Popen([TESSERA, "run", *network, "--images", "50", "-q", "-o", str(result)],
                                   stderr=subprocess.DEVNULL)
        while not (result / "activity.h5.part").exists():
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        if process.wait(timeout=60) not in (130, -signal.SIGINT):
            campaign.failures.append(f"two signals: exit code {process.returncode}")
        with h5py.File(result / "activity.h5.part", "r") as file:
            len(file["ops"])

        # Nor does it wait for a pipe into which nobody writes.
        reader, writer = os.pipe()
        process = subprocess.Popen([TESSERA, "config", "check", f"/dev/fd/{reader}"], pass_fds=[reader],
                                   stderr=subprocess.DEVNULL)
        os.close(reader)
        while not handler_installed(process.pid, signal.SIGINT):
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        if process.wait(timeout=60) != 130:
            campaign.failures.append(f"a pipe: exit code {process.returncode}")
        os.close(writer)

        missed = [title for title, _, _ in commands if campaign.hits.get(title, 0) == 0]
        if missed:
            campaign.failures.append(f"no signal came in time for {missed}")
        for failure in campaign.failures:
            print(failure, file=sys.stderr)
        print(f"{campaign.shots} signals, {sum(campaign.hits.values())} interrupted something, the slowest end took "
              f"{campaign.slowest:.3f} s, {len(campaign.failures)} failures")
        return 1 if campaign.failures else 0


if __name__ == "__main__":
    sys.exit(main())
