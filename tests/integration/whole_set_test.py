#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The logits of all 10 000 test images, as whole numbers and through crossbars with lossless converters, have the hash
of those that NumPy computed (tests/oracle/integers.py)."""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py

DATA = Path("/usr/share/datasets/fashion-mnist")
TRUTH = json.loads((Path(os.environ["TESSERA_SOURCE_DIR"]) / "tests" / "oracle" / "integers_truth.json").read_text())
SKIPPED = 77


def main():
    if os.environ["TESSERA_HAS_ONNX"] != "ON" or not DATA.exists():
        print("needs a build that reads ONNX, and Debian's dataset-fashion-mnist")
        return SKIPPED
    if os.environ.get("TESSERA_SANITIZE"):
        print("takes minutes in instrumented builds, and runs no other code than the unit tests")
        return SKIPPED
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        for network, truth in TRUTH.items():
            logits = Path(scratch) / "logits.h5"
            # Large cells and slices, so that there are few products: their sums are exact all the same.
            subprocess.run([os.environ["TESSERA"], "accuracy", "--network", network, "--dataset", str(DATA), "--chip",
                            "clsa-256", "--set", "macro.cell.bits=4", "--set", "macro.dac.bits=8", "--only", "noiseless",
                            "--logits", str(logits), "--force", "--json"], check=True, stdout=subprocess.DEVNULL, timeout=800)
            with h5py.File(logits) as file:
                for answer in ("integers", "finite, noiseless"):
                    found = hashlib.sha256(file[answer][:].astype("<i4").tobytes()).hexdigest()
                    if file[answer].shape[0] != 10000 or found != truth["sha256"]:
                        print(f"{network}, {answer}: logits of {file[answer].shape[0]} images have hash {found}")
                        failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
