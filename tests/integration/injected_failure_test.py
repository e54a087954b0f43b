#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Calls of the system fail, one after the other: whatever a command asks of the files that it writes, and of those that
it reads; and disks that are full after so many bytes, for every command that writes. Needs no privilege: a preloaded
library (fail_calls.c, TESSERA_FAIL_CALLS) fails the calls.

INJECTED_STEP: every so many-th call only (default 1); INJECTED_BYTES: sizes of disks (default 8)."""
import errno
import os
import sys
import tempfile
from pathlib import Path

from writing import IO_ERROR, NO_SPACE, SANITIZED, Bench, Campaign, Inputs, jobs, snapshot, spread

LIBRARY = os.environ.get("TESSERA_FAIL_CALLS", "")
STEP = int(os.environ.get("INJECTED_STEP", "1"))
SIZES = int(os.environ.get("INJECTED_BYTES", "8"))
ONLY = os.environ.get("SWEEP_ONLY", "")
REASONS = {errno.ENOSPC: NO_SPACE, errno.EIO: IO_ERROR}
REMOVALS = {"unlink", "unlinkat", "remove"}
ENOUGH = 1 << 40
# One command for every way to write: through the C library, zlib, HDF5; a folder.
COMMANDS = ["compile to .trace.h5", "compile to .trace.jsonl.gz", "run --values", "accuracy --logits", "quantize -o"]
READERS = ["compile to .trace.jsonl", "trace convert to .trace.h5", "run --values", "accuracy --logits", "quantize -o",
           "h5 recover", "inspect", "run --level off"]
# Whatever the system has, and a program can do without.
SYSTEM = ("/proc/", "/sys/", "/etc/", "/dev/", "/usr/lib", "/lib")


class Injector:
    """Runs with the library."""

    def __init__(self, folder):
        self.report = folder / "report"

    def environment(self, where, what, **settings):
        self.report.unlink(missing_ok=True)
        preloaded = [LIBRARY, *filter(None, [os.environ.get("LD_PRELOAD")])]
        return {"LD_PRELOAD": ":".join(preloaded), "FAIL_FOLDER": str(where), "FAIL_WHAT": what,
                "FAIL_REPORT": str(self.report), **{f"FAIL_{key.upper()}": str(value)
                                                    for key, value in settings.items()}}

    def calls(self):
        """(number, name, path) of the calls that were told."""
        if not self.report.exists():
            return []
        lines = [line.split(" ", 2) for line in self.report.read_text().splitlines()]
        return [(int(number), name, path) for number, name, path in lines]


def find(list_, names):
    found = {job.name: job for job in list_}
    return [found[name] for name in names if name in found and ONLY in name]


class Writing:
    """What a failed call excuses."""

    def __init__(self, injector, bench):
        self.injector = injector
        self.bench = bench

    def problems(self, result, reasons):
        """Of the judge, but for what the failed call excuses."""
        problems = self.bench.judge.problems(result, self.bench.folder, reasons)
        for _, name, path in self.injector.calls():
            after = snapshot(self.bench.folder)
            left = str(Path(path).relative_to(self.bench.folder))
            # What cannot be removed stays; a folder that cannot be synced has the new name in it already.
            if name in REMOVALS:
                problems = [problem for problem in problems if problem != f"left {[left]}"]
            elif Path(path).is_dir() and result.returncode == 5 and not self.bench.judge.job.results:
                whole = not self.bench.judge.whole(after, self.bench.folder)
                problems = [problem for problem in problems if not (whole and problem.endswith("(whole)"))]
        return problems


def test_writing(campaign, injector, job, folder):
    """Every call that writes fails once."""
    bench = Bench(campaign, job, folder)
    if not bench.prepare(True):
        return
    bench.restore(True)
    counted = job.run(folder, bench.force, environment=injector.environment(folder, "writing"))
    campaign.tell(job.name, "counted", bench.judge.problems(counted, folder, []))
    calls = injector.calls()
    campaign.expect(len(calls) > 4, job.name, f"makes {len(calls)} calls")
    unreached = 0
    for number in range(1, len(calls) + 1, STEP):
        for code in (errno.ENOSPC, errno.EIO) if STEP == 0 else ((errno.ENOSPC, errno.EIO)[number % 2],):
            bench.restore(True)
            result = job.run(folder, bench.force, environment=injector.environment(
                folder, "writing", at=number, errno=code))
            campaign.count(result)
            failed = injector.calls()
            if not failed:
                unreached += 1
                continue
            what = "{1} {2} fails, call {0}".format(*failed[0]).replace(str(folder), "")
            problems = Writing(injector, bench).problems(result, [REASONS[code]])
            if result.returncode == 0 and failed[0][1] not in REMOVALS:
                problems.append("exit code 0")
            campaign.tell(job.name, what, problems)
    # Threads may make a call less than when they were counted.
    campaign.expect(unreached <= len(calls) // 10, job.name, f"{unreached} of {len(calls)} calls were not made again")


def test_full(campaign, injector, job, folder, older):
    """Disks of all sizes."""
    bench = Bench(campaign, job, folder)
    if not bench.prepare(older):
        return
    bench.restore(older)
    job.run(folder, bench.force, environment=injector.environment(folder, "writing", bytes=ENOUGH))
    left = [int(path) for _, name, path in injector.calls() if name == "left"]
    if not campaign.expect(len(left) == 1, job.name, "the library does not say what was written"):
        return
    needed = ENOUGH - left[0]
    campaign.expect(needed >= max(map(len, bench.judge.good.values())), job.name, f"writes only {needed} bytes")
    over = " over older files" if older else ""
    # The times in a run.json have more or fewer digits.
    for size in [*spread(needed - 1, SIZES if not older else max(3, SIZES // 2)), needed + 64]:
        result = bench.attempt(older, f"a disk of {size} bytes, {needed} needed{over}", [NO_SPACE],
                               environment=injector.environment(folder, "writing", bytes=size))
        if size > needed:
            campaign.expect(result is not None and result.returncode == 0, job.name, f"does not fit{over}")


def test_inputs(campaign, injector, job, folder, what):
    """Every opening, or every reading, of an input fails once."""
    bench = Bench(campaign, job, folder)
    if not bench.prepare(False):
        return
    bench.restore(False)
    job.run(folder, environment=injector.environment("/", what))
    calls = [call for call in injector.calls() if not call[2].startswith(str(folder))]
    campaign.expect(any(not call[2].startswith(SYSTEM) for call in calls), job.name, f"{what} nothing")
    for number, name, path in calls:
        bench.restore(False)
        result = job.run(folder, environment=injector.environment("/", what, at=number, errno=errno.EIO))
        campaign.count(result)
        failed = injector.calls()
        if not failed or failed[0][2] != path:
            continue
        told = f"{name} {Path(path).name} fails, call {number}"
        if path.startswith(SYSTEM):
            problems = bench.judge.problems(result, folder, [])
            problems += [f"exit code {result.returncode}"] if result.returncode != 0 else []
        elif result.returncode in (3, 5):
            problems = [] if Path(path).name in result.stderr else [f"the file is not named: {result.stderr.strip()}"]
            left = [name for name in snapshot(folder) if Path(name).name != "run.json"]
            problems += [f"left {left}"] if left and not job.prints else []
        else:
            problems = [f"exit code {result.returncode}: {result.stderr.strip()}"]
            problems += bench.judge.problems(result, folder, []) if result.returncode == 0 else []
        campaign.tell(job.name, told, problems)


def main():
    if SANITIZED:
        print("a sanitizer's library must be the first: nothing can be preloaded")
        return 77
    if not LIBRARY or not Path(LIBRARY).exists():
        print("no TESSERA_FAIL_CALLS: nothing is tested")
        return 77
    campaign = Campaign()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name).resolve()
        folder = base / "out"
        folder.mkdir()
        injector = Injector(base)
        list_ = jobs(Inputs(base / "inputs"))
        for job in find(list_, COMMANDS):
            test_writing(campaign, injector, job, folder)
        for job in find(list_, READERS):
            for what in ("opening", "reading"):
                test_inputs(campaign, injector, job, folder, what)
        for job in list_:
            if ONLY in job.name:
                test_full(campaign, injector, job, folder, False)
                if job.older:
                    test_full(campaign, injector, job, folder, True)
    return campaign.end()


if __name__ == "__main__":
    sys.exit(main())
