#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Judges inputs that ended a fuzz target which reads HDF5 without the guard: judge.py GUARDED DIRECT FILE...

GUARDED is the target as the tests have it, with the guard: it must survive each file. DIRECT is the target without
the guard, under the address sanitizer: what fails there must fail in libhdf5, not in our own code. Exit code 1 and
the reasons when that does not hold for a file."""
import collections
import os
import re
import subprocess
import sys
import tempfile

SECONDS = 300  # for what takes a second on an idle machine
FRAME = re.compile(r"FRAME (\d+)\|([^|]*)\|(.*)")
# What stands between a culprit and the report.
PASSED_THROUGH = re.compile(r"lib(c|z|m|stdc\+\+|gcc_s|pthread)[.-]")
RUN_TIME = re.compile(r"__(interceptor_|asan|sanitizer|ubsan|lsan)|fuzzer::|operator (new|delete)|(m|c|re)alloc$|free$|"
                      r"strn?dup$|(posix_mem|aligned_al)|mem(cpy|move|set|cmp)$|raise$|abort$")


def first_stack(report):
    """The frames (module, function) of the first stack in a report."""
    frames = []
    for number, module, function in FRAME.findall(report):
        if int(number) != len(frames):
            break
        frames.append((os.path.basename(module), function.strip()))
    return frames


def culprit(frames):
    """The innermost frame that belongs to neither a run time nor a library of the system."""
    for module, function in frames:
        if not PASSED_THROUGH.match(module) and not RUN_TIME.match(function):
            return module, function
    return None


def fails(direct, path, symbolize):
    """The report of the target without the guard, None when it survives. Without names of functions it is there at once,
    with them after a second."""
    layout = f"stack_trace_format='FRAME %n|%m|%f':symbolize={symbolize:d}"
    # Who asks for too much at once is named where it asks, not when the memory has been seen to grow.
    environment = dict(os.environ, ASAN_OPTIONS=f"{layout}:detect_leaks=0:max_allocation_size_mb=1000",
                       UBSAN_OPTIONS=f"{layout}:print_stacktrace=1")
    with tempfile.TemporaryDirectory() as folder:
        command = [direct, "-timeout=20", "-rss_limit_mb=1024", "-detect_leaks=0", f"-artifact_prefix={folder}/", path]
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, env=environment)
    return run.returncode and (run.returncode, run.stderr.decode(errors="replace"))


def judge(guarded, direct, path):
    """What became of a file: (finding, words)."""
    try:
        alone = subprocess.run([guarded, path], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return True, "the guarded target hangs"
    if alone.returncode != 0:
        return True, f"the guarded target ends with {alone.returncode}"
    try:
        for symbolize in (False, True):
            failed = fails(direct, path, symbolize)
            if not failed:
                return False, "fails only after others"
            code, report = failed
            if "runtime error:" in report:
                return True, next(line for line in report.splitlines() if "runtime error:" in line)
            what = re.search(r"SUMMARY: (?:AddressSanitizer|libFuzzer): ([a-zA-Z-]+)", report)
            frames = first_stack(report)
            if what and frames and "libhdf5" in frames[0][0]:
                return False, f"{what[1]} in {frames[0][0]}"
    except subprocess.TimeoutExpired:
        return True, "hangs without the guard, and does not say where"
    if not what:
        return True, f"ends with {code} without the guard, and does not say why"
    if what[1] == "timeout":  # the alarm met it anywhere
        return not any("libhdf5" in module for module, _ in frames), "timeout in libhdf5"
    where = culprit(frames)
    return not (where and "libhdf5" in where[0]), f"{what[1]} in {where[0] if where else 'an unknown place'}"


def main():
    guarded, direct, *files = sys.argv[1:]
    kinds = collections.Counter()
    findings = []
    for path in files:
        finding, words = judge(guarded, direct, path)
        kinds[words] += not finding
        if finding:
            findings.append(f"{path}: {words}")
    for words, count in sorted((+kinds).items()):
        print(f"    {count:6d} {words}")
    for finding in findings:
        print(f"    FINDING {finding}", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
