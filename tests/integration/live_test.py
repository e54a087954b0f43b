#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A --live run is read while it goes on: by h5py with SWMR and without, by `inspect --follow` and `inspect`. What it
leaves opens with every tool and holds what a run that was not live holds; so does what a killed one leaves. And
`tessera h5 recover` takes files in which the mark of a writer was left."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import h5py
except ImportError:
    print("no h5py: nothing is tested")
    sys.exit(77)

TESSERA = os.environ["TESSERA"]
NETWORK = os.environ.get("LIVE_NETWORK", "resnet152")
RUN = [TESSERA, "run", "--network", NETWORK, "--chip", "clsa-256", "--level", "stage", "--quiet", "--force"]
STREAMS = ("ops", "deps", "intervals", "stalls", "cycles")
failures = []


def expect(condition, text):
    if not condition:
        failures.append(text)
        print(f"failed: {text}", file=sys.stderr)


def tessera(*arguments):
    return subprocess.run([TESSERA, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=120)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def stop(process):
    """Holds a run where it is, so that a slow machine tests the same as a fast one."""
    process.send_signal(signal.SIGSTOP)


def test_reading_meanwhile(folder):
    process = subprocess.Popen(RUN + ["--live", "-o", str(folder)])
    part = folder / "activity.h5.part"
    expect(wait_for(part.exists), "activity.h5.part appears")
    with h5py.File(part, "r", libver="latest", swmr=True) as file:
        operations = file["ops"]
        seen = 0
        grown = set()
        while process.poll() is None:
            operations.refresh()
            if len(operations) > seen:
                seen = len(operations)
                grown.add(seen)
                expect(operations[seen - 1]["end"] > 0, "the last record is whole")
            if len(grown) == 1 and part.exists():
                stop(process)
                if not part.exists():
                    process.send_signal(signal.SIGCONT)
                    break  # too late: it has ended
                # Any other reader may come along: no lock, no mark.
                with h5py.File(part, "r") as plain:
                    expect(len(plain["ops"]) >= seen, "a plain reader sees as much")
                    for stream in STREAMS:
                        plain[stream][:]
                listed = subprocess.run(["h5ls", "-r", str(part)], stdout=subprocess.PIPE, text=True)
                expect(listed.returncode == 0 and "/ops" in listed.stdout, "h5ls opens it")
                expect(tessera("inspect", folder).returncode == 0, "inspect shows a run that goes on")
                check = tessera("h5", "check", folder)
                expect(check.returncode == 0 and "not closed" in check.stdout,
                       f"h5 check says that it is not closed: {check.stdout}{check.stderr}")
                process.send_signal(signal.SIGCONT)
                grown.add(0)
            time.sleep(0.001)
        expect(len(grown) >= 3, f"records appear while the run goes on: {sorted(grown)}")
    expect(process.wait() == 0, "the run ends")


def test_following(folder):
    process = subprocess.Popen(RUN + ["--live", "-o", str(folder)])
    expect(wait_for((folder / "activity.h5.part").exists), "activity.h5.part appears")
    followed = tessera("inspect", folder, "--follow", "--json")
    expect(process.wait() == 0 and followed.returncode == 0, f"--follow ends with the run: {followed.stderr}")
    looks = [json.loads(line) for line in followed.stdout.splitlines()]
    expect(len(looks) >= 2 and looks[-1]["closed"], f"--follow sees the end: {followed.stdout}")
    counts = [look["operations"] for look in looks]
    expect(counts == sorted(counts), "operations only become more")
    text = tessera("inspect", folder, "--follow")
    expect(text.returncode == 0 and "operations" in text.stdout and "complete" in text.stderr, "a finished run")


def test_killed(folder):
    process = subprocess.Popen(RUN + ["--live", "-o", str(folder)])
    part = folder / "activity.h5.part"

    def something():
        if not part.exists():
            return False
        with h5py.File(part, "r") as file:
            return len(file["ops"]) > 0
    expect(wait_for(something), "the run records")
    process.kill()
    process.wait()
    followed = tessera("inspect", folder, "--follow")
    expect(followed.returncode == 4 and "process of this run is gone" in followed.stderr,
           f"--follow notices that the run died: {followed.returncode} {followed.stderr}")
    shown = tessera("inspect", folder, "--json")
    expect(shown.returncode == 0 and "totals are unknown" in shown.stderr, f"inspect says so: {shown.stderr}")
    tables = json.loads(shown.stdout)
    values = {row["figure"]: row["value"] for row in tables["Summary"]}
    expect(values["complete"] is False and values["recorded operations"] > 0, f"what the file holds: {values}")
    for figure in ("span", "operations", "operations in flight", "crossbars", "utilization", "images ended"):
        expect(values[figure] is None, f"{figure} is unknown, not {values[figure]}")
    for title in ("Layers", "Busiest units", "Busiest links"):
        for row in tables[title]:
            known = {key: value for key, value in row.items() if key not in ("layer", "kind", "unit", "link")}
            expect(set(known.values()) == {None}, f"{title}: {row}")
    before = hashlib.sha256(part.read_bytes()).digest()
    expect(tessera("h5", "check", folder).returncode == 0, "h5 check finds it sound")
    recovered = folder.parent / "recovered.h5"
    result = tessera("h5", "recover", folder, "-o", recovered)
    expect(result.returncode == 0 and "0 records lost" in result.stdout, f"h5 recover: {result.stderr}")
    expect(tessera("h5", "recover", folder, "-o", recovered).returncode == 2, "recover does not overwrite")
    expect(tessera("h5", "recover", folder, "-o", recovered, "--force").returncode == 0, "unless told to")
    expect(tessera("h5", "recover", part, "-o", part, "--force").returncode == 2, "and never its source")
    expect(hashlib.sha256(part.read_bytes()).digest() == before, "recover does not change its source")
    with h5py.File(part, "r") as old, h5py.File(recovered, "r") as new:
        for stream in STREAMS:
            expect((old[stream][:] == new[stream][:]).all(), f"/{stream} is recovered")
        ends = new["ops"]["end"]
        expect(len(ends) > 0 and new.attrs["span_ps"] == ends.max(), "the span is that of what there is")
        expect("makespan_ps" not in new.attrs, "a killed run has no makespan")
        expect(new.attrs["closed"] == 0 and new.attrs["recovered"] == 1, "it says what it is")
        expect(new["units"]["operations"].sum() == len(ends), "operations of units are counted again")
        expect(new["layers"]["macro_time"].sum() > 0, "times of layers are added up again")
    shown = tessera("inspect", recovered, "--json")
    expect(shown.returncode == 0, f"inspect shows it: {shown.stderr}")
    tables = json.loads(shown.stdout)
    values = {row["figure"]: row["value"] for row in tables["Summary"]}
    expect(values["operations"] == len(ends) and values["span"] == ends.max(), f"what was added up: {values}")
    expect(values["crossbars"] is None and values["utilization"] is None, f"what was not placed again: {values}")
    expect(sum(row["operations"] for row in tables["Layers"]) <= len(ends), "operations of layers")
    expect({row["utilization"] for row in tables["Layers"]} == {None}, "utilization of layers is unknown")

    # The same as a writer leaves it that marks its file: version 3, flags at byte 11, the end where it was when the
    # file was made. h5py refuses it, and `h5clear -s` alone would cut it to that end.
    marked = bytearray(part.read_bytes())
    expect(marked[8] == 3 and marked[11] == 0, "no mark reaches the disk")
    plain = bytes(marked)
    with h5py.File(folder.parent / "marked.h5", "w", libver="latest") as file:
        file.swmr_mode = True
        file.flush()
        flagged = (folder.parent / "marked.h5").read_bytes()
        expect(flagged[11] & 5 == 5, "h5py marks its files")
    # Flags and a stale end, under a checksum that is right: made by recovering's own opposite, a copy of h5py's way.
    marked[11] |= 5
    marked[28:36] = (2048).to_bytes(8, "little")
    marked[44:48] = lookup3(bytes(marked[:44])).to_bytes(4, "little")
    path = folder.parent / "marked.h5"
    path.write_bytes(marked)
    check = tessera("h5", "check", path)
    expect(check.returncode == 3 and "marked as being written" in check.stderr, f"check sees the mark: {check.stderr}")
    shown = tessera("inspect", path)
    expect(shown.returncode == 3 and "h5 recover" in shown.stderr, f"inspect names the remedy: {shown.stderr}")
    again = folder.parent / "again.h5"
    result = tessera("h5", "recover", path, "-o", again)
    expect(result.returncode == 0, f"recover takes a marked file: {result.stderr}")
    expect(path.read_bytes() == bytes(marked) and plain != bytes(marked), "and leaves it as it was")
    if result.returncode == 0:
        expect(again.read_bytes() == recovered.read_bytes(), "and finds as much in it")


def lookup3(data):
    """HDF5's checksum of metadata (Bob Jenkins, public domain)."""
    mask = 0xFFFFFFFF
    a = b = c = (0xDEADBEEF + len(data)) & mask

    def rot(x, k):
        return ((x << k) | (x >> (32 - k))) & mask
    while len(data) > 12:
        words = [int.from_bytes(data[i:i + 4], "little") for i in (0, 4, 8)]
        a, b, c = (a + words[0]) & mask, (b + words[1]) & mask, (c + words[2]) & mask
        data = data[12:]
        a = (a - c) & mask ^ rot(c, 4); c = (c + b) & mask  # noqa: E702
        b = (b - a) & mask ^ rot(a, 6); a = (a + c) & mask  # noqa: E702
        c = (c - b) & mask ^ rot(b, 8); b = (b + a) & mask  # noqa: E702
        a = (a - c) & mask ^ rot(c, 16); c = (c + b) & mask  # noqa: E702
        b = (b - a) & mask ^ rot(a, 19); a = (a + c) & mask  # noqa: E702
        c = (c - b) & mask ^ rot(b, 4); b = (b + a) & mask  # noqa: E702
    if not data:
        return c
    data = data.ljust(12, b"\0")
    words = [int.from_bytes(data[i:i + 4], "little") for i in (0, 4, 8)]
    a, b, c = (a + words[0]) & mask, (b + words[1]) & mask, (c + words[2]) & mask
    c = ((c ^ b) - rot(b, 14)) & mask
    a = ((a ^ c) - rot(c, 11)) & mask
    b = ((b ^ a) - rot(a, 25)) & mask
    c = ((c ^ b) - rot(b, 16)) & mask
    a = ((a ^ c) - rot(c, 4)) & mask
    b = ((b ^ a) - rot(a, 14)) & mask
    return ((c ^ b) - rot(b, 24)) & mask


def test_damaged(folder):
    """Chunks that are overwritten are lost, and only they."""
    damaged = folder.parent / "damaged.h5"
    shutil.copy(folder / "activity.h5", damaged)
    with h5py.File(damaged, "r") as file:
        chunk = file["deps"].id.get_chunk_info(1)
        records = len(file["deps"])
        size = file["deps"].chunks[0]
    with open(damaged, "r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        file.write(b"\xff" * 64)
    check = tessera("h5", "check", damaged, "--json")
    report = json.loads(check.stdout)
    expect(check.returncode == 3 and f"/deps[{size}]" in check.stderr, f"check names the place: {check.stderr}")
    expect(not report["sound"] and report["lost_records"] == size, f"and what is lost: {report['lost_records']}")
    result = tessera("h5", "recover", damaged, "-o", folder.parent / "rest.h5")
    expect(result.returncode == 0 and f"{size} records lost" in result.stdout, f"recover: {result.stdout}")
    with h5py.File(folder / "activity.h5", "r") as whole, h5py.File(folder.parent / "rest.h5", "r") as rest:
        expect(len(rest["deps"]) == records - size, "the rest is there")
        expect((rest["deps"][:size] == whole["deps"][:size]).all(), "as it was")
        expect((rest["ops"][:] == whole["ops"][:]).all(), "and other streams")
        expect((rest["units"][:] == whole["units"][:]).all(), "and tables")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        test_reading_meanwhile(folder / "live")
        subprocess.run(RUN + ["-o", str(folder / "plain")], check=True)
        with h5py.File(folder / "live" / "activity.h5") as live, h5py.File(folder / "plain" / "activity.h5") as plain:
            for stream in STREAMS + ("units", "layers", "buffers", "noc/links"):
                expect((live[stream][:] == plain[stream][:]).all(), f"/{stream} of a live run is the same")
        expect((folder / "live" / "stats.json").read_bytes() == (folder / "plain" / "stats.json").read_bytes(),
               "statistics of a live run are the same")
        test_following(folder / "followed")
        test_killed(folder / "killed")
        test_damaged(folder / "plain")
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
