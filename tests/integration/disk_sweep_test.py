#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command that writes, on a disk with room for none of it, for some of it and for just all of it.

A tmpfs is filled up but for so many pages (of root, or in a user namespace of its own). The least number that suffices
is searched for, and the command run at SWEEP_SIZES (default 16) numbers of pages around it; then again over older
files, which must survive what fails."""
import os
import subprocess
import sys
from pathlib import Path

from writing import HAS_ONNX, NO_SPACE, SANITIZED, Bench, Campaign, Inputs, jobs, scratch, sweep

SIZES = int(os.environ.get("SWEEP_SIZES", "5" if SANITIZED else "16"))
ONLY = os.environ.get("SWEEP_ONLY", "")
UNSHARED = "TESSERA_TEST_UNSHARED"
LEAST_COMMANDS = 19 if HAS_ONNX else 16


def can(*command):
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def mount(folder):
    """A disk of its own; else in a namespace of its own, where this script begins anew; else nothing is tested."""
    folder.mkdir()
    if can("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)):
        return
    folder.rmdir()
    folder.parent.rmdir()
    if UNSHARED not in os.environ and can("unshare", "-rm", "true"):
        os.environ[UNSHARED] = "1"
        os.execvp("unshare", ["unshare", "-rm", sys.executable, *sys.argv])
    print("cannot mount a tmpfs, neither as it is nor by unshare -rm: nothing is tested")
    sys.exit(77)


class Filler:
    """A file that leaves so much room on a disk."""

    def __init__(self, disk):
        self.disk = disk
        self.path = disk / "fill"

    def leave(self, pages):
        free = os.statvfs(self.disk)
        take = (free.f_bavail - pages) * free.f_bsize
        with open(self.path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, take)
        free = os.statvfs(self.disk)
        assert free.f_bavail == pages, f"{free.f_bavail} pages are left, not {pages}"

    def go(self):
        self.path.unlink()


def test_job(campaign, job, disk, older):
    bench = Bench(campaign, job, disk)
    filler = Filler(disk)
    if not bench.prepare(older):
        return
    page = os.statvfs(disk).f_bsize
    needed = sum(-(-len(content) // page) for content in bench.judge.good.values())
    over = " over older files" if older else ""

    def attempt(pages):
        def fill():
            filler.leave(pages)
            return filler.go
        result = bench.attempt(older, f"{pages} pages left{over}", [NO_SPACE], before=fill)
        return result is not None and result.returncode == 0

    well = sweep(attempt, needed, SIZES if not older else max(4, SIZES // 2))
    campaign.expect(any(well.values()), job.name, f"never fits{over}: {sorted(well)} pages")
    fits = min((pages for pages, ok in well.items() if ok), default=0)
    campaign.expect(all(ok for pages, ok in well.items() if pages >= fits), job.name,
                    f"fits on {fits} pages, but not on {[pages for pages, ok in well.items() if not ok]}{over}")


def main():
    with scratch() as name:
        base = Path(name)
        disk = base / "disk"
        mount(disk)
        try:
            campaign = Campaign()
            list_ = jobs(Inputs(base / "inputs"))
            assert len(list_) >= LEAST_COMMANDS
            for job in list_:
                if ONLY not in job.name:
                    continue
                test_job(campaign, job, disk, False)
                if job.older:
                    test_job(campaign, job, disk, True)
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)
    return campaign.end()


if __name__ == "__main__":
    sys.exit(main())
