# SPDX-License-Identifier: Apache-2.0
"""Arguments as the extension takes them. Each is refused with a message that says what it is and what to give."""
from __future__ import annotations

import functools
import inspect
import operator
import os

import numpy

from .errors import UsageError


def checked(function):
    """Wrong numbers and names of arguments are UsageErrors, too."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def bound(*given, **named):
        try:
            signature.bind(*given, **named)
        except TypeError as error:
            raise UsageError(f"{function.__qualname__}: {error}") from None
        return function(*given, **named)
    return bound


def text(value, what: str) -> str:
    """Of texts and paths."""
    try:
        value = os.fspath(value)
        if isinstance(value, bytes):
            value = os.fsdecode(value)
        value.encode()
    except TypeError:
        raise UsageError(f"{what} is of type {type(value).__name__}; give a text") from None
    except UnicodeEncodeError:
        raise UsageError(f"{what} is {value!r}, which UTF-8 cannot hold") from None
    return value


def texts(values, what: str) -> list[str]:
    """Of any iterable of texts but a text, which is one of letters."""
    if isinstance(values, (str, bytes)):
        raise UsageError(f"{what} is one text; give a list of texts")
    try:
        values = list(values)
    except TypeError:
        raise UsageError(f"{what} is of type {type(values).__name__}; give a list of texts") from None
    return [text(value, f"{what}[{index}]") for index, value in enumerate(values)]


def integer(value, what: str, least: int, most: int) -> int:
    """Of integers of any type, NumPy's too."""
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{what} is {value!r}; give a whole number") from None
    if not least <= number <= most:
        raise UsageError(f"{what} is {number}; give a whole number from {least} to {most}")
    return number


def interval(value, what: str, least: int, most: int) -> tuple[int, int]:
    """Of the least and the greatest of some numbers."""
    try:
        first, last = value
    except (TypeError, ValueError):
        raise UsageError(f"{what} is {value!r}; give the least and the greatest, as (0, 255)") from None
    first, last = (integer(end, f"{what}[{index}]", least, most) for index, end in enumerate((first, last)))
    if first > last:
        raise UsageError(f"{what} is ({first}, {last}); give the least first")
    return first, last


def matrix(value, what: str) -> numpy.ndarray:
    """32-bit integers, row by row; a copy if `value` is anything else."""
    try:
        array = numpy.asarray(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what} are no array: {error}") from None
    if array.dtype.kind not in "iu":
        raise UsageError(f"{what} are of type {array.dtype}; give whole numbers")
    if array.ndim != 2 or array.size == 0:
        raise UsageError(f"{what} must be a matrix that is not empty; the shape is {array.shape}")
    limits = numpy.iinfo(numpy.int32)
    for extreme in (int(array.min()), int(array.max())):
        if not limits.min <= extreme <= limits.max:
            raise UsageError(f"{what} have {extreme}, which 32 bits cannot hold")
    return numpy.ascontiguousarray(array, dtype=numpy.int32)
