#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Calls of the system fail, one after the other, in the kernel: `strace -e inject` sees also what the C library does
inside of itself, and what a preloaded library cannot (injected_failure_test.py has the rest). Of few commands; and what
the system offers (/proc, /sys, /etc) is refused, which must change nothing.

STRACE_STEP: every so many-th call only (default 3)."""
import os
import re
import subprocess
import sys
from pathlib import Path

from writing import IO_ERROR, NO_SPACE, SANITIZED, TESSERA, Bench, Campaign, Inputs, jobs, named, scratch

STEP = int(os.environ.get("STRACE_STEP", "3"))
ONLY = os.environ.get("SWEEP_ONLY", "")
CALLS = ["write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "fallocate", "rename", "renameat",
         "renameat2", "mkdir"]
COMMANDS = ["compile to .trace.jsonl", "compile to .trace.jsonl.gz", "compile to .trace.h5", "quantize -o",
            "accuracy --logits", "reproduce -o", "config show"]
SYSTEM_COMMANDS = ["run --values", "accuracy --logits"]
LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
REASONS = {"ENOSPC": NO_SPACE, "EIO": IO_ERROR}


def can_trace():
    try:
        done = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=1", "true"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip()


class Tracer:
    def __init__(self, folder):
        self.log = folder / "log"

    def before(self, calls, *more):
        """What is started instead of the program, which follows."""
        self.log.unlink(missing_ok=True)
        return ["strace", "-f", "-y", "-s", "0", "-o", str(self.log), "-e", "trace=" + ",".join(calls), *more, TESSERA]

    def calls(self):
        """(process, call, its arguments), as they began."""
        lines = [LINE.match(line) for line in self.log.read_text(errors="replace").splitlines()]
        return [line.groups() for line in lines if line]


def test_writing(campaign, tracer, job, folder):
    bench = Bench(campaign, job, folder)
    older = job.older is not None
    if not bench.prepare(older):
        return
    bench.restore(older)
    job.run(folder, bench.force, before_it=tracer.before(CALLS))
    # strace counts the calls of each name, thread by thread.
    seen = {}
    targets = []
    for process, name, rest in tracer.calls():
        number = seen[process, name] = seen.get((process, name), 0) + 1
        if str(folder) in rest and (name, number) not in targets:
            targets.append((name, number))
    campaign.expect(len(targets) > 0, job.name, "no call was seen")
    for position, (name, number) in enumerate(targets[::STEP]):
        error = ("ENOSPC", "EIO")[position % 2]
        bench.restore(older)
        result = job.run(folder, bench.force, before_it=tracer.before(
            CALLS, "-e", f"inject={name}:error={error}:when={number}"))
        campaign.count(result)
        hit = [rest for _, name_, rest in tracer.calls() if "(INJECTED)" in rest and str(folder) in rest]
        if not hit:
            continue
        problems = bench.judge.problems(result, folder, [REASONS[error]] + [IO_ERROR] * job.prints)
        # What is there already when its folder cannot be synced.
        synced = name == "fsync" and f"<{folder}>" in hit[0]
        problems = [problem for problem in problems if not (synced and problem.endswith("(whole)"))]
        if result.returncode == 0:
            problems.append("exit code 0")
        campaign.tell(job.name, f"{name}({hit[0]}".replace(str(folder), ""), problems)


def test_system(campaign, tracer, job, folder):
    """Nothing that the system offers is needed."""
    bench = Bench(campaign, job, folder)
    if not bench.prepare(False):
        return
    bench.restore(False)
    job.run(folder, before_it=tracer.before(["openat"]))
    opened = [re.match(r'[^"]*"([^"]*)", ([A-Z_|]*)', rest) for _, _, rest in tracer.calls()]
    files = sorted({match.group(1) for match in opened if match and "O_DIRECTORY" not in match.group(2)
                    and match.group(1).startswith(("/proc/", "/sys/", "/etc/")) and "/ld.so" not in match.group(1)})
    for path in files:
        for error in ("EACCES", "ENOENT"):
            bench.restore(False)
            result = job.run(folder, before_it=tracer.before(["openat"], "-P", path, "-e",
                                                             f"inject=openat:error={error}"))
            campaign.count(result)
            problems = bench.judge.problems(result, folder, [])
            campaign.tell(job.name, f"without {path}", problems + [f"exit code {result.returncode}: {result.stderr}"] *
                          (result.returncode != 0))
    print(f"{job.name}: without {', '.join(files)}")


def main():
    why = can_trace()
    if why or SANITIZED:
        print(f"no strace, or it may not: {why or 'sanitizers look for leaks by the same means'}: nothing is tested")
        return 77
    campaign = Campaign()
    with scratch() as name:
        base = Path(name).resolve()
        folder = base / "out"
        folder.mkdir()
        tracer = Tracer(base)
        list_ = jobs(Inputs(base / "inputs"))
        for job in named(list_, COMMANDS, ONLY):
            test_writing(campaign, tracer, job, folder)
        for job in named(list_, SYSTEM_COMMANDS, ONLY):
            test_system(campaign, tracer, job, folder)
    return campaign.end()


if __name__ == "__main__":
    sys.exit(main())
