# SPDX-License-Identifier: Apache-2.0
"""Loads what is compiled, or says why it cannot be."""
import importlib
import importlib.util
import sys


def load():
    """The module tessera._tessera."""
    if importlib.util.find_spec("tessera._tessera") is None:
        raise ImportError(
            f"tessera is here without its compiled part for Python {sys.version_info[0]}.{sys.version_info[1]}; "
            "install python3-tessera, or build with pybind11-dev and python3-dev installed and use the build's folder "
            "python", name="tessera._tessera")
    if importlib.util.find_spec("numpy") is None:
        raise ImportError("tessera computes on NumPy arrays; install python3-numpy", name="numpy")
    return importlib.import_module("tessera._tessera")
