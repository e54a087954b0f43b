# SPDX-License-Identifier: Apache-2.0
"""Chips whose crossbars multiply matrices, with what their cells and converters do to the numbers."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import extension

_tessera = extension.load()

from .arguments import checked, integer, interval, matrix, text, texts
from .errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy
    from numpy.typing import ArrayLike

__version__: str = _tessera.version()

_INT32 = (-2**31, 2**31 - 1)
_UINT32 = (0, 2**32 - 1)
_UINT64 = (0, 2**64 - 1)


def data_directory() -> str:
    """Folder of the shipped chips, networks and traces."""
    return _tessera.data_directory()


class _Immutable:
    """A copy would be the same thing."""
    __slots__ = ()

    def __copy__(self):
        return self

    def __deepcopy__(self, _memo):
        return self


def _digest(files: Iterable[str]) -> str:
    """Of what is in the files, wherever they are."""
    whole = hashlib.sha256()
    for file in files:
        with open(file, "rb") as content:
            whole.update(hashlib.sha256(content.read()).digest())
    return whole.hexdigest()


class Chip(_Immutable):
    """A chip's crossbars and what they do to values.

    config: a shipped chip or a file; set: keys that are different, as of --set ("macro.rows=128").

    Can be pickled: with every key of its config, but not with the model files that the config names, which must be
    the same where it is unpickled.
    """
    __slots__ = ("_core", "_models", "_steps")

    @checked
    def __init__(self, config: str | os.PathLike, set: Iterable[str] = ()):
        self._core = _tessera.Chip.load(text(config, "config"), texts(set, "set"))
        self._models = _digest(self._core.model_files())
        self._steps = ()

    def _with(self, step: str, *words: str) -> Chip:
        other = object.__new__(Chip)
        other._core = getattr(self._core, step)(*words)
        other._models = self._models
        other._steps = (*self._steps, (step, *words))
        return other

    @property
    def weight_bits(self) -> int:
        """Bits of a weight with its sign."""
        return self._core.weight_bits

    @property
    def input_bits(self) -> int:
        """Bits of an input."""
        return self._core.input_bits

    def noiseless(self) -> Chip:
        """The same chip with perfect cells and wires: finite converters are left."""
        return self._with("noiseless")

    def lossless(self) -> Chip:
        """The same chip with converters that lose nothing, too."""
        return self._with("lossless")

    def sources(self) -> list[str]:
        """Names of the chip's sources of errors."""
        return self._core.sources()

    @checked
    def only(self, source: str) -> Chip:
        """The same chip with one source of errors."""
        return self._with("only", text(source, "source"))

    @checked
    def program(self, weights: ArrayLike, inputs: tuple[int, int] = (0, 255), seed: int = 1,
                calibrate: ArrayLike | None = None) -> Programmed:
        """Writes a matrix of whole numbers, inputs x outputs, into as many macros as it needs.

        inputs: least and greatest input there will be; seed: names the programmed chip and all noise on it;
        calibrate: inputs that converter ranges are chosen for.
        """
        return _programmed(self, matrix(weights, "weights").copy(), interval(inputs, "inputs", *_INT32),
                           integer(seed, "seed", *_UINT64),
                           None if calibrate is None else matrix(calibrate, "calibrate").copy())

    def __repr__(self) -> str:
        steps = "".join(f".{step}({', '.join(map(repr, words))})" for step, *words in self._steps)
        return f"<tessera.Chip {self._core.name}{steps}>"

    def __reduce__(self):
        return _unpickled, (self._core.name, self._core.effective(), self._models, self._steps)


def _unpickled(name: str, effective: str, models: str, steps: tuple) -> Chip:
    chip = object.__new__(Chip)
    chip._core = _tessera.Chip.parse(effective, name)
    chip._models = _digest(chip._core.model_files())
    chip._steps = ()
    if chip._models != models:
        raise InputError(f"{', '.join(chip._core.model_files())}: not what the pickled chip {name} was made with; "
                         "give it the same model files")
    for step in steps:
        chip = chip._with(*step)
    return chip


class Programmed(_Immutable):
    """Weights in the cells of a chip: what Chip.program() returns.

    Can be pickled: with chip, weights and seed, which the cells are programmed from again, the same to the bit.
    """
    __slots__ = ("_core", "_recipe")

    def __init__(self, *_arguments, **_named):
        raise UsageError("Programmed: made by Chip.program()")

    @property
    def shape(self) -> tuple[int, int]:
        """Inputs x outputs."""
        return self._core.shape

    @checked
    def __call__(self, inputs: ArrayLike, image: int = 0, first: int = 0) -> numpy.ndarray:
        """Products of vectors (rows of whole numbers) as the macros hand them on, in units of the exact product.

        Vector i is number first + i of the image: its noise depends on that alone. Cells that fluctuate start anew
        with every call.
        """
        vectors = matrix(inputs, "inputs")
        start = integer(first, "first", 0, _UINT32[1] + 1 - len(vectors))
        return self._core.multiply(vectors, integer(image, "image", *_UINT32), start)

    def __repr__(self) -> str:
        return f"<tessera.Programmed {self.shape[0]} x {self.shape[1]} on {self._recipe[0]!r}>"

    def __reduce__(self):
        return _programmed, self._recipe


def _programmed(chip: Chip, weights, inputs, seed, calibrate) -> Programmed:
    made = object.__new__(Programmed)
    made._core = chip._core.program(weights, *inputs, seed, calibrate)
    made._recipe = (chip, weights, inputs, seed, calibrate)
    return made


for _public in (Chip, Programmed, data_directory):
    _public.__module__ = "tessera"
