# SPDX-License-Identifier: Apache-2.0
"""What traces and chip configs speak of: quantities, clocks, buffers, units."""
import fractions

SCALE = {"s": 10**12, "us": 10**6, "ns": 10**3, "ps": 1, "MHz": 10**6, "GHz": 10**9, "B": 1, "cycles": 1}


def quantity(text):
    """"1.5 ns" -> (Fraction(1500), "ns"): times in ps, frequencies in Hz."""
    number, unit = text.split()
    return fractions.Fraction(number) * SCALE[unit], unit


class Clock:
    """Edge k falls on floor(k x period)."""

    def __init__(self, frequency):
        self.period = 10**12 / quantity(frequency)[0]

    def after(self, tick, cycles):
        """The edge `cycles` after the first one that is not before `tick`."""
        return int((-(-tick // self.period) + cycles) * self.period)

    def lapse(self, start, duration, times=1, more_cycles=0):
        """When `times` durations ("3 cycles", "1.4 us"), and more cycles, that could begin at `start`
        are over: they begin at an edge, unless they take no time."""
        value, unit = quantity(duration)
        cycles = more_cycles + (times * value if unit == "cycles" else 0)
        time = 0 if unit == "cycles" else int(times * value)
        return self.after(start, cycles) + time if cycles or time else start


class Datum:
    """What an operation put into one tile's buffer."""

    def __init__(self, size, uses):
        self.size, self.uses, self.available = size, uses, False


class Buffer:
    def __init__(self, chip):
        capacity = chip["buffer"]["capacity"]
        self.capacity = float("inf") if capacity == "unlimited" else int(quantity(capacity)[0])
        self.data, self.queue = {}, []  # Datum by operation; operations that ask for space
        self.free_ports, self.port_queue = chip["buffer"]["ports"], []

    def fits(self, size):
        return sum(datum.size for datum in self.data.values()) + size <= self.capacity


def tile_of(op):
    return op["at"].split(".")[0]


def order(unit):
    """By tile, then macros, vector unit, network interface; memory ports last."""
    if unit.startswith("mem"):
        return 1, int(unit[3:]), 0, 0
    tile, part = unit[1:].split(".")
    return 0, int(tile), "mvn".index(part[0]), int(part[1:]) if part[0] == "m" else 0


def results(op):
    """Tiles whose buffers get a result of the operation, with the uses of each."""
    if op["op"] in ("mvm", "vec"):
        return {tile_of(op): op.get("uses", 0)}
    return {to["at"]: to["uses"] for to in op["to"]} if op["op"] in ("move", "load") else {}
