# SPDX-License-Identifier: Apache-2.0
"""What runs leave behind that no library of its own reads."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator

from .arguments import checked, text
from .errors import InputError, IoError

# Members of a line's lists that grow with time; all others are the same in each of its windows.
_TIMES = ("compute_time", "macro_time", "flits", "busy", "stalled")


@checked
def read_windows(path) -> Iterator[dict]:
    """The windows of a run with `--stats-every`, one after the other: `path` is its folder, or the file itself.

    Each is a dict as the README describes, but lines that stand for several windows are taken apart, and "buffers" has
    every buffer that holds something. A last line that is still being written is left out.
    """
    name = text(path, "path")
    if os.path.isdir(name):
        name = os.path.join(name, "windows.jsonl")
    return _windows(name)


def _windows(name: str) -> Iterator[dict]:
    held: dict[str, int] = {}
    try:
        with open(name, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith("\n"):
                    return
                try:
                    document = json.loads(line)
                    count = document["windows"]
                    if count < 1 or (document["end"] - document["begin"]) % count:
                        raise ValueError("windows of unequal length")
                    changed = {buffer["name"]: buffer for buffer in document["buffers"]}
                    buffers = [{"name": buffer, "bytes": size, "mean": size, "waits": 0}
                               for buffer, size in held.items() if buffer not in changed and size] + list(changed.values())
                    held.update((buffer["name"], buffer["bytes"]) for buffer in changed.values())
                    windows = [_one(document, i, buffers) for i in range(count)]
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(f"{name}:{number}: is no line of windows: {error!r}; run again with "
                                     "--stats-every") from None
                yield from windows
    except OSError as error:
        raise IoError(f"cannot read {name}: {error.strerror}") from None


def _one(line: dict, i: int, buffers: list) -> dict:
    """Window number `i` of a line."""
    count = line["windows"]
    length = (line["end"] - line["begin"]) // count

    def share(item):
        return {key: value // count if key in _TIMES else value for key, value in item.items()}

    units = {kind: {**figures, "time": {stage: time // count for stage, time in figures["time"].items()}}
             for kind, figures in line["units"].items()}
    return {**line, "window": line["window"] + i, "windows": 1, "begin": line["begin"] + i * length,
            "end": line["begin"] + (i + 1) * length, "units": units, "layers": list(map(share, line["layers"])),
            "links": list(map(share, line["links"])), "buffers": buffers}
