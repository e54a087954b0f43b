# SPDX-License-Identifier: Apache-2.0
"""The model against cases worked out by hand: an oracle has to be right first."""
import unittest

from model import Model

CHIP = {
    "clock": "1 GHz", "tiles": {"rows": 1, "columns": 3, "macros": 2},
    "macro": {"t_mvm": "10 ns", "program": {"row_time": "7 ns"}},
    "vector": {"lanes": 4, "startup": "2 cycles", "cost": {"add": 3}},
    "buffer": {"capacity": "100 B", "ports": "unlimited", "bytes_per_cycle": "unlimited"},
    "noc": {"kind": "bus", "reserve": "0 cycles", "latency": "0 cycles", "bytes_per_cycle": 10},
    "memory": {"ports": 1, "channels": "unlimited"},
}


def run(operations, **parts):
    chip = {part: {**CHIP[part], **parts.get(part, {})} if isinstance(CHIP[part], dict) else CHIP[part]
            for part in CHIP}
    operations = [{"id": number, **op} for number, op in enumerate(operations)]
    return Model(chip, operations).run()


def mvm(at, size=10, n=1, **more):
    return {"op": "mvm", "at": at, "n": n, "bytes": size, **more}


def vec(at, size=10, n=4, fn="relu", **more):
    return {"op": "vec", "at": at, "n": n, "fn": fn, "bytes": size, **more}


def move(at, operand, to, size=10, **more):
    return {"op": "move", "at": at, "in": [operand], "bytes": size, "to": [{"at": t, "uses": 0} for t in to], **more}


