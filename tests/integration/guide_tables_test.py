#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tables of figures in the guide are what Tessera computes now."""
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(os.environ["TESSERA_SOURCE_DIR"]) / "tools/guide_tables"

if __name__ == "__main__":
    done = subprocess.run([SCRIPT], stderr=subprocess.STDOUT)
    if done.returncode != 0:
        print("run tools/guide_tables --write, and say in the change why the figures moved")
    sys.exit(done.returncode)
