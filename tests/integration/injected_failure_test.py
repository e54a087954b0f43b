#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Calls of the system fail, one after the other: whatever a command asks of the files that it writes, and of those that
it reads; and disks that are full after so many bytes, for every command that writes. Needs no privilege: a preloaded
library (fail_calls.c, TESSERA_FAIL_CALLS) fails the calls.

INJECTED_STEP: every so many-th call only (default 1); INJECTED_BYTES: sizes of disks (default 8)."""
import errno
import os
import sys
from pathlib import Path

from writing import IO_ERROR, NO_SPACE, SANITIZED, Bench, Campaign, Inputs, jobs, named, scratch, snapshot, spread

LIBRARY = os.environ.get("TESSERA_FAIL_CALLS", "")
STEP = int(os.environ.get("INJECTED_STEP", "1"))
READ_STEP = 4  # readings are many
SIZES = int(os.environ.get("INJECTED_BYTES", "8"))
ONLY = os.environ.get("SWEEP_ONLY", "")
REASONS = {errno.ENOSPC: NO_SPACE, errno.EIO: IO_ERROR}
READS = {"read", "readv", "pread", "fread"}
REMOVALS = {"unlink", "unlinkat", "remove"}
ENOUGH = 1 << 40
# One command for every way to write: through the C library, zlib, HDF5; a folder.
COMMANDS = ["compile to .trace.h5", "compile to .trace.jsonl.gz", "run --values", "accuracy --logits", "quantize -o"]
READERS = ["compile to .trace.jsonl", "trace convert to .trace.h5", "run --values", "accuracy --logits", "quantize -o",
           "h5 recover", "inspect", "run --level off"]
# Whatever the system has, and a program can do without.
SYSTEM = ("/proc/", "/sys/", "/etc/", "/dev/null", "/dev/urandom", "/usr/lib", "/lib")


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


def is_excused(counted, failed):
    """Whether a command may go on after this call, its results being whole: HDF5 looks whether it has a file open
    before it makes one; what cannot be removed stays; for run.json there is a second way."""
    number, name, path = failed
    file = Path(path).name
    if name in REMOVALS or name == "reopen" or file == "run.json" or file.startswith(".run.json."):
        return True
    renamed = [path_ for number_, name_, path_ in counted if number_ < number and name_.startswith("rename")]
    return Path(path).is_dir() and bool(renamed) and Path(renamed[-1]).name in ("run.json", ".run.json.reserve")


def without_excused(problems, bench, failed):
    """What cannot be removed stays; a folder that cannot be synced has the new name in it already."""
    _, name, path = failed
    left = str(Path(path).relative_to(bench.folder))
    if name in REMOVALS:
        return [problem for problem in problems if problem != f"left {[left]}"]
    if Path(path).is_dir() and not bench.judge.job.results:
        whole = not bench.judge.whole(snapshot(bench.folder), bench.folder)
        return [problem for problem in problems if not (whole and problem.endswith("(whole)"))]
    return problems


def test_writing(campaign, injector, job, folder):
    """Every call that writes fails once."""
    bench = Bench(campaign, job, folder)
    if not bench.prepare(True):
        return
    bench.restore(True)
    undisturbed = job.run(folder, bench.force, environment=injector.environment(folder, "writing"))
    campaign.tell(job.name, "counted", bench.judge.problems(undisturbed, folder, []))
    counted = injector.calls()
    campaign.expect(len(counted) > 4, job.name, f"makes {len(counted)} calls")
    unreached = 0
    for number in range(1, len(counted) + 1, STEP):
        code = (errno.ENOSPC, errno.EIO)[number % 2]
        bench.restore(True)
        result = job.run(folder, bench.force, environment=injector.environment(
            folder, "writing", at=number, errno=code))
        campaign.count(result)
        calls = injector.calls()
        if not calls:
            unreached += 1
            continue
        failed = calls[0]
        problems = without_excused(bench.judge.problems(result, folder, [REASONS[code]]), bench, failed)
        if result.returncode == 0 and not is_excused(counted, failed):
            problems.append("exit code 0")
        campaign.tell(job.name, f"{failed[1]} {failed[2]} fails, call {number}".replace(str(folder), ""), problems)
    # Threads may make a call less than when they were counted.
    campaign.expect(unreached <= len(counted) // 10, job.name,
                    f"{unreached} of {len(counted)} calls were not made again")


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
    campaign.expect(needed > 0, job.name, "writes nothing")
    over = " over older files" if older else ""
    # The times in a run.json have more or fewer digits.
    for size in [*spread(needed - 1, SIZES if not older else max(3, SIZES // 2)), needed + 64]:
        result = bench.attempt(older, f"a disk of {size} bytes, {needed} needed{over}", [NO_SPACE],
                               environment=injector.environment(folder, "writing", bytes=size))
        if size > needed:
            campaign.expect(result is not None and result.returncode == 0, job.name, f"does not fit{over}")


def judge_input(bench, result, name, path):
    """What is wrong when a call on this input has failed."""
    if path.startswith(SYSTEM):
        problems = bench.judge.problems(result, bench.folder, [])
        return problems + [f"exit code {result.returncode}"] if result.returncode != 0 else problems
    if result.returncode in (3, 5):
        problems = [] if Path(path).name in result.stderr else [f"the file is not named: {result.stderr.strip()}"]
        return problems + bench.judge.left(snapshot(bench.folder), result.stderr)
    # To copy what can be read of a damaged file, and to tell what cannot, is what `h5 recover` is for.
    if result.returncode == 0 and bench.job.name == "h5 recover" and name in READS:
        whole = not bench.judge.problems(result, bench.folder, [])
        return [] if whole or "damaged" in result.stdout else ["exit code 0, and no loss told"]
    return bench.judge.problems(result, bench.folder, []) + ["exit code 0"] * (result.returncode == 0)


def test_inputs(campaign, injector, job, folder, what):
    """Every opening, or every reading, of an input fails once."""
    bench = Bench(campaign, job, folder)
    if not bench.prepare(False):
        return
    bench.restore(False)
    job.run(folder, environment=injector.environment("/", what))
    calls = [call for call in injector.calls() if not call[2].startswith(str(folder))]
    calls = [call for call in calls if not call[2].endswith(".gcda")]  # of builds for coverage
    campaign.expect(any(not call[2].startswith(SYSTEM) for call in calls), job.name, f"{what} nothing")
    for number, _, path in calls[::STEP * (READ_STEP if what == "reading" else 1)]:
        bench.restore(False)
        result = job.run(folder, environment=injector.environment("/", what, at=number, errno=errno.EIO))
        campaign.count(result)
        failed = injector.calls()
        if failed and failed[0][2] == path:
            name = failed[0][1]
            campaign.tell(job.name, f"{name} {Path(path).name} fails, call {number}",
                          judge_input(bench, result, name, path))


def main():
    if SANITIZED:
        print("a sanitizer's library must be the first: nothing can be preloaded")
        return 77
    if not LIBRARY or not Path(LIBRARY).exists():
        print("no TESSERA_FAIL_CALLS: nothing is tested")
        return 77
    campaign = Campaign()
    with scratch() as name:
        base = Path(name).resolve()
        folder = base / "out"
        folder.mkdir()
        injector = Injector(base)
        list_ = jobs(Inputs(base / "inputs"))
        for job in named(list_, COMMANDS, ONLY):
            test_writing(campaign, injector, job, folder)
        for job in named(list_, READERS, ONLY):
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
