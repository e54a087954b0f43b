#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""With --sets auto, no chip with less room for data is faster than one with more: two networks, both schedules, with and
without copies of layers. All shipped networks: tests/bench/sets_bench.py, some quarter of an hour each for the large ones."""
import os
import subprocess
import sys
from pathlib import Path

BENCH = Path(os.environ["TESSERA_SOURCE_DIR"]) / "tests" / "bench" / "sets_bench.py"
done = subprocess.run([sys.executable, BENCH, os.environ["TESSERA"], "lenet5", "resnet18"], stdout=subprocess.PIPE, text=True)
lines = done.stdout.splitlines()
print("\n".join(line for line in lines if "SLOWER" in line))
sys.exit(0 if done.returncode == 0 and len(lines) == 12 else 1)
