#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Random quantised graphs of QONNX: as quantised_graphs_test.py, written with Quant."""
import os
import sys

from quantised_graphs_test import main

if __name__ == "__main__":
    graphs = "60" if os.environ.get("TESSERA_SANITIZE") else "300"
    sys.exit(main(["--form", "qonnx", "--seed", "7000", "--graphs", graphs, *sys.argv[1:]]))