class HandComputed(unittest.TestCase):
    def check(self, model, *spans):
        self.assertEqual([(model.start.get(n), model.end.get(n)) for n in range(len(spans))], list(spans))

    def test_chain_on_one_tile(self):
        # 3 vectors of 10 ns; then 2 + ceil(5 * 3 / 4) = 6 cycles
        model = run([mvm("t0.m0", n=3, uses=1), vec("t0.vec", n=5, fn="add", **{"in": [0]})])
        self.check(model, (0, 30_000), (30_000, 36_000))

    def test_units_work_in_order(self):
        # 1 could start at 0, but stands behind 0, which waits for its release
        model = run([mvm("t0.m0", release=5_000), mvm("t0.m0"), mvm("t0.m1")])
        self.check(model, (5_000, 15_000), (15_000, 25_000), (0, 10_000))

    def test_release_between_edges_is_seen_at_the_next(self):
        model = run([mvm("t0.m0", release=5_001)])
        self.assertEqual(model.ready[0], 5_001)
        self.check(model, (6_000, 16_000))

    def test_rational_clock(self):
        # edges of 1.28 GHz: 0, 781, 1562, 2343, 3125, ...
        model = run([vec("t0.vec", n=4, release=782), vec("t0.vec", n=4)], vector={"clock": "1.28 GHz"})
        self.check(model, (1_562, 3_906), (3_906, 6_250))

    def test_full_buffer_waits_for_the_last_use(self):
        # 0 fills the buffer until 2 (at 5 + 10 ns, bus for 10 cycles) is over; the queue is first in, first out
        model = run([mvm("t0.m0", size=100, uses=2), vec("t0.vec", size=0, **{"in": [0]}),
                     move("t0.ni", 0, ["t1"], size=100, release=15_000), mvm("t0.m0", size=60),
                     mvm("t0.m1", size=60), mvm("t0.m1", size=10)])
        self.check(model, (0, 10_000), (10_000, 13_000), (15_000, 25_000), (35_000, 45_000), (25_000, 35_000),
                   (35_000, 45_000))

    def test_space_may_come_between_edges(self):
        # the second time 1 ends between two edges of 2, which starts there and works from its next edge on
        model = run([mvm("t0.m0", size=100, uses=1), vec("t0.vec", n=4, **{"in": [0]}, size=0), mvm("t0.m1")],
                    vector={"clock": "2 GHz", "startup": "1500 ps", "lanes": 4}, macro={"clock": "1 GHz"})
        self.check(model, (0, 10_000), (10_000, 12_000), (12_000, 22_000))
        model = run([mvm("t0.m0", size=100, uses=1), vec("t0.vec", n=8, **{"in": [0]}, size=0), mvm("t0.m1")],
                    vector={"clock": "2 GHz", "startup": "1 cycles", "lanes": 4})
        self.check(model, (0, 10_000), (10_000, 11_500), (11_500, 22_000))

    def test_small_requests_do_not_overtake(self):
        model = run([mvm("t0.m0", size=60, uses=1), vec("t0.vec", size=1, release=20_000, **{"in": [0]}),
                     mvm("t0.m1", size=50, release=1_000), vec("t0.vec", size=1)])
        # 1 asks at 20 ns behind 2, which needs 0 gone: and 0 is held by 1
        self.assertEqual(model.heads, {"t0.m1": 2, "t0.vec": 1})
        self.check(model, (0, 10_000), (None, None), (None, None), (None, None))

    def test_all_or_nothing_at_several_destinations(self):
        # 3 needs room in t1 and t2; t2 is full until 21 ns; 4 waits behind it in t1 although it would fit
        model = run([mvm("t0.m0", size=50, uses=1), mvm("t2.m0", size=100, uses=1),
                     vec("t2.vec", size=0, n=36, **{"in": [1]}), move("t0.ni", 0, ["t1", "t2"], size=50),
                     vec("t1.vec", size=10, release=12_000)])
        self.check(model, (0, 10_000), (0, 10_000), (10_000, 21_000), (21_000, 26_000), (21_000, 24_000))

    def test_into_takes_the_space_over(self):
        chain = [mvm("t0.m0", size=100, uses=1), vec("t0.vec", size=100, into=0, **{"in": [0]})]
        self.check(run(chain), (0, 10_000), (10_000, 13_000))
        chain[1].pop("into")
        self.assertEqual(run(chain).heads, {"t0.vec": 1})

    def test_into_asks_while_the_operand_has_other_uses(self):
        model = run([mvm("t0.m0", size=50, uses=2), vec("t0.vec", size=50, into=0, **{"in": [0]}),
                     mvm("t0.m1", size=50, release=11_000), vec("t0.vec", size=0, **{"in": [0]})])
        # 1 takes new space at 10 ns (unread: gone at 13); 0 goes with 3 at 16
        self.check(model, (0, 10_000), (10_000, 13_000), (13_000, 23_000), (13_000, 16_000))

    def test_bus_serves_one_at_a_time(self):
        model = run([mvm("t0.m0", uses=1), mvm("t1.m0", uses=2), move("t0.ni", 0, ["t2"], size=35),
                     move("t1.ni", 1, ["t0", "t2"], size=20), move("t1.ni", 1, ["t2"], size=0)])
        self.check(model, (0, 10_000), (0, 10_000), (10_000, 14_000), (10_000, 16_000), (16_000, 16_000))

    def test_reserve_and_ideal_latency(self):
        ideal = {"kind": "ideal", "reserve": "3 cycles", "latency": "2500 ps"}
        model = run([mvm("t0.m0", uses=2), move("t0.ni", 0, ["t1"]), move("t0.ni", 0, ["t2"])], noc=ideal)
        # the source is free after the reservation
        self.check(model, (0, 10_000), (10_000, 15_500), (13_000, 18_500))
        self.assertEqual(model.freed[1], 13_000)

    def test_load_and_store(self):
        model = run([{"op": "load", "at": "mem0", "bytes": 40, "to": [{"at": "t0", "uses": 1}]},
                     {"op": "store", "at": "t0.ni", "in": [0], "bytes": 40, "to": [{"at": "mem0"}]},
                     {"op": "program", "at": "t0.m0", "n": 3}], noc={"reserve": "2 cycles"})
        self.check(model, (0, 6_000), (6_000, 10_000), (0, 21_000))

    def test_free_work_ends_in_the_next_round(self):
        free = [vec("t0.vec", uses=1)] + [vec("t0.vec", uses=1, **{"in": [n]}) for n in range(50)]
        model = run(free, vector={"lanes": "unlimited"}, buffer={"capacity": "20 B"})
        self.check(model, *[(0, 0)] * 51)

    def test_ports_are_shared_in_order(self):
        # one port, 10 bytes a cycle: both write 20 bytes at 10 ns, m0 first; vec then reads 20 + 20 bytes
        model = run([mvm("t0.m1", size=20, uses=1), mvm("t0.m0", size=20, uses=1),
                     vec("t0.vec", size=5, **{"in": [0, 1]})], buffer={"ports": 1, "bytes_per_cycle": 10})
        self.check(model, (0, 14_000), (0, 12_000), (14_000, 14_000 + 4_000 + 3_000 + 1_000))
        self.assertEqual(model.freed[0], 10_000)


if __name__ == "__main__":
    unittest.main()
