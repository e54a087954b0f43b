# SPDX-License-Identifier: Apache-2.0
"""Deadlocks over full buffers and in-order queues: each is reported, and every edge of the cycle that is printed
is a wait that really exists in the trace and in the final state of an independent model."""
import collections
import concurrent.futures
import json
import os
import random
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))

import generate  # noqa: E402
import harness  # noqa: E402
from basics import results, tile_of  # noqa: E402
from model import Model  # noqa: E402

RINGS = int(os.environ.get("DEADLOCK_RINGS", "200"))
RANDOM = int(os.environ.get("DEADLOCK_RANDOM", "100"))


class Ring:
    """Tiles whose data each leave only when there is room in the next one.

    Tile i is full with what `hold` reads; `ask` wants room in tile i+1. What ties the two together makes the kinds
    of edges: they are one operation, or `hold` comes after `ask`, stands behind it on its unit, or reads it. A large
    request at the head of a buffer's queue adds an edge of kind queue.
    """

    def __init__(self, seed):
        self.rng = rng = random.Random(seed)
        ring = rng.randint(1, 4)
        self.chip = {
            "clock": "1 GHz", "tiles": {"rows": 2, "columns": 4, "macros": 3},
            "macro": {"t_mvm": rng.choice(["10 ns", "7 cycles", "3123 ps"]), "clock": rng.choice(generate.CLOCKS)},
            "vector": {"lanes": rng.choice(["unlimited", 4]), "startup": "2 cycles"},
            "buffer": {"capacity": "100 B", "ports": "unlimited", "bytes_per_cycle": "unlimited"},
            "noc": {"kind": rng.choice(["bus", "ideal"]), "reserve": rng.choice(["0 cycles", "2 cycles"]),
                    "latency": "1 cycles", "bytes_per_cycle": 16},
            "memory": {"ports": 1, "channels": "unlimited"},
        }
        if self.chip["noc"]["kind"] == "bus":
            del self.chip["noc"]["latency"]
        self.operations = []
        tiles = rng.sample([f"t{i}" for i in range(8)], ring)
        self.spare = [f"t{i}" for i in range(8) if f"t{i}" not in tiles]
        kinds = [rng.choice(["same", "after", "unit", "input"]) for _ in tiles]
        if ring == 1:
            kinds = [rng.choice(["after", "unit", "input"])]
        filled = [self.fill(tile, kind) for tile, kind in zip(tiles, kinds)]
        self.noise()
        for tile in tiles:
            if rng.random() < 0.3:  # asks for the whole buffer, before anybody else does
                self.add("mvm", f"{tile}.m2", n=1, bytes=100, release=40_000)
        for i, tile in enumerate(tiles):
            self.tie(tile, tiles[(i + 1) % ring], kinds[i], *filled[i])
        self.bystanders()

    def add(self, op, at, **fields):
        number = len(self.operations)
        self.operations.append({"id": number, "op": op, "at": at, "in": [], **fields})
        for operand in fields.get("in", []):
            maker = self.operations[operand]
            if "to" in maker:
                next(to for to in maker["to"] if to["at"] == tile_of({"at": at}))["uses"] += 1
            else:
                maker["uses"] = maker.get("uses", 0) + 1
        return number

    def move(self, at, operand, tile, **fields):
        size = self.operations[operand]["bytes"]
        return self.add("move", f"{at}.ni", **{"in": [operand]}, bytes=size, to=[{"at": tile, "uses": 0}], **fields)

    def fill(self, tile, kind):
        """Two data that fill the tile: what `hold` reads, and what `ask` may carry away."""
        if kind == "same":
            return self.add("mvm", f"{tile}.m0", n=1, bytes=100), None
        share = self.rng.randint(40, 80)
        return (self.add("mvm", f"{tile}.m0", n=1, bytes=share), self.add("mvm", f"{tile}.m1", n=1, bytes=100 - share))

    def tie(self, tile, following, kind, held, carried):
        release = self.rng.randint(50_000, 80_000)
        alone = tile == following
        if kind == "same":
            self.move(tile, held, following, release=release)
        elif kind == "input" or alone:  # `ask` needs room in its own tile, too
            ask = self.add("vec", f"{tile}.vec", n=4, fn="add", bytes=self.rng.randint(1, 100), release=release,
                           **{"in": [carried]})
            if kind == "unit":
                self.add("vec", f"{tile}.vec", n=4, fn="add", **{"in": [held]})
            elif kind == "after":
                self.add("store", f"{tile}.ni", bytes=1, to=[{"at": "mem0"}], after=[ask], **{"in": [held]})
            else:
                self.add("mvm", f"{tile}.m0", n=2, **{"in": [held, ask]})
        else:
            ask = self.move(tile, carried, following, release=release)
            if kind == "unit":
                self.add("store", f"{tile}.ni", bytes=1, to=[{"at": "mem0"}], **{"in": [held]})
            else:
                self.add("vec", f"{tile}.vec", n=3, fn="relu", after=[ask], **{"in": [held]})

    def noise(self):
        """Work elsewhere that ends well."""
        for _ in range(self.rng.randint(0, 6)):
            tile = self.rng.choice(self.spare)
            made = self.add("mvm", f"{tile}.m0", n=self.rng.randint(1, 3), bytes=self.rng.randint(0, 30))
            self.add("vec", f"{tile}.vec", n=9, fn="add", **{"in": [made]})

    def bystanders(self):
        """Operations that wait for the ring, or behind it, and are no part of it."""
        for _ in range(self.rng.randint(0, 4)):
            tile = self.rng.choice(self.spare)
            last = len(self.operations) - 1
            self.add("mvm", f"{tile}.m0", n=1, bytes=10, after=[last])


