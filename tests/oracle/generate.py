# SPDX-License-Identifier: Apache-2.0
"""Small random chips and traces, valid by construction, the same for the same seed everywhere."""
import collections
import json
import os
import random
import zlib

from basics import order, results, tile_of
from model import Model

CLOCKS = ["1 GHz", "1 GHz", "1.28 GHz", "800 MHz", "625 MHz", "1.5 GHz"]
FUNCTIONS = ["add", "relu", "accumulate", "concat"]
Case = collections.namedtuple("Case", "seed chip operations model")


def random_chip(rng, ports="unlimited"):
    """Several clocks half of the time, so that edges rarely meet; one clock otherwise, so that they always do. And
    sometimes everything takes a cycle or two, so that much happens at the same tick and the rounds decide."""
    dense = rng.random() < 0.25

    def length(most):
        if dense:
            return f"{rng.randint(1, 2)} cycles"
        return rng.choice([f"{rng.randint(1, most)} cycles", f"{rng.randint(1, most * 1000)} ps"])

    rows, columns = rng.choice([(1, 1), (1, 2), (2, 1), (1, 3), (2, 2), (2, 2)])
    chip = {
        "clock": rng.choice(CLOCKS),
        "tiles": {"rows": rows, "columns": columns, "macros": rng.randint(1, 3)},
        "macro": {"t_mvm": length(20), "program": {"row_time": length(20)}},
        "vector": {"lanes": rng.choice(["unlimited", 1, 3, 16]), "startup": rng.choice(["0 cycles", length(6)]),
                   "cost": {"add": rng.randint(1, 3)}},
        "buffer": {"capacity": "unlimited", "ports": ports, "bytes_per_cycle": "unlimited"},
        "noc": {"kind": rng.choice(["ideal", "bus", "bus"]), "reserve": rng.choice(["0 cycles", length(5)])},
        "memory": {"ports": rng.randint(1, rows), "channels": "unlimited"},
    }
    if ports != "unlimited":
        chip["buffer"]["bytes_per_cycle"] = rng.choice([8, 32])
    if not dense and rng.random() < 0.5:
        for part in ("macro", "vector", "noc", "buffer"):
            chip[part]["clock"] = rng.choice(CLOCKS)
    if chip["noc"]["kind"] == "ideal":
        chip["noc"]["latency"] = rng.choice(["0 cycles", "0 cycles", length(9)])
    else:
        chip["noc"]["bytes_per_cycle"] = rng.choice([8, 32, 1024])
    return chip


class Writer:
    """Writes operations one by one and knows what lies in which tile."""

    def __init__(self, rng, chip):
        self.rng, self.chip, self.releases = rng, chip, rng.choice([0, 0.2, 0.2])
        self.tiles = [f"t{i}" for i in range(chip["tiles"]["rows"] * chip["tiles"]["columns"])]
        self.data = {tile: [] for tile in self.tiles}  # operations that brought something, in order
        self.reads = collections.Counter()             # (operation, tile) -> uses
        self.operations = []

    def operand(self, tile):
        """Mostly something recent that nobody has read yet."""
        fresh = [number for number in self.data[tile] if not self.reads[number, tile]]
        pool = fresh if fresh and self.rng.random() < 0.9 else self.data[tile]
        number = self.rng.choice(pool[-3:])
        self.reads[number, tile] += 1
        return number

    def add(self, kind, at, operands=0, **fields):
        rng, op = self.rng, {"id": len(self.operations), "op": kind, "at": at, **fields}
        tile = tile_of(op)
        operands = operands if self.data.get(tile) else 0
        op["in"] = [self.operand(tile) for _ in range(operands)]
        if self.operations and rng.random() < 0.15:
            op["after"] = sorted(rng.sample(range(len(self.operations)), min(len(self.operations), rng.randint(1, 2))))
        if rng.random() < self.releases:
            op["release"] = rng.randint(0, 300_000)
        if kind in ("move", "store"):
            op["bytes"] = self.operations[op["in"][0]].get("bytes", 0)
        elif op["in"] and "bytes" in fields and kind in ("mvm", "vec") and rng.random() < 0.3:
            op["into"] = rng.randrange(len(op["in"]))
            space = self.operations[op["in"][op["into"]]].get("bytes", 0)
            op["bytes"] = rng.choice([space, rng.randint(0, space)])
        self.operations.append(op)
        for place in ([tile] if kind in ("mvm", "vec") else [to["at"] for to in op.get("to", [])]):
            if place in self.data:
                self.data[place].append(op["id"])

    def add_any(self):
        rng = self.rng
        tile = rng.choice(self.tiles)
        size = rng.choice([0, 8, 64, 64, rng.randint(1, 300), rng.randint(1, 300)])
        macro = f"{tile}.m{rng.randrange(self.chip['tiles']['macros'])}"
        memory = f"mem{rng.randrange(self.chip['memory']['ports'])}"
        others = [other for other in self.tiles if other != tile]
        kind = rng.choices(["mvm", "vec", "move", "store", "load", "program"], [30, 30, 30, 5, 12, 3])[0]
        if kind == "mvm":
            self.add("mvm", macro, rng.randint(0, 2), n=rng.randint(1, 4), bytes=size)
        elif kind == "vec":
            self.add("vec", f"{tile}.vec", rng.randint(0, 3), n=rng.randint(1, 40), fn=rng.choice(FUNCTIONS),
                     bytes=size)
        elif kind == "program":
            self.add("program", macro, rng.randint(0, 1), n=rng.randint(1, 4))
        elif kind == "load":
            places = rng.sample(self.tiles, rng.randint(1, len(self.tiles)))
            self.add("load", memory, bytes=size, to=[{"at": place} for place in places])
        elif kind == "store" and self.data[tile]:
            self.add("store", f"{tile}.ni", 1, to=[{"at": memory}])
        elif kind == "move" and self.data[tile] and others:
            places = rng.sample(others, rng.randint(1, len(others)))
            self.add("move", f"{tile}.ni", 1, to=[{"at": place} for place in places])

    def add_pipeline(self, most):
        """Items that pass the same stages one after the other, as layers do: full buffers are the rule."""
        rng, size = self.rng, self.rng.choice([8, 64, 100])
        tile = rng.choice(self.tiles)
        stages = [("load", "mem0", [tile])]
        for _ in range(rng.randint(2, 7)):
            kind = rng.choice(["mvm", "vec", "move"] if len(self.tiles) > 1 else ["mvm", "vec"])
            if kind == "move":
                places = rng.sample([t for t in self.tiles if t != tile], 1)
                stages.append(("move", f"{tile}.ni", places))
                tile = places[0]
            else:
                unit = "vec" if kind == "vec" else f"m{rng.randrange(self.chip['tiles']['macros'])}"
                stages.append((kind, f"{tile}.{unit}", [tile]))
        before, ends, ahead = {}, [], rng.randint(1, 4)  # made of the last item; ends of all; loads may run ahead
        while len(self.operations) + len(stages) <= most:
            made = {}
            for number, (kind, at, places) in enumerate(stages):
                op = {"id": len(self.operations), "op": kind, "at": at, "bytes": size, "in": []}
                if number == 0 and len(ends) >= ahead:
                    op["after"] = [ends[-ahead]]
                elif number:
                    op["in"] = [made[number - 1]]
                    if kind == "vec" and number - 1 in before and rng.random() < 0.3:
                        op["in"].append(before[number - 1])
                    elif kind in ("vec", "mvm") and rng.random() < 0.2:
                        op["into"] = 0
                for operand in op["in"]:
                    self.reads[operand, tile_of(op)] += 1
                if kind in ("mvm", "vec"):
                    op.update(n=rng.randint(1, 4))
                    op.update({"fn": "add"} if kind == "vec" else {})
                else:
                    op["to"] = [{"at": place} for place in places]
                made[number] = op["id"]
                self.operations.append(op)
            before = made
            ends.append(max(made.values()))

    def finish(self):
        """Now that all reads are known: the uses."""
        for op in self.operations:
            if op["op"] in ("mvm", "vec"):
                op["uses"] = self.reads[op["id"], tile_of(op)]
            for to in op.get("to", []) if op["op"] != "store" else []:
                to["uses"] = self.reads[op["id"], to["at"]]
        return self.operations


