#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills runs that replace the complete results of another one (run --force), at moments all over their duration and
often at its beginning and its end. Whatever is left then: when run.json says `complete`, all is there, whole, and of
one and the same run. And the next run can replace it.

REPLACED_KILLS: how many (default 300); REPLACED_SEED: of the moments."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from writing import (HAS_ONNX, MOST_TOLD, SANITIZED, TESSERA, Inputs, is_hidden, read_h5, read_run_file, scratch,
                     snapshot, status_of, succeed)

KILLS = int(os.environ.get("REPLACED_KILLS", "60" if SANITIZED else "300"))
SEED = int(os.environ.get("REPLACED_SEED", "1"))
SEEDS = (1, 2, 3)
STARTS = 0.2  # of the moments: before the results are touched, or just then
ENDS = 0.4  # when the last files are named
AGAIN = 10  # every so many-th folder is replaced undisturbed


def without_times(content):
    """run.json but for what differs from one run to the next."""
    document = json.loads(content)
    return {key: document[key] for key in ("status", "seed", "hashes", "kernel", "tessera_version")}


class Campaign:
    def __init__(self, inputs, base):
        self.folder = base / "results"
        # With noise that the seed is seen in.
        self.command = ["run", "--network", inputs.network, "--chip", "tiny", "--values", inputs.images, "--images",
                        2, "--quiet", "--level", "stage", "--set", "macro.cell.device=generic", "--set",
                        'macro.cell.steps=["programming"]', "-o", self.folder, "--force", "--seed"]
        self.whole = {}
        self.kept = {}
        self.begin = self.end = 0.0
        self.figures = dict.fromkeys(("killed", "ended before", "old results", "new results", "failed or partial"), 0)
        self.problems = []

    def tell(self, what, problem):
        self.problems.append(problem)
        if len(self.problems) <= MOST_TOLD:
            print(f"failed: {what}: {problem}", file=sys.stderr)

    def prepare(self, base):
        for seed in SEEDS:
            shutil.rmtree(self.folder, ignore_errors=True)
            begin = time.monotonic()
            succeed(*self.command, seed)
            self.end = time.monotonic() - begin
            self.whole[seed] = snapshot(self.folder)
            self.kept[seed] = base / f"kept_{seed}"
            shutil.copytree(self.folder, self.kept[seed])
            for path in self.folder.iterdir():
                if read_run_file(path):
                    raise RuntimeError(f"{path}: {read_run_file(path)}")
        if len({content["values.h5"] for content in self.whole.values()}) != len(SEEDS):
            raise RuntimeError("seeds make no difference: nothing is tested")

    def moment(self, numbers):
        """Seconds after the start; the duration is taken again whenever a run ends undisturbed."""
        which = numbers.random()
        if which < STARTS:
            return numbers.uniform(0.0, 0.4) * self.end
        if which < STARTS + ENDS:
            return numbers.uniform(0.6, 1.05) * self.end
        return numbers.uniform(0.0, 1.05) * self.end

    def undisturbed(self, what, seed):
        """Replaces what is left, to the end."""
        begin = time.monotonic()
        done = subprocess.run([TESSERA, *map(str, self.command), str(seed)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, timeout=120)
        self.end = 0.5 * self.end + 0.5 * (time.monotonic() - begin)
        if done.returncode != 0:
            self.tell(what, f"what is left cannot be replaced: exit code {done.returncode}: {done.stderr.strip()}")
            return
        self.check(what + ", replaced", (seed,))

    def check(self, what, seeds):
        """What is in the folder after a kill, or at an end."""
        left = {name: content for name, content in snapshot(self.folder).items() if not is_hidden(name)}
        if status_of(left.get("run.json")) != "complete":
            self.figures["failed or partial"] += 1
            if len(seeds) == 1:
                self.tell(what, f"run.json says {status_of(left.get('run.json'))}")
            return
        seed = json.loads(left["run.json"])["seed"]
        self.figures["new results" if seed == seeds[-1] else "old results"] += 1
        whole = self.whole.get(seed)
        if seed not in seeds or without_times(left["run.json"]) != without_times(whole["run.json"]):
            self.tell(what, f"run.json is of another run: seed {seed}")
            return
        if left.keys() != whole.keys():
            self.tell(what, f"run.json says complete, but there are {sorted(left)}")
        for name in left.keys() & whole.keys() - {"run.json"}:
            if left[name] != whole[name]:
                other = [seed_ for seed_ in SEEDS if left[name] == self.whole[seed_].get(name)]
                wrong = read_run_file(self.folder / name) if not other else ""
                self.tell(what, f"{name} is not that of seed {seed}, whose run.json says complete, but " +
                          (f"of {other}" if other else wrong or "whole and of none"))
        for name in ("activity.h5", "values.h5"):
            if name in left and read_h5(self.folder / name):
                self.tell(what, f"{name}: {read_h5(self.folder / name)}")

    def kill(self, number, numbers):
        old, new = numbers.sample(SEEDS, 2)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.kept[old], self.folder)
        moment = self.moment(numbers)
        begin = time.monotonic()
        process = subprocess.Popen([TESSERA, *map(str, self.command), str(new)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(max(0.0, moment - (time.monotonic() - begin)))
        process.send_signal(signal.SIGKILL)
        code = process.wait()
        what = f"seed {new} over {old}, killed after {1000 * moment:.1f} ms"
        if code not in (0, -signal.SIGKILL):
            self.tell(what, f"exit code {code}")
        self.figures["killed" if code != 0 else "ended before"] += 1
        self.check(what, (old, new))
        if number % AGAIN == 0:
            self.undisturbed(what, new)


def main():
    if not HAS_ONNX:
        print("built without ONNX: there are no values")
        return 77
    numbers = random.Random(SEED)
    with scratch() as name:
        base = Path(name)
        campaign = Campaign(Inputs(base / "inputs"), base)
        campaign.prepare(base)
        number = 0
        while campaign.figures["killed"] < KILLS and number < 3 * KILLS:  # some end before their moment
            campaign.kill(number, numbers)
            number += 1
    figures = campaign.figures
    print(", ".join(f"{text}: {count}" for text, count in figures.items()) + f", failures: {len(campaign.problems)}")
    if min(figures["old results"], figures["new results"], figures["failed or partial"]) == 0:
        print("the moments miss the beginning, the middle or the end", file=sys.stderr)
        return 1
    return 1 if campaign.problems else 0


if __name__ == "__main__":
    sys.exit(main())
