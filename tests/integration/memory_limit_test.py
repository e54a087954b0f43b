#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Commands under limits on memory (`ulimit -v`), from the least under which the program starts to plenty: what comes
out is whole and the same as without a limit, or it is exit code 5 and "out of memory". No abort, no hang, and a SIGTERM
ends even what waits for memory.

MEMORY_STEPS: limits per command (default 40)."""
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from writing import (COVERED, NO_MEMORY, SANITIZED, TESSERA, Bench, Campaign, Inputs, clear, jobs, named, scratch,
                     tessera)

STEPS = int(os.environ.get("MEMORY_STEPS", "40"))
ONLY = os.environ.get("SWEEP_ONLY", "")
MOST = 2 << 30
NOT_STARTED = (127, -signal.SIGKILL, -signal.SIGSEGV)  # the loader's; those of a process that cannot be made
HANGS = 2  # after which a command is left alone
COMMANDS = ["--version", "config show", "network show", "compile to .trace.h5", "run --level stage", "run --values",
            "accuracy --logits", "quantize -o", "reproduce -o"]
SLOW = {"reproduce -o": 4}  # every so many-th limit only


def limited(limit):
    return [(resource.RLIMIT_AS, limit)]


def least():
    """The least limit, to 64 KiB, under which the loader does its work."""
    low, high = 0, MOST
    while high - low > 1 << 16:
        middle = (low + high) // 2
        # Without memory even to be executed a process is killed.
        if tessera("--version", limits=limited(middle)).returncode in NOT_STARTED:
            low = middle
        else:
            high = middle
    return high


def geometric(begin, end, count):
    return [round(begin * (end / begin) ** (i / (count - 1))) for i in range(count)]


def test_limits(campaign, job, folder, limits):
    bench = Bench(campaign, job, folder)
    if not bench.prepare(False):
        return
    done = failed = hangs = 0
    for limit in limits:
        result = bench.attempt(False, f"ulimit -v {limit >> 10}", [NO_MEMORY], limits=limited(limit))
        hangs += result is None
        done += result is not None and result.returncode == 0
        failed += result is not None and result.returncode == 5
        if hangs == HANGS:
            break
    campaign.expect(done > 0, job.name, "is never done")
    print(f"{job.name}: {done} done, {failed} out of memory")


def slack():
    """What a busy machine adds to everything."""
    begin = time.monotonic()
    tessera("--version")
    return 20 * (time.monotonic() - begin)


def test_signal(campaign, job, folder, limit):
    """Whatever a process is at, SIGTERM ends it."""
    clear(folder)
    patience = 1 + slack()
    process = subprocess.Popen([TESSERA, *map(str, job.arguments(folder))], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    time.sleep(0.15)
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        campaign.tell(job.name, f"ulimit -v {limit >> 10}", [f"does not end within {patience:.1f} s of SIGTERM"])
        return
    campaign.expect(code in (0, 5, 130, -signal.SIGTERM), job.name,
                    f"ulimit -v {limit >> 10}, SIGTERM: exit code {code}")


def main():
    if SANITIZED or COVERED:
        print("sanitizers take all the memory that there is, and coverage is written at the end: nothing is tested")
        return 77
    campaign = Campaign()
    with scratch() as name:
        base = Path(name)
        folder = base / "out"
        folder.mkdir()
        list_ = named(jobs(Inputs(base / "inputs")), COMMANDS, ONLY)
        begin = least()
        print(f"starts under {begin >> 10} KiB")
        limits = geometric(begin, MOST, STEPS)
        for job in list_:
            test_limits(campaign, job, folder, limits[::SLOW.get(job.name, 1)])
            for limit in limits[:: max(1, STEPS // 4)]:
                test_signal(campaign, job, folder, limit)
    return campaign.end()


if __name__ == "__main__":
    sys.exit(main())