def verify(case_model, operations, report):
    """Raises AssertionError unless every edge in the report is real."""
    model, by_id = case_model, {op["id"]: op for op in operations}
    cycle = report["cycle"]
    assert len(cycle) >= 2 or cycle[0]["waits_for"]["operation"] == cycle[0]["operation"], "a cycle of one operation"
    assert len({entry["operation"] for entry in cycle}) == len(cycle), "an operation is in the cycle twice"
    requests = {tile: [op["id"] for op in buffer.queue] for tile, buffer in model.buffers.items()}
    for entry, following in zip(cycle, cycle[1:] + cycle[:1]):
        waits, op = entry["waits_for"], by_id[entry["operation"]]
        cause, edge = by_id[waits["operation"]], f"{entry}"
        assert waits["operation"] == following["operation"], f"the cycle is broken at {edge}"
        assert entry["unit"] == op["at"] and waits.get("unit", cause["at"]) == cause["at"], edge
        assert op["id"] not in model.start and cause["id"] not in model.end, edge
        if waits["kind"] == "unit":
            assert op["at"] == cause["at"] and model.heads[op["at"]] == cause["id"] < op["id"], edge
            continue
        assert model.heads[op["at"]] == op["id"], f"{edge}: not the head of its unit"
        if waits["kind"] == "input":
            assert cause["id"] in op["in"], edge
        elif waits["kind"] == "after":
            assert cause["id"] in op["after"], edge
        elif waits["kind"] == "space":
            buffer, datum = model.buffers[waits["buffer"]], waits["datum"]
            assert waits["buffer"] in results(op) and requests[waits["buffer"]][0] == op["id"], edge
            assert not buffer.fits(op["bytes"]), f"{edge}: there is room"
            assert datum in buffer.data and buffer.data[datum].size > 0, f"{edge}: the datum is not there"
            reads = datum in cause.get("in", []) and tile_of(cause) == waits["buffer"]
            assert reads or cause["id"] == datum, f"{edge}: the datum has no use there"
        elif waits["kind"] == "queue":
            queue = requests[waits["buffer"]]
            assert queue.index(cause["id"]) < queue.index(op["id"]), edge
        else:
            raise AssertionError(f"{edge}: unknown kind")
    asked = [model.clock_of(by_id[number]).after(tick, 0) for number, tick in model.ready.items()]
    last = max([*asked, *model.end.values(), *model.freed.values()])
    assert report["time_ps"] == last, f"stopped at {report['time_ps']}, model {last}"
    heads = {unit["unit"]: unit["head"] for unit in report["units"]}
    assert heads == model.heads, f"heads {heads}, model {model.heads}"
    for buffer in report["buffers"]:
        expected = model.buffers[buffer["name"]]
        assert buffer["queue"] == requests[buffer["name"]], f"queue of {buffer}, model {requests[buffer['name']]}"
        data = {datum["operation"]: (datum["bytes"], datum["uses_left"]) for datum in buffer["data"]}
        real = {number: (datum.size, datum.uses) for number, datum in expected.data.items()}
        assert data == real, f"data of {buffer['name']}: {data}, model {real}"
        assert buffer["used"] == sum(size for size, _ in real.values()), f"{buffer}"
    assert {b["name"] for b in report["buffers"]} >= {tile for tile, queue in requests.items() if queue}


def one_case(number):
    """(problem or None, length of the cycle, kinds of edges)"""
    if number < RINGS:
        ring = Ring(number)
        chip, operations, model = ring.chip, ring.operations, Model(ring.chip, ring.operations).run()
        if not model.heads:
            return f"ring {number} does not deadlock in the model", 0, []
    else:
        seed = 10_000 + (number - RINGS) * 1_000
        case = generate.generate(seed, keep_deadlock=1.0)
        while not case.model.heads:
            seed += 1
            case = generate.generate(seed, keep_deadlock=1.0)
        chip, operations, model = case.chip, case.operations, case.model
    with tempfile.TemporaryDirectory() as folder:
        trace, config = generate.write(folder, chip, operations)
        out = os.path.join(folder, "out")
        kernel = ["native", "systemc"][number % 2]
        run = harness.run(out, ["--trace", trace, "--chip", config], kernel)
        try:
            assert run.returncode == 4, f"exit {run.returncode}"
            report = json.loads(harness.read_bytes(out, "deadlock.json"))
            verify(model, operations, report)
            for entry in report["cycle"]:
                assert str(entry["operation"]) in run.stderr and entry["unit"] in run.stderr, "not on stderr"
        except (AssertionError, LookupError, OSError, ValueError, TypeError) as problem:
            return f"case {number}: {type(problem).__name__} {problem}\n{run.stderr}", 0, []
    return None, len(report["cycle"]), [entry["waits_for"]["kind"] for entry in report["cycle"]]


def main():
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        outcomes = list(pool.map(one_case, range(RINGS + RANDOM), chunksize=5))
    problems = [problem for problem, _, _ in outcomes if problem]
    lengths = collections.Counter(length for _, length, _ in outcomes)
    kinds = collections.Counter(kind for _, _, found in outcomes for kind in found)
    print("\n".join(problems[:10]))
    if not problems and (not set(range(2, 9)) <= set(lengths) or len(kinds) < 5):
        problems.append("the cases do not cover all lengths and kinds")
        print(problems[-1])
    print(f"{len(outcomes)} deadlocks, {len(problems)} problems; lengths {dict(sorted(lengths.items()))}; "
          f"edges {dict(sorted(kinds.items()))}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
