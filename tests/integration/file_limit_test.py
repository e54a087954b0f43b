#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command that writes, under a limit on the size of files as `ulimit -f` sets it: exit code 5 and the reason.

A process that goes beyond the limit is killed by SIGXFSZ unless it sees to that itself. Python ignores the signal, and
children of a shell do not: they are started here with the signal as a shell leaves it, at FILE_LIMITS (default 16)
limits around the size of the largest file."""
import os
import resource
import signal
import sys
from pathlib import Path

from writing import COVERED, HAS_ONNX, SANITIZED, TOO_LARGE, Bench, Campaign, Inputs, jobs, scratch, spread, tessera

LIMITS = int(os.environ.get("FILE_LIMITS", "5" if SANITIZED else "16"))
ONLY = os.environ.get("SWEEP_ONLY", "")
LEAST_COMMANDS = 19 if HAS_ONNX else 16


def ignored_signals(text):
    line = next(line for line in text.splitlines() if line.startswith("SigIgn:"))
    return int(line.split()[1], 16)


def test_signal(campaign):
    """What is started here dies of SIGXFSZ, if it does nothing about it."""
    child = tessera("/proc/self/status", before_it=["cat"], limits=[(resource.RLIMIT_FSIZE, 1 << 20)])
    campaign.expect(not ignored_signals(child.stdout) >> (signal.SIGXFSZ - 1) & 1, "this test",
                    "children ignore SIGXFSZ: nothing is tested")


def test_job(campaign, job, folder, older):
    bench = Bench(campaign, job, folder)
    if not bench.prepare(older):
        return
    over = " over older files" if older else ""
    largest = max(len(content) for content in bench.judge.good.values())
    limits = spread(largest, LIMITS if not older else max(3, LIMITS // 4))
    failed = 0
    for limit in limits:
        result = bench.attempt(older, f"files of {limit} bytes{over}", [TOO_LARGE],
                               limits=[(resource.RLIMIT_FSIZE, limit)])
        failed += result is not None and result.returncode != 0
    campaign.expect(failed >= len(limits) - 1, job.name,
                    f"is done under {len(limits) - failed} limits below its largest file{over}")


def main():
    if COVERED:
        print("coverage is written into files too: nothing is tested")
        return 77
    campaign = Campaign()
    with scratch() as name:
        base = Path(name)
        test_signal(campaign)
        (base / "out").mkdir()
        list_ = jobs(Inputs(base / "inputs"))
        assert len(list_) >= LEAST_COMMANDS
        for job in list_:
            if ONLY not in job.name:
                continue
            test_job(campaign, job, base / "out", False)
            if job.older:
                test_job(campaign, job, base / "out", True)
    return campaign.end()


if __name__ == "__main__":
    sys.exit(main())
