# SPDX-License-Identifier: Apache-2.0
"""Runs the binary under test and reads what it leaves behind."""
import os
import subprocess
import sys

import h5py

BINARY = os.environ.get("TESSERA") or sys.exit("set TESSERA to the binary to test")


def run(folder, inputs, kernel="native", level="unit", options=(), environment=None):
    """Runs `tessera run` with the result in `folder`; returns the completed process (output as text)."""
    command = [BINARY, "run", *inputs, "--kernel", kernel, "--level", level, "-o", folder, "--force", "--quiet",
               *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, **(environment or {})})


def read_bytes(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def read_operations(folder):
    """/ops by id: dicts with kind and cause as names; because is None when there is none."""
    with h5py.File(os.path.join(folder, "activity.h5"), "r") as file:
        table = file["ops"][:]
        names = {field: {number: name for name, number in h5py.check_enum_dtype(table.dtype[field]).items()}
                 for field in ("kind", "cause")}
    operations = {}
    for row in table:
        op = {field: int(row[field]) for field in ("ready", "start", "end", "wait", "because")}
        op["because"] = None if op["because"] == 2**64 - 1 else op["because"]
        op.update({field: names[field][int(row[field])] for field in names})
        operations[int(row["id"])] = op
    return operations
