# SPDX-License-Identifier: Apache-2.0
"""Tessera from Python: crossbars of RRAM cells, converters and AiDAC macros on NumPy arrays, and windows of runs.

Everything that goes wrong is a tessera.Error. What computes is compiled; it is loaded when it is first used.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import Error, InputError, Interrupted, IoError, OutOfMemory, SimulationError, UsageError

if TYPE_CHECKING:
    from .crossbars import Chip, Programmed, data_directory
    from .results import read_windows

    __version__: str

# What needs the compiled extension.
_COMPILED = ("Chip", "Programmed", "data_directory", "__version__")

__all__ = ["Chip", "Programmed", "data_directory", "Error", "UsageError", "InputError", "SimulationError", "IoError",
           "OutOfMemory", "Interrupted", "read_windows"]


def __getattr__(name: str):
    if name == "read_windows":
        from .results import read_windows
        return read_windows
    if name not in _COMPILED:
        raise AttributeError(f"module 'tessera' has no attribute {name!r}")
    from . import crossbars
    value = getattr(crossbars, name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_COMPILED, "read_windows"})