def generate(seed, ports="unlimited", keep_deadlock=0.15):
    """A case with buffers just large enough, or, sometimes, just too small. Its model has run."""
    rng = random.Random(seed)
    chip = random_chip(rng, ports)
    writer = Writer(rng, chip)
    wanted = rng.randint(10, 60)
    for most in rng.choice([[], [wanted], [wanted // 2, wanted]]):
        writer.add_pipeline(most)
    while len(writer.operations) < wanted:
        writer.add_any()
    operations = writer.finish()
    if rng.random() < 0.1:
        return Case(seed, chip, operations, Model(chip, operations).run())
    deadlocked = None
    size = max([op.get("bytes", 0) for op in operations if results(op)] + [1])
    while True:
        chip["buffer"]["capacity"] = f"{size} B"
        model = Model(chip, operations).run()
        if not model.heads:
            break
        deadlocked = size, model
        size += max(1, size // 16)
        assert size < 1 << 30, "no buffer is large enough: not a deadlock of space"
    if deadlocked and rng.random() < keep_deadlock:
        size, model = deadlocked
        chip["buffer"]["capacity"] = f"{size} B"
    return Case(seed, chip, operations, model)


# ---- files ----------------------------------------------------------------------------------------
KEYS = ["id", "op", "at", "block", "ofm", "n", "bits", "bytes", "uses", "in", "after", "into", "to", "release",
        "start", "layer", "img", "fn"]


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def header(chip, operations):
    counts = collections.Counter(op["at"] for op in operations)
    last, window = {}, 0
    for op in operations:
        window = max(window, op["id"] - last.get(op["at"], -1))  # the header line counts as the first predecessor
        last[op["at"]] = op["id"]
    return {
        "format": "tessera-trace", "version": "1.0", "producer": "oracle",
        "tiles": chip["tiles"]["rows"] * chip["tiles"]["columns"], "memory_ports": chip["memory"]["ports"],
        "counts": {"operations": len(operations), "units": {unit: counts[unit] for unit in sorted(counts, key=order)}},
        "window": window,
    }


def canonical(op):
    """Fixed key order, no blanks, defaults left out."""
    line = {key: op[key] for key in KEYS if key in op and (key in ("id", "n", "into") or op[key] not in (0, []))}
    if "to" in line:
        line["to"] = [{key: to[key] for key in ("at", "uses") if to.get(key)} for to in line["to"]]
    return line


def trace_text(chip, operations):
    lines = [compact(header(chip, operations))] + [compact(canonical(op)) for op in operations]
    body = "".join(line + "\n" for line in lines)
    return body + compact({"end": True, "ops": len(operations), "crc32": f"{zlib.crc32(body.encode()):08x}"}) + "\n"


def write(folder, chip, operations):
    """Writes trace and chip; returns their paths."""
    os.makedirs(folder, exist_ok=True)
    trace, config = os.path.join(folder, "case.trace.jsonl"), os.path.join(folder, "chip.json")
    with open(trace, "w", encoding="utf-8") as file:
        file.write(trace_text(chip, operations))
    with open(config, "w", encoding="utf-8") as file:
        json.dump(chip, file, indent=2)
    return trace, config
